//! placeholder
pub mod outcome;
pub mod sign;
pub mod wire;
