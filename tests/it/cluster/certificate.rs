//! The self-managed certificate.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use platform_gate::certificate::{Issued, check_serves, issue};
use platform_gate::cluster::certificate::{Keeper, Settings};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::fake::{CONFIGURATION, Fake, SECRET};

fn settings() -> Settings {
    Settings {
        namespace: "shop".into(),
        secret: "gate-tls".into(),
        service: "gate".into(),
        webhook_configuration: "gate".into(),
    }
}

fn keeper(fake: &Fake) -> Keeper {
    Keeper::new(&fake.client, settings())
}

fn empty_secret() -> Value {
    json!({"metadata": {"name": "gate-tls", "namespace": "shop"}, "type": "Opaque"})
}

fn holding(issued: &Issued) -> Value {
    let mut secret = empty_secret();
    secret["data"] = json!({
        "tls.crt": STANDARD.encode(&issued.leaf.certificate),
        "tls.key": STANDARD.encode(&issued.leaf.key),
        "ca.crt": STANDARD.encode(&issued.ca.certificate),
        "ca.key": STANDARD.encode(&issued.ca.key),
    });
    secret
}

fn configuration() -> Value {
    let webhook = |name: &str| {
        json!({
            "name": name,
            "clientConfig": {"service": {"name": "gate", "namespace": "shop", "path": "/validate"}},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        })
    };
    let webhooks = [
        webhook("pods.platform-gate.io"),
        webhook("workloads.platform-gate.io"),
    ];
    json!({"metadata": {"name": "gate", "uid": "u-1"}, "webhooks": webhooks})
}

#[tokio::test]
async fn an_empty_secret_is_filled_once() {
    let fake = Fake::start().await;
    fake.put(SECRET, empty_secret());
    let now = SystemTime::now();
    let issued = keeper(&fake).settle(None, now).await.unwrap();
    check_serves(
        &issued.leaf,
        &issued.ca.certificate,
        &settings().names(),
        now,
    )
    .unwrap();

    let stored = fake.object(SECRET);
    assert_eq!(stored["data"], holding(&issued)["data"]);
    assert_eq!(stored["type"], "Opaque");
    assert_eq!(keeper(&fake).settle(None, now).await.unwrap(), issued);
    let writes = fake.writes();
    assert_eq!(writes.len(), 1);
    assert_eq!(
        writes[0].headers["content-type"],
        "application/merge-patch+json"
    );
    assert_eq!(writes[0].body["metadata"], json!({"resourceVersion": "1"}));
}

#[tokio::test]
async fn the_replica_that_comes_second_takes_what_the_first_wrote() {
    let fake = Fake::start().await;
    fake.put(SECRET, empty_secret());
    let now = SystemTime::now();
    let first = issue(&settings().names(), now).unwrap();
    fake.before_next_patch(SECRET, holding(&first));
    assert_eq!(keeper(&fake).settle(None, now).await.unwrap(), first);
    assert_eq!(fake.object(SECRET)["data"], holding(&first)["data"]);
}

#[tokio::test]
async fn replicas_that_start_at_once_end_with_one_ca() {
    let fake = Fake::start().await;
    fake.put(SECRET, empty_secret());
    let starts = (0..5).map(|_| {
        let keeper = keeper(&fake);
        tokio::spawn(async move { keeper.settle(None, SystemTime::now()).await.unwrap() })
    });
    let settled = futures::future::join_all(starts).await;
    let stored = fake.object(SECRET);
    for issued in settled {
        assert_eq!(holding(&issued.unwrap())["data"], stored["data"]);
    }
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_named_with_the_cure() {
    let fake = Fake::start().await;
    let error = keeper(&fake)
        .settle(None, SystemTime::now())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("shop/gate-tls"), "{error}");
    assert!(error.contains("helm upgrade"), "{error}");
    assert!(fake.writes().is_empty());
}

#[tokio::test]
async fn ca_bundle_is_applied_to_every_webhook_and_nothing_else_is() {
    let fake = Fake::start().await;
    fake.put(CONFIGURATION, configuration());
    keeper(&fake).publish("the CA").await.unwrap();
    keeper(&fake).publish("the CA").await.unwrap();
    let writes = fake.writes();
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].path, CONFIGURATION);
    assert_eq!(
        writes[0].headers["content-type"],
        "application/apply-patch+yaml"
    );
    for part in ["fieldManager=platform-gate", "force=true"] {
        assert!(writes[0].query.contains(part), "{}", writes[0].query);
    }
    let bundle = STANDARD.encode("the CA");
    let want = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "gate", "uid": "u-1"},
        "webhooks": [
            {"name": "pods.platform-gate.io", "clientConfig": {"caBundle": bundle}},
            {"name": "workloads.platform-gate.io", "clientConfig": {"caBundle": bundle}},
        ],
    });
    assert_eq!(writes[0].body, want);
}

#[tokio::test]
async fn a_deleted_configuration_stays_deleted() {
    let fake = Fake::start().await;
    keeper(&fake).publish("the CA").await.unwrap();
    assert!(fake.writes().is_empty());
}

#[tokio::test]
async fn changes_of_others_are_taken_up_and_damage_is_repaired() {
    let fake = Fake::start().await;
    fake.put(SECRET, empty_secret());
    fake.put(CONFIGURATION, configuration());
    let (present, mut presented) = mpsc::unbounded_channel();
    let keeping = tokio::spawn(keeper(&fake).run(move |pair| {
        present.send(pair.clone()).unwrap();
        Ok(())
    }));
    let first = presented.recv().await.unwrap();
    let bundle_of = |fake: &Fake| {
        let found = fake.object(CONFIGURATION);
        found["webhooks"][0]["clientConfig"]["caBundle"].clone()
    };
    let stored = fake.object(SECRET);
    until(|| bundle_of(&fake) == stored["data"]["ca.crt"]).await;
    let watches = |fake: &Fake| {
        fake.asked()
            .iter()
            .filter(|a| a.query.contains("watch=true"))
            .count()
    };
    until(|| watches(&fake) == 2).await;

    // Somebody empties caBundle.
    fake.put(CONFIGURATION, configuration());
    until(|| bundle_of(&fake) == stored["data"]["ca.crt"]).await;

    // Somebody empties the Secret: what is presented goes back, no new CA.
    fake.put(SECRET, empty_secret());
    until(|| fake.object(SECRET)["data"] == stored["data"]).await;

    // Another replica has renewed.
    let next = issue(&settings().names(), SystemTime::now()).unwrap();
    fake.put(SECRET, holding(&next));
    let second = presented.recv().await.unwrap();
    assert_ne!(second, first);
    assert_eq!(second, next.leaf);
    until(|| bundle_of(&fake) == holding(&next)["data"]["ca.crt"]).await;
    keeping.abort();
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}
