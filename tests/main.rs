//! All integration tests in one binary: it links once.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod check;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod ddl;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod envelopes;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod flink;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod oceanbase;
#[cfg(test)]
mod parked;
#[cfg(test)]
mod parking;
#[cfg(test)]
mod preflight;
#[cfg(test)]
mod readback;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod sdk;
#[cfg(test)]
mod secrecy;
#[cfg(test)]
mod seekdb;
#[cfg(test)]
mod selection;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod standby;
#[cfg(test)]
mod tuple;
#[cfg(test)]
mod types;
