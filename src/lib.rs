//! platform-gate: rejects pods whose images have no platform that can run on the nodes they can be scheduled on.

pub mod domain;
pub mod registry;
