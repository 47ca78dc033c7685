//! The source half: binlog bytes in, row changes out.

pub mod rows;
pub mod value;
