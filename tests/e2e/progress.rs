//! What the harness tells a waiting person, on standard error. Results of trials are libtest-mimic's, on standard output.

use std::time::Instant;

use anyhow::{Context, Result};

/// Prints one line.
#[allow(clippy::print_stderr, reason = "the one place that does")]
pub(crate) fn say(line: &str) {
    eprintln!("e2e: {line}");
}

/// Runs one step of the start and prints how long it took.
pub(crate) fn step<T>(name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let value = run().with_context(|| format!("cannot start the cluster: {name}"))?;
    say(&format!("{:5.1} s  {name}", began.elapsed().as_secs_f32()));
    Ok(value)
}
