//! Pull secrets: which are read, how often, and what becomes of those that cannot be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::{Client, Config};
use platform_gate::cluster::pull_secrets::PullSecrets;
use platform_gate::domain::reference::Reference;
use platform_gate::registry::Keychain;
use serde_json::json;
use tokio::time::Instant;

use crate::support::registry::{Answer, FakeRegistry, Received};

/// A secret for one host whose user is its own name.
fn secret(name: &str, host: &str) -> Answer {
    let login = json!({"username": name, "password": "secret"});
    let config = json!({"auths": {host: login}}).to_string();
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": STANDARD.encode(config)},
    });
    Answer::json(object.to_string())
}

fn failure(code: u16, reason: &str) -> Answer {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "code": code,
    });
    Answer::json(status.to_string()).with_status(code)
}

fn answer(request: &Received) -> Answer {
    match request.path.as_str() {
        "/api/v1/namespaces/shop/secrets/host" => secret("host", "reg.example"),
        "/api/v1/namespaces/shop/secrets/team" => secret("team", "reg.example/team"),
        "/api/v1/namespaces/shop/secrets/forbidden" => failure(403, "Forbidden"),
        "/api/v1/namespaces/shop/secrets/opaque" => Answer::json(
            r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"opaque"},"type":"Opaque"}"#,
        ),
        "/api/v1/namespaces/shop/serviceaccounts/default" => Answer::json(
            r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"},
                "imagePullSecrets":[{"name":"host"}]}"#,
        ),
        "/api/v1/namespaces/shop/serviceaccounts/bare" => Answer::json(
            r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"bare"}}"#,
        ),
        _ => failure(404, "NotFound"),
    }
}

fn reader(server: &FakeRegistry) -> PullSecrets {
    let config = Config::new(server.url().parse().unwrap());
    PullSecrets::new(Client::try_from(config).unwrap())
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn users(keychain: &Keychain) -> Vec<String> {
    let reference = Reference::parse("reg.example/team/app:1").unwrap();
    let candidates = keychain.candidates(&reference);
    candidates.map(|c| c.username().to_owned()).collect()
}

#[tokio::test]
async fn a_pods_secrets_are_read_else_its_service_accounts() {
    let server = FakeRegistry::start(answer).await;
    let secrets = reader(&server);
    for (names, account, want) in [
        (&["host", "team"][..], "", &["team", "host"][..]),
        (&["team"], "default", &["team"]),
        (&[], "", &["host"]),
        (&[""], "default", &["host"]),
        (&[], "bare", &[]),
        (&["forbidden", "host", "gone", "opaque"], "", &["host"]),
        (&["../../other/secrets/host"], "", &[]),
        (&[], "gone", &[]),
    ] {
        let keychain = secrets.keychain("shop", names, account, deadline()).await;
        assert_eq!(users(&keychain), want, "{names:?} {account}");
    }
    let asked = server.received();
    assert!(asked.iter().all(|asked| asked.method == "GET"));
    assert!(asked.iter().all(|asked| asked.query.is_empty()));
    assert!(
        asked
            .iter()
            .all(|asked| asked.path.starts_with("/api/v1/namespaces/shop/"))
    );
}

#[tokio::test]
async fn a_thousand_pods_read_their_secrets_once() {
    let server = FakeRegistry::start(answer).await;
    let secrets = Arc::new(reader(&server));
    let pods = (0..1000).map(|_| {
        let secrets = Arc::clone(&secrets);
        async move { secrets.keychain("shop", &["host"], "", deadline()).await }
    });
    for keychain in futures::future::join_all(pods).await {
        assert_eq!(users(&keychain), ["host"]);
    }
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_costs_no_more_than_the_deadline() {
    let server = FakeRegistry::start(|_| Answer::new(200).stalled_body()).await;
    let secrets = reader(&server);
    let soon = Instant::now() + Duration::from_millis(100);
    let keychain = secrets.keychain("shop", &["host"], "", soon).await;
    assert_eq!(users(&keychain), [""; 0]);
}

#[tokio::test]
async fn an_outage_is_soon_over() {
    let status = Arc::new(AtomicU16::new(503));
    let now = Arc::clone(&status);
    let server = FakeRegistry::start(move |request| match status.load(Ordering::Relaxed) {
        503 => failure(503, "ServiceUnavailable"),
        _ => answer(request),
    })
    .await;
    let secrets = reader(&server);
    let names = &["host"][..];
    let keychain = secrets.keychain("shop", names, "", deadline()).await;
    assert_eq!(users(&keychain), [""; 0]);
    now.store(200, Ordering::Relaxed);
    let back = async {
        while users(&secrets.keychain("shop", names, "", deadline()).await).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), back)
        .await
        .unwrap();
}
