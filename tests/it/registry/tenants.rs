//! Tenants beside each other: what one of them asks for keeps no other waiting.

use tokio::task::JoinSet;

use super::*;
use crate::support::registry::Answer;
use crate::support::site::Site;

const LINUX: &str = r#"{"os":"linux","architecture":"amd64"}"#;

/// Accepts everything and never says what it is.
async fn tar_pit() -> FakeRegistry {
    FakeRegistry::start(|_| Answer::new(200).stalled_body()).await
}

/// Looks up so many images of a server in the name of a namespace; none is waited for longer than this.
fn flood(
    registry: &Registry,
    server: &FakeRegistry,
    namespace: &'static str,
    (images, patience): (usize, Duration),
) -> JoinSet<LookupFailure> {
    let mut callers = JoinSet::new();
    for i in 0..images {
        let (registry, host) = (registry.clone(), server.host());
        callers.spawn(async move {
            let name = format!("{host}/{namespace}/app:{i}");
            let keychain = Keychain::anonymous();
            let caller = Caller {
                keychain: &keychain,
                namespace: Some(namespace),
                in_background: false,
            };
            let reference = Reference::parse(&name).unwrap();
            let until = Instant::now() + patience;
            registry
                .fetch_image(&reference, caller, until)
                .await
                .unwrap_err()
        });
    }
    callers
}

async fn outcomes(callers: JoinSet<LookupFailure>) -> [usize; 2] {
    let all = callers.join_all().await;
    let count = |failure| all.iter().filter(|f| **f == failure).count();
    [LookupFailure::Timeout, LookupFailure::Overloaded].map(count)
}

#[tokio::test]
async fn a_tar_pit_holds_its_own_namespaces_look_ups_only() {
    let (pit, site) = (tar_pit().await, Site::new().image("app", "1", LINUX));
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let registry = registry_for(&[&pit, &server]);
    let flooded = flood(&registry, &pit, "greedy", (200, Duration::from_millis(500)));
    let keychain = Keychain::anonymous();
    let caller = Caller {
        keychain: &keychain,
        namespace: Some("quiet"),
        in_background: false,
    };
    let reference = Reference::parse(&format!("{}/app:1", server.host())).unwrap();
    registry
        .fetch_image(&reference, caller, deadline())
        .await
        .unwrap();
    assert_eq!(outcomes(flooded).await, [24, 176]);
    assert_eq!(pit.lines().len(), 24);
}

#[tokio::test]
async fn one_host_is_asked_so_much_at_a_time_whoever_asks() {
    let pit = tar_pit().await;
    let registry = registry_for(&[&pit]);
    let patience = Duration::from_secs(2);
    let floods = ["a", "b", "c"].map(|namespace| flood(&registry, &pit, namespace, (20, patience)));
    let mut total = [0, 0];
    for callers in floods {
        let [late, shed] = outcomes(callers).await;
        total = [total[0] + late, total[1] + shed];
    }
    assert_eq!(pit.lines().len(), 32);
    assert_eq!(total.iter().sum::<usize>(), 60);
}

#[tokio::test]
async fn who_waits_for_the_same_image_takes_one_turn_together() {
    let site = Site::new().image("app", "1", LINUX);
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let registry = registry_for(&[&server]);
    let reference = Reference::parse(&format!("{}/app:1", server.host())).unwrap();
    let mut callers = JoinSet::new();
    for i in 0..1000 {
        let (registry, reference) = (registry.clone(), reference.clone());
        callers.spawn(async move {
            let keychain = Keychain::anonymous();
            let caller = Caller {
                keychain: &keychain,
                namespace: Some(["a", "b"][i % 2]),
                in_background: false,
            };
            registry
                .fetch_image(&reference, caller, deadline())
                .await
                .unwrap()
        });
    }
    callers.join_all().await;
    assert_eq!(server.lines().len(), 2, "a manifest and its config");
}
