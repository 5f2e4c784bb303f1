//! Certificates that others make, and callers that have to show one: under load, as an operator changes them, and with the
//! certificate that the pods make themselves again in the end.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use k8s_openapi::ByteString;
use kube::config::Kubeconfig;
use platform_gate::certificate::{Issued, Pair, issue, issue_leaf};
use reqwest::tls::TlsInfo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::install::{self, NAMESPACE};
use super::operate::{ca_bundle, undisturbed};
use super::replicas::{counted, replicas};
use crate::cluster::{Cluster, SHOWN_TO_WEBHOOKS};
use crate::wait::until;

/// The name under which the API server calls.
const NAME: &str = "platform-gate.platform-gate.svc";
const PORT: u16 = 10250;
const SECRET: &str = "of-ones-own";
const MINUTE: Duration = Duration::from_secs(60);

/// The certificate is in a Secret of the operator's. A renewed one, and then one of another CA that is trusted before and
/// alone after, cost no call.
pub(crate) fn a_certificate_of_ones_own_is_followed(cluster: &Cluster) -> Result<()> {
    let names = [NAME.to_owned()];
    let now = SystemTime::now();
    let (first, second) = (issue(&names, now)?, issue(&names, now)?);
    put(cluster, &first.leaf, &[&first])?;
    let provided = json!({"certificate": {"mode": "provided", "secretName": SECRET}});
    install::upgrade(cluster, &Value::Null, &provided)?;
    serves(cluster, &first.leaf, &[&first])?;
    undisturbed(cluster, "own certificate renewed", || {
        let renewed = issue_leaf(&first.ca, &names, SystemTime::now())?;
        put(cluster, &renewed, &[&first])?;
        serves(cluster, &renewed, &[&first])
    })?;
    let (both, last) = ([&first, &second], issue_leaf(&second.ca, &names, now)?);
    undisturbed(cluster, "another ca trusted", || {
        put(cluster, &first.leaf, &both)?;
        serves(cluster, &first.leaf, &both)
    })?;
    undisturbed(cluster, "certificate of another ca", || {
        put(cluster, &last, &both)?;
        serves(cluster, &last, &both)
    })?;
    undisturbed(cluster, "first ca dropped", || {
        put(cluster, &last, &[&second])?;
        serves(cluster, &last, &[&second])
    })?;
    install::upgrade(cluster, &Value::Null, &Value::Null)?;
    until("the pods' own CA is trusted again", MINUTE, || {
        Ok((ca_bundle(cluster)? == super::operate::data(cluster)?["ca.crt"]).then_some(()))
    })?;
    let delete = ["delete", "secret", SECRET, "-n", NAMESPACE];
    cluster.kubectl.run(&delete).map(drop)
}

/// Held to the certificate that API servers show to kubelets, by the CA that Kubernetes puts into every namespace.
pub(crate) fn callers_have_to_show_a_certificate(cluster: &Cluster) -> Result<()> {
    let number = std::cell::Cell::new(0);
    let upgrade = |callers: &Value| {
        number.set(number.get() + 1);
        let annotations = json!({"upgrade": format!("callers-{}", number.get())});
        let values = json!({"callers": callers, "podAnnotations": annotations});
        install::upgrade(cluster, &Value::Null, &values)
    };
    let callers = json!({"existingConfigMap": "kube-root-ca.crt", "names": [SHOWN_TO_WEBHOOKS]});
    undisturbed(cluster, "callers are told apart", || upgrade(&callers))?;
    let administrator = identity(cluster)?;
    for pod in replicas(cluster)? {
        let at = address(&pod)?;
        for (who, identity) in [
            ("nobody", None),
            ("the administrator", Some(administrator.as_str())),
        ] {
            let (status, _) = call(cluster, at, identity)?;
            ensure!(status == 401, "{who} got {status} from {at}");
        }
        for reason in ["no-certificate", "name"] {
            let series = format!(r#"platform_gate_callers_refused_total{{reason="{reason}"}}"#);
            let refused = counted(&pod, &series);
            ensure!(refused == Some(1.0), "{series} of {at} is {refused:?}");
        }
    }
    undisturbed(cluster, "callers are not told apart", || {
        upgrade(&json!({}))
    })?;
    for pod in replicas(cluster)? {
        let at = address(&pod)?;
        let (status, _) = call(cluster, at, None)?;
        ensure!(status == 400, "nonsense got {status} from {at}");
    }
    Ok(())
}

/// What an operator's tool does with a certificate and the CAs that clients are to trust.
fn put(cluster: &Cluster, leaf: &Pair, trusted: &[&Issued]) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": NAMESPACE},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": leaf.certificate, "tls.key": leaf.key, "ca.crt": bundle(trusted)},
    });
    cluster.kubectl.apply(&secret.to_string())
}

fn bundle(trusted: &[&Issued]) -> String {
    let cas = trusted.iter().map(|issued| issued.ca.certificate.as_str());
    cas.collect()
}

fn serves(cluster: &Cluster, leaf: &Pair, trusted: &[&Issued]) -> Result<()> {
    let in_secret = |text: String| serde_json::to_value(ByteString(text.into_bytes()));
    let leaf = in_secret(leaf.certificate.clone())?;
    is_served(cluster, &leaf, &in_secret(bundle(trusted))?)
}

/// Waits until every pod presents the certificate and the API server is told to trust those CAs, both as Secrets have them.
pub(super) fn is_served(cluster: &Cluster, leaf: &Value, trusted: &Value) -> Result<()> {
    let leaf: ByteString = serde_json::from_value(leaf.clone())?;
    let wanted = CertificateDer::from_pem_slice(&leaf.0)?;
    let mut last = String::new();
    let served = until("the certificate is served", MINUTE, || {
        last = match differs(cluster, &wanted, trusted) {
            Ok(None) => return Ok(Some(())),
            Ok(Some(difference)) => difference,
            // While they change, pods may present what is not trusted.
            Err(error) => format!("{error:#}"),
        };
        Ok(None)
    });
    served.with_context(|| last)
}

/// What is not as it should be.
fn differs(
    cluster: &Cluster,
    wanted: &CertificateDer<'_>,
    trusted: &Value,
) -> Result<Option<String>> {
    let told = ca_bundle(cluster)?;
    if told != *trusted {
        return Ok(Some(format!("caBundle is {told}, not {trusted}")));
    }
    for pod in replicas(cluster)? {
        let at = address(&pod)?;
        if call(cluster, at, None)?.1 != wanted.as_ref() {
            return Ok(Some(format!("{at} presents another certificate")));
        }
    }
    Ok(None)
}

/// Where the API server reaches a pod.
fn address(pod: &Value) -> Result<SocketAddr> {
    let address = pod["status"]["podIP"].as_str().context("no podIP")?;
    Ok(SocketAddr::new(address.parse()?, PORT))
}

/// Posts nonsense as somebody, trusting what the API server is told to: the status, and the certificate presented.
fn call(cluster: &Cluster, pod: SocketAddr, identity: Option<&str>) -> Result<(u16, Vec<u8>)> {
    // A second call finds it installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let trusted: ByteString = serde_json::from_value(json!(ca_bundle(cluster)?))?;
    let mut client = reqwest::Client::builder()
        .tls_certs_only(reqwest::Certificate::from_pem_bundle(&trusted.0)?)
        .tls_info(true)
        .timeout(MINUTE / 6)
        .resolve(NAME, pod)
        .no_proxy();
    if let Some(pem) = identity {
        client = client.identity(reqwest::Identity::from_pem(pem.as_bytes())?);
    }
    let request = client
        .build()?
        .post(format!("https://{NAME}:{PORT}/validate"))
        .body("nonsense");
    // Within the runtime: a request's timer is set when the request is made.
    let answer = run(async { request.send().await })?;
    let info = answer.extensions().get::<TlsInfo>();
    let presented = info.and_then(TlsInfo::peer_certificate);
    let presented = presented.context("no certificate was presented")?.to_vec();
    Ok((answer.status().as_u16(), presented))
}

fn run<T>(request: impl Future<Output = reqwest::Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(request)?)
}

/// The administrator's certificate and key: of the same CA as the API server's, under another name.
fn identity(cluster: &Cluster) -> Result<String> {
    let kubeconfig = Kubeconfig::read_from(cluster.kubectl.kubeconfig())?;
    let user = kubeconfig.auth_infos.first().context("no user")?;
    let user = user.auth_info.as_ref().context("no user")?;
    let files = [&user.client_certificate, &user.client_key];
    let texts = files.map(|file| {
        let file = file.as_ref().context("no file")?;
        fs::read_to_string(file).with_context(|| file.clone())
    });
    let [certificate, key] = texts;
    Ok(certificate? + &key?)
}
