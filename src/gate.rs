//! The gate: where the decision meets the world. It finds a pod's candidate nodes and what its images are, and lets
//! the domain decide. Nothing else in the program joins the two.
//!
//! Leaves out HTTP (`webhook`), where nodes come from (`cluster`, files) and how images are fetched (`registry`).

mod review;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use futures::future::join_all;
use tokio::time::Instant;

use crate::domain::decision::{Assessment, Decision, Handler, Outcome, ResolvedImage, decide};
use crate::domain::inventory::{Inventory, NodeGroup};
use crate::domain::lookup::LookupFailure;
use crate::domain::message::{Message, describe};
use crate::domain::node::Node;
use crate::domain::pod::{Pod, PodImage, PodSpec};
use crate::domain::policy::Policy;
use crate::domain::reference::Reference;
use crate::domain::verdict::Doubt;
use crate::domain::workload::WorkloadKind;
use crate::registry::{Keychain, Registry};

/// Everything a review needs. One gate serves all of them.
pub struct Gate {
    inventory: RwLock<Inventory>,
    registry: Registry,
    policy: Policy,
    own_namespace: Option<String>,
}

/// What is known of a pod, what is done about it, and in which words.
#[derive(Debug, Clone)]
pub struct Judgement<'a> {
    /// The ground.
    pub assessment: Assessment<'a>,
    /// The decision.
    pub decision: Decision,
    /// The words.
    pub message: Message,
}

impl Gate {
    /// A gate that knows no nodes yet. Pods of `own_namespace` always pass, so that it can never lock itself out.
    #[must_use]
    pub fn new(
        inventory: Inventory,
        registry: Registry,
        policy: Policy,
        own_namespace: Option<String>,
    ) -> Self {
        Self {
            inventory: RwLock::new(inventory),
            registry,
            policy,
            own_namespace,
        }
    }

    /// Changes the inventory; readers wait meanwhile.
    pub fn update<T>(&self, change: impl FnOnce(&mut Inventory) -> T) -> T {
        change(
            &mut self
                .inventory
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// The inventory as it is now; writers wait meanwhile.
    pub fn inventory(&self) -> RwLockReadGuard<'_, Inventory> {
        self.inventory
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges a pod: candidate nodes, images, verdicts, decision, words.
    pub async fn judge<'a>(
        &self,
        pod: &'a Pod<'a>,
        keychain: &Keychain,
        deadline: Instant,
    ) -> Judgement<'a> {
        let assessment = self.assess(&pod.spec, keychain, deadline).await;
        let outcome = assessment.outcome();
        let spared = outcome == Outcome::Nowhere && self.is_spared(pod, &assessment);
        self.conclude(assessment, outcome, spared)
    }

    /// Judges what a workload makes its pods from. The pods of a DaemonSet go to every node that they reach, right
    /// and wrong ones, so its template is denied only where it runs on none of them.
    pub async fn judge_template<'a>(
        &self,
        spec: &'a PodSpec<'a>,
        kind: WorkloadKind,
        keychain: &Keychain,
        deadline: Instant,
    ) -> Judgement<'a> {
        let assessment = self.assess(spec, keychain, deadline).await;
        let outcome = assessment.outcome();
        let spared = kind == WorkloadKind::DaemonSet && outcome != Outcome::Nowhere;
        self.conclude(assessment, outcome, spared)
    }

    async fn assess<'a>(
        &self,
        spec: &'a PodSpec<'a>,
        keychain: &Keychain,
        deadline: Instant,
    ) -> Assessment<'a> {
        let groups = self.inventory().groups(spec);
        let images = self.resolve(spec.images(), keychain, deadline).await;
        Assessment::new(images, groups, Handler::default())
    }

    fn conclude<'a>(
        &self,
        assessment: Assessment<'a>,
        outcome: Outcome,
        spared: bool,
    ) -> Judgement<'a> {
        let decision = decide(&self.policy, outcome, spared);
        let message = describe(&assessment, &decision);
        Judgement {
            assessment,
            decision,
            message,
        }
    }

    /// Asks the registries for all images at once.
    async fn resolve<'a>(
        &self,
        images: Vec<PodImage<'a>>,
        keychain: &Keychain,
        deadline: Instant,
    ) -> Vec<ResolvedImage<'a>> {
        let resolve = |image: PodImage<'a>| async move {
            let answer = self.resolve_image(&image, keychain, deadline).await;
            ResolvedImage { image, answer }
        };
        join_all(images.into_iter().map(resolve)).await
    }

    async fn resolve_image(
        &self,
        image: &PodImage<'_>,
        keychain: &Keychain,
        deadline: Instant,
    ) -> Result<Arc<crate::domain::image::Image>, Doubt> {
        if image.never_pulled {
            return Err(Doubt::PullNever);
        }
        let Ok(reference) = Reference::parse(image.image) else {
            return Err(Doubt::Lookup(LookupFailure::InvalidReference));
        };
        self.registry
            .fetch_image(&reference, keychain, deadline)
            .await
            .map_err(Doubt::Lookup)
    }

    /// Whether a denial would harm more than the pod: a DaemonSet's controller stops its whole batch when one pod is
    /// refused, and starves the nodes that could run theirs. So such a pod is denied only where the pods of its
    /// siblings could run nowhere either.
    fn is_spared(&self, pod: &Pod<'_>, assessment: &Assessment<'_>) -> bool {
        pod.is_of_daemon_set() && !self.runs_nowhere(&pod.spec.without_node_name(), assessment)
    }

    fn runs_nowhere(&self, spec: &PodSpec<'_>, assessment: &Assessment<'_>) -> bool {
        let groups: Vec<NodeGroup> = self.inventory().groups(spec);
        let siblings = Assessment::new(assessment.images.clone(), groups, Handler::default());
        siblings.outcome() == Outcome::Nowhere
    }
}

impl FromIterator<Node> for Inventory {
    fn from_iter<I: IntoIterator<Item = Node>>(nodes: I) -> Self {
        let agents = crate::domain::placement::AGENT_TAINTS
            .map(str::to_owned)
            .to_vec();
        let mut inventory = Self::new(agents);
        nodes.into_iter().for_each(|node| inventory.apply(node));
        inventory
    }
}
