//! The webhook over real TLS: what it answers, when it is ready, and how it stops.

mod callers;
pub(crate) mod harness;
mod lifecycle;

use std::time::Duration;

use harness::{by_name, options, review_of, start};
use platform_gate::webhook::Options;
use serde_json::json;

#[tokio::test]
async fn reviews_are_answered_with_their_uid() {
    let gate = start(options(), by_name).await;
    let mut client = gate.connect().await;
    let fine = client.review(&review_of("fine")).await;
    assert_eq!(fine.headers["content-type"], "application/json");
    assert_eq!(
        fine.response(),
        json!({"uid": "uid-of-fine", "allowed": true})
    );
    // The same connection goes on.
    let bad = client.review(&review_of("bad")).await;
    let want = json!({
        "uid": "uid-of-bad",
        "allowed": false,
        "status": {"code": 403, "reason": "Forbidden", "message": "no matching manifest for windows/amd64"},
    });
    assert_eq!(bad.response(), want);
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_asked_for() {
    // Fails only when another test has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let gate = start(options(), by_name).await;
    let ca = reqwest::Certificate::from_pem(gate.issued.ca.certificate.as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([ca])
        .resolve(harness::NAME, gate.addresses.webhook)
        .no_proxy()
        .build()
        .unwrap();
    let url = format!(
        "https://{}:{}/validate",
        harness::NAME,
        gate.addresses.webhook.port()
    );
    let answer = client
        .post(url)
        .body(review_of("fine"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert!(answer.text().await.unwrap().contains(r#""allowed":true"#));
}

#[tokio::test]
async fn what_is_no_review_gets_400_and_says_why() {
    let gate = start(options(), by_name).await;
    let review = |api_version: &str, kind: &str, request: serde_json::Value| {
        json!({"apiVersion": api_version, "kind": kind, "request": request}).to_string()
    };
    let create = json!({"uid": "u", "operation": "CREATE"});
    let cases = [
        (String::new(), "the body is empty"),
        ("not json".into(), "does not read as an AdmissionReview"),
        ("[]".into(), "only AdmissionReview"),
        (
            review("admission.k8s.io/v1", "Pod", create.clone()),
            "\"Pod\"",
        ),
        (
            review("admission.k8s.io/v1beta1", "AdmissionReview", create),
            "v1beta1",
        ),
        (
            review("admission.k8s.io/v1", "AdmissionReview", json!(null)),
            "no request",
        ),
        (
            review(
                "admission.k8s.io/v1",
                "AdmissionReview",
                json!({"operation": "CREATE"}),
            ),
            "no uid",
        ),
    ];
    let mut client = gate.connect().await;
    for (body, want) in cases {
        let reply = client.review(body.as_bytes()).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.text().contains(want), "{body}: {}", reply.text());
    }
}

#[tokio::test]
async fn other_methods_paths_and_sizes_are_refused() {
    let gate = start(options(), by_name).await;
    let large = vec![b' '; 8 * 1024 * 1024];
    let cases: [(&str, &str, &[u8], u16); 6] = [
        ("GET", "/validate", &[], 405),
        ("PUT", "/validate", &[], 405),
        ("POST", "/", &[], 404),
        ("GET", "/metrics", &[], 404),
        ("POST", "/validate/x", &[], 404),
        ("POST", "/validate", &large, 413),
    ];
    for (method, path, body, want) in cases {
        let reply = gate.connect().await.send(method, path, body).await.unwrap();
        assert_eq!(reply.status, want, "{method} {path}");
    }
    // Just within the limit, a body is judged by what it holds.
    let mut padded = review_of("fine");
    padded.resize(6 * 1024 * 1024, b' ');
    assert_eq!(gate.connect().await.review(&padded).await.status, 200);
}

#[tokio::test]
async fn a_panic_fails_no_review_but_its_own() {
    let gate = start(options(), async |body, deadline| {
        let answer = by_name(body, deadline).await?;
        assert!(
            !String::from_utf8_lossy(&answer).contains("uid-of-bad"),
            "on purpose"
        );
        Ok(answer)
    })
    .await;
    let mut client = gate.connect().await;
    let response = client.review(&review_of("bad")).await.response();
    assert_eq!(response["allowed"], true);
    assert_eq!(response["uid"], "uid-of-bad");
    assert!(
        response["warnings"][0]
            .as_str()
            .unwrap()
            .contains("internal error")
    );
    assert_eq!(client.review(&review_of("fine")).await.status, 200);
    let metrics = gate.health("/metrics").await;
    assert!(metrics.text().contains(
        r#"platform_gate_admission_requests_total{kind="unknown",operation="unknown",decision="warn",reason="internal"} 1"#
    ));
}

#[tokio::test]
async fn a_review_that_hangs_is_answered_before_the_caller_gives_up() {
    let gate = start(options(), async |_, _| std::future::pending().await).await;
    let mut client = gate.connect().await;
    for (timeout, most) in [("1s", 1.0), ("2s", 2.0)] {
        let begun = tokio::time::Instant::now();
        let path = format!("/validate?timeout={timeout}");
        let reply = client
            .send("POST", &path, &review_of("slow"))
            .await
            .unwrap();
        assert!(
            begun.elapsed().as_secs_f64() < most,
            "{timeout}: {:?}",
            begun.elapsed()
        );
        let response = reply.response();
        assert_eq!(response["allowed"], true);
        assert!(
            response["warnings"][0]
                .as_str()
                .unwrap()
                .contains("time limit")
        );
    }
}

#[tokio::test]
async fn the_deadline_reaches_the_review() {
    let options = Options {
        max_review: Duration::from_secs(4),
        ..options()
    };
    let gate = start(options, async |_, deadline| {
        let left = deadline.remaining().as_secs_f64();
        Ok(format!("{} {left:.1}", deadline.cache_only).into_bytes())
    })
    .await;
    let mut client = gate.connect().await;
    for (query, low, high, cache_only) in [
        ("?timeout=1s", 0.0, 0.0, "true"),
        ("?timeout=2s", 0.0, 0.8, "false"),
        ("?timeout=5s", 1.5, 3.8, "false"),
        ("?timeout=30s", 1.5, 4.0, "false"),
        ("", 1.5, 4.0, "false"),
    ] {
        let path = format!("/validate{query}");
        let reply = client.send("POST", &path, b"x").await.unwrap();
        let (only, left) = reply.text().split_once(' ').unwrap();
        assert_eq!(only, cache_only, "{query}");
        let left: f64 = left.parse().unwrap();
        assert!((low..=high).contains(&left), "{query}: {left}");
    }
}

/// Reviews of `slow` hang until they are let go; others say whether they were told of overload.
#[tokio::test]
async fn what_is_too_much_is_answered_at_once() {
    let (let_go, waiting) = tokio::sync::watch::channel(false);
    let options = Options {
        max_in_flight: 1,
        ..options()
    };
    let gate = start(options, move |body, deadline| {
        let mut waiting = waiting.clone();
        async move {
            if String::from_utf8_lossy(&body).contains("uid-of-slow") {
                waiting.wait_for(|go| *go).await.unwrap();
            }
            if String::from_utf8_lossy(&body).contains("uid-of-strict") {
                return Err(platform_gate::admission::ReviewError::Overloaded);
            }
            Ok(format!("{}", deadline.overloaded).into_bytes())
        }
    })
    .await;
    let mut slow = gate.connect().await;
    slow.start("POST", "/validate?timeout=9s", &review_of("slow"))
        .await
        .unwrap();
    let in_flight = "platform_gate_admission_in_flight 1";
    while !gate.health("/metrics").await.text().contains(in_flight) {
        tokio::task::yield_now().await;
    }
    let mut client = gate.connect().await;
    assert_eq!(client.review(&review_of("fine")).await.text(), "true");
    let refused = client.review(&review_of("strict")).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.headers["retry-after"], "1");
    let_go.send(true).unwrap();
    assert_eq!(slow.reply().await.unwrap().text(), "false");
    assert_eq!(client.review(&review_of("fine")).await.text(), "false");
    let metrics = gate.health("/metrics").await;
    let shed = "platform_gate_admission_shed_total 2";
    assert!(metrics.text().contains(shed), "{}", metrics.text());
}
