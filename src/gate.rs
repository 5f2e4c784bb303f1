//! The gate: where the decision meets the world. It finds a pod's candidate nodes and what its images are, and lets
//! the domain decide. Nothing else in the program joins the two.
//!
//! Leaves out HTTP (`webhook`), where nodes come from (`cluster`, files) and how images are fetched (`registry`).

mod answer;
mod background;
mod exemptions;
mod known;
mod pin;
mod repeats;
mod resolve;
mod review;
mod spared;
mod warm;
mod workloads;

pub use background::Found;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::time::Instant;

use crate::cluster::events::Events;
use crate::cluster::namespaces::Namespaces;
use crate::cluster::pull_secrets::PullSecrets;
use crate::domain::decision::{Assessment, Decision, Handler, Outcome, Softened, decide};
use crate::domain::exemption::Exemption;
use crate::domain::inventory::{Inventory, NodeGroup};
use crate::domain::message::{Message, describe};
use crate::domain::pod::{Pod, PodSpec};
use crate::domain::policy::NamespaceAction;
use crate::domain::rules::Rules;
use crate::domain::runtime_class::RuntimeClasses;
use crate::domain::workload::WorkloadKind;
use crate::registry::{Caller, Registry};

/// Everything a review needs. One gate serves all of them.
pub struct Gate {
    inventory: RwLock<Inventory>,
    registry: Registry,
    /// Replaced as a whole; a review keeps to those that it began with.
    rules: ArcSwap<Rules>,
    runtime_classes: RwLock<RuntimeClasses>,
    own_namespace: Option<String>,
    node_age: Option<AgeOf>,
    pull_secrets: Option<PullSecrets>,
    /// How often what decides has changed, the nodes apart.
    revision: AtomicU64,
    reads_pull_secrets: AtomicBool,
    namespaces: Option<Namespaces>,
    repeats: repeats::Repeats,
    events: Option<Events>,
    reports_events: AtomicBool,
}

/// How long ago the nodes were last heard of; `None` is never.
type AgeOf = Box<dyn Fn() -> Option<Duration> + Send + Sync>;

/// On what terms a pod is judged.
#[derive(Clone, Copy)]
struct Terms<'t> {
    /// The rules as its review found them.
    rules: &'t Rules,
    /// What the label of the namespace asks for.
    label: Option<NamespaceAction>,
    caller: Caller<'t>,
    deadline: Instant,
    /// Set once a registry is waited for.
    asked: &'t AtomicBool,
    /// Whether a pod that runs is told of with all groups of nodes, not with those alone that decided.
    tells_all: bool,
}

impl Terms<'_> {
    fn conclude<'a>(
        self,
        assessment: Assessment<'a>,
        exemptions: Vec<Exemption>,
        spared: Option<Softened>,
    ) -> Judgement<'a> {
        let by = (self.rules, self.label);
        Judgement {
            asked: self.asked.load(Ordering::Relaxed),
            ..conclude(by, assessment, exemptions, spared)
        }
    }
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
    /// The images left out, and what exempts them; and what the label of the namespace has softened.
    pub exemptions: Vec<Exemption>,
    /// Whether a registry had to be asked: not all was kept from before.
    pub asked: bool,
}

impl Gate {
    /// A gate that knows no nodes yet. Pods of `own_namespace` always pass, so that it can never lock itself out.
    #[must_use]
    pub fn new(rules: Rules, registry: Registry, own_namespace: Option<String>) -> Self {
        Self {
            inventory: RwLock::new(Inventory::new(rules.nodes.clone())),
            registry,
            rules: ArcSwap::from_pointee(rules),
            runtime_classes: RwLock::default(),
            own_namespace,
            node_age: None,
            pull_secrets: None,
            revision: AtomicU64::default(),
            reads_pull_secrets: AtomicBool::new(false),
            namespaces: None,
            repeats: repeats::Repeats::default(),
            events: None,
            reports_events: AtomicBool::new(false),
        }
    }

    /// Takes other rules, for the reviews that begin from now on; the nodes held are seen by them.
    pub fn set_rules(&self, rules: Rules) {
        let nodes = rules.nodes.clone();
        let before = self.rules.swap(Arc::new(rules));
        self.revision.fetch_add(1, Ordering::Relaxed);
        if before.nodes != nodes {
            self.update(|inventory| inventory.set_rules(nodes));
        }
    }

    /// Replaces the networks that no look-up may reach.
    pub fn deny_networks(&self, networks: Vec<IpNet>) {
        self.registry.deny_networks(networks);
    }

    /// Takes the RuntimeClasses that there are now.
    pub fn set_runtime_classes(&self, classes: RuntimeClasses) {
        *self
            .runtime_classes
            .write()
            .unwrap_or_else(PoisonError::into_inner) = classes;
        self.revision.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets denials soften to warnings while the nodes have not been heard of for too long.
    #[must_use]
    pub fn with_node_age(
        mut self,
        age: impl Fn() -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.node_age = Some(Box::new(age));
        self
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
        caller: Caller<'_>,
        deadline: Instant,
    ) -> Judgement<'a> {
        self.judge_pod(pod, caller, deadline, true).await
    }

    async fn judge_pod<'a>(
        &self,
        pod: &'a Pod<'a>,
        caller: Caller<'_>,
        deadline: Instant,
        tells_all: bool,
    ) -> Judgement<'a> {
        let rules = self.rules.load_full();
        let terms = Terms {
            rules: &rules,
            label: self.label(caller.namespace, deadline).await,
            caller,
            deadline,
            asked: &AtomicBool::default(),
            tells_all,
        };
        let (assessment, exemptions) = self.assess(&pod.spec, &pod.spec, terms).await;
        let spared = self.spared(&rules, pod, &assessment);
        terms.conclude(assessment, exemptions, spared)
    }

    /// A pod as the API server admits it, for what has not met it yet: with the scheduling rules of its RuntimeClass.
    #[must_use]
    pub fn admitted<'s, 'a>(&self, spec: &'s PodSpec<'a>) -> Cow<'s, PodSpec<'a>> {
        match self.runtime_classes().get(&*spec.runtime_class_name) {
            Some(class) => class.admit(spec),
            None => Cow::Borrowed(spec),
        }
    }

    /// Judges what a workload makes its pods from, or a pod that has not met the API server. The pods of a DaemonSet go
    /// to every node that they reach, right and wrong ones, so its template is denied only where it runs on none of
    /// them.
    pub async fn judge_template<'a>(
        &self,
        spec: &'a PodSpec<'a>,
        kind: WorkloadKind,
        caller: Caller<'_>,
        deadline: Instant,
    ) -> Judgement<'a> {
        let rules = self.rules.load_full();
        let label = self.label(caller.namespace, deadline).await;
        let terms = Terms {
            rules: &rules,
            label,
            caller,
            deadline,
            asked: &AtomicBool::default(),
            tells_all: true,
        };
        self.judge_template_on(spec, kind, None, terms).await
    }

    /// `otherwise` is what else keeps it from being denied.
    async fn judge_template_on<'a>(
        &self,
        spec: &'a PodSpec<'a>,
        kind: WorkloadKind,
        otherwise: Option<Softened>,
        terms: Terms<'_>,
    ) -> Judgement<'a> {
        let admitted = self.admitted(spec);
        let (assessment, exemptions) = self.assess(spec, &admitted, terms).await;
        let spared = self.spared_template(spec, kind, &assessment);
        terms.conclude(assessment, exemptions, spared.or(otherwise))
    }

    /// The ground of a decision, and what exempts images. `placed` says where the pod goes, which may be more than `spec` says.
    async fn assess<'a>(
        &self,
        spec: &'a PodSpec<'a>,
        placed: &PodSpec<'_>,
        terms: Terms<'_>,
    ) -> (Assessment<'a>, Vec<Exemption>) {
        self.settle();
        let groups = self.inventory().groups(placed);
        let any = groups.iter().any(NodeGroup::may_land);
        let implied = if any || groups.is_empty() {
            Vec::new()
        } else {
            self.inventory().implied(placed)
        };
        // Where nobody may land there is nothing to judge, and no registry to bother.
        let is_judged = any || !implied.is_empty();
        let images = if is_judged { spec.images() } else { Vec::new() };
        let (images, exemptions) = exemptions::part(&terms.rules.exempt, images);
        let images = self.resolve(images, terms).await;
        let handler = self.handler(terms.rules, spec);
        let (groups, others) = match terms.tells_all {
            true => (groups, Vec::new()),
            false => groups.into_iter().partition(NodeGroup::counts),
        };
        let mut assessment =
            Assessment::new(images, groups, handler).with_implied(implied, handler);
        if assessment.outcome() != Outcome::Runs {
            assessment.add_groups(others, handler);
            self.explain(placed, &mut assessment);
        }
        (assessment, exemptions)
    }

    /// Lets young nodes grow up whose time has come.
    fn settle(&self) {
        let due = self.inventory().next_change();
        if due.is_some_and(|due| due <= unix_now()) {
            self.update(|inventory| inventory.advance(unix_now()));
        }
    }

    /// Says why nodes are left out, where there is a message to say it in.
    fn explain(&self, spec: &PodSpec<'_>, assessment: &mut Assessment<'_>) {
        if assessment.outcome() == Outcome::Runs {
            return;
        }
        let inventory = self.inventory();
        for verdict in assessment
            .groups
            .iter_mut()
            .filter(|verdict| verdict.group.candidates < verdict.group.nodes)
        {
            verdict.excluded = inventory.exclusions(spec, &verdict.group);
        }
    }

    /// What the pod's runtime handler does. A RuntimeClass that is not known counts under its own name.
    fn handler(&self, rules: &Rules, spec: &PodSpec<'_>) -> Handler {
        let name = &*spec.runtime_class_name;
        if name.is_empty() {
            return rules.handlers.of(name);
        }
        let classes = self.runtime_classes();
        rules
            .handlers
            .of(classes.get(name).map_or(name, |class| &class.handler))
    }

    /// Whether it is known where the pod's RuntimeClass sends it; the API server admits no pod of one that it lacks.
    fn knows_runtime_class(&self, spec: &PodSpec<'_>) -> bool {
        let name = &*spec.runtime_class_name;
        name.is_empty() || self.runtime_classes().contains_key(name)
    }

    fn runtime_classes(&self) -> RwLockReadGuard<'_, RuntimeClasses> {
        self.runtime_classes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn conclude<'a>(
    (rules, label): (&Rules, Option<NamespaceAction>),
    assessment: Assessment<'a>,
    mut exemptions: Vec<Exemption>,
    spared: Option<Softened>,
) -> Judgement<'a> {
    let action = match label {
        Some(NamespaceAction::Enforce(action)) => Some(action),
        _ => None,
    };
    let decision = decide(&rules.policy.enforcing(action), &assessment, spared);
    if let (Some(Softened::EnforcementAction), Some(label)) = (decision.softened, label) {
        exemptions.push(exemptions::by_label(label));
    }
    let message = describe(&assessment, &decision);
    Judgement {
        assessment,
        decision,
        message,
        exemptions,
        asked: false,
    }
}

/// Seconds since 1970, by the wall clock: nodes say when they were made.
#[must_use]
pub fn unix_now() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
