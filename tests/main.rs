//! All integration tests in one binary: it links once.

mod configuration;
mod layers;
mod preflight;
mod relay;
mod rig;
mod simulation;
