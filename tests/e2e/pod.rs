//! A builder for pods, so that a trial shows only what matters to it.

use serde_json::{Value, json};

/// A pod that runs one container and is not restarted.
pub(crate) struct Pod(Value);

impl Pod {
    /// A pod with one container called `main`.
    pub(crate) fn new(namespace: &str, name: &str, image: &str) -> Self {
        let pod = Self(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": []},
        }));
        pod.container("main", image)
    }

    /// Adds a container.
    pub(crate) fn container(mut self, name: &str, image: &str) -> Self {
        let container = json!({"name": name, "image": image});
        if let Some(containers) = self.0["spec"]["containers"].as_array_mut() {
            containers.push(container);
        }
        self
    }

    /// Arguments for the first container's program; see `tools/program`.
    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.0["spec"]["containers"][0]["args"] = json!(args);
        self
    }

    /// The node is to have the first container's image already.
    pub(crate) fn never_pulled(mut self) -> Self {
        self.0["spec"]["containers"][0]["imagePullPolicy"] = json!("Never");
        self
    }

    /// Only nodes with this label.
    pub(crate) fn node_selector(mut self, key: &str, value: &str) -> Self {
        self.0["spec"]["nodeSelector"][key] = json!(value);
        self
    }

    /// Only this node; the scheduler is still asked.
    pub(crate) fn on_node(self, name: &str) -> Self {
        self.node_selector("kubernetes.io/hostname", name)
    }

    /// The manifest.
    pub(crate) fn manifest(&self) -> String {
        self.0.to_string()
    }
}
