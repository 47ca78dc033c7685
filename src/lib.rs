//! Relays committed row changes from an OceanBase / MySQL / MariaDB binlog to Alibaba Cloud DataHub.

pub mod app;
pub mod change;
pub mod cli;
pub mod config;
pub mod encode;
pub mod http;
pub mod position;
pub mod record;
pub mod retry;
pub mod source;
pub mod store;
pub mod telemetry;
