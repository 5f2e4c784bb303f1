//! What an operator does to platform-gate and what befalls it, under load: no call fails, no verdict changes. Counted at
//! the API server, since a webhook that is down counts nothing.
//!
//! `PLATFORM_GATE_FULL=1` makes at least 3,000 calls for each; otherwise there are a few hundred.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::install::{self, NAMESPACE, RELEASE};
use crate::cluster::Cluster;
use crate::load::{Load, Tally};
use crate::wait::until;

const SECRET: &str = "platform-gate-tls";
const LEASE: &str = "lease/platform-gate-tls";
const CONFIGURATION: &str = "validatingwebhookconfiguration/platform-gate";
const DEPLOYMENT: &str = "deployment/platform-gate";
const MINUTE: Duration = Duration::from_secs(60);
/// What is damaged has to be whole again after this long.
const REPAIRED: Duration = Duration::from_secs(10);

pub(crate) fn helm_test_passes(cluster: &Cluster) -> Result<()> {
    install::helm(
        cluster,
        &["test", RELEASE, "--namespace", NAMESPACE, "--logs"],
    )
    .map(drop)
}

/// Somebody else holds the Lease, so that nobody repairs it: then `helm test` must notice.
pub(crate) fn helm_test_fails_with_a_broken_ca(cluster: &Cluster) -> Result<()> {
    let good = ca_bundle(cluster)?;
    let spec = json!({"spec": {"holderIdentity": "nobody", "leaseDurationSeconds": 3600}});
    patch(cluster, LEASE, &spec)?;
    let broken = format!(
        r#"[{{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": "{}"}}]"#,
        another_ca(cluster)?
    );
    // The holder of before may still be at work for some seconds.
    let mut broken_since = None;
    until("the wrong CA stays", MINUTE / 2, || {
        if ca_bundle(cluster)? == good {
            let arguments = ["patch", CONFIGURATION, "--type=json", "-p", &broken];
            cluster.kubectl.run(&arguments)?;
            broken_since = Some(Instant::now());
        }
        let stays = broken_since.is_some_and(|since| since.elapsed() > MINUTE / 12);
        Ok(stays.then_some(()))
    })?;
    let outcome = helm_test_passes(cluster);
    patch(cluster, LEASE, &json!({"spec": {"holderIdentity": ""}}))?;
    let error = outcome.err().context("helm test passed with a wrong CA")?;
    until("somebody repairs caBundle", REPAIRED, || {
        Ok((ca_bundle(cluster)? == good).then_some(()))
    })
    .with_context(|| format!("helm test failed as it should: {error:#}"))?;
    helm_test_passes(cluster)
}

pub(crate) fn damage_is_repaired(cluster: &Cluster) -> Result<()> {
    let (good, secret) = (ca_bundle(cluster)?, data(cluster)?);
    let empty = r#"[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]"#;
    let arguments = ["patch", CONFIGURATION, "--type=json", "-p", empty];
    cluster.kubectl.run(&arguments)?;
    until("caBundle is written again", REPAIRED, || {
        Ok((ca_bundle(cluster)? == good).then_some(()))
    })?;
    let delete = ["delete", "secret", SECRET, "-n", NAMESPACE];
    cluster.kubectl.run(&delete)?;
    until("the Secret is made again", REPAIRED, || {
        Ok(data(cluster).ok().filter(|now| *now == secret).map(drop))
    })
}

pub(crate) fn five_replicas_at_once_make_one_ca(cluster: &Cluster) -> Result<()> {
    let scale = |count: &str| {
        let replicas = format!("--replicas={count}");
        cluster
            .kubectl
            .run(&["scale", DEPLOYMENT, "-n", NAMESPACE, &replicas])?;
        rolled_out(cluster)
    };
    let before = data(cluster)?;
    scale("0")?;
    gone(cluster)?;
    let empty = json!({"data": null});
    patch(cluster, &format!("secret/{SECRET}"), &empty)?;
    scale("5")?;
    let after = data(cluster)?;
    ensure!(after["ca.crt"] != before["ca.crt"], "a new CA was made");
    until("the API server trusts it", REPAIRED, || {
        Ok((ca_bundle(cluster)? == after["ca.crt"]).then_some(()))
    })?;
    // Each of the five is called, and none of the calls fails.
    let load = Load::start(cluster, "five")?;
    load.finish(200)?.is_flawless()?;
    ensure!(data(cluster)? == after, "it stayed the only one");
    scale("2")
}

pub(crate) fn nothing_fails_while_pods_are_replaced(cluster: &Cluster) -> Result<()> {
    undisturbed(cluster, "rolling restart", || {
        let restart = ["rollout", "restart", DEPLOYMENT, "-n", NAMESPACE];
        cluster.kubectl.run(&restart)?;
        rolled_out(cluster)
    })?;
    undisturbed(cluster, "leader loss", || {
        let leader = until("a pod holds the Lease", MINUTE, || {
            Ok(Some(holder(cluster)?).filter(|leader| !leader.is_empty()))
        })?;
        let delete = ["delete", "pod", &leader, "-n", NAMESPACE];
        cluster.kubectl.run(&delete)?;
        until("another pod holds the Lease", MINUTE, || {
            let now = holder(cluster)?;
            Ok((now != leader && !now.is_empty()).then_some(()))
        })?;
        rolled_out(cluster)
    })
}

pub(crate) fn nothing_fails_while_certificates_change(cluster: &Cluster) -> Result<()> {
    for renew in ["leaf", "ca"] {
        undisturbed(cluster, &format!("{renew} rotation"), || {
            let before = data(cluster)?;
            let asked = format!("platform-gate.io/renew={renew}");
            let annotate = ["annotate", "--overwrite", "secret", SECRET, &asked];
            cluster
                .kubectl
                .run(&[&annotate[..], &["-n", NAMESPACE]].concat())?;
            until("the certificate is another", MINUTE * 2, || {
                let now = data(cluster)?;
                let other = |key: &str| now[key] != before[key];
                let is_done = other("tls.crt") && (renew == "leaf" || other("ca.crt"));
                // While the old CA is trusted too, there are two.
                Ok((is_done && certificates(&now["ca.crt"])? == 1).then_some(()))
            })
        })?;
    }
    Ok(())
}

pub(crate) fn nothing_fails_during_upgrade_and_rollback(cluster: &Cluster) -> Result<()> {
    let mut number = 0;
    undisturbed(cluster, "helm upgrade", || {
        number += 1;
        let other = json!({"podAnnotations": {"upgrade": number.to_string()}});
        install::upgrade(cluster, &json!({}), &other)
    })?;
    undisturbed(cluster, "helm rollback", || {
        let rollback = ["rollback", RELEASE, "--namespace", NAMESPACE];
        install::helm(
            cluster,
            &[&rollback[..], &["--wait", "--timeout", "120s"]].concat(),
        )
        .map(drop)
    })
}

/// Runs `disturb` under load, and again until there are enough calls. Every call is answered as before, and the API
/// server counts no failed call.
pub(super) fn undisturbed(
    cluster: &Cluster,
    what: &str,
    disturb: impl FnMut() -> Result<()>,
) -> Result<()> {
    let tally = under_load(cluster, what, disturb)?;
    ensure!(tally.broken == 0, "{what}: {tally}");
    tally.is_flawless().with_context(|| what.to_owned())
}

/// Runs `disturb` under load, once, or in full mode until there are enough calls.
pub(super) fn under_load(
    cluster: &Cluster,
    what: &str,
    mut disturb: impl FnMut() -> Result<()>,
) -> Result<Tally> {
    let load = Load::start(cluster, &what.replace(' ', "-"))?;
    let full = super::is_full();
    let mut times = 0;
    while times == 0 || (full && load.calls() < 3000) {
        let before = load.calls();
        disturb().with_context(|| what.to_owned())?;
        times += 1;
        if full {
            // A disturbance during which no call gets through must not follow upon the last.
            until("calls between disturbances", MINUTE * 2, || {
                Ok((load.calls() >= before + 300).then_some(()))
            })?;
        }
    }
    let tally = load.finish(200).with_context(|| what.to_owned())?;
    crate::progress::say(&format!("{what}, {times} times: {tally}"));
    Ok(tally)
}

pub(super) fn rolled_out(cluster: &Cluster) -> Result<()> {
    let status = ["rollout", "status", DEPLOYMENT, "-n", NAMESPACE];
    let limited = [&status[..], &["--timeout=120s"]].concat();
    cluster.kubectl.run(&limited).map(drop)
}

pub(super) fn gone(cluster: &Cluster) -> Result<()> {
    until("no pod of platform-gate runs", MINUTE * 2, || {
        let pods = cluster.kubectl.get(&["pods", "-n", NAMESPACE])?;
        Ok(pods["items"]
            .as_array()
            .is_none_or(Vec::is_empty)
            .then_some(()))
    })
}

fn patch(cluster: &Cluster, object: &str, patch: &Value) -> Result<()> {
    let patch = patch.to_string();
    let arguments = [
        "patch",
        object,
        "-n",
        NAMESPACE,
        "--type=merge",
        "-p",
        &patch,
    ];
    cluster.kubectl.run(&arguments).map(drop)
}

fn holder(cluster: &Cluster) -> Result<String> {
    let lease = cluster.kubectl.get(&[LEASE, "-n", NAMESPACE])?;
    let holder = lease["spec"]["holderIdentity"].as_str();
    Ok(holder.unwrap_or_default().to_owned())
}

pub(super) fn ca_bundle(cluster: &Cluster) -> Result<String> {
    let configuration = cluster.kubectl.get(&[CONFIGURATION])?;
    let bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"].as_str();
    Ok(bundle.unwrap_or_default().to_owned())
}

pub(super) fn data(cluster: &Cluster) -> Result<Value> {
    let secret = cluster.kubectl.get(&["secret", SECRET, "-n", NAMESPACE])?;
    ensure!(secret["data"]["tls.crt"].is_string(), "the Secret is empty");
    Ok(secret["data"].clone())
}

/// How many certificates there are in a value of a Secret.
fn certificates(value: &Value) -> Result<usize> {
    let pem: k8s_openapi::ByteString = serde_json::from_value(value.clone())?;
    let text = String::from_utf8(pem.0).context("ca.crt is no text")?;
    Ok(text.matches("BEGIN CERTIFICATE").count())
}

/// A CA that has signed nothing of ours, in base64.
fn another_ca(cluster: &Cluster) -> Result<String> {
    let ca = cluster
        .kubectl
        .get(&["configmap", "kube-root-ca.crt", "-n", NAMESPACE])?;
    let text = ca["data"]["ca.crt"].as_str().context("no ca.crt")?;
    let base64 = serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec()))?;
    Ok(base64.as_str().context("no base64")?.to_owned())
}
