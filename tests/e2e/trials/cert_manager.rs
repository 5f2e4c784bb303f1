//! The certificate is cert-manager's: made, told to the API server, and renewed without a failed call. With cert-manager's own
//! code, of the version that the chart's check has the kinds of.
//!
//! Building it takes minutes, so this runs where `PLATFORM_GATE_FULL` is set.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::certificates::is_served;
use super::install::{self, NAMESPACE};
use super::operate::{ca_bundle, data, undisturbed};
use crate::cluster::Cluster;
use crate::wait::until;

/// The chart's names of the certificate, and of the CA that it makes for it.
const CERTIFICATE: &str = "platform-gate-issued";
const ROOT: &str = "platform-gate-root";
const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn cert_manager_makes_and_renews_it(cluster: &Cluster) -> Result<()> {
    let mut running = cluster.start_cert_manager()?;
    let of_cert_manager = json!({"certificate": {"mode": "cert-manager"}});
    install::upgrade(cluster, &Value::Null, &of_cert_manager)?;
    running.check_running()?;
    let first = issued(cluster)?;
    let trusted = trusted(cluster, &first["ca.crt"])?;
    is_served(cluster, &first["tls.crt"], &trusted)?;
    undisturbed(cluster, "renewal by cert-manager", || {
        let before = issued(cluster)?;
        renew(cluster)?;
        let renewed = until("cert-manager has renewed it", MINUTE, || {
            let now = issued(cluster)?;
            Ok((now["tls.crt"] != before["tls.crt"]).then_some(now))
        })?;
        ensure!(renewed["ca.crt"] == before["ca.crt"], "the CA is another");
        is_served(cluster, &renewed["tls.crt"], &trusted)
    })?;
    running.check_running()?;

    install::upgrade(cluster, &Value::Null, &Value::Null)?;
    cluster.end_cert_manager(running)?;
    until("the pods' own CA is trusted again", MINUTE, || {
        Ok((ca_bundle(cluster)? == data(cluster)?["ca.crt"]).then_some(()))
    })?;
    // cert-manager leaves them, and a release does not know them.
    let delete = ["delete", "secret", CERTIFICATE, ROOT, "-n", NAMESPACE];
    cluster.kubectl.run(&delete).map(drop)
}

/// `caBundle`, once the CA is part of it: the injector leaves in it what was trusted before.
fn trusted(cluster: &Cluster, ca: &Value) -> Result<Value> {
    let text = |value: Value| -> Result<String> {
        let pem: ByteString = serde_json::from_value(value)?;
        Ok(String::from_utf8(pem.0)?)
    };
    let ca = text(ca.clone())?;
    until("cert-manager's CA is trusted", MINUTE, || {
        let bundle = Value::from(ca_bundle(cluster)?);
        Ok(text(bundle.clone())?.contains(&ca).then_some(bundle))
    })
}

fn issued(cluster: &Cluster) -> Result<Value> {
    let secret = cluster
        .kubectl
        .get(&["secret", CERTIFICATE, "-n", NAMESPACE])?;
    ensure!(secret["data"]["tls.crt"].is_string(), "the Secret is empty");
    Ok(secret["data"].clone())
}

/// As `cmctl renew` does it.
fn renew(cluster: &Cluster) -> Result<()> {
    let certificate = format!("certificate/{CERTIFICATE}");
    let found = cluster.kubectl.get(&[&certificate, "-n", NAMESPACE])?;
    let conditions = found["status"]["conditions"].as_array();
    let mut conditions = conditions.context("it has no conditions")?.clone();
    conditions.retain(|condition| condition["type"] != "Issuing");
    conditions.push(json!({
        "type": "Issuing",
        "status": "True",
        "reason": "ManuallyTriggered",
        "message": "Certificate re-issuance manually triggered",
    }));
    let patch = json!({"status": {"conditions": conditions}}).to_string();
    let arguments = [
        "patch",
        &certificate,
        "-n",
        NAMESPACE,
        "--subresource=status",
    ];
    let merge = ["--type=merge", "-p", &patch];
    cluster
        .kubectl
        .run(&[&arguments[..], &merge].concat())
        .map(drop)
}
