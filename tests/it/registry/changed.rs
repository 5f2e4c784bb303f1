//! Settings that change while the client is in use: what follows them at once, and what stays.

use super::*;
use crate::support::certificates::TestCa;
use crate::support::site::Site;

const LINUX: &str = r#"{"os":"linux","architecture":"amd64"}"#;

fn site() -> Site {
    Site::new().image("app", "1", LINUX)
}

#[tokio::test]
async fn a_ca_that_is_added_is_trusted_at_once() {
    let (ca, site) = (TestCa::new(), site());
    let server = FakeRegistry::start_tls(&ca.server, move |request| site.answer(request)).await;
    let mut settings = RegistrySettings::new(EgressPolicy::Cli);
    let named = settings.hosts.entry(server.host()).or_default();
    named.connection.skip_verify = false;
    let registry = Registry::new(settings.clone()).unwrap();
    let outcome = fetch_anonymously(&registry, &server, "app:1").await;
    assert_eq!(outcome, Err(LookupFailure::Tls));

    let host = settings.hosts.get_mut(&server.host()).unwrap();
    host.connection.ca_pem = Some(ca.pem.clone().into());
    registry.reconfigure(settings).await.unwrap();
    fetch_anonymously(&registry, &server, "app:1")
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_known_stays_and_who_is_asked_changes() {
    let [old, new] = [site(), site()];
    let old = FakeRegistry::start(move |request| old.answer(request)).await;
    let new = FakeRegistry::start(move |request| new.answer(request)).await;
    let with_mirror = |mirror: &FakeRegistry| {
        let mut settings = settings_for(&[mirror]);
        let url: url::Url = mirror.url().parse().unwrap();
        let host = settings.hosts.entry("docker.io".to_owned()).or_default();
        host.mirrors.push(url.into());
        host.mirrors_only = true;
        settings
    };
    let registry = Registry::new(with_mirror(&old)).unwrap();
    let find = async |name: &str| {
        let (reference, anonymous) = (Reference::parse(name).unwrap(), Keychain::anonymous());
        let found = registry.fetch_image(&reference, &anonymous, deadline());
        found.await
    };
    find("docker.io/app:1").await.unwrap_err();
    old.forget();
    fetch_anonymously(&registry, &old, "app:1").await.unwrap();
    registry.reconfigure(with_mirror(&new)).await.unwrap();

    fetch_anonymously(&registry, &old, "app:1").await.unwrap();
    assert_eq!(old.lines().len(), 2, "a manifest and its config, once");
    // Not found is forgotten, and asked for at the new place.
    find("docker.io/app:1").await.unwrap_err();
    assert_eq!(old.lines().len(), 2);
    assert_eq!(new.lines(), ["GET /v2/library/app/manifests/1"]);
}

#[tokio::test]
async fn settings_that_cannot_work_change_nothing() {
    let site = site();
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let registry = registry_for(&[&server]);
    let mut broken = RegistrySettings::new(EgressPolicy::Cli);
    let host = broken.hosts.entry("r.example".to_owned()).or_default();
    host.connection.ca_pem = Some(b"no PEM".to_vec());
    let error = registry.reconfigure(broken).await.unwrap_err();
    assert!(error.to_string().contains("\"r.example\""), "{error}");
    fetch_anonymously(&registry, &server, "app:1")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_registry_that_becomes_blocked_is_blocked_for_known_images_too() {
    let site = site();
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let mut settings = settings_for(&[&server]);
    let registry = Registry::new(settings.clone()).unwrap();
    fetch_anonymously(&registry, &server, "app:1")
        .await
        .unwrap();
    settings.hosts.get_mut(&server.host()).unwrap().blocked = true;
    registry.reconfigure(settings).await.unwrap();
    let outcome = fetch_anonymously(&registry, &server, "app:1").await;
    assert_eq!(outcome, Err(LookupFailure::Blocked));
}

#[tokio::test]
async fn the_clusters_own_networks_stay_blocked() {
    let cluster = || RegistrySettings::new(EgressPolicy::Cluster { denied: Vec::new() });
    crate::support::certificates::install_provider();
    let registry = Registry::new(cluster()).unwrap();
    registry.deny_networks(vec!["192.0.2.0/24".parse().unwrap()]);
    registry.reconfigure(cluster()).await.unwrap();
    let reference = Reference::parse("192.0.2.1/app:1").unwrap();
    let anonymous = Keychain::anonymous();
    let outcome = registry.fetch_image(&reference, &anonymous, deadline());
    assert_eq!(outcome.await, Err(LookupFailure::Blocked));
}
