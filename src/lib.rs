//! platform-gate: rejects pods whose images have no platform that can run on the nodes they can be scheduled on.
//!
//! In reading order: the decision, what surrounds it, and the program.

pub mod domain;

pub mod gate;

pub mod admission;
pub mod certificate;
pub mod cluster;
pub mod config;
pub mod metrics;
pub mod registry;
pub mod report;
pub mod trace;
pub mod watch;
pub mod webhook;

#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;

pub mod cli;
