//! Why a pod or a template is not denied though it runs nowhere: what is known may be too old, or a denial would do harm
//! elsewhere.

use std::time::Duration;

use super::Gate;
use crate::domain::decision::{Assessment, Outcome, Softened};
use crate::domain::inventory::NodeGroup;
use crate::domain::pod::{Pod, PodSpec};
use crate::domain::rules::Rules;
use crate::domain::workload::WorkloadKind;

/// Watches end after 200 s at the latest, and an idle cluster's kubelets report every 5 minutes: a longer silence means
/// that nodes may have come and gone unseen (OPERATIONS V10).
const STALE_AFTER: Duration = Duration::from_secs(300);

impl Gate {
    /// Why the pod must not be denied, whatever is found.
    pub(super) fn spared(
        &self,
        rules: &Rules,
        pod: &Pod<'_>,
        assessment: &Assessment<'_>,
    ) -> Option<Softened> {
        if assessment.outcome() != Outcome::Nowhere {
            return None;
        }
        if let Some(stale) = self.staleness() {
            return Some(stale);
        }
        // A DaemonSet's controller stops its whole batch when one pod is refused, and starves the nodes that could run
        // theirs. So such a pod is denied only where its siblings could run nowhere either.
        let siblings_run = pod.is_of_daemon_set()
            && !self.runs_nowhere(rules, &pod.spec.without_node_name(), assessment);
        siblings_run.then_some(Softened::DaemonSet)
    }

    /// Why a template must not be denied, whatever is found.
    pub(super) fn spared_template(
        &self,
        spec: &PodSpec<'_>,
        kind: WorkloadKind,
        assessment: &Assessment<'_>,
    ) -> Option<Softened> {
        let runs_nowhere = assessment.outcome() == Outcome::Nowhere;
        let stale = self.staleness().filter(|_| runs_nowhere);
        match kind {
            _ if stale.is_some() => stale,
            _ if runs_nowhere && !self.knows_runtime_class(spec) => Some(Softened::RuntimeClass),
            WorkloadKind::DaemonSet if !runs_nowhere => Some(Softened::DaemonSet),
            _ => None,
        }
    }

    /// Whether the nodes, or the pools that may grow, have not been heard of for too long to prove anything.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.staleness().is_some()
    }

    fn staleness(&self) -> Option<Softened> {
        let age = self.node_age.as_ref();
        if age.is_some_and(|age| age().is_none_or(|age| age > STALE_AFTER)) {
            return Some(Softened::StaleNodes);
        }
        let are_pools_known = self.inventory().knows_open_pools();
        (!are_pools_known).then_some(Softened::UnknownPools)
    }

    fn runs_nowhere(&self, rules: &Rules, spec: &PodSpec<'_>, assessment: &Assessment<'_>) -> bool {
        let groups: Vec<NodeGroup> = self.inventory().groups(spec);
        let siblings =
            Assessment::new(assessment.images.clone(), groups, self.handler(rules, spec));
        siblings.outcome() == Outcome::Nowhere
    }
}
