//! Private images: they are judged with whatever credentials the operator lets platform-gate have, and otherwise admitted
//! with a word on why not.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::install::{self, NAMESPACE};
use super::policy::in_a_row;
use super::replicas::replicas;
use super::verdicts::contains_all;
use crate::cluster::{Cluster, REAL_NODE};
use crate::kubectl::{Kubectl, Namespace};
use crate::pod::Pod;
use crate::process::output;
use crate::registry::LOGIN;
use crate::wait::until;

const MINUTE: Duration = Duration::from_secs(60);
/// Of the Secrets with the login, and of the ConfigMap with the program that has it.
const NAME: &str = "private-registry";
const FACT: &str = "no matching manifest for linux/amd64";
/// Calls of each round.
const CALLS: usize = 5;

/// An image that cannot run on the node, in a registry that wants a password.
struct Private<'a> {
    kubectl: &'a Kubectl,
    pod: Value,
}

impl<'a> Private<'a> {
    fn new(cluster: &'a Cluster, namespace: &Namespace<'_>) -> Result<Self> {
        let image = format!("{}/test/windows-only:1", cluster.registry.private_host());
        let pod = Pod::new(namespace.name(), "private", &image).on_node(REAL_NODE);
        Ok(Self {
            kubectl: &cluster.kubectl,
            pod: serde_json::from_str(&pod.manifest())?,
        })
    }

    /// The same pod, which brings the login with it.
    fn with_pull_secret(&self) -> Self {
        let mut pod = self.pod.clone();
        pod["spec"]["imagePullSecrets"] = json!([{"name": NAME}]);
        Self { pod, ..*self }
    }

    /// It is admitted, with a word on the registry's refusal.
    fn is_not_known(&self) -> Result<()> {
        in_a_row("the registry asks for credentials", || {
            let told = self.kubectl.accepts(&self.pod.to_string());
            told.is_ok_and(|warnings| {
                warnings
                    .concat()
                    .contains("the registry asks for credentials")
            })
        })
    }

    /// It is denied, on proof.
    fn is_denied(&self) -> Result<()> {
        in_a_row("the private image is known", || {
            let told = self.kubectl.rejects(&self.pod.to_string());
            told.is_ok_and(|message| contains_all(&message, &[FACT, "windows/amd64"]).is_ok())
        })
    }
}

/// With the pod's own pull secret where they may be read, with a login for the whole cluster, and with a provider's program.
pub(crate) fn private_images_are_judged_with_credentials(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("private")?;
    let private = Private::new(cluster, &namespace)?;
    for namespace in [namespace.name(), NAMESPACE] {
        create_secret(cluster, namespace)?;
    }
    private.is_not_known()?;
    private.with_pull_secret().is_not_known()?;

    let read = json!({"pullSecrets": {"enabled": true}});
    install::upgrade(cluster, &Value::Null, &read)?;
    private.with_pull_secret().is_denied()?;
    // What one of them may see is not shown to another.
    private.is_not_known()?;

    let login = json!({"registryCredentials": {"existingSecret": NAME}});
    install::upgrade(cluster, &Value::Null, &login)?;
    private.is_denied()?;

    let settings = create_provider(cluster)?;
    let volume = json!({
        "extraVolumes": [{"name": "providers", "configMap": {"name": NAME, "defaultMode": 0o555}}],
        "extraVolumeMounts": [{"name": "providers", "mountPath": "/etc/providers", "readOnly": true}],
    });
    install::upgrade(cluster, &settings, &volume)?;
    private.is_denied()?;

    install::upgrade(cluster, &Value::Null, &Value::Null)?;
    private.is_not_known()?;
    kubectl.run(&["delete", "secret", NAME, "-n", NAMESPACE])?;
    kubectl
        .run(&["delete", "configmap", NAME, "-n", NAMESPACE])
        .map(drop)
}

fn create_secret(cluster: &Cluster, namespace: &str) -> Result<()> {
    let [user, password] = LOGIN;
    let server = format!("--docker-server={}", cluster.registry.private_host());
    let user = format!("--docker-username={user}");
    let password = format!("--docker-password={password}");
    let create = ["create", "secret", "docker-registry", NAME];
    let rest = ["-n", namespace, &server, &user, &password];
    cluster
        .kubectl
        .run(&[&create[..], &rest].concat())
        .map(drop)
}

/// Builds a provider's program and puts it into a ConfigMap, where the Pod Security Standard `restricted` lets it be. Gives the settings.
fn create_provider(cluster: &Cluster) -> Result<Value> {
    let host = cluster.registry.private_host();
    let [user, password] = LOGIN;
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/e2e/trials/credential_provider.c"
    );
    let (program, config) = (
        "/run/platform-gate/login",
        "/run/platform-gate/providers.json",
    );
    let define = |name: &str, value: &str| format!("-D{name}=\"{value}\"");
    let defined = [
        define("HOST", &host),
        define("USER", user),
        define("PASSWORD", password),
    ];
    let mut cc = Command::new("cc");
    output(
        cc.args(["-static", "-Os", "-s", "-o", program, source])
            .args(defined),
    )?;
    let version = "credentialprovider.kubelet.k8s.io/v1";
    let provider = json!({"name": "login", "matchImages": [host], "defaultCacheDuration": "1m", "apiVersion": version});
    let providers = json!({"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig", "providers": [provider]});
    std::fs::write(config, providers.to_string()).context(config)?;
    let files = [program, config].map(|file| format!("--from-file={file}"));
    let create = ["create", "configmap", NAME, "-n", NAMESPACE];
    cluster
        .kubectl
        .run(&[&create[..], &[&files[0], &files[1]]].concat())?;
    let folder = "/etc/providers";
    let file = format!("{folder}/providers.json");
    Ok(json!({"credentialProviders": {"configFile": file, "binDir": folder}}))
}

/// After a start with `warmUp`, what runs is known to each replica before anybody asks; after one without it, it is not.
pub(crate) fn what_runs_is_known_after_a_warm_start(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("warm")?;
    let runs = Pod::new(namespace.name(), "runs", "test/arm64-only:1").on_node("linux-arm64");
    kubectl.apply(&runs.manifest())?;
    for warms in [true, false] {
        let name = if warms { "warm" } else { "cold" };
        let restarted = json!({"podAnnotations": {"start": name}});
        install::upgrade(cluster, &json!({"warmUp": warms}), &restarted)?;
        if warms {
            is_warm(cluster)?;
        }
        let wrong = Pod::new(namespace.name(), name, "test/arm64-only:1").on_node(REAL_NODE);
        for _ in 0..CALLS {
            kubectl.rejects(&wrong.manifest())?;
        }
        let audited = cluster.audit_annotations("pods", name)?;
        let asked = |told: &Value| told["pods.platform-gate.io/source"] == "registry";
        let asked = audited.iter().any(asked);
        ensure!(asked != warms, "{name}: {audited:?}");
    }
    install::upgrade(cluster, &Value::Null, &Value::Null)
}

/// Waits until each replica says that it has looked up what runs.
fn is_warm(cluster: &Cluster) -> Result<()> {
    until("both replicas are warm", MINUTE * 2, || {
        let mut warm = 0;
        for pod in replicas(cluster)? {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let log = cluster.kubectl.run(&["logs", name, "-n", NAMESPACE])?;
            warm += usize::from(log.contains("the images of running pods are looked up"));
        }
        Ok((warm == 2).then_some(()))
    })
}
