//! Logs and complaints, on stderr always: stdout belongs to what a command answers.

use std::io::{IsTerminal, Write};

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::trace::{TARGET, Traces};

/// Starts logging: JSON, one object a line, unless a person reads it on a terminal. `RUST_LOG` filters.
pub(super) fn start(default: &str) {
    start_with_traces(default, None);
}

/// The same, with the spans of this program for whoever takes traces. The log has none of them.
pub(super) fn start_with_traces(default: &str, traces: Option<&Traces>) {
    // A second start, as in tests, keeps the first.
    let _ = subscriber(default, traces).try_init();
}

fn subscriber(default: &str, traces: Option<&Traces>) -> impl Subscriber + Send + Sync + use<> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let filter = match format!("{TARGET}=off").parse() {
        Ok(no_spans) => filter.add_directive(no_spans),
        Err(_) => filter,
    };
    let to_stderr = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // A reader of the log that has gone must not fail a review.
        .log_internal_errors(false);
    let to_stderr = if std::io::stderr().is_terminal() {
        to_stderr.with_target(false).boxed()
    } else {
        to_stderr.json().flatten_event(true).boxed()
    };
    // Not an `Option` of a layer: where it is `None`, every span is opened, though nobody takes it.
    let mut layers = vec![to_stderr.with_filter(filter).boxed()];
    layers.extend(traces.map(|traces| traces.layer().boxed()));
    tracing_subscriber::registry().with(layers)
}

/// Tells the user what went wrong.
pub(super) fn complain(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "platform-gate: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_nobody_takes_are_not_opened() {
        let open = || tracing::info_span!(target: TARGET, "review");
        let span = tracing::subscriber::with_default(subscriber("info", None), open);
        assert!(span.is_disabled());
    }
}
