//! Callers of the webhook that got no answer, where it answers some alone.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Metrics;

#[derive(Default)]
pub(super) struct Callers {
    refused: Family<ReasonLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

impl Callers {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "callers_refused",
            "Requests and handshakes refused for what the caller showed: no certificate, one of another CA, or of another name",
            self.refused.clone(),
        );
    }
}

impl Metrics {
    /// Counts a request or a handshake that was refused; `reason` is one of few.
    pub fn caller_refused(&self, reason: &'static str) {
        let labels = ReasonLabels { reason };
        self.callers.refused.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_reason() {
        let metrics = Metrics::default();
        for reason in ["name", "name", "untrusted"] {
            metrics.caller_refused(reason);
        }
        let text = metrics.to_text();
        for line in [
            r#"platform_gate_callers_refused_total{reason="name"} 2"#,
            r#"platform_gate_callers_refused_total{reason="untrusted"} 1"#,
        ] {
            assert!(text.lines().any(|got| got == line), "{line} not in\n{text}");
        }
    }
}
