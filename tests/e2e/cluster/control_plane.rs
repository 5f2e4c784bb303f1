//! etcd, the API server, the controller manager and the scheduler.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::layout::{KUBERNETES_SERVICE, Layout, NODE_ADDRESS, SERVICE_RANGE};
use super::pki::{Authority, Identity, ServiceAccountKeys};
use crate::process::Process;
use crate::wait::until;

const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_ADDRESS: &str = "127.0.0.1:2379";

/// Whose certificate the API server shows to kubelets, and to webhooks that ask for one.
pub(crate) const SHOWN_TO_WEBHOOKS: &str = "kube-apiserver-to-kubelet";

/// What each request on an object leaves in the audit log: one line with the admission annotations.
const AUDIT_POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: None, verbs: [get, list, watch]}
  - {level: None, resources: [{group: coordination.k8s.io}]}
  - {level: Metadata}
";

/// The keys of the control plane.
pub(crate) struct Keys {
    authority: Authority,
    server: Identity,
    admin: Identity,
    service_accounts: ServiceAccountKeys,
    /// For kubectl and kwok.
    pub(crate) admin_kubeconfig: PathBuf,
}

impl Keys {
    /// Makes all keys.
    pub(crate) fn create(layout: &Layout) -> Result<Self> {
        let authority = Authority::create(layout, "cluster-ca")?;
        let hosts = [
            NODE_ADDRESS,
            KUBERNETES_SERVICE,
            "127.0.0.1",
            "kubernetes.default.svc",
        ];
        let masters = Some("system:masters");
        Ok(Self {
            server: authority.server(layout, "kube-apiserver", &hosts)?,
            admin: authority.client(layout, SHOWN_TO_WEBHOOKS, masters)?,
            service_accounts: ServiceAccountKeys::create(layout)?,
            admin_kubeconfig: authority.kubeconfig(layout, "admin", masters)?,
            authority,
        })
    }

    /// The authority of the cluster, by which a kubelet knows its clients.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }
}

/// Starts etcd.
pub(crate) fn start_etcd(layout: &Layout) -> Result<Process> {
    let mut command = layout.command("etcd");
    command
        .arg("--data-dir")
        .arg(layout.state_of("etcd")?)
        .args([
            "--listen-client-urls",
            ETCD,
            "--advertise-client-urls",
            ETCD,
            "--listen-peer-urls",
            "http://127.0.0.1:2380",
            "--log-level",
            "warn",
            // Nothing of a run outlives it.
            "--unsafe-no-fsync",
        ]);
    let mut process = Process::start("etcd", &layout.logs, &mut command)?;
    until("etcd answers", Duration::from_secs(30), || {
        process.check_running()?;
        Ok(TcpStream::connect(ETCD_ADDRESS).is_ok().then_some(()))
    })?;
    Ok(process)
}

/// Starts the API server.
pub(crate) fn start_api_server(layout: &Layout, keys: &Keys) -> Result<Process> {
    let policy = layout.write("audit-policy.yaml", AUDIT_POLICY)?;
    let admission = admission_configuration(layout, keys)?;
    let mut command = layout.command("kube-apiserver");
    command
        .arg(format!("--etcd-servers={ETCD}"))
        .arg(format!("--advertise-address={NODE_ADDRESS}"))
        // The port of the `kubernetes` Service, whose address is one of this host's: pods reach it without kube-proxy.
        .args(["--bind-address=0.0.0.0", "--secure-port=443"])
        .arg(format!("--service-cluster-ip-range={SERVICE_RANGE}"))
        .args([
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
        ])
        .args([
            "--service-account-issuer=https://kubernetes.default.svc",
            "--allow-privileged=true",
        ])
        // Otherwise it waits a minute for them when it is to end.
        .arg("--shutdown-watch-termination-grace-period=1s")
        // The nodes' names are in no name server.
        .arg("--kubelet-preferred-address-types=InternalIP")
        // A webhook's Service is dialled at its pod's address, again without kube-proxy.
        .arg("--enable-aggregator-routing=true")
        .arg(flag("--tls-cert-file", &keys.server.certificate))
        .arg(flag("--tls-private-key-file", &keys.server.key))
        .arg(flag("--client-ca-file", &keys.authority.certificate))
        .arg(flag(
            "--kubelet-client-certificate",
            &keys.admin.certificate,
        ))
        .arg(flag("--kubelet-client-key", &keys.admin.key))
        .arg(flag(
            "--service-account-key-file",
            &keys.service_accounts.public,
        ))
        .arg(flag(
            "--service-account-signing-key-file",
            &keys.service_accounts.private,
        ))
        .arg(flag("--admission-control-config-file", &admission))
        .arg(flag("--audit-policy-file", &policy))
        .arg(flag("--audit-log-path", &audit_log(layout)));
    Process::start("kube-apiserver", &layout.logs, &mut command)
}

/// What the API server shows to our webhook, as the chart's README has it.
fn admission_configuration(layout: &Layout, keys: &Keys) -> Result<PathBuf> {
    let user = json!({"client-certificate": keys.admin.certificate, "client-key": keys.admin.key});
    let users = json!([{"name": "platform-gate.platform-gate.svc", "user": user}]);
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "users": users});
    let kubeconfig = layout.write("webhooks.kubeconfig", &kubeconfig.to_string())?;
    let plugins = ["ValidatingAdmissionWebhook", "MutatingAdmissionWebhook"].map(|name| {
        json!({"name": name, "configuration": {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "WebhookAdmissionConfiguration",
            "kubeConfigFile": kubeconfig,
        }})
    });
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": plugins,
    });
    layout.write("admission.json", &configuration.to_string())
}

/// The audit log: one JSON object a line.
fn audit_log(layout: &Layout) -> PathBuf {
    layout.logs.join("audit.jsonl")
}

/// Every request in the audit log, in order.
pub(crate) fn audit_events(layout: &Layout) -> Result<Vec<Value>> {
    let path = audit_log(layout);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(serde_json::from_str)
        .collect::<serde_json::Result<_>>()
        .context("a line of the audit log is no JSON")
}

/// Starts the controllers, each with a service account of its own as in a real cluster.
pub(crate) fn start_controllers(layout: &Layout, keys: &Keys) -> Result<Process> {
    let kubeconfig = keys
        .authority
        .kubeconfig(layout, "system:kube-controller-manager", None)?;
    let mut command = layout.command("kube-controller-manager");
    command
        .arg(flag("--kubeconfig", &kubeconfig))
        .arg(flag(
            "--service-account-private-key-file",
            &keys.service_accounts.private,
        ))
        .arg(flag("--root-ca-file", &keys.authority.certificate))
        .args([
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ]);
    Process::start("kube-controller-manager", &layout.logs, &mut command)
}

/// Starts the scheduler.
pub(crate) fn start_scheduler(layout: &Layout, keys: &Keys) -> Result<Process> {
    let kubeconfig = keys
        .authority
        .kubeconfig(layout, "system:kube-scheduler", None)?;
    let mut command = layout.command("kube-scheduler");
    command
        .arg(flag("--kubeconfig", &kubeconfig))
        .args(["--leader-elect=false", "--bind-address=127.0.0.1"]);
    Process::start("kube-scheduler", &layout.logs, &mut command)
}

fn flag(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}
