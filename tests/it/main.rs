//! Tests of the library over its public wire: one binary, since each links the whole stack again.
#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test fails by panicking, and tables may be long"
)]

mod check;
mod cli;
mod cluster;
mod differential;
mod docs;
mod gate;
mod golden;
mod image_fields;
mod load;
mod observability;
mod platform_vectors;
mod registry;
mod reload;
mod reviews;
mod scan;
mod shell;
mod suggest;
mod support;
mod tidy;
mod traces;
mod verdict_properties;
mod webhook;
mod workloads;
