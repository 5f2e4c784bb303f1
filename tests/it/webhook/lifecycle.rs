//! Start, certificates, limits and the drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use futures::future::BoxFuture;
use platform_gate::admission::{Answer, ReviewError, write_response};
use platform_gate::certificate::Pair;
use platform_gate::webhook::{Deadline, Options, Server, Shared};
use tokio::sync::Semaphore;

use super::harness::{by_name, issue, options, review_of, start};

#[tokio::test]
async fn probes_tell_alive_from_ready() {
    let gate = start(options(), by_name).await;
    assert_eq!(gate.health("/livez").await.status, 200);
    let before = gate.health("/readyz").await;
    assert_eq!((before.status, before.text()), (503, "not ready: nodes\n"));
    gate.shared.readiness.met("nodes");
    assert_eq!(gate.health("/readyz").await.status, 200);
    assert_eq!(gate.health("/validate").await.status, 404);
}

#[tokio::test]
async fn without_a_certificate_that_is_trusted_no_handshake_succeeds() {
    let gate = start(options(), by_name).await;
    assert!(gate.connect_trusting(&issue()).await.is_err());

    let bare = Server::bind(options()).await.unwrap();
    let addresses = bare.addresses();
    assert_ne!(addresses.webhook.port(), 0);
    let running = tokio::spawn(bare.run(
        |_, body, deadline| by_name(body, deadline),
        Shared::default(),
        std::future::pending(),
    ));
    let gate = super::harness::Gate { addresses, ..gate };
    assert!(gate.connect_trusting(&gate.issued).await.is_err());
    running.abort();
}

#[tokio::test]
async fn an_address_in_use_is_named_with_the_flag_that_changes_it() {
    let gate = start(options(), by_name).await;
    let taken = Options {
        metrics_listen: gate.addresses.health,
        ..options()
    };
    let error = Server::bind(taken).await.unwrap_err().to_string();
    assert!(
        error.contains(&gate.addresses.health.to_string()),
        "{error}"
    );
    assert!(error.contains("--metrics-listen"), "{error}");
}

#[tokio::test]
async fn a_new_certificate_counts_from_the_next_handshake_and_costs_no_call() {
    let gate = start(options(), by_name).await;
    let mut old = gate.connect().await;
    let next = issue();
    let mismatched = Pair {
        certificate: next.leaf.certificate.clone(),
        key: gate.issued.leaf.key.clone(),
    };
    assert!(gate.shared.certificate.replace(&mismatched).is_err());
    assert_eq!(
        gate.connect().await.review(&review_of("fine")).await.status,
        200
    );

    gate.shared.certificate.replace(&next.leaf).unwrap();
    assert!(gate.connect_trusting(&gate.issued).await.is_err());
    let mut new = gate.connect_trusting(&next).await.unwrap();
    for client in [&mut old, &mut new] {
        assert_eq!(client.review(&review_of("fine")).await.status, 200);
    }
}

#[tokio::test]
async fn calls_go_on_while_certificates_change() {
    let gate = start(options(), by_name).await;
    let done = Arc::new(AtomicBool::new(false));
    let (certificate, over) = (gate.shared.certificate.clone(), Arc::clone(&done));
    let ca = gate.issued.ca.clone();
    let rotation = tokio::spawn(async move {
        let names = [super::harness::NAME.to_owned()];
        while !over.load(Ordering::Relaxed) {
            let now = std::time::SystemTime::now();
            let leaf = platform_gate::certificate::issue_leaf(&ca, &names, now).unwrap();
            certificate.replace(&leaf).unwrap();
            tokio::task::yield_now().await;
        }
    });
    for _ in 0..50 {
        assert_eq!(
            gate.connect().await.review(&review_of("fine")).await.status,
            200
        );
    }
    done.store(true, Ordering::Relaxed);
    rotation.await.unwrap();
}

#[tokio::test]
async fn connections_above_the_limit_are_closed_at_once() {
    let limited = Options {
        max_connections: 1,
        ..options()
    };
    let gate = start(limited, by_name).await;
    let mut first = gate.connect().await;
    assert!(gate.connect_trusting(&gate.issued).await.is_err());
    assert_eq!(first.review(&review_of("fine")).await.status, 200);
}

#[tokio::test]
async fn stopping_loses_no_call() {
    let begun = Arc::new(AtomicU32::new(0));
    let go_on = Arc::new(Semaphore::new(0));
    let draining = Options {
        drain_delay: Duration::from_millis(300),
        ..options()
    };
    let gate = start(draining, gated_by(&begun, &go_on)).await;
    let mut idle = gate.connect().await;
    let (mut open, mut in_flight) = (gate.connect().await, gate.connect().await);
    in_flight.start("POST", "/validate", b"x").await.unwrap();
    until(|| begun.load(Ordering::Relaxed) == 1).await;
    let readiness = gate.shared.readiness.clone();
    let mut stopping = gate.shut_down();
    until(|| readiness.missing().contains(&"draining")).await;

    // Within the delay, connections are still served, and told to go.
    open.start("POST", "/validate", b"y").await.unwrap();
    until(|| begun.load(Ordering::Relaxed) == 2).await;
    // After it, idle ones are closed while work goes on.
    assert!(idle.is_closed().await);
    let unfinished = tokio::time::timeout(Duration::from_millis(50), &mut stopping).await;
    assert!(unfinished.is_err());
    go_on.add_permits(1);
    for client in [&mut open, &mut in_flight] {
        let reply = client.reply().await.unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(reply.headers["connection"], "close");
        assert!(client.is_closed().await);
    }
    stopping.await.unwrap();
}

/// A review that counts its beginning and ends when `go_on` lets it.
fn gated_by(
    begun: &Arc<AtomicU32>,
    go_on: &Arc<Semaphore>,
) -> impl Fn(Bytes, Deadline) -> BoxFuture<'static, Result<Vec<u8>, ReviewError>> + Send + Sync + 'static
{
    let (begun, go_on) = (Arc::clone(begun), Arc::clone(go_on));
    move |_, _| {
        let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
        Box::pin(async move {
            begun.fetch_add(1, Ordering::Relaxed);
            let _permit = go_on.acquire().await.unwrap();
            Ok(write_response("u", Answer::allow(vec![])))
        })
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}
