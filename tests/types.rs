//! Types and their values: what arrives equals what `SELECT` says, on both servers, or is refused beforehand.

mod arrivals;
mod cases;
mod charsets;
mod document;
mod matrix;
mod policy;
mod random;
mod zones;
