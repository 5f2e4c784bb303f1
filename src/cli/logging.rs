//! Logs and complaints, on stderr always: stdout belongs to what a command answers.

use std::io::{IsTerminal, Write};

use tracing_subscriber::EnvFilter;

/// Starts logging: JSON, one object a line, unless a person reads it on a terminal. `RUST_LOG` filters.
pub(super) fn start(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let to_stderr = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A reader of the log that has gone must not fail a review.
        .log_internal_errors(false);
    // A second start, as in tests, keeps the first.
    let _ = if std::io::stderr().is_terminal() {
        to_stderr.with_target(false).try_init()
    } else {
        to_stderr.json().flatten_event(true).try_init()
    };
}

/// Tells the user what went wrong.
pub(super) fn complain(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "platform-gate: {message}");
}
