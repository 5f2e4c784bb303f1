//! `POST /validate` and `POST /mutate`: from an HTTP request to the answer of one review.
//!
//! Whatever happens to a review, the caller gets an answer of ours before it gives up: a body that is no review is
//! refused, a review that fails or runs late is allowed with a warning.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span};

use super::{Deadline, Options};
use crate::admission::{Answer, ReviewError, parse_uid, write_response};
use crate::metrics::{Metrics, RequestLabels};
use crate::trace;

/// Twice the 3 MiB that an API server takes, since an update brings the old object too, and room around it.
pub const MAX_BODY_BYTES: usize = 7 * 1024 * 1024;
/// An API server sends the body at once.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// What a review that keeps its deadline may still take to write its answer.
const GRACE: Duration = Duration::from_millis(100);

/// Which review is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewPath {
    /// `/validate`: whether an object may be.
    Validate,
    /// `/mutate`: what is to be added to it.
    Mutate,
}

struct Reviewer<F> {
    review: F,
    max_review: Duration,
    /// One for each review that may be worked on at a time.
    places: Semaphore,
    metrics: Arc<Metrics>,
}

/// The routes of the webhook. `review` turns the body of a review into the body of its answer.
pub fn router<F, Fut>(review: F, options: &Options, metrics: Arc<Metrics>) -> Router
where
    F: Fn(ReviewPath, Bytes, Deadline) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<u8>, ReviewError>> + Send + 'static,
{
    let reviewer = Arc::new(Reviewer {
        review,
        max_review: options.max_review,
        places: Semaphore::new(options.max_in_flight),
        metrics,
    });
    Router::new()
        .route("/validate", post(validate::<F, Fut>))
        .route("/mutate", post(mutate::<F, Fut>))
        .with_state(reviewer)
}

fn validate<F, Fut>(
    State(reviewer): State<Arc<Reviewer<F>>>,
    request: Request,
) -> impl Future<Output = Response> + Send
where
    F: Fn(ReviewPath, Bytes, Deadline) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<u8>, ReviewError>> + Send + 'static,
{
    review(reviewer, ReviewPath::Validate, request)
}

fn mutate<F, Fut>(
    State(reviewer): State<Arc<Reviewer<F>>>,
    request: Request,
) -> impl Future<Output = Response> + Send
where
    F: Fn(ReviewPath, Bytes, Deadline) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<u8>, ReviewError>> + Send + 'static,
{
    review(reviewer, ReviewPath::Mutate, request)
}

/// Takes the request apart at once: a future that holds it whole is moved with all its headers.
fn review<F, Fut>(
    reviewer: Arc<Reviewer<F>>,
    path: ReviewPath,
    request: Request,
) -> impl Future<Output = Response> + Send
where
    F: Fn(ReviewPath, Bytes, Deadline) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<u8>, ReviewError>> + Send + 'static,
{
    let span = span_of(&request);
    let arrived = Instant::now();
    let deadline = Deadline::from_query(request.uri().query(), arrived, reviewer.max_review);
    let body = read_body(request.into_body(), arrived + BODY_TIMEOUT);
    async move { answer(&reviewer, path, body, deadline).await }.instrument(span)
}

/// The review as a part of the API server's trace.
fn span_of(request: &Request) -> Span {
    let span = tracing::info_span!(
        target: trace::TARGET,
        "review",
        otel.kind = "server",
        url.path = request.uri().path(),
        http.response.status_code = tracing::field::Empty,
        platform_gate.decision = tracing::field::Empty,
        platform_gate.reason = tracing::field::Empty,
    );
    trace::join(&span, request.headers());
    span
}

async fn answer<F, Fut>(
    reviewer: &Reviewer<F>,
    path: ReviewPath,
    body: impl Future<Output = Result<Bytes, Refusal>>,
    deadline: Deadline,
) -> Response
where
    F: Fn(ReviewPath, Bytes, Deadline) -> Fut,
    Fut: Future<Output = Result<Vec<u8>, ReviewError>>,
{
    let outcome = match body.await {
        Ok(body) => reviewer.answer(path, body, deadline).await,
        Err(refusal) => Err(refusal),
    };
    let response = match outcome {
        Ok(answer) => answered(answer),
        Err(refusal) => {
            // A review function that refuses under overload counts that itself.
            if !matches!(refusal, Refusal::Overloaded) {
                reviewer.count("error", refusal.reason());
            }
            refusal.into_response()
        }
    };
    trace::record("http.response.status_code", response.status().as_u16());
    response
}

impl<F, Fut> Reviewer<F>
where
    F: Fn(ReviewPath, Bytes, Deadline) -> Fut,
    Fut: Future<Output = Result<Vec<u8>, ReviewError>>,
{
    async fn answer(
        &self,
        path: ReviewPath,
        body: Bytes,
        mut deadline: Deadline,
    ) -> Result<Vec<u8>, Refusal> {
        let started = Instant::now();
        let _in_flight = self.metrics.review_started();
        let place = self.places.try_acquire();
        if place.is_err() {
            deadline.overloaded = true;
            self.metrics.shed();
        }
        // The call itself is inside the guarded future: it may panic before its first await.
        let review = async { (self.review)(path, body.clone(), deadline).await };
        let guarded = AssertUnwindSafe(review).catch_unwind();
        match timeout_at(deadline.at + GRACE, guarded).await {
            Ok(Ok(Err(ReviewError::Overloaded))) => Err(Refusal::Overloaded),
            Ok(Ok(answered)) => answered.map_err(Refusal::NotAReview),
            Ok(Err(panic)) => {
                tracing::error!(panic = panic_message(&*panic), "a review panicked");
                self.unchecked(&body, "internal", "an internal error, see its log")
            }
            Err(_late) => {
                tracing::warn!("a review ran past its deadline");
                self.metrics.answered(started.elapsed(), true);
                self.unchecked(&body, "deadline", "no answer within the time limit")
            }
        }
    }

    /// The answer to a review that came to nothing: not proof, so no denial.
    fn unchecked(&self, body: &[u8], reason: &'static str, why: &str) -> Result<Vec<u8>, Refusal> {
        let uid = parse_uid(body).map_err(Refusal::NotAReview)?;
        self.count("warn", reason);
        let warning = format!("platform-gate could not check whether the images can run: {why}");
        Ok(write_response(&uid, Answer::allow(vec![warning])))
    }
}

impl<F> Reviewer<F> {
    /// Counts what the review function did not come to count.
    fn count(&self, decision: &'static str, reason: &'static str) {
        self.metrics.reviewed(RequestLabels {
            kind: "unknown",
            operation: "unknown",
            decision,
            reason,
        });
    }
}

/// Why a request is no review that could be answered.
#[derive(Debug)]
enum Refusal {
    TooLarge,
    Slow,
    Broken,
    Overloaded,
    NotAReview(ReviewError),
}

impl Refusal {
    fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Slow => "slow-body",
            Self::Broken => "broken-body",
            Self::Overloaded => "overloaded",
            Self::NotAReview(_) => "bad-request",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            // The API server's client tries again by itself, within the time that its webhook has.
            Self::Overloaded => {
                let retry = [(header::RETRY_AFTER, "1")];
                let why = format!("{}\n", ReviewError::Overloaded);
                return (StatusCode::TOO_MANY_REQUESTS, retry, why).into_response();
            }
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is larger than {MAX_BODY_BYTES} bytes\n"),
            ),
            Self::Slow => (
                StatusCode::REQUEST_TIMEOUT,
                format!("the body did not arrive within {BODY_TIMEOUT:?}\n"),
            ),
            Self::Broken => (
                StatusCode::BAD_REQUEST,
                "the body could not be read to its end\n".to_owned(),
            ),
            Self::NotAReview(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
        }
        .into_response()
    }
}

fn answered(answer: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(answer));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

async fn read_body(body: Body, until: Instant) -> Result<Bytes, Refusal> {
    let body = Limited::new(body, MAX_BODY_BYTES).collect();
    match timeout_at(until, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Ok(Err(_)) => Err(Refusal::Broken),
        Err(_) => Err(Refusal::Slow),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
