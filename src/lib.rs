//! Relays committed row changes from an OceanBase / MySQL / MariaDB binlog to Alibaba Cloud DataHub.

pub mod change;
pub mod config;
pub mod delivery;
pub mod encode;
pub mod position;
pub mod record;
pub mod retry;
pub mod sink;
pub mod source;
pub mod store;
pub mod telemetry;
