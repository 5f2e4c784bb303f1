//! A load of reviews on a running webhook: so many connections, kept open as the API server keeps them, and on each one
//! review after the other.
//!
//! Leaves out what is asked and what the answers should be: those are the test's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

/// Reviews to send to a webhook.
pub(crate) struct Load {
    /// `https://HOST:PORT`; any certificate will do.
    pub(crate) url: String,
    pub(crate) connections: usize,
    pub(crate) reviews: usize,
}

/// What came back.
pub(crate) struct Report {
    /// Shortest first.
    latencies: Vec<Duration>,
    /// The `response` of each review, by its number.
    pub(crate) responses: Vec<Value>,
}

impl Load {
    /// Sends the reviews with these bodies, by their number. Panics if one is not answered with 200.
    pub(crate) async fn run(
        &self,
        body: impl Fn(usize) -> String + Clone + Send + 'static,
    ) -> Report {
        let next = Arc::new(AtomicUsize::new(0));
        let mut connections = JoinSet::new();
        for _ in 0..self.connections {
            let (next, body, reviews) = (Arc::clone(&next), body.clone(), self.reviews);
            let url = format!("{}/validate?timeout=5s", self.url);
            connections.spawn(async move {
                let client = client();
                let mut answers = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= reviews {
                        return answers;
                    }
                    let request = client.post(&url).body(body(number));
                    let began = Instant::now();
                    let answer = request.send().await.unwrap().error_for_status().unwrap();
                    let bytes = answer.bytes().await.unwrap();
                    let latency = began.elapsed();
                    let mut review: Value = serde_json::from_slice(&bytes).unwrap();
                    answers.push((number, latency, review["response"].take()));
                }
            });
        }
        let mut answers: Vec<_> = connections.join_all().await.into_iter().flatten().collect();
        answers.sort_by_key(|(number, ..)| *number);
        let mut latencies: Vec<_> = answers.iter().map(|(_, latency, _)| *latency).collect();
        latencies.sort();
        let responses = answers.into_iter().map(|(.., response)| response);
        Report {
            latencies,
            responses: responses.collect(),
        }
    }
}

impl Report {
    /// The time within which so many of a hundred reviews were answered.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.latencies[(self.latencies.len() * percent).div_ceil(100).max(1) - 1]
    }

    /// This percentile as a multiple of another report's.
    pub(crate) fn ratio_to(&self, other: &Self, percent: usize) -> f64 {
        self.percentile(percent).as_secs_f64() / other.percentile(percent).as_secs_f64()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, nearly] = [50, 99, 100].map(|percent| self.percentile(percent));
        let reviews = self.latencies.len();
        write!(
            f,
            "{reviews} reviews, p50 {half:.1?}, p99 {most:.1?}, max {nearly:.1?}"
        )
    }
}

/// HTTP/1.1, as the API server speaks it to webhooks.
pub(crate) fn client() -> reqwest::Client {
    super::certificates::install_provider();
    reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .http1_only()
        .no_proxy()
        .build()
        .unwrap()
}
