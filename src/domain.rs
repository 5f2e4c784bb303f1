//! The decision: which images can run on which nodes, as plain values in and plain values out.
//!
//! Nothing here does I/O, awaits, reads a clock or knows a client library. What can be wrong about a verdict is
//! tested here.

pub mod image;
pub mod lookup;
pub mod platform;
pub mod reference;
