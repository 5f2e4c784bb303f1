//! What the background pass found of what makes pods. Only the replica that makes the pass has it to tell.

use std::collections::BTreeMap;
use std::time::SystemTime;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Metrics, unix_seconds};

#[derive(Default)]
pub(super) struct Watched {
    workloads: Family<CodeLabels, Gauge>,
    last_pass: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

impl Watched {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "watched_workloads",
            "Workloads by the finding on their next pods, as the background pass last judged them",
            self.workloads.clone(),
        );
        registry.register(
            "watch_last_pass_timestamp_seconds",
            "When all workloads had last been judged in the background, in seconds since 1970; 0 where another replica does",
            self.last_pass.clone(),
        );
    }
}

impl Metrics {
    /// Replaces the number of workloads by the codes of findings. No code is left out that was told before.
    pub fn set_watched(&self, counts: &BTreeMap<&'static str, i64>, at: SystemTime) {
        self.watched.workloads.clear();
        for (code, count) in counts {
            let labels = CodeLabels { code };
            self.watched.workloads.get_or_create(&labels).set(*count);
        }
        self.watched.last_pass.set(unix_seconds(at));
    }

    /// Tells nothing any more: another replica makes the pass.
    pub fn forget_watched(&self) {
        self.watched.workloads.clear();
        self.watched.last_pass.set(0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn counts_are_of_the_last_pass_and_of_who_made_it() {
        let metrics = Metrics::default();
        assert!(!metrics.to_text().contains("watched_workloads{"));
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
        metrics.set_watched(&BTreeMap::from([("nowhere", 1)]), at);
        metrics.set_watched(&BTreeMap::from([("runs", 3), ("may-land-wrong", 2)]), at);
        let text = metrics.to_text();
        for line in [
            r#"platform_gate_watched_workloads{code="runs"} 3"#,
            r#"platform_gate_watched_workloads{code="may-land-wrong"} 2"#,
            "platform_gate_watch_last_pass_timestamp_seconds 7",
        ] {
            assert!(text.lines().any(|got| got == line), "{line} not in\n{text}");
        }
        assert!(!text.contains("nowhere"));
        metrics.forget_watched();
        assert!(
            !metrics
                .to_text()
                .contains("platform_gate_watched_workloads{")
        );
    }
}
