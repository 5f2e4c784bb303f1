//! The operator's own credentials: their place among a pod's, and what tenants learn by them of images that nobody may
//! read (OPERATIONS T3).

use std::path::Path;

use platform_gate::domain::rules::Rules;
use platform_gate::gate::Gate;
use platform_gate::metrics::Metrics;
use platform_gate::registry::CredentialProviders;
use serde_json::{Value, json};

use super::*;
use crate::support::registry::Answer;
use crate::support::site::Site;

const LINUX: &str = r#"{"os":"linux","architecture":"amd64"}"#;
const V1: &str = "credentialprovider.kubelet.k8s.io/v1";

fn site() -> Site {
    Site::new().image("team/app", "1", LINUX)
}

/// Lets in one user by Basic.
async fn private(user: &'static str) -> FakeRegistry {
    let site = site();
    FakeRegistry::start(move |request| match &request.authorization {
        Some(sent) if *sent == basic(user) => site.answer(request),
        _ => Answer::challenge(&["Basic realm=x"]),
    })
    .await
}

fn with_default(server: &FakeRegistry, logins: &[(&str, &str)]) -> RegistrySettings {
    let mut settings = settings_for(&[server]);
    settings.credentials.default = keychain(logins);
    settings
}

#[tokio::test]
async fn a_pods_credentials_come_before_the_operators_whatever_their_paths() {
    let server = private("operator").await;
    let host = server.host();
    let settings = with_default(&server, &[(&format!("{host}/team/app"), "operator")]);
    let registry = Registry::new(settings).unwrap();
    let of_pod = keychain(&[(&host, "tenant")]);
    fetch(&registry, &server, "team/app:1", &of_pod)
        .await
        .unwrap();
    let mut sent = server.authorizations();
    sent.truncate(2);
    assert_eq!(sent, [basic("tenant"), basic("operator")]);
    // Nobody's own: the operator's alone.
    server.forget();
    fetch_anonymously(&registry, &server, "team/app:1")
        .await
        .unwrap();
    assert!(
        server
            .authorizations()
            .iter()
            .all(|a| *a == basic("operator"))
    );
}

#[tokio::test]
async fn the_operators_credentials_go_to_their_registry_alone() {
    let (server, other) = (private("operator").await, private("operator").await);
    let mut settings = with_default(&server, &[(&server.host(), "operator")]);
    settings.hosts.extend(settings_for(&[&other]).hosts);
    let registry = Registry::new(settings).unwrap();
    let outcome = fetch_anonymously(&registry, &other, "team/app:1").await;
    assert_eq!(outcome, Err(LookupFailure::Unauthorized));
    assert_eq!(other.authorizations(), [""; 0]);
}

/// A folder with a provider for all loopback registries, whose answer is this text.
fn provider(folder: &Path, answer: &str) -> CredentialProviders {
    let script = folder.join("cloud.sh");
    let log = folder.join("log");
    std::fs::write(&script, format!("cat >> '{}'\n{answer}", log.display())).unwrap();
    let _ = std::os::unix::fs::symlink("/bin/sh", folder.join("cloud"));
    let config = format!(
        "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n\
         - {{name: cloud, matchImages: ['127.0.0.1'], defaultCacheDuration: 1h, apiVersion: {V1}, args: ['{}']}}\n",
        script.display()
    );
    let path = folder.join("config.yaml");
    std::fs::write(&path, config).unwrap();
    let (providers, mistakes) = CredentialProviders::load(&path, folder);
    assert_eq!(mistakes, [""; 0]);
    providers
}

fn giving(user: &str, host: &str) -> String {
    format!(
        r#"echo '{{"kind":"CredentialProviderResponse","apiVersion":"{V1}","cacheKeyType":"Registry","auth":{{"{host}":{{"username":"{user}","password":"secret"}}}}}}'"#
    )
}

#[tokio::test]
async fn a_provider_is_asked_once_and_its_answer_outlives_other_settings() {
    let server = private("cloud").await;
    let folder = tempfile::tempdir().unwrap();
    let providers = provider(folder.path(), &giving("cloud", &server.host()));
    let mut settings = settings_for(&[&server]);
    settings.credentials.providers = Some(providers);
    let registry = Registry::new(settings.clone()).unwrap();
    let runs = || {
        let log = std::fs::read_to_string(folder.path().join("log"));
        log.unwrap_or_default().matches("\"image\"").count()
    };
    // Its pattern has no port, so it is not asked for this registry.
    let outcome = fetch_anonymously(&registry, &server, "team/app:1").await;
    assert_eq!((outcome, runs()), (Err(LookupFailure::Unauthorized), 0));

    let text = std::fs::read_to_string(folder.path().join("config.yaml")).unwrap();
    let text = text.replace("'127.0.0.1'", &format!("'{}'", server.host()));
    std::fs::write(folder.path().join("config.yaml"), text).unwrap();
    let load = || CredentialProviders::load(&folder.path().join("config.yaml"), folder.path()).0;
    for _ in 0..2 {
        settings.credentials.providers = Some(load());
        registry.reconfigure(settings.clone()).await.unwrap();
        fetch_anonymously(&registry, &server, "team/app:1")
            .await
            .unwrap();
        assert_eq!(runs(), 1);
    }
}

/// A gate with a Linux node, whose client has an operator's credential for the server.
fn gate(server: &FakeRegistry, hides_refusals: bool) -> Gate {
    let mut settings = with_default(server, &[(&server.host(), "operator")]);
    settings.hides_refusals = hides_refusals;
    let gate = Gate::new(Rules::default(), Registry::new(settings).unwrap(), None);
    let node = json!({
        "metadata": {"name": "node"},
        "status": {"nodeInfo": {"operatingSystem": "linux", "architecture": "amd64", "kernelVersion": "6.8.0",
            "containerRuntimeVersion": "containerd://2.2.0"}},
    });
    gate.update(|inventory| inventory.apply(serde_json::from_value(node).unwrap()));
    gate
}

async fn review(gate: &Gate, image: &str) -> String {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": "tenant", "name": "",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "userInfo": {},
            "object": {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": image}]}},
        },
    });
    let body = review.to_string();
    let metrics = Metrics::default();
    let answer = gate.review(body.as_bytes(), deadline(), &metrics).await;
    String::from_utf8(answer.unwrap()).unwrap()
}

#[tokio::test]
async fn tenants_do_not_learn_whether_an_image_exists_that_nobody_may_read() {
    use std::sync::atomic::{AtomicU16, Ordering};
    let status = Arc::new(AtomicU16::new(404));
    let of_server = Arc::clone(&status);
    let server = FakeRegistry::start(move |request| match &request.authorization {
        Some(_) => Answer::new(of_server.load(Ordering::Relaxed)),
        None => Answer::challenge(&["Basic realm=x"]),
    })
    .await;
    let image = format!("{}/secret/project:1", server.host());
    for (hides, kinds) in [(true, 1), (false, 3)] {
        let mut replies = std::collections::BTreeSet::new();
        let mut asked = std::collections::BTreeSet::new();
        for refusal in [404, 403, 401] {
            status.store(refusal, Ordering::Relaxed);
            server.forget();
            let gate = gate(&server, hides);
            let mut reply = review(&gate, &image).await;
            // Known for as long, too.
            for _ in 0..4 {
                pass(Duration::from_secs(4)).await;
                reply += &review(&gate, &image).await;
            }
            replies.insert(reply);
            asked.insert(server.lines());
        }
        assert_eq!(replies.len(), kinds, "{replies:#?}");
        assert_eq!(asked.len() == 1, hides, "{asked:#?}");
        let one = replies.first().unwrap();
        for reply in serde_json::Deserializer::from_str(one).into_iter::<Value>() {
            assert_eq!(reply.unwrap()["response"]["allowed"], true);
        }
    }
}

#[tokio::test]
async fn where_no_credential_of_the_operators_is_for_an_image_reasons_are_told() {
    let server = FakeRegistry::start(|_| Answer::new(404)).await;
    let mut settings = with_default(&server, &[("elsewhere.example", "operator")]);
    settings.hides_refusals = true;
    let registry = Registry::new(settings).unwrap();
    let outcome = fetch_anonymously(&registry, &server, "app:1").await;
    assert_eq!(outcome, Err(LookupFailure::NotFound));
}
