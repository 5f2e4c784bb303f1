//! Tests of the library over its public wire: one binary, since each links the whole stack again.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails has to fail its test"
)]

mod webhook;
