//! One integration binary: everything here sees the product from outside.

mod configuration;
mod layers;
mod preflight;
