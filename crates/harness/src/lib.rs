//! What the tests and the demo stand on: real servers, a TCP fault proxy, a versioned workload, an oracle, and
//! the collector as a child process.
//!
//! Nothing here is part of the product, and nothing of the product's code is used here: what the oracle says
//! must not rest on what it judges.

pub mod chaos;
pub mod collector;
pub mod figures;
pub mod guards;
pub mod latency;
pub mod oceanbase;
pub mod oracle;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod servers;
pub mod stage;
pub mod workload;
