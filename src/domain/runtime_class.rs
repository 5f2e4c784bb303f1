//! RuntimeClass: which handler a name stands for, and where its pods go.
//!
//! The API server merges the scheduling rules into pods as it admits them, so a pod under review has them. What has not
//! met the API server yet, a template or a pod in a file, gets them here. Leaves out what handlers mean (`decision`).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Deserializer};

use super::pod::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Toleration, or_default};
use super::text::Text;

/// A node.k8s.io/v1 RuntimeClass, of which only what decides is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RuntimeClass {
    /// The runtime's own name for it.
    #[serde(deserialize_with = "or_default")]
    pub handler: String,
    /// Where its pods go.
    #[serde(deserialize_with = "or_default")]
    pub scheduling: Scheduling,
}

/// node.k8s.io/v1 Scheduling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Scheduling {
    /// Labels that a node must carry, besides those that the pod asks for.
    #[serde(deserialize_with = "or_default")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod tolerates, besides those that it says itself.
    #[serde(deserialize_with = "owned_tolerations")]
    pub tolerations: Vec<Toleration<'static>>,
}

/// The RuntimeClasses of a cluster, by name.
pub type RuntimeClasses = HashMap<String, RuntimeClass>;

impl RuntimeClass {
    /// The pod as the API server admits it under this class. One that has the rules already is returned as it is.
    ///
    /// Where the pod and the class ask for different values of a label the API server refuses the pod; here no node
    /// satisfies it.
    #[must_use]
    pub fn admit<'s, 'a>(&self, spec: &'s PodSpec<'a>) -> Cow<'s, PodSpec<'a>> {
        let mut admitted = Cow::Borrowed(spec);
        for toleration in &self.scheduling.tolerations {
            if !spec.tolerations.contains(toleration) {
                admitted.to_mut().tolerations.push(toleration.clone());
            }
        }
        for (key, value) in &self.scheduling.node_selector {
            match spec.node_selector.get(key.as_str()) {
                Some(own) if **own == **value => {}
                Some(_) => require(admitted.to_mut(), key, value),
                None => {
                    let (key, value) = (Text::from(key.clone()), Text::from(value.clone()));
                    admitted.to_mut().node_selector.insert(key, value);
                }
            }
        }
        admitted
    }
}

/// Adds a label to every term of the required node affinity.
fn require(spec: &mut PodSpec<'_>, key: &str, value: &str) {
    let affinity = &mut spec.affinity.node_affinity;
    let required = &mut affinity.required_during_scheduling_ignored_during_execution;
    let is_new = required.is_none();
    let terms = &mut required.get_or_insert_default().node_selector_terms;
    if is_new {
        terms.push(NodeSelectorTerm::default());
    }
    for term in terms {
        term.match_expressions.push(NodeSelectorRequirement {
            key: key.to_owned().into(),
            operator: "In".into(),
            values: vec![value.to_owned().into()],
        });
    }
}

fn owned_tolerations<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Toleration<'static>>, D::Error> {
    let borrowed = Option::<Vec<Toleration<'de>>>::deserialize(deserializer)?;
    let tolerations = borrowed.unwrap_or_default().into_iter();
    Ok(tolerations.map(Toleration::into_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASS: &str = r#"{"handler":"runhcs","scheduling":{"nodeSelector":{"os":"windows"},
        "tolerations":[{"key":"os","operator":"Equal","value":"windows","effect":"NoSchedule"}]}}"#;

    fn admitted(class: &str, pod: &str) -> String {
        let class: RuntimeClass = serde_json::from_str(class).unwrap();
        let spec: PodSpec<'_> = serde_json::from_str(pod).unwrap();
        let admitted = class.admit(&spec);
        let selector: Vec<String> = admitted
            .node_selector
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let required = &admitted.affinity.node_affinity;
        let terms = required
            .required_during_scheduling_ignored_during_execution
            .iter()
            .flat_map(|required| &required.node_selector_terms)
            .flat_map(|term| &term.match_expressions);
        let terms: Vec<String> = terms
            .map(|term| format!("{} {} {}", term.key, term.operator, term.values[0]))
            .collect();
        let changed = if matches!(admitted, Cow::Borrowed(_)) {
            "as it was"
        } else {
            "changed"
        };
        format!(
            "{changed}: {}; {}; {} tolerations",
            selector.join(","),
            terms.join(","),
            admitted.tolerations.len()
        )
    }

    #[test]
    fn a_pod_gets_the_rules_of_its_class() {
        let merged = r#"{"nodeSelector":{"os":"windows"},"tolerations":[{"key":"os","operator":"Equal","value":"windows","effect":"NoSchedule"}]}"#;
        let refused = r#"{"nodeSelector":{"os":"linux"},"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms":[{"matchExpressions":[{"key":"gpu","operator":"In","values":["yes"]}]}]}}}}"#;
        for (class, pod, want) in [
            (CLASS, "{}", "changed: os=windows; ; 1 tolerations"),
            (
                CLASS,
                r#"{"nodeSelector":{"disk":"ssd"},"tolerations":[{"operator":"Exists"}]}"#,
                "changed: disk=ssd,os=windows; ; 2 tolerations",
            ),
            (CLASS, merged, "as it was: os=windows; ; 1 tolerations"),
            (
                CLASS,
                refused,
                "changed: os=linux; gpu In yes,os In windows; 1 tolerations",
            ),
            (
                CLASS,
                r#"{"nodeSelector":{"os":"linux"}}"#,
                "changed: os=linux; os In windows; 1 tolerations",
            ),
            (
                r#"{"handler":"runc"}"#,
                "{}",
                "as it was: ; ; 0 tolerations",
            ),
            (
                r#"{"handler":null,"scheduling":{"nodeSelector":null,"tolerations":null}}"#,
                "{}",
                "as it was: ; ; 0 tolerations",
            ),
        ] {
            assert_eq!(admitted(class, pod), want, "{pod}");
        }
    }
}
