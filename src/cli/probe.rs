//! `probe`: what `helm test` runs. Asks the API server, by dry run, to let in a pod that must be admitted and one that
//! must not, so that the whole way there and back is proved: Service, certificate, `caBundle`, nodes and registry.
//!
//! Leaves nothing behind, and judges nothing itself.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args as ClapArgs, ValueEnum};
use hyper::{Method, Request, StatusCode, header};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::{Exit, logging};
use crate::cluster::{Freshness, client};

const RETRY_AFTER: Duration = Duration::from_secs(2);
/// By which message and warnings are known to be ours.
const OURS: &str = "platform-gate";

/// Ask the API server about a pod to admit and one to reject, by dry run
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Namespace of the pods; one that is judged
    #[arg(long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// Image that runs on Linux nodes
    #[arg(long, value_name = "IMAGE")]
    admitted: String,
    /// Image that runs on no Linux node
    #[arg(long, value_name = "IMAGE")]
    rejected: String,
    /// What becomes of the second pod
    #[arg(long, value_enum, default_value_t = Expect::Deny)]
    expect: Expect,
    /// How long the answers may differ from what is expected, since an API server may not know of the webhook yet
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Expect {
    /// It is rejected
    Deny,
    /// It is admitted with a warning
    Warn,
}

/// What the API server answered.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    message: String,
    warnings: Vec<String>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    logging::start("warn");
    let client = client::connect(&Freshness::default()).await?;
    let began = Instant::now();
    let patience = Duration::from_secs(args.patience);
    let mut tries = tokio::time::interval(RETRY_AFTER);
    loop {
        tries.tick().await;
        let outcome = ask_both(&client, &args).await;
        match outcome {
            Ok(told) => {
                logging::complain(&told);
                return Ok(Exit::Fine);
            }
            Err(error) if began.elapsed() >= patience => return Err(error),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "trying again"),
        }
    }
}

async fn ask_both(client: &Client, args: &Args) -> anyhow::Result<String> {
    let admitted = ask(client, &args.namespace, &args.admitted).await?;
    if !admitted.status.is_success() {
        bail!(
            "a pod of {} should be admitted, but: {}",
            args.admitted,
            admitted.message
        );
    }
    let rejected = ask(client, &args.namespace, &args.rejected).await?;
    let is_as_expected = match args.expect {
        Expect::Deny => rejected.status == StatusCode::FORBIDDEN && rejected.message.contains(OURS),
        Expect::Warn => rejected.status.is_success() && !rejected.warnings.is_empty(),
    };
    if !is_as_expected {
        bail!(
            "a pod of {} should be {}, but the API server answered {} {:?}, with warnings {:?}: either it does not ask \
             platform-gate (see caBundle of the webhook configuration, and the API server's metric \
             apiserver_admission_webhook_fail_open_count), or the image cannot be looked up",
            args.rejected,
            match args.expect {
                Expect::Deny => "rejected by platform-gate",
                Expect::Warn => "admitted with a warning",
            },
            rejected.status,
            rejected.message,
            rejected.warnings,
        );
    }
    Ok(format!(
        "{} is admitted; {}: {}{}",
        args.admitted,
        args.rejected,
        rejected.message,
        rejected.warnings.join("; ")
    ))
}

/// Posts the pod as a dry run.
async fn ask(client: &Client, namespace: &str, image: &str) -> anyhow::Result<Answer> {
    let uri = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(pod(image).to_string().into_bytes()))?;
    let answer = client
        .send(request)
        .await
        .context("asking the API server")?;
    let status = answer.status();
    let warnings = answer.headers().get_all(header::WARNING);
    let warnings = warnings.iter().filter_map(|value| value.to_str().ok());
    let warnings = warnings.map(str::to_owned).collect();
    let body = answer.into_body().collect_bytes().await?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Answer {
        status,
        message: body["message"].as_str().unwrap_or_default().to_owned(),
        warnings,
    })
}

/// A pod for Linux nodes that any Pod Security Standard lets in.
fn pod(image: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "platform-gate-probe-"},
        "spec": {
            "restartPolicy": "Never",
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "probe",
                "image": image,
                "resources": {"limits": {"cpu": "10m", "memory": "16Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    })
}
