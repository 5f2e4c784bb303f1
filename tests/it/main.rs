//! Tests of the library over its public wire: one binary, since each links the whole stack again.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

mod registry;
mod support;
