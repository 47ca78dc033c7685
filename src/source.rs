//! The source half: from the database's binlog to changes.

pub mod connection;
pub mod preflight;
pub mod refusal;
