//! What a look-up costs a registry, and what is answered while it is down.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::support::registry::Answer;
use crate::support::site::{INDEX, Site, descriptor, digest_of, index_of};

/// An index of six platforms, told apart by a mark in a name that does not matter.
fn index(mark: &str) -> String {
    let platforms = [
        "linux/amd64",
        "linux/arm64",
        "linux/386",
        "linux/s390x",
        "linux/ppc64le",
        "windows/amd64",
    ];
    let entries: Vec<String> = platforms
        .iter()
        .map(|platform| {
            descriptor(
                "application/vnd.oci.image.manifest.v1+json",
                &format!("{mark}{platform}"),
                Some(platform),
            )
        })
        .collect();
    index_of(&entries)
}

fn site() -> Site {
    Site::new().manifest("app", "1", INDEX, index("a"))
}

fn without_ttl(server: &FakeRegistry) -> Registry {
    let mut settings = settings_for(&[server]);
    settings.tag_ttl = Duration::ZERO;
    settings.tag_stale = Duration::ZERO;
    Registry::new(settings).unwrap()
}

#[tokio::test]
async fn a_cold_tag_costs_one_get_then_one_head_and_a_known_digest_nothing() {
    let site = site();
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let registry = without_ttl(&server);
    let image = fetch_anonymously(&registry, &server, "app:1")
        .await
        .unwrap();
    assert_eq!(server.lines(), ["GET /v2/app/manifests/1"]);
    server.forget();
    fetch_anonymously(&registry, &server, "app:1")
        .await
        .unwrap();
    assert_eq!(server.lines(), ["HEAD /v2/app/manifests/1"]);
    server.forget();
    let by_digest = format!("app@{}", image.digest);
    assert_eq!(
        fetch_anonymously(&registry, &server, &by_digest)
            .await
            .unwrap(),
        image
    );
    assert_eq!(server.lines(), [""; 0]);
}

#[tokio::test]
async fn a_fresh_tag_costs_nothing() {
    let site = site();
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let registry = registry_for(&[&server]);
    for _ in 0..10 {
        fetch_anonymously(&registry, &server, "app:1")
            .await
            .unwrap();
    }
    assert_eq!(server.lines(), ["GET /v2/app/manifests/1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_concurrent_callers_cost_one_get() {
    let site = site();
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let registry = registry_for(&[&server]);
    let reference = Reference::parse(&format!("{}/app:1", server.host())).unwrap();
    let callers: Vec<_> = (0..1000)
        .map(|_| {
            let (registry, reference) = (registry.clone(), reference.clone());
            tokio::spawn(async move {
                registry
                    .fetch_image(&reference, &Keychain::anonymous(), deadline())
                    .await
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(server.lines(), ["GET /v2/app/manifests/1"]);
}

#[tokio::test]
async fn a_moved_tag_is_fetched_by_the_digest_that_head_named() {
    let (old, new) = (site(), Site::new().manifest("app", "1", INDEX, index("b")));
    let moved = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&moved);
    let server = FakeRegistry::start(move |request| match moved.load(Ordering::Relaxed) {
        0 => old.answer(request),
        _ => new.answer(request),
    })
    .await;
    let registry = without_ttl(&server);
    fetch_anonymously(&registry, &server, "app:1")
        .await
        .unwrap();
    now.store(1, Ordering::Relaxed);
    server.forget();
    let image = fetch_anonymously(&registry, &server, "app:1")
        .await
        .unwrap();
    let digest = digest_of(index("b").as_bytes());
    assert_eq!(image.digest, digest);
    let get = format!("GET /v2/app/manifests/{digest}");
    assert_eq!(server.lines(), ["HEAD /v2/app/manifests/1", &get]);
    // Back to an image that is known: no GET.
    now.store(0, Ordering::Relaxed);
    server.forget();
    let image = fetch_anonymously(&registry, &server, "app:1")
        .await
        .unwrap();
    assert_eq!(image.digest, digest_of(index("a").as_bytes()));
    assert_eq!(server.lines(), ["HEAD /v2/app/manifests/1"]);
}

#[tokio::test]
async fn what_is_known_outlives_an_outage_but_not_a_removal() {
    for (status, lasts) in [
        (500, true),
        (503, true),
        (429, true),
        (404, false),
        (403, false),
    ] {
        let (site, down) = (site(), Arc::new(AtomicUsize::new(0)));
        let now = Arc::clone(&down);
        let server = FakeRegistry::start(move |request| match down.load(Ordering::Relaxed) {
            0 => site.answer(request),
            _ => Answer::new(status),
        })
        .await;
        let registry = without_ttl(&server);
        let image = fetch_anonymously(&registry, &server, "app:1")
            .await
            .unwrap();
        now.store(1, Ordering::Relaxed);
        server.forget();
        for _ in 0..5 {
            let outcome = fetch_anonymously(&registry, &server, "app:1").await;
            assert_eq!(outcome.is_ok(), lasts, "{status}");
        }
        assert_eq!(server.lines(), ["HEAD /v2/app/manifests/1"], "{status}");
        let by_digest = format!("app@{}", image.digest);
        assert_eq!(
            fetch_anonymously(&registry, &server, &by_digest).await,
            Ok(image)
        );
    }
}

#[tokio::test]
async fn a_registry_without_head_is_asked_by_get() {
    for head in [Answer::new(405), Answer::new(200)] {
        let site = site();
        let server = FakeRegistry::start(move |request| match request.method.as_str() {
            "HEAD" => head.clone(),
            _ => site.answer(request),
        })
        .await;
        let registry = without_ttl(&server);
        fetch_anonymously(&registry, &server, "app:1")
            .await
            .unwrap();
        server.forget();
        fetch_anonymously(&registry, &server, "app:1")
            .await
            .unwrap();
        let want = ["HEAD /v2/app/manifests/1", "GET /v2/app/manifests/1"];
        assert_eq!(server.lines(), want);
    }
}

#[tokio::test]
async fn failures_are_kept_for_a_short_time() {
    let server = FakeRegistry::start(|_| Answer::new(404)).await;
    let registry = registry_for(&[&server]);
    for _ in 0..5 {
        let outcome = fetch_anonymously(&registry, &server, "app:1").await;
        assert_eq!(outcome, Err(LookupFailure::NotFound));
    }
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn at_the_deadline_the_look_up_goes_on_for_the_next_caller() {
    let site = site();
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let registry = registry_for(&[&server]);
    let reference = Reference::parse(&format!("{}/app:1", server.host())).unwrap();
    let anonymous = Keychain::anonymous();
    let outcome = registry
        .fetch_image(&reference, &anonymous, Instant::now())
        .await;
    assert_eq!(outcome, Err(LookupFailure::Timeout));
    registry
        .fetch_image(&reference, &anonymous, deadline())
        .await
        .unwrap();
    assert_eq!(server.lines(), ["GET /v2/app/manifests/1"]);
}

#[tokio::test]
async fn one_tenants_answer_is_not_anothers() {
    let site = site();
    let server = FakeRegistry::start(move |request| {
        if request.authorization == Some(basic("a")) {
            site.answer(request)
        } else {
            Answer::challenge(&["Basic realm=x"])
        }
    })
    .await;
    let registry = registry_for(&[&server]);
    let host = server.host();
    let image = fetch(&registry, &server, "app:1", &keychain(&[(&host, "a")]))
        .await
        .unwrap();
    for keychain in [Keychain::anonymous(), keychain(&[(&host, "b")])] {
        for name in ["app:1".to_owned(), format!("app@{}", image.digest)] {
            let outcome = fetch(&registry, &server, &name, &keychain).await;
            assert_eq!(outcome, Err(LookupFailure::Unauthorized), "{name}");
        }
    }
}

#[tokio::test]
async fn a_recent_tag_is_answered_at_once_while_the_registry_is_asked() {
    let (old, new) = (site(), Site::new().manifest("app", "1", INDEX, index("b")));
    let moved = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&moved);
    let server = FakeRegistry::start(move |request| match moved.load(Ordering::Relaxed) {
        0 => old.answer(request),
        1 => new.answer(request),
        _ => Answer::new(500),
    })
    .await;
    let registry = registry_for(&[&server]);
    let digest = async || {
        let image = fetch_anonymously(&registry, &server, "app:1").await;
        image.unwrap().digest.clone()
    };
    let [a, b] = ["a", "b"].map(|mark| digest_of(index(mark).as_bytes()));
    assert_eq!(digest().await, a);
    now.store(1, Ordering::Relaxed);
    server.forget();
    pass(Duration::from_secs(31)).await;
    for _ in 0..5 {
        assert_eq!(digest().await, a);
    }
    asked(&server, 2).await;
    let get = format!("GET /v2/app/manifests/{b}");
    assert_eq!(server.lines(), ["HEAD /v2/app/manifests/1", &get]);
    let seen = async {
        while digest().await != b {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen)
        .await
        .unwrap();
    // An answer of ten minutes ago is not given before the registry has been asked.
    now.store(0, Ordering::Relaxed);
    server.forget();
    pass(Duration::from_secs(601)).await;
    assert_eq!(digest().await, a);
    assert_eq!(server.lines(), ["HEAD /v2/app/manifests/1"]);
    // In an outage it is all there is, however old.
    now.store(2, Ordering::Relaxed);
    for _ in 0..3 {
        pass(Duration::from_secs(3600)).await;
        assert_eq!(digest().await, a);
    }
}
