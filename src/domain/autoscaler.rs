//! Pools that an autoscaler may grow: what the objects of Karpenter and of the Cluster API say of nodes that are yet to come,
//! and whether a pod may land there.
//!
//! Such a node may carry labels that nobody has written down. A rule on a label that is not known leaves open whether the
//! node satisfies it. Leaves out reading the objects (`cluster`) and what an open question does to a verdict (`decision`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::node::{ARCH_LABEL, NodePlatform, OS_LABEL, Taint, WINDOWS_BUILD_LABEL};
use super::placement::{self, Exclusion, Requirement};
use super::platform::Platform;
use super::pod::{NodeSelectorTerm, PodSpec, or_default};
use super::runtime::Runtime;

/// Nodes of one platform that an autoscaler may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPool {
    /// What the nodes will be, as far as it is said.
    pub platform: NodePlatform,
    /// Labels that they will carry.
    pub labels: BTreeMap<String, String>,
    /// Labels that they will not carry.
    pub absent: BTreeSet<String>,
    /// Taints that last.
    pub taints: Vec<Taint>,
}

/// Whether a pod may land on the nodes of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// It depends on a label that is not known.
    Perhaps,
    /// Every rule is satisfied.
    Surely,
}

/// Whose objects are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Autoscalers {
    /// Karpenter's NodePools.
    pub karpenter: bool,
    /// MachineDeployments, MachineSets and MachinePools of the Cluster API, with the annotations of cluster-autoscaler.
    pub cluster_api: bool,
}

/// How many pools of a platform a pod may land on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fits {
    /// Those whose rules it satisfies.
    pub surely: u64,
    /// Those of which it depends on labels that are not known.
    pub perhaps: u64,
}

/// Platforms that one object is taken for at the most.
const MOST: usize = 32;

impl OpenPool {
    /// Whether the pod may land there. Taints are those that do not pass by themselves, by `agents`.
    ///
    /// # Errors
    /// The first rule that keeps it away.
    pub fn fit(&self, pod: &PodSpec<'_>, agents: &[String]) -> Result<Fit, Exclusion> {
        if !pod.node_name.is_empty() {
            return Err(Exclusion::NodeName);
        }
        let selected = pod.node_selector.iter().map(|(key, value)| {
            let known = self.label(key);
            known.map(|label| label.is_some_and(|label| *label == **value))
        });
        let selected = all(selected).ok_or(Exclusion::NodeSelector)?;
        let affinity = &pod.affinity.node_affinity;
        let required = match &affinity.required_during_scheduling_ignored_during_execution {
            None => Fit::Surely,
            Some(required) => {
                let terms = required.node_selector_terms.iter();
                let best = terms.filter_map(|term| self.fits_term(term)).max();
                best.ok_or(Exclusion::NodeAffinity)?
            }
        };
        let repels = |taint: &&Taint| {
            matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
                && !placement::is_passing(taint, agents)
                && !placement::tolerates(&pod.tolerations, taint)
        };
        if let Some(taint) = self.taints.iter().find(repels) {
            return Err(Exclusion::Taint(taint.clone()));
        }
        if placement::is_other_os(pod, &self.platform) {
            return Err(Exclusion::PodOs);
        }
        Ok(selected.min(required))
    }

    /// The label of the nodes: `None` where it is not known, `Some(None)` where they lack it.
    fn label(&self, key: &str) -> Option<Option<&str>> {
        match self.labels.get(key) {
            Some(value) => Some(Some(value)),
            None => self.absent.contains(key).then_some(None),
        }
    }

    fn fits_term(&self, term: &NodeSelectorTerm<'_>) -> Option<Fit> {
        if placement::is_empty(term) {
            return None;
        }
        let expressions = term.match_expressions.iter().map(|requirement| {
            let Some(parsed) = Requirement::parse(requirement) else {
                return Some(false);
            };
            let label = self.label(&requirement.key);
            label.map(|label| placement::matches_requirement(parsed, label))
        });
        // Nobody names a node that is yet to come.
        let fields = term.match_fields.iter();
        let fields = fields.map(|requirement| Some(placement::field_matches(requirement, "")));
        all(expressions.chain(fields))
    }
}

/// All rules together; `None` of a rule is that nobody knows, and of the whole that one is broken.
fn all(rules: impl Iterator<Item = Option<bool>>) -> Option<Fit> {
    let mut fit = Fit::Surely;
    for rule in rules {
        match rule {
            Some(true) => {}
            Some(false) => return None,
            None => fit = Fit::Perhaps,
        }
    }
    Some(fit)
}

/// A karpenter.sh NodePool, of which only what decides is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct KarpenterNodePool {
    #[serde(deserialize_with = "or_default")]
    metadata: Metadata,
    #[serde(deserialize_with = "or_default")]
    spec: NodePoolSpec,
}

/// A cluster.x-k8s.io MachineDeployment, MachineSet or MachinePool, of which the autoscaler's annotations are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MachineGroup {
    #[serde(deserialize_with = "or_default")]
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodePoolSpec {
    #[serde(deserialize_with = "or_default")]
    template: NodeClaimTemplate,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeClaimTemplate {
    #[serde(deserialize_with = "or_default")]
    metadata: Metadata,
    #[serde(deserialize_with = "or_default")]
    spec: NodeClaimSpec,
}

/// Start-up taints are not read: they pass.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeClaimSpec {
    #[serde(deserialize_with = "or_default")]
    requirements: Vec<PoolRequirement>,
    #[serde(deserialize_with = "or_default")]
    taints: Vec<Taint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PoolRequirement {
    key: String,
    operator: String,
    #[serde(deserialize_with = "or_default")]
    values: Vec<String>,
}

impl KarpenterNodePool {
    /// The pool as one of each platform that its requirements allow.
    #[must_use]
    pub fn pools(&self) -> Vec<OpenPool> {
        let template = &self.spec.template;
        let mut labels = template.metadata.labels.clone();
        labels.insert(
            "karpenter.sh/nodepool".to_owned(),
            self.metadata.name.clone(),
        );
        let mut absent = BTreeSet::new();
        let mut choices: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
        for requirement in &template.spec.requirements {
            let key = requirement.key.as_str();
            match requirement.operator.as_str() {
                "In" => {
                    let values = requirement.values.iter();
                    let also =
                        |value: &&String| choices.get(key).is_none_or(|it| it.contains(value));
                    let values = values.filter(also).collect();
                    choices.insert(key, values);
                }
                "DoesNotExist" => _ = absent.insert(requirement.key.clone()),
                _ => {}
            }
        }
        for (key, values) in &choices {
            if let [value] = values.as_slice() {
                labels.insert((*key).to_owned(), (*value).clone());
            }
        }
        let taints = &template.spec.taints;
        let pool = |labels| open_pool(labels, absent.clone(), taints.clone());
        of_each_platform(&labels, &choices)
            .into_iter()
            .map(pool)
            .collect()
    }
}

/// The labels with every platform that they leave open.
fn of_each_platform(
    labels: &BTreeMap<String, String>,
    choices: &BTreeMap<&str, Vec<&String>>,
) -> Vec<BTreeMap<String, String>> {
    let mut ways = vec![labels.clone()];
    for key in [OS_LABEL, ARCH_LABEL, WINDOWS_BUILD_LABEL] {
        let Some(values) = choices.get(key).filter(|_| !labels.contains_key(key)) else {
            continue;
        };
        let with = |labels: &BTreeMap<String, String>, value: &str| {
            let mut labels = labels.clone();
            labels.insert(key.to_owned(), value.to_owned());
            labels
        };
        let wider = ways
            .iter()
            .flat_map(|labels| values.iter().map(move |value| with(labels, value)));
        ways = wider.take(MOST).collect();
    }
    ways
}

const MAX_SIZE: &str = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size";
const CAPACITY_LABELS: &str = "capacity.cluster-autoscaler.kubernetes.io/labels";
const CAPACITY_TAINTS: &str = "capacity.cluster-autoscaler.kubernetes.io/taints";

impl MachineGroup {
    /// The pool; `None` where no autoscaler is told to grow it.
    #[must_use]
    pub fn pool(&self) -> Option<OpenPool> {
        let annotations = &self.metadata.annotations;
        let grows = annotations.get(MAX_SIZE)?.trim() != "0";
        let list = |key: &str| annotations.get(key).map_or("", String::as_str).split(',');
        let label = |pair: &str| {
            let (key, value) = pair.trim().split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        };
        let labels = list(CAPACITY_LABELS).filter_map(label).collect();
        let taints = list(CAPACITY_TAINTS).filter_map(parse_taint).collect();
        grows.then(|| open_pool(labels, BTreeSet::new(), taints))
    }
}

/// `key=value:Effect`, as the autoscaler reads it.
fn parse_taint(text: &str) -> Option<Taint> {
    let (pair, effect) = text.trim().rsplit_once(':')?;
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    Some(Taint {
        key: key.to_owned(),
        value: value.to_owned(),
        effect: effect.to_owned(),
    })
}

/// Its containerd is of any release.
fn open_pool(
    labels: BTreeMap<String, String>,
    absent: BTreeSet<String>,
    taints: Vec<Taint>,
) -> OpenPool {
    let label = |key: &str| labels.get(key).map_or("", String::as_str);
    let mut platform = Platform::new(label(OS_LABEL), label(ARCH_LABEL));
    platform.os_version = labels.get(WINDOWS_BUILD_LABEL).cloned();
    let runtime = Runtime::from_node_info("containerd://unknown");
    OpenPool {
        platform: NodePlatform::from_platform(&platform, runtime),
        labels,
        absent,
        taints,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::too_many_lines, reason = "a table may be long")]

    use super::*;

    const NODE_POOL: &str = r#"{"metadata":{"name":"mixed"},"spec":{"template":{
        "metadata":{"labels":{"team":"a"}},
        "spec":{
            "requirements":[
                {"key":"kubernetes.io/os","operator":"In","values":["linux"]},
                {"key":"kubernetes.io/arch","operator":"In","values":["amd64","arm64"]},
                {"key":"karpenter.k8s.aws/instance-category","operator":"In","values":["c","m"]},
                {"key":"gpu","operator":"DoesNotExist"}],
            "taints":[{"key":"dedicated","value":"a","effect":"NoSchedule"}],
            "startupTaints":[{"key":"starting","effect":"NoExecute"}]}}}}"#;

    fn pools(json: &str) -> Vec<OpenPool> {
        let pool: KarpenterNodePool = serde_json::from_str(json).unwrap();
        pool.pools()
    }

    fn fit(pool: &OpenPool, pod: &str) -> String {
        let spec: PodSpec<'_> = serde_json::from_str(pod).unwrap();
        match pool.fit(&spec, &[]) {
            Ok(fit) => format!("{fit:?}"),
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn a_node_pool_is_one_of_each_platform() {
        let platforms = |json: &str| -> Vec<String> {
            pools(json)
                .iter()
                .map(|pool| pool.platform.written())
                .collect()
        };
        assert_eq!(platforms(NODE_POOL), ["linux/amd64", "linux/arm64"]);
        let windows = NODE_POOL.replace(r#"["linux"]"#, r#"["windows"]"#).replace(
            r#"{"key":"gpu","operator":"DoesNotExist"}"#,
            r#"{"key":"node.kubernetes.io/windows-build","operator":"In","values":["10.0.20348"]},
               {"key":"kubernetes.io/arch","operator":"In","values":["amd64"]}"#,
        );
        assert_eq!(platforms(&windows), ["windows/amd64:10.0.20348"]);
        for nothing_said in [
            "{}",
            r#"{"metadata":{"name":"a"},"spec":{"template":null}}"#,
        ] {
            assert_eq!(
                platforms(nothing_said),
                ["unknown/unknown"],
                "{nothing_said}"
            );
        }
    }

    #[test]
    fn rules_on_labels_that_nobody_knows_stay_open() {
        let amd64 = &pools(NODE_POOL)[0];
        let tolerant = r#""tolerations":[{"key":"dedicated","operator":"Exists"}]"#;
        let term = |key: &str, operator: &str, values: &str| {
            format!(
                r#"{{{tolerant},"affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":{{
                "nodeSelectorTerms":[{{"matchExpressions":[{{"key":"{key}","operator":"{operator}","values":{values}}}]}}]}}}}}}}}"#
            )
        };
        for (pod, want) in [
            (format!("{{{tolerant}}}"), "Surely"),
            ("{}".to_owned(), "taint dedicated=a:NoSchedule"),
            (
                format!(r#"{{{tolerant},"nodeSelector":{{"team":"a"}}}}"#),
                "Surely",
            ),
            (
                format!(r#"{{{tolerant},"nodeSelector":{{"team":"b"}}}}"#),
                "nodeSelector",
            ),
            (
                format!(r#"{{{tolerant},"nodeSelector":{{"zone":"x"}}}}"#),
                "Perhaps",
            ),
            (
                format!(r#"{{{tolerant},"nodeSelector":{{"gpu":"x"}}}}"#),
                "nodeSelector",
            ),
            (
                format!(r#"{{{tolerant},"nodeSelector":{{"kubernetes.io/arch":"arm64"}}}}"#),
                "nodeSelector",
            ),
            (format!(r#"{{{tolerant},"nodeName":"a"}}"#), "nodeName"),
            (
                format!(r#"{{{tolerant},"os":{{"name":"windows"}}}}"#),
                "spec.os",
            ),
            (
                term("karpenter.sh/nodepool", "In", r#"["mixed"]"#),
                "Surely",
            ),
            (
                term("karpenter.sh/nodepool", "NotIn", r#"["mixed"]"#),
                "nodeAffinity",
            ),
            (
                term("karpenter.k8s.aws/instance-category", "In", r#"["c"]"#),
                "Perhaps",
            ),
            (term("gpu", "Exists", "[]"), "nodeAffinity"),
            (term("gpu", "DoesNotExist", "[]"), "Surely"),
            (term("gpu", "Near", "[]"), "nodeAffinity"),
        ] {
            assert_eq!(fit(amd64, &pod), want, "{pod}");
        }
    }

    #[test]
    fn the_annotations_of_cluster_autoscaler_make_a_pool() {
        let group = |max: &str| -> Option<OpenPool> {
            let json = format!(
                r#"{{"metadata":{{"name":"md","annotations":{{{max}
                "capacity.cluster-autoscaler.kubernetes.io/labels":"kubernetes.io/os=windows,kubernetes.io/arch=amd64, node.kubernetes.io/windows-build=10.0.17763",
                "capacity.cluster-autoscaler.kubernetes.io/taints":"os=windows:NoSchedule,odd,old:NoExecute"}}}}}}"#
            );
            serde_json::from_str::<MachineGroup>(&json).unwrap().pool()
        };
        let size = |max: &str| format!(r#""{MAX_SIZE}":"{max}","#);
        assert_eq!(group(""), None);
        assert_eq!(group(&size("0")), None);
        let pool = group(&size("3")).unwrap();
        assert_eq!(pool.platform.written(), "windows/amd64:10.0.17763");
        let taints: Vec<String> = pool.taints.iter().map(ToString::to_string).collect();
        assert_eq!(taints, ["os=windows:NoSchedule", "old:NoExecute"]);
    }
}
