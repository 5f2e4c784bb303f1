//! `Freshness`: how long ago the API server last sent anything about nodes, bookmarks included.
//!
//! Node events alone would not do: a small cluster is silent for minutes, and a watch whose connection is dead is
//! silent too. The bytes of the answers are what tells them apart.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Request, Response};
use tower::{Layer, Service};

const NODES_PATH: &str = "/api/v1/nodes";

/// When the API server last sent anything about nodes. Clones share it.
#[derive(Debug, Clone)]
pub struct Freshness {
    began: Instant,
    /// Milliseconds from `began`, plus one; zero for never.
    last: Arc<AtomicU64>,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            last: Arc::default(),
        }
    }
}

impl Freshness {
    /// Time since the last traffic; `None` before the first.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let last = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        Some(
            self.began
                .elapsed()
                .saturating_sub(Duration::from_millis(last)),
        )
    }

    fn mark(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.last.store(now + 1, Ordering::Relaxed);
    }
}

/// Marks the freshness whenever part of an answer about nodes arrives.
#[derive(Clone)]
pub(super) struct MarkTraffic {
    freshness: Freshness,
}

impl MarkTraffic {
    pub(super) fn new(freshness: &Freshness) -> Self {
        Self {
            freshness: freshness.clone(),
        }
    }
}

impl<S> Layer<S> for MarkTraffic {
    type Service = Marked<S>;

    fn layer(&self, inner: S) -> Marked<S> {
        Marked {
            inner,
            freshness: self.freshness.clone(),
        }
    }
}

pub(super) struct Marked<S> {
    inner: S,
    freshness: Freshness,
}

impl<S, Q, B> Service<Request<Q>> for Marked<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<MarkedBody<B>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let about_nodes = request.uri().path().ends_with(NODES_PATH);
        let freshness = about_nodes.then(|| self.freshness.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            let freshness = freshness.filter(|_| answer.status().is_success());
            Ok(answer.map(|body| MarkedBody { body, freshness }))
        })
    }
}

/// A body that notes when its parts arrive.
pub(super) struct MarkedBody<B> {
    body: B,
    freshness: Option<Freshness>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for MarkedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(_))), Some(freshness)) = (&frame, &self.freshness) {
            freshness.mark();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_age_before_the_first_traffic() {
        let freshness = Freshness::default();
        assert_eq!(freshness.age(), None);
        freshness.clone().mark();
        assert!(freshness.age().unwrap() < Duration::from_secs(60));
    }
}
