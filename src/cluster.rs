//! What is read from and written to the Kubernetes API: nodes, pull secrets, and the certificate that the API server trusts.
//!
//! Leaves out what is decided from it, and who presents the certificate: callers hand in functions that are told.

mod again;
pub mod autoscalers;
pub mod certificate;
pub mod client;
pub mod events;
pub mod lease;
mod list;
pub mod namespaces;
pub mod networks;
pub mod nodes;
pub mod pods;
pub mod policy_reports;
pub mod pull_secrets;
pub mod runtime_classes;
mod traffic;
pub mod workloads;

pub use list::ListError;
pub use traffic::Freshness;

/// Watches end on their own after this many seconds: load balancers drop flows that are silent for 240 s, and a
/// watch that is gone is noticed only when it would have ended.
const WATCH_SECONDS: u32 = 200;
