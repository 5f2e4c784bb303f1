//! The client side of the Kubernetes API, against a server on loopback that answers as an API server does.

mod autoscalers;
mod certificate;
mod fake;
mod namespaces;
mod nodes;
mod pull_secrets;
mod watch;
