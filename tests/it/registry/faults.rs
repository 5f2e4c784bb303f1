//! The sixteen faults found in an existing client, each shown to be absent here.

use std::sync::atomic::{AtomicUsize, Ordering};

use platform_gate::domain::image::ImageContent;

use super::*;
use crate::support::registry::{Answer, Received};
use crate::support::site::{INDEX, Site, manifest_of};

const LINUX: &str = r#"{"os":"linux","architecture":"amd64"}"#;

fn site() -> Site {
    Site::new()
        .image("app", "1", LINUX)
        .image("other", "1", LINUX)
}

fn bearer(request: &Received) -> String {
    let host = "registry.test";
    format!(
        r#"Bearer realm="{}/token",service="{host}""#,
        request.base()
    )
}

/// A registry that wants a token, whose token endpoint answers by `token`.
async fn bearer_registry(token: impl Fn() -> Answer + Send + Sync + 'static) -> FakeRegistry {
    let site = site();
    FakeRegistry::start(move |request| match request.path.as_str() {
        "/token" => token(),
        _ if request.authorization.is_some() => site.answer(request),
        _ => Answer::challenge(&[&bearer(request)]),
    })
    .await
}

#[tokio::test]
async fn fault_01_a_tenants_password_serves_no_other_tenant() {
    let site = site();
    let server = FakeRegistry::start(move |request| match request.authorization {
        Some(_) => site.answer(request),
        None => Answer::challenge(&["Basic realm=x"]),
    })
    .await;
    let registry = registry_for(&[&server]);
    let host = server.host();
    for (name, user) in [
        ("app:1", "tenant-a"),
        ("app:1", "tenant-b"),
        ("other:1", "tenant-b"),
    ] {
        server.forget();
        fetch(&registry, &server, name, &keychain(&[(&host, user)]))
            .await
            .unwrap();
        let sent = server.authorizations();
        assert!(
            !sent.is_empty() && sent.iter().all(|header| *header == basic(user)),
            "{user}"
        );
    }
    for name in ["app:1", "other:1"] {
        server.forget();
        let outcome = fetch_anonymously(&registry, &server, name).await;
        assert_eq!(outcome, Err(LookupFailure::Unauthorized));
        assert_eq!(server.authorizations(), [""; 0]);
    }
}

#[tokio::test]
async fn fault_02_a_token_that_is_no_header_value_is_no_panic() {
    let server = bearer_registry(|| Answer::json(r#"{"token":"a\nb"}"#)).await;
    let outcome = fetch_anonymously(&registry_for(&[&server]), &server, "app:1").await;
    assert_eq!(outcome, Err(LookupFailure::Malformed));
}

#[tokio::test]
async fn fault_03_a_token_server_that_is_down_is_not_a_refusal() {
    let server = bearer_registry(|| Answer::new(503).header("retry-after", "1")).await;
    let outcome = fetch_anonymously(&registry_for(&[&server]), &server, "app:1").await;
    assert_eq!(outcome, Err(LookupFailure::Unreachable));
    assert_eq!(server.lines(), ["GET /v2/app/manifests/1", "GET /token"]);
}

#[tokio::test]
async fn fault_04_a_limited_head_request_is_followed_by_nothing() {
    let site = site();
    let server = FakeRegistry::start(move |request| match request.method.as_str() {
        "HEAD" => Answer::new(429).header("retry-after", "60"),
        _ => site.answer(request),
    })
    .await;
    let mut settings = settings_for(&[&server]);
    settings.tag_ttl = Duration::ZERO;
    settings.tag_stale = Duration::ZERO;
    let registry = Registry::new(settings).unwrap();
    let first = fetch_anonymously(&registry, &server, "app:1")
        .await
        .unwrap();
    server.forget();
    for _ in 0..3 {
        let again = fetch_anonymously(&registry, &server, "app:1")
            .await
            .unwrap();
        assert_eq!(again, first);
    }
    let other = fetch_anonymously(&registry, &server, "other:1").await;
    assert_eq!(other, Err(LookupFailure::RateLimited));
    assert_eq!(server.lines(), ["HEAD /v2/app/manifests/1"]);
}

#[tokio::test]
async fn fault_05_a_refused_token_is_dropped_and_replaced_once() {
    let (site, made) = (site(), Arc::new(AtomicUsize::new(0)));
    let valid = Arc::new(AtomicUsize::new(1));
    let now_valid = Arc::clone(&valid);
    let server = FakeRegistry::start(move |request| {
        let good = format!("Bearer T{}", valid.load(Ordering::Relaxed));
        match request.path.as_str() {
            "/token" => {
                let number = made.fetch_add(1, Ordering::Relaxed) + 1;
                Answer::json(format!(r#"{{"token":"T{number}","expires_in":300}}"#))
            }
            _ if request.authorization.as_deref() == Some(&good) => site.answer(request),
            _ => Answer::challenge(&[&bearer(request)]),
        }
    })
    .await;
    let mut settings = settings_for(&[&server]);
    settings.tag_ttl = Duration::ZERO;
    settings.tag_stale = Duration::ZERO;
    let registry = Registry::new(settings).unwrap();
    fetch_anonymously(&registry, &server, "app:1")
        .await
        .unwrap();
    now_valid.store(2, Ordering::Relaxed);
    server.forget();
    fetch_anonymously(&registry, &server, "app:1")
        .await
        .unwrap();
    let want = [
        "HEAD /v2/app/manifests/1",
        "GET /token",
        "HEAD /v2/app/manifests/1",
    ];
    assert_eq!(server.lines(), want);
    // A registry that never takes a token is asked a bounded number of times.
    now_valid.store(99, Ordering::Relaxed);
    server.forget();
    let outcome = fetch_anonymously(&registry, &server, "app:1").await;
    assert_eq!(outcome, Err(LookupFailure::Unauthorized));
    assert_eq!(server.lines().len(), 3);
}

#[tokio::test]
async fn fault_06_concurrent_pulls_share_one_token_and_ping_nobody() {
    let tags: Vec<String> = (0..20).map(|i| i.to_string()).collect();
    let site = tags
        .iter()
        .fold(Site::new(), |site, tag| site.image("app", tag, LINUX));
    let server = FakeRegistry::start(move |request| match request.path.as_str() {
        "/token" => Answer::json(r#"{"token":"T"}"#),
        _ if request.authorization.is_some() => site.answer(request),
        _ => Answer::challenge(&[&bearer(request)]),
    })
    .await;
    let registry = registry_for(&[&server]);
    let pulls = tags.iter().map(|tag| {
        let (registry, server) = (registry.clone(), &server);
        async move { fetch_anonymously(&registry, server, &format!("app:{tag}")).await }
    });
    for outcome in futures::future::join_all(pulls).await {
        outcome.unwrap();
    }
    let lines = server.lines();
    let count = |line: &str| lines.iter().filter(|l| *l == line).count();
    assert_eq!(count("GET /token"), 1);
    assert_eq!(count("GET /v2/"), 0);
    for tag in tags {
        assert!(count(&format!("GET /v2/app/manifests/{tag}")) <= 2, "{tag}");
    }
}

#[tokio::test]
async fn fault_07_the_second_challenge_header_is_read() {
    let site = site();
    let server = FakeRegistry::start(move |request| match request.path.as_str() {
        "/token" => Answer::json(r#"{"token":"T"}"#),
        _ if request.authorization.is_some() => site.answer(request),
        _ => Answer::challenge(&["Negotiate", &bearer(request)]),
    })
    .await;
    fetch_anonymously(&registry_for(&[&server]), &server, "app:1")
        .await
        .unwrap();
}

#[tokio::test]
async fn fault_08_a_realm_elsewhere_gets_no_password_and_no_request() {
    let canary = FakeRegistry::start(|_| Answer::json(r#"{"token":"T"}"#)).await;
    let elsewhere = canary.url().replace("127.0.0.1", "localhost");
    let server = FakeRegistry::start(move |_| {
        Answer::challenge(&[&format!(r#"Bearer realm="{elsewhere}/token""#)])
    })
    .await;
    let keychain = keychain(&[(&server.host(), "user")]);
    let outcome = fetch(&registry_for(&[&server]), &server, "app:1", &keychain).await;
    assert_eq!(outcome, Err(LookupFailure::Blocked));
    assert_eq!(canary.received(), []);
}

#[tokio::test]
async fn fault_09_an_empty_token_gives_way_to_the_access_token() {
    let server = bearer_registry(|| Answer::json(r#"{"token":"","access_token":"REAL"}"#)).await;
    fetch_anonymously(&registry_for(&[&server]), &server, "app:1")
        .await
        .unwrap();
    assert_eq!(server.authorizations()[0], "Bearer REAL");
}

#[tokio::test]
async fn fault_10_the_repositorys_own_challenge_counts() {
    let site = site();
    let server = FakeRegistry::start(move |request| match request.path.as_str() {
        "/v2/" => Answer::new(200),
        _ if request.authorization.is_some() => site.answer(request),
        _ => Answer::challenge(&["Basic realm=x"]),
    })
    .await;
    let keychain = keychain(&[(&server.host(), "user")]);
    fetch(&registry_for(&[&server]), &server, "app:1", &keychain)
        .await
        .unwrap();
    assert_eq!(server.authorizations()[0], basic("user"));
}

#[tokio::test]
async fn fault_11_an_index_with_the_fields_of_an_image_is_neither() {
    let image = manifest_of(LINUX);
    let both = image.replacen(
        r#""application/vnd.oci.image.manifest.v1+json""#,
        &format!(r#""{INDEX}","manifests":[]"#),
        1,
    );
    let site = Site::new()
        .manifest("app", "1", INDEX, both)
        .blob("app", LINUX);
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let outcome = fetch_anonymously(&registry_for(&[&server]), &server, "app:1").await;
    assert_eq!(outcome, Err(LookupFailure::Malformed));
}

#[tokio::test]
async fn fault_12_what_gos_decoder_takes_is_taken() {
    let hex = "a".repeat(64);
    let site = Site::new()
        .manifest("app", "null", INDEX, r#"{"manifests":null}"#)
        .manifest(
            "app",
            "sparse",
            INDEX,
            format!(r#"{{"manifests":[{{"digest":"sha256:{hex}","platform":{{"os":"linux"}}}}]}}"#),
        );
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let registry = registry_for(&[&server]);
    for (tag, entries) in [("null", 0), ("sparse", 1)] {
        let image = fetch_anonymously(&registry, &server, &format!("app:{tag}"))
            .await
            .unwrap();
        let ImageContent::Index(index) = &image.content else {
            panic!("{image:?}");
        };
        assert_eq!(index.manifests.len(), entries);
    }
}

#[tokio::test]
async fn fault_13_an_endless_manifest_is_cut_off() {
    let server = FakeRegistry::start(|_| Answer::new(200).long_body(300 << 20)).await;
    let outcome = fetch_anonymously(&registry_for(&[&server]), &server, "app:1").await;
    assert_eq!(outcome, Err(LookupFailure::TooLarge));
}

#[tokio::test]
async fn fault_14_an_unreadable_ca_is_an_error_at_once() {
    crate::support::certificates::install_provider();
    for pem in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    ] {
        let mut settings = RegistrySettings::new(EgressPolicy::Cli);
        let host = HostSettings {
            connection: Connection {
                ca_pem: Some(pem.into()),
                ..Connection::default()
            },
            ..HostSettings::default()
        };
        settings.hosts.insert("reg.example".to_owned(), host);
        let error = Registry::new(settings).err().unwrap().to_string();
        assert!(error.contains("reg.example"), "{error}");
    }
}

#[tokio::test]
async fn fault_15_no_ca_bundle_is_needed() {
    let site = site();
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let settings = settings_for(&[&server]);
    assert!(settings.roots.is_empty());
    let registry = Registry::new(settings).unwrap();
    fetch_anonymously(&registry, &server, "app:1")
        .await
        .unwrap();
}

#[tokio::test]
async fn fault_16_a_config_keeps_its_windows_version_and_variant() {
    let config =
        r#"{"os":"windows","architecture":"arm64","variant":"v8","os.version":"10.0.14393.2551"}"#;
    let site = Site::new().image("app", "1", config);
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let image = fetch_anonymously(&registry_for(&[&server]), &server, "app:1")
        .await
        .unwrap();
    let ImageContent::Manifest(platform) = &image.content else {
        panic!("{image:?}");
    };
    assert_eq!(platform.written.variant.as_deref(), Some("v8"));
    assert_eq!(
        platform.written.os_version.as_deref(),
        Some("10.0.14393.2551")
    );
}
