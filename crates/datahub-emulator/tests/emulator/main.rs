//! The emulator over a real socket, by requests written byte by byte: no client library hides what is sent.

mod calls;
mod faults;
mod raw;
mod replay;
