//! Real servers, a TCP fault proxy, a versioned workload and an oracle.
