//! How registries are reached: TLS and its CAs, plain HTTP, mirrors, redirects, addresses that are blocked, and
//! registries that do not answer.

use url::Url;

use super::*;
use crate::support::certificates::TestCa;
use crate::support::registry::Answer;
use crate::support::site::{INDEX, Site, index_of};

const LINUX: &str = r#"{"os":"linux","architecture":"amd64"}"#;

fn site() -> Site {
    Site::new().image("app", "1", LINUX)
}

fn host_settings(settings: &mut RegistrySettings, host: String, value: HostSettings) {
    settings.hosts.insert(host, value);
}

#[tokio::test]
async fn a_private_ca_is_trusted_where_it_is_given_and_nowhere_else() {
    let (ca, site) = (TestCa::new(), site());
    let server = FakeRegistry::start_tls(&ca.server, move |request| site.answer(request)).await;
    let mut of_all = RegistrySettings::new(EgressPolicy::Cli);
    of_all.roots = vec![ca.der.clone()];
    let mut of_host = RegistrySettings::new(EgressPolicy::Cli);
    let host = HostSettings {
        connection: Connection {
            ca_pem: Some(ca.pem.clone().into_bytes()),
            ..Connection::default()
        },
        ..HostSettings::default()
    };
    host_settings(&mut of_host, server.host(), host.clone());
    let mut of_another = RegistrySettings::new(EgressPolicy::Cli);
    host_settings(&mut of_another, "reg.example".to_owned(), host);
    for (settings, want) in [
        (of_all, Ok(())),
        (of_host, Ok(())),
        (of_another, Err(LookupFailure::Tls)),
        (
            RegistrySettings::new(EgressPolicy::Cli),
            Err(LookupFailure::Tls),
        ),
    ] {
        let registry = Registry::new(settings).unwrap();
        let outcome = fetch_anonymously(&registry, &server, "app:1").await;
        assert_eq!(outcome.map(|_| ()), want);
    }
}

#[tokio::test]
async fn plain_http_is_for_named_hosts_and_the_users_own_loopback() {
    let named = |server: &FakeRegistry, policy| {
        let mut settings = settings_for(&[server]);
        settings.egress = policy;
        settings
    };
    let cluster = || EgressPolicy::Cluster { denied: Vec::new() };
    let site = site();
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    for (settings, want) in [
        (named(&server, EgressPolicy::Cli), Ok(())),
        (named(&server, cluster()), Ok(())),
        (RegistrySettings::new(EgressPolicy::Cli), Ok(())),
        (
            RegistrySettings::new(cluster()),
            Err(LookupFailure::Blocked),
        ),
    ] {
        server.forget();
        let registry = Registry::new(settings).unwrap();
        let outcome = fetch_anonymously(&registry, &server, "app:1").await;
        assert_eq!(outcome.map(|_| ()), want);
        assert_eq!(server.received().is_empty(), want.is_err());
    }
}

#[tokio::test]
async fn blocked_addresses_are_not_connected_to() {
    crate::support::certificates::install_provider();
    let denied = vec!["10.96.0.0/12".parse().unwrap()];
    let settings = RegistrySettings::new(EgressPolicy::Cluster { denied });
    let registry = Registry::new(settings).unwrap();
    for name in [
        "169.254.169.254/x",
        "127.0.0.1:5000/x",
        "localhost/x",
        "localhost:5000/x",
        "[::1]:5000/x",
        "[::ffff:a9fe:a9fe]/x",
        "10.96.0.1/x",
        "10.96.0.1:6443/x",
        "0x7f.1/x",
    ] {
        let reference = Reference::parse(name).unwrap();
        let outcome = registry
            .fetch_image(&reference, &Keychain::anonymous(), deadline())
            .await;
        assert_eq!(outcome, Err(LookupFailure::Blocked), "{name}");
    }
}

#[tokio::test]
async fn mirrors_are_asked_in_order_and_then_the_registry() {
    let (full, upstream_site) = (site(), Site::new().image("new", "1", LINUX));
    let empty = FakeRegistry::start(|_| Answer::new(404)).await;
    let mirror = FakeRegistry::start(move |request| {
        let mut inner = request.clone();
        inner.path = request.path.replacen("/hub/", "/", 1);
        full.answer(&inner)
    })
    .await;
    let upstream = FakeRegistry::start(move |request| upstream_site.answer(request)).await;
    let mut settings = settings_for(&[&upstream]);
    let host = settings.hosts.get_mut(&upstream.host()).unwrap();
    host.mirrors = vec![
        Url::parse(&empty.url()).unwrap().into(),
        Url::parse(&format!("{}/hub/", mirror.url()))
            .unwrap()
            .into(),
    ];
    let registry = Registry::new(settings).unwrap();
    fetch_anonymously(&registry, &upstream, "app:1")
        .await
        .unwrap();
    let namespace = format!("ns={}", upstream.host().replace(':', "%3A"));
    for (server, path) in [
        (&empty, "/v2/app/manifests/1"),
        (&mirror, "/hub/v2/app/manifests/1"),
    ] {
        let first = server.received().remove(0);
        assert_eq!((first.path.as_str(), &first.query), (path, &namespace));
    }
    assert_eq!(upstream.received(), []);
    fetch_anonymously(&registry, &upstream, "new:1")
        .await
        .unwrap();
    assert_eq!(upstream.received()[0].query, "");
    let outcome = fetch_anonymously(&registry, &upstream, "none:1").await;
    assert_eq!(outcome, Err(LookupFailure::NotFound));
}

#[tokio::test]
async fn a_mirror_serves_docker_hubs_images() {
    let site = Site::of_fixtures();
    let mirror = FakeRegistry::start(move |request| site.answer(request)).await;
    let mut settings = RegistrySettings::new(EgressPolicy::Cluster { denied: Vec::new() });
    let host = HostSettings {
        mirrors: vec![Url::parse(&mirror.url()).unwrap().into()],
        ..HostSettings::default()
    };
    host_settings(&mut settings, "docker.io".to_owned(), host);
    let registry = Registry::new(settings).unwrap();
    let reference = Reference::parse("centos:7").unwrap();
    let anonymous = Keychain::anonymous();
    registry
        .fetch_image(&reference, &anonymous, deadline())
        .await
        .unwrap();
    assert_eq!(mirror.lines(), ["GET /v2/library/centos/manifests/7"]);
    assert_eq!(mirror.received()[0].query, "ns=docker.io");
}

#[tokio::test]
async fn a_mirror_serves_while_its_registry_is_dead() {
    let site = site();
    let mirror = FakeRegistry::start(move |request| site.answer(request)).await;
    let dead = FakeRegistry::start(|_| Answer::new(200)).await;
    let mut settings = settings_for(&[&dead]);
    let host = settings.hosts.get_mut(&dead.host()).unwrap();
    host.mirrors = vec![Url::parse(&mirror.url()).unwrap().into()];
    let registry = Registry::new(settings).unwrap();
    let name = format!("{}/app:1", dead.host());
    drop(dead);
    let reference = Reference::parse(&name).unwrap();
    let anonymous = Keychain::anonymous();
    registry
        .fetch_image(&reference, &anonymous, deadline())
        .await
        .unwrap();
}

#[tokio::test]
async fn credentials_go_to_the_host_that_they_are_for() {
    let wanting = |site: Site| {
        FakeRegistry::start(move |request| match request.authorization {
            Some(_) => site.answer(request),
            None => Answer::challenge(&["Basic realm=x"]),
        })
    };
    let (mirror, upstream) = (wanting(site()).await, wanting(site()).await);
    let mut settings = settings_for(&[&upstream]);
    let host = settings.hosts.get_mut(&upstream.host()).unwrap();
    host.mirrors = vec![Url::parse(&mirror.url()).unwrap().into()];
    let registry = Registry::new(settings).unwrap();
    let (of_upstream, of_mirror) = (
        keychain(&[(&upstream.host(), "u")]),
        keychain(&[(&mirror.host(), "m")]),
    );
    fetch(&registry, &upstream, "app:1", &of_upstream)
        .await
        .unwrap();
    assert_eq!(mirror.authorizations(), [""; 0]);
    fetch(&registry, &upstream, "app:1", &of_mirror)
        .await
        .unwrap();
    assert_eq!(mirror.authorizations()[0], basic("m"));
    assert!(
        upstream
            .authorizations()
            .iter()
            .all(|sent| *sent == basic("u"))
    );
}

#[tokio::test]
async fn redirects_are_followed_without_credentials_to_another_host() {
    let content = site();
    let cdn = FakeRegistry::start(move |request| content.answer(request)).await;
    let (target, content) = (cdn.url(), site());
    let server = FakeRegistry::start(move |request| match &request.authorization {
        None => Answer::challenge(&["Basic realm=x"]),
        Some(_) if request.path.contains("/blobs/") => {
            Answer::redirect(&format!("{target}{}", request.path))
        }
        Some(_) if request.query.is_empty() => Answer::redirect(&format!("{}?again", request.path)),
        Some(_) => content.answer(request),
    })
    .await;
    let registry = registry_for(&[&server, &cdn]);
    let keychain = keychain(&[(&server.host(), "user")]);
    fetch(&registry, &server, "app:1", &keychain).await.unwrap();
    assert_eq!(cdn.lines().len(), 1);
    assert_eq!(cdn.authorizations(), [""; 0]);
}

#[tokio::test]
async fn redirects_that_lead_nowhere_good_are_not_followed() {
    let (ca, canary) = (
        TestCa::new(),
        FakeRegistry::start(|_| Answer::new(200)).await,
    );
    for (location, want) in [
        (
            "https://169.254.169.254/latest".to_owned(),
            LookupFailure::Blocked,
        ),
        ("http://10.0.0.1/".to_owned(), LookupFailure::Blocked),
        ("file:///etc/passwd".to_owned(), LookupFailure::Blocked),
        (canary.url(), LookupFailure::Blocked),
        ("/loop".to_owned(), LookupFailure::Blocked),
        ("https://[".to_owned(), LookupFailure::Malformed),
    ] {
        let to = location.clone();
        let server = FakeRegistry::start_tls(&ca.server, move |_| Answer::redirect(&to)).await;
        let mut settings = settings_for(&[&canary]);
        settings.roots = vec![ca.der.clone()];
        let registry = Registry::new(settings).unwrap();
        let outcome = fetch_anonymously(&registry, &server, "app:1").await;
        assert_eq!(outcome, Err(want), "{location}");
        assert!(server.lines().len() <= 4, "{location}");
    }
    assert_eq!(canary.received(), []);
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_named_for_it() {
    let stalled = FakeRegistry::start(|_| {
        Answer::new(200)
            .header("content-type", INDEX)
            .stalled_body()
    })
    .await;
    let mut settings = settings_for(&[&stalled]);
    settings.pull_timeout = Duration::from_millis(100);
    let registry = Registry::new(settings).unwrap();
    let outcome = fetch_anonymously(&registry, &stalled, "app:1").await;
    assert_eq!(outcome, Err(LookupFailure::Timeout));

    // A port that was free a moment ago refuses connections.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = format!("{}/app:1", listener.local_addr().unwrap());
    drop(listener);
    for name in [refused.as_str(), "no-such-host.invalid/app:1"] {
        let reference = Reference::parse(name).unwrap();
        let outcome = registry
            .fetch_image(&reference, &Keychain::anonymous(), deadline())
            .await;
        assert_eq!(outcome, Err(LookupFailure::Unreachable), "{name}");
    }
}

#[tokio::test]
async fn a_truncated_answer_is_no_image() {
    let index = index_of(&[]);
    let length = (index.len() + 10).to_string();
    let answer = Answer::new(200)
        .header("content-length", length.as_str())
        .body(index);
    let server = FakeRegistry::start(move |_| answer.clone()).await;
    let outcome = fetch_anonymously(&registry_for(&[&server]), &server, "app:1").await;
    assert_eq!(outcome, Err(LookupFailure::Unreachable));
}
