//! Registries that are slow, broken or hostile in ways of their own, and what every request of the client is like.

use std::collections::BTreeSet;

use platform_gate::domain::image::{EntryContent, ImageContent, ImageIndex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Barrier;

use super::*;
use crate::support::certificates::TestCa;
use crate::support::registry::Answer;
use crate::support::site::{INDEX, MANIFEST, Site, descriptor, digest_of, index_of, manifest_of};

const LINUX: &str = r#"{"os":"linux","architecture":"amd64"}"#;

fn site() -> Site {
    Site::new().image("app", "1", LINUX)
}

#[tokio::test]
async fn images_are_looked_up_at_the_same_time() {
    const IMAGES: usize = 10;
    let tags: Vec<String> = (0..IMAGES).map(|i| i.to_string()).collect();
    let site = (tags.iter()).fold(Site::new(), |site, tag| {
        site.manifest(
            "app",
            tag,
            INDEX,
            index_of(&[descriptor(MANIFEST, tag, Some("linux/amd64"))]),
        )
    });
    // No answer is given before all are asked for: one after the other would wait for ever.
    let company = Arc::new(Barrier::new(IMAGES));
    let server = FakeRegistry::start(move |request| site.answer(request).together(&company)).await;
    let registry = registry_for(&[&server]);
    let look_ups = tags.iter().map(|tag| {
        let (registry, server) = (registry.clone(), &server);
        async move { fetch_anonymously(&registry, server, &format!("app:{tag}")).await }
    });
    for outcome in futures::future::join_all(look_ups).await {
        outcome.unwrap();
    }
}

#[tokio::test]
async fn a_registry_that_never_answers_holds_nobody_up_for_longer_than_a_pull() {
    let never = Arc::new(Barrier::new(99));
    let site = site();
    let server = FakeRegistry::start(move |request| match request.path.contains("/slow/") {
        true => Answer::new(200).together(&never),
        false => site.answer(request),
    })
    .await;
    let mut settings = settings_for(&[&server]);
    settings.pull_timeout = Duration::from_millis(200);
    (settings.max_lookups, settings.max_lookups_per_host) = (1, 1);
    let registry = Registry::new(settings).unwrap();
    for i in 0..2 {
        let outcome = fetch_anonymously(&registry, &server, &format!("slow/app:{i}")).await;
        assert_eq!(outcome, Err(LookupFailure::Timeout));
    }
    // The only slot is free again.
    fetch_anonymously(&registry, &server, "app:1")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_connection_that_breaks_in_a_body_leaves_nothing_in_the_cache() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap();
    let (index, digest) = (index_of(&[]), digest_of(index_of(&[]).as_bytes()));
    let body = index.clone();
    let served = tokio::spawn(async move {
        for is_whole in [false, false, true] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let (length, end) = (
                body.len(),
                if is_whole { body.len() } else { body.len() / 2 },
            );
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {INDEX}\r\ndocker-content-digest: {digest}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&body.as_bytes()[..end]).await.unwrap();
            stream.flush().await.unwrap();
            if !is_whole {
                stream.set_zero_linger().unwrap();
            }
        }
    });
    crate::support::certificates::install_provider();
    let mut settings = RegistrySettings::new(EgressPolicy::Cli);
    let plain = HostSettings {
        plain_http: true,
        ..HostSettings::default()
    };
    settings.hosts.insert(host.to_string(), plain);
    let registry = Registry::new(settings).unwrap();
    let reference = Reference::parse(&format!("{host}/app:1")).unwrap();
    let anonymous = Keychain::anonymous();
    for is_whole in [false, false, true] {
        let outcome = registry
            .fetch_image(&reference, &anonymous, deadline())
            .await;
        assert_eq!(outcome.is_ok(), is_whole, "{outcome:?}");
        // Longer than an outage is remembered.
        pass(Duration::from_secs(60)).await;
    }
    served.await.unwrap();
}

#[tokio::test]
async fn certificates_that_do_not_hold_are_told_from_other_failures() {
    let ca = TestCa::new();
    for (tls, want) in [
        (&ca.server, Ok(())),
        (&ca.expired_server, Err(LookupFailure::Tls)),
        (&ca.misnamed_server, Err(LookupFailure::Tls)),
    ] {
        let site = site();
        let server = FakeRegistry::start_tls(tls, move |request| site.answer(request)).await;
        let mut settings = RegistrySettings::new(EgressPolicy::Cluster { denied: Vec::new() });
        settings.roots = vec![ca.der.clone()];
        settings
            .hosts
            .insert(server.host(), HostSettings::default());
        let registry = Registry::new(settings).unwrap();
        let outcome = fetch_anonymously(&registry, &server, "app:1").await;
        assert_eq!(outcome.map(|_| ()), want);
    }
}

#[tokio::test]
async fn requests_carry_what_they_need_and_no_more() {
    let site = site();
    let server = FakeRegistry::start(move |request| match request.path.as_str() {
        "/token" => Answer::json(r#"{"token":"T"}"#),
        _ if request.authorization.is_some() => site.answer(request),
        _ => Answer::challenge(&[&format!(r#"Bearer realm="{}/token""#, request.base())]),
    })
    .await;
    let mut settings = settings_for(&[&server]);
    (settings.tag_ttl, settings.tag_stale) = (Duration::ZERO, Duration::ZERO);
    let registry = Registry::new(settings).unwrap();
    let keychain = keychain(&[(&server.host(), "user")]);
    for _ in 0..2 {
        fetch(&registry, &server, "app:1", &keychain).await.unwrap();
    }
    let received = server.received();
    let methods: BTreeSet<&str> = received.iter().map(|r| r.method.as_str()).collect();
    assert_eq!(methods, ["GET", "HEAD"].into());
    let names: BTreeSet<&str> = received
        .iter()
        .flat_map(|r| &r.headers)
        .map(String::as_str)
        .collect();
    assert_eq!(
        names,
        ["accept", "authorization", "host", "user-agent"].into()
    );
    for request in &received {
        let is_v2 = request.path.starts_with("/v2/app/");
        assert!(is_v2 || request.path == "/token", "{}", request.path);
    }
}

/// The digests that an index names, at any depth, its own configs included.
fn digests_in(index: &ImageIndex, digests: &mut BTreeSet<String>) {
    for entry in &index.manifests {
        digests.insert(entry.digest.to_string());
        if let EntryContent::Index(inner) = &entry.content {
            digests_in(inner, digests);
        }
    }
}

#[tokio::test]
async fn after_the_tag_everything_is_fetched_by_a_digest_that_the_verdict_rests_on() {
    let manifest = manifest_of(LINUX);
    let inner = index_of(&[
        descriptor(MANIFEST, "arm64", Some("linux/arm64")),
        descriptor(MANIFEST, &manifest, None),
    ]);
    let outer = index_of(&[
        descriptor(MANIFEST, "amd64", Some("linux/amd64")),
        descriptor(INDEX, &inner, None),
    ]);
    let old = Site::new()
        .manifest("app", "1", INDEX, outer.clone())
        .manifest("app", "inner", INDEX, inner)
        .image("app", "leaf", LINUX);
    // Whoever asks for the tag a second time gets another image.
    let (new, asked_before) = (site(), std::sync::atomic::AtomicBool::new(false));
    let server = FakeRegistry::start(move |request| {
        let is_tag = request.path == "/v2/app/manifests/1";
        if is_tag && asked_before.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return new.answer(request);
        }
        old.answer(request)
    })
    .await;
    let image = fetch_anonymously(&registry_for(&[&server]), &server, "app:1")
        .await
        .unwrap();
    assert_eq!(image.digest, digest_of(outer.as_bytes()));
    let ImageContent::Index(index) = &image.content else {
        panic!("{image:?}");
    };
    let mut known = BTreeSet::from([digest_of(LINUX.as_bytes()).to_string()]);
    digests_in(index, &mut known);
    let lines = server.lines();
    assert_eq!(lines[0], "GET /v2/app/manifests/1");
    assert_eq!(lines.len(), 4);
    for line in &lines[1..] {
        let digest = line.rsplit('/').next().unwrap();
        assert!(known.contains(digest), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_registry_said_is_told() {
    let server = FakeRegistry::start(|request| {
        let base = request.base();
        let kind = request.path.split('/').nth(2).unwrap_or_default();
        let said = |status| {
            Answer::new(status)
                .header("x-canary", "canary")
                .body("canary")
        };
        let error = r#"{"errors":[{"code":"CANARY","message":"canary","detail":"canary"}]}"#;
        match kind {
            "error" => Answer::json(error).with_status(403),
            "limited" => said(429).header("retry-after", "canary"),
            "broken" => said(500),
            "challenge" => Answer::challenge(&[r#"Bearer realm="canary",error="canary""#]),
            "realm" => Answer::challenge(&[r#"Bearer realm="https://canary.example/canary""#]),
            "token" => Answer::challenge(&[&format!(
                r#"Bearer realm="{base}/v2/broken",service="canary""#
            )]),
            "redirect" => Answer::redirect("https://canary.example:6443/canary"),
            "nowhere" => Answer::redirect("canary://"),
            "type" => Answer::new(200)
                .header("content-type", "canary/canary")
                .body("{}"),
            "digest" => Answer::new(200)
                .header("docker-content-digest", "canary:canary")
                .body("{}"),
            "index" => Answer::new(200)
                .header("content-type", INDEX)
                .body(r#"{"manifests":["canary"]}"#),
            _ => Answer::new(200)
                .header("content-type", MANIFEST)
                .body(r#"{"config":{"mediaType":"canary","digest":"canary"},"canary":1}"#),
        }
    })
    .await;
    let kinds = [
        "error",
        "limited",
        "broken",
        "challenge",
        "realm",
        "token",
        "redirect",
        "nowhere",
        "type",
        "digest",
        "index",
        "manifest",
    ];
    for kind in kinds {
        // One at a time, since a 429 or an outage speaks for all of a host.
        let image = format!("{}/{kind}:1", server.host());
        for format in ["text", "json"] {
            let arguments = ["inspect", "-o", format, "--platform", "linux/amd64", &image];
            let command = crate::support::program::platform_gate(&arguments);
            let mut command = tokio::process::Command::from(command);
            let output = command
                .env("RUST_LOG", "platform_gate=trace")
                .output()
                .await
                .unwrap();
            assert!(
                matches!(output.status.code(), Some(0 | 1 | 3)),
                "{kind}: {output:?}"
            );
            let told = [output.stdout, output.stderr].concat();
            let told = String::from_utf8(told).unwrap().to_lowercase();
            assert!(
                told.contains(kind) && !told.contains("canary"),
                "{kind}: {told}"
            );
        }
    }
}
