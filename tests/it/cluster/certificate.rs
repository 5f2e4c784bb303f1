//! The certificate, in each of its modes.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use platform_gate::certificate::{Issued, Pair, check_serves, issue};
use platform_gate::cluster::certificate::{KeepError, Keeper, Mode, Progress, Settings, State};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::fake::{CONFIGURATION, Fake, LEASE, SECRET};

fn settings() -> Settings {
    Settings {
        namespace: "shop".into(),
        secret: "gate-tls".into(),
        service: "gate".into(),
        webhook_configuration: "gate".into(),
        mutating_webhook_configuration: None,
        mode: Mode::SelfManaged {
            overlap: Duration::from_millis(500),
        },
        lease: "gate-tls".into(),
        identity: "gate-1".into(),
    }
}

fn keeper(fake: &Fake) -> Keeper {
    Keeper::new(&fake.client, settings())
}

async fn settle(fake: &Fake, now: SystemTime) -> Result<Issued, KeepError> {
    keeper(fake).settle(&mut Progress::default(), now).await
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
    let issued = settle(&fake, now).await.unwrap();
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
    assert_eq!(settle(&fake, now).await.unwrap(), issued);
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
    assert_eq!(settle(&fake, now).await.unwrap(), first);
    assert_eq!(fake.object(SECRET)["data"], holding(&first)["data"]);
}

#[tokio::test]
async fn replicas_that_start_at_once_end_with_one_ca() {
    let fake = Fake::start().await;
    fake.put(SECRET, empty_secret());
    let starts = (0..5).map(|_| {
        let fake = fake.clone();
        tokio::spawn(async move { settle(&fake, SystemTime::now()).await.unwrap() })
    });
    let settled = futures::future::join_all(starts).await;
    let stored = fake.object(SECRET);
    for issued in settled {
        assert_eq!(holding(&issued.unwrap())["data"], stored["data"]);
    }
}

#[tokio::test]
async fn a_secret_that_has_just_gone_is_not_made_anew_at_once() {
    let fake = Fake::start().await;
    let error = settle(&fake, SystemTime::now()).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains("shop/gate-tls"), "{error}");
    assert!(fake.writes().is_empty());
}

#[tokio::test]
async fn ca_bundle_is_applied_to_every_webhook_and_nothing_else_is() {
    let fake = Fake::start().await;
    fake.put(CONFIGURATION, configuration());
    publish(&fake, "the CA").await;
    publish(&fake, "the CA").await;
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

/// And says so, since nobody is asked any more.
#[tokio::test]
async fn a_deleted_configuration_stays_deleted() {
    let fake = Fake::start().await;
    fake.put(SECRET, empty_secret());
    fake.put(CONFIGURATION, configuration());
    let (told, mut states) = mpsc::unbounded_channel();
    let run = keeper(&fake).run(|_| Ok(()), move |state: State| told.send(state).unwrap());
    let keeping = tokio::spawn(run);
    while !states.recv().await.unwrap().configured {}
    until(|| watches(&fake) == 2).await;
    fake.delete(CONFIGURATION);
    while states.recv().await.unwrap().configured {}
    assert!(!fake.has(CONFIGURATION));
    keeping.abort();
}

#[tokio::test]
async fn changes_of_others_are_taken_up_and_damage_is_repaired() {
    let fake = Fake::start().await;
    fake.put(SECRET, empty_secret());
    fake.put(CONFIGURATION, configuration());
    let (keeping, mut presented) = keep(&fake, settings());
    let first = presented.recv().await.unwrap();
    let stored = fake.object(SECRET);
    until(|| bundle_of(&fake) == stored["data"]["ca.crt"]).await;
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

#[tokio::test]
async fn a_deleted_secret_comes_back_with_what_is_presented() {
    let fake = Fake::start().await;
    fake.put(SECRET, empty_secret());
    fake.put(CONFIGURATION, configuration());
    let (keeping, mut presented) = keep(&fake, settings());
    presented.recv().await.unwrap();
    let stored = fake.object(SECRET);
    until(|| watches(&fake) == 2).await;
    fake.delete(SECRET);
    until(|| fake.has(SECRET) && fake.object(SECRET)["data"] == stored["data"]).await;
    assert!(presented.try_recv().is_err(), "it went on presenting it");
    keeping.abort();
}

#[tokio::test]
async fn a_ca_that_is_asked_for_follows_the_old_one_without_a_gap() {
    let fake = Fake::start().await;
    let old = issue(&settings().names(), SystemTime::now()).unwrap();
    let mut secret = holding(&old);
    secret["metadata"]["annotations"] = json!({"platform-gate.io/renew": "ca"});
    fake.put(SECRET, secret);
    fake.put(CONFIGURATION, configuration());
    let (keeping, mut presented) = keep(&fake, settings());
    assert_eq!(presented.recv().await.unwrap(), old.leaf);
    let new = presented.recv().await.unwrap();
    // What was presented second is trusted before and after, and the old one until then.
    let names = settings().names();
    let accepts = |leaf, bundle: &str| check_serves(leaf, bundle, &names, SystemTime::now());
    let both = text_of(&bundle_of(&fake));
    accepts(&old.leaf, &both).unwrap();
    accepts(&new, &both).unwrap();
    until(|| accepts(&old.leaf, &text_of(&bundle_of(&fake))).is_err()).await;
    accepts(&new, &text_of(&bundle_of(&fake))).unwrap();
    let stored = fake.object(SECRET);
    assert!(stored["data"]["next-ca.key"].is_null());
    assert!(stored["metadata"]["annotations"]["platform-gate.io/renew"].is_null());
    assert!(presented.try_recv().is_err(), "two certificates, no more");
    keeping.abort();
}

#[tokio::test]
async fn one_of_five_writes_and_when_it_goes_another_does() {
    let fake = Fake::start().await;
    fake.put(SECRET, empty_secret());
    fake.put(CONFIGURATION, configuration());
    let mut replicas: Vec<_> = (0..5)
        .map(|number| {
            let identity = format!("gate-{number}");
            let (task, presented) = keep(
                &fake,
                Settings {
                    identity: identity.clone(),
                    ..settings()
                },
            );
            (identity, task, presented)
        })
        .collect();
    let mut leaves = Vec::new();
    for (_, _, presented) in &mut replicas {
        leaves.push(presented.recv().await.unwrap());
    }
    leaves.dedup();
    assert_eq!(leaves.len(), 1, "all present the same certificate");
    let holder = |fake: &Fake| {
        let lease = fake.object(LEASE);
        lease["spec"]["holderIdentity"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let first = holder(&fake);
    let stored = fake.object(SECRET);
    until(|| bundle_of(&fake) == stored["data"]["ca.crt"]).await;
    let at = replicas.iter().position(|(name, ..)| *name == first);
    let (_, task, _) = replicas.swap_remove(at.unwrap());
    task.abort();
    until(|| holder(&fake) != first).await;
    fake.put(CONFIGURATION, configuration());
    until(|| bundle_of(&fake) == stored["data"]["ca.crt"]).await;
    assert_eq!(fake.object(SECRET)["data"], stored["data"], "no new CA");
    replicas.iter().for_each(|(_, task, _)| task.abort());
}

/// As while a release goes from a certificate that others provide to one of its own: its old pods hold the Lease until the
/// new ones are ready.
#[tokio::test]
async fn who_does_not_hold_the_lease_fills_a_secret_that_is_left_empty() {
    let fake = Fake::start().await;
    fake.put(SECRET, empty_secret());
    fake.put(CONFIGURATION, configuration());
    let lease = json!({
        "metadata": {"name": "gate-tls", "namespace": "shop"},
        "spec": {"holderIdentity": "of-another-mode", "leaseDurationSeconds": 3600},
    });
    fake.put(LEASE, lease);
    let (keeping, mut presented) = keep(&fake, settings());
    let leaf = presented.recv().await.unwrap();
    let stored = fake.object(SECRET);
    assert_eq!(text_of(&stored["data"]["tls.crt"]), leaf.certificate);
    assert!(
        bundle_of(&fake).is_null(),
        "that is for the holder to write"
    );
    keeping.abort();
}

#[tokio::test]
async fn a_provided_pair_is_presented_and_its_ca_published_but_never_written() {
    let provided = Settings {
        mode: Mode::Provided { ca_bundle: None },
        ..settings()
    };
    let fake = Fake::start().await;
    let (one, two) = (issued(), issued());
    fake.put(SECRET, holding(&one));
    fake.put(CONFIGURATION, configuration());
    let (keeping, mut presented) = keep(&fake, provided);
    assert_eq!(presented.recv().await.unwrap(), one.leaf);
    until(|| bundle_of(&fake) == holding(&one)["data"]["ca.crt"]).await;
    until(|| watches(&fake) == 2).await;

    // A pair that does not go together is refused; the old one stays in use.
    let mut mixed = holding(&two);
    mixed["data"]["tls.key"] = holding(&one)["data"]["tls.key"].clone();
    fake.put(SECRET, mixed.clone());
    fake.put(SECRET, holding(&two));
    assert_eq!(presented.recv().await.unwrap(), two.leaf);
    until(|| bundle_of(&fake) == holding(&two)["data"]["ca.crt"]).await;
    assert!(fake.writes().iter().all(|write| write.path != SECRET));
    keeping.abort();
}

#[tokio::test]
async fn with_cert_manager_nothing_is_written_at_all() {
    let cert_manager = Settings {
        mode: Mode::CertManager,
        ..settings()
    };
    let fake = Fake::start().await;
    let one = issued();
    let mut secret = holding(&one);
    secret["data"].as_object_mut().unwrap().remove("ca.key");
    fake.put(SECRET, secret);
    fake.put(CONFIGURATION, configuration());
    let (keeping, mut presented) = keep(&fake, cert_manager);
    assert_eq!(presented.recv().await.unwrap(), one.leaf);
    let two = issued();
    until(|| watches(&fake) == 1).await;
    fake.put(SECRET, holding(&two));
    assert_eq!(presented.recv().await.unwrap(), two.leaf);
    assert!(fake.writes().is_empty());
    keeping.abort();
}

async fn publish(fake: &Fake, ca: &str) {
    assert!(keeper(fake).publish(ca, true).await.unwrap());
}

fn issued() -> Issued {
    issue(&settings().names(), SystemTime::now()).unwrap()
}

/// Runs a keeper, and gives what it presents.
fn keep(
    fake: &Fake,
    settings: Settings,
) -> (tokio::task::JoinHandle<()>, mpsc::UnboundedReceiver<Pair>) {
    let (present, presented) = mpsc::unbounded_channel();
    let keeper = Keeper::new(&fake.client, settings);
    let run = keeper.run(
        move |pair| {
            present.send(pair.clone()).unwrap();
            Ok(())
        },
        |_| {},
    );
    (tokio::spawn(run), presented)
}

fn bundle_of(fake: &Fake) -> Value {
    fake.object(CONFIGURATION)["webhooks"][0]["clientConfig"]["caBundle"].clone()
}

fn text_of(base64: &Value) -> String {
    String::from_utf8(STANDARD.decode(base64.as_str().unwrap()).unwrap()).unwrap()
}

fn watches(fake: &Fake) -> usize {
    let asked = fake.asked();
    asked
        .iter()
        .filter(|a| a.query.contains("watch=true"))
        .count()
}

async fn until(condition: impl Fn() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    while !condition() {
        looks.tick().await;
    }
}
