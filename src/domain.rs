//! The decision: which images can run on which nodes, as plain values in and plain values out.
//!
//! Nothing here does I/O, awaits, reads a clock or knows a client library. What can be wrong about a verdict is
//! tested here.

pub mod autoscaler;
pub mod decision;
pub mod exemption;
pub mod image;
pub mod implied;
pub mod inventory;
pub mod lookup;
pub mod message;
pub mod node;
pub mod pin;
pub mod pinning;
pub mod placement;
pub mod platform;
pub mod pod;
pub mod policy;
pub mod reference;
pub mod rules;
pub mod runtime;
pub mod runtime_class;
pub mod text;
pub mod verdict;
pub mod windows;
pub mod workload;
