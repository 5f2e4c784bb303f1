//! Differential tests: seeded random cases, each answered by the code of the runtimes and of Kubernetes (the oracle
//! that `tests/differential/build` makes) and by ours. A disagreement prints the smallest case that shows it.
//!
//! ```text
//! PLATFORM_GATE_ORACLE=$(tests/differential/build) cargo test --test it differential -- --include-ignored --nocapture
//! ```
//!
//! `PLATFORM_GATE_SEED=N` draws other cases; without it they are the same every time. `PLATFORM_GATE_CASES=N` draws N
//! cases in every test instead of its own number.

mod cluster;
mod containerd;
mod crio;
mod images;
mod json;
mod keyring;
mod oracle;
mod placement;
mod random;
mod reference;
mod said;
mod single;
mod trial;
