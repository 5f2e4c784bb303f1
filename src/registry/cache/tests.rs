//! What is kept, for how long, and one flight for all who wait.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::domain::image::{Digest, IndexEntry};
use crate::registry::manifest::MAX_ENTRIES;

fn key(text: &str) -> Key {
    Key {
        reference: Reference::parse(text).unwrap(),
        identity: None,
    }
}

fn cache_of(bytes: u64, per_namespace: u64) -> Cache {
    let mut settings = RegistrySettings::new(crate::registry::EgressPolicy::Cli);
    settings.cache_bytes = bytes;
    settings.cache_bytes_per_namespace = per_namespace;
    Cache::new(&settings)
}

#[tokio::test]
async fn a_flight_is_shared_and_outlives_its_callers() {
    let cache = cache_of(1 << 20, 1 << 20);
    let (loads, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let join = || {
        let (loads, go) = (Arc::clone(&loads), Arc::clone(&go));
        cache.join(&key("a"), move || async move {
            loads.fetch_add(1, Ordering::Relaxed);
            go.notified().await;
            Err(LookupFailure::NotFound)
        })
    };
    let first = join();
    assert!(
        tokio::time::timeout(Duration::from_millis(1), first)
            .await
            .is_err()
    );
    let rest: Vec<_> = (0..100).map(|_| join()).collect();
    go.notify_one();
    for flight in rest {
        assert_eq!(flight.await, Err(LookupFailure::NotFound));
    }
    assert_eq!(loads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_panicking_flight_fails_alone_and_leaves_the_list() {
    let cache = cache_of(1 << 20, 1 << 20);
    let failing = cache.join(&key("a"), || async { panic!("a fault of our own") });
    assert_eq!(failing.await, Err(LookupFailure::Internal));
    let next = cache.join(&key("a"), || async { Err(LookupFailure::NotFound) });
    assert_eq!(next.await, Err(LookupFailure::NotFound));
    assert!(lock(&cache.flights).is_empty());
}

#[test]
fn credentials_tell_answers_apart() {
    let cache = cache_of(1 << 20, 1 << 20);
    let mut private = key("a");
    private.identity = Some([7; 32]);
    let failure = Err(LookupFailure::NotFound);
    cache.insert(
        private.clone(),
        Kept::fresh_for(failure, Duration::from_secs(60)),
        None,
    );
    assert!(cache.get(&key("a").asked()).is_none());
    assert!(
        cache
            .get(&private.asked())
            .is_some_and(|kept| kept.is_fresh())
    );
}

#[test]
fn what_is_kept_is_bounded_in_bytes() {
    let cache = cache_of(64 << 10, 64 << 10);
    for i in 0..10_000 {
        let failure = Err(LookupFailure::NotFound);
        cache.insert(
            key(&format!("a{i}")),
            Kept::fresh_for(failure, Duration::from_secs(60)),
            None,
        );
    }
    assert!(cache.bytes() <= 64 << 10);
}

/// Each part of the cache has a quarter of the room.
#[test]
fn the_longest_index_has_room() {
    let cache = Cache::new(&RegistrySettings::new(crate::registry::EgressPolicy::Cli));
    let entry = |at: usize| {
        let digest = Digest::parse(&format!("sha256:{at:064x}")).unwrap();
        let platform = Platform {
            os: "windows".into(),
            architecture: "amd64".into(),
            variant: Some("v3".into()),
            // A document of 4 MiB has room for some 4,000 bytes an entry. Both forms of the platform are kept.
            os_version: Some("1".repeat(3000)),
            os_features: vec!["win32k".into()],
        };
        IndexEntry::new(digest, Some(platform), EntryContent::Unread)
    };
    let image = Arc::new(Image {
        digest: Digest::parse(&format!("sha256:{:064x}", 0)).unwrap(),
        media_type: "application/vnd.oci.image.index.v1+json".into(),
        content: ImageContent::Index(ImageIndex {
            manifests: (0..MAX_ENTRIES).map(entry).collect(),
        }),
    });
    for name in ["a", "b", "c"] {
        cache.insert(key(name), Kept::for_ever(Arc::clone(&image)), None);
        assert!(cache.get(&key(name).asked()).is_some(), "{name}");
    }
    assert!(cache.bytes() > 3 << 20);
}

#[test]
fn a_namespace_that_fills_its_share_loses_its_own_answers_alone() {
    let cache = cache_of(1 << 20, 16 << 10);
    let namespaces: [Arc<str>; 2] = ["quiet".into(), "greedy".into()];
    let kept = || Kept::fresh_for(Err(LookupFailure::NotFound), Duration::from_secs(60));
    cache.insert(key("quiet"), kept(), Some(&namespaces[0]));
    for i in 0..1000 {
        let key = key(&format!("greedy{i}"));
        cache.insert(key, kept(), Some(&namespaces[1]));
    }
    assert!(cache.get(&key("quiet").asked()).is_some());
    assert!(cache.get(&key("greedy0").asked()).is_none());
    assert!(cache.get(&key("greedy999").asked()).is_some());
    assert!(cache.bytes() <= 17 << 10);
}

#[test]
fn failures_are_kept_for_a_short_time_only() {
    for failure in LookupFailure::ALL {
        assert!(
            failure_lifetime(failure) <= Duration::from_secs(30),
            "{failure}"
        );
    }
    assert!(!is_outage(LookupFailure::NotFound));
    assert!(!is_outage(LookupFailure::DigestMismatch));
    assert!(is_outage(LookupFailure::Unreachable));
}
