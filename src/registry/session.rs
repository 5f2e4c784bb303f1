//! One repository on one endpoint: answers the challenge of the manifest answer itself, trying each credential that
//! matches and anonymous last.
//!
//! Leaves out what is asked for: that is `pull`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::challenge::{Challenge, check_realm, pull_scope};
use super::egress::{Trust, authority};
use super::endpoint::Endpoint;
use super::keychain::Credential;
use super::known::Known;
use super::measure::Rule;
use super::token::{TokenKey, Tokens};
use super::transport::{Request, Transport, failure_of};
use crate::domain::lookup::LookupFailure;

/// Most bytes of challenges remembered, so that the second request to a repository need not be refused first. Any pod
/// author can cause one, of a registry that words it as it likes.
const MAX_CHALLENGES: u64 = 4 << 20;
const CHALLENGE_LIFETIME: Duration = Duration::from_secs(600);

/// What repositories asked for last.
#[derive(Clone)]
pub(super) struct Challenges(moka::sync::Cache<(Url, Box<str>), Challenge>);

impl Challenges {
    pub(super) fn new() -> Self {
        let kept = moka::sync::Cache::builder()
            .max_capacity(MAX_CHALLENGES)
            .weigher(
                |(base, repository): &(Url, Box<str>), challenge: &Challenge| {
                    let key = base.as_str().len() + repository.len();
                    u32::try_from(256 + key + challenge.length()).unwrap_or(u32::MAX)
                },
            )
            .time_to_live(CHALLENGE_LIFETIME)
            .build();
        Self(kept)
    }
}

/// What all sessions share.
pub(super) struct Wire {
    pub(super) transport: Arc<Transport>,
    tokens: Arc<Tokens>,
    challenges: Challenges,
    /// Further token servers, by the registry's name.
    token_hosts: HashMap<String, Vec<String>>,
}

pub(super) struct Session<'a> {
    wire: &'a Wire,
    pub(super) endpoint: &'a Endpoint,
    credentials: Vec<Arc<Credential>>,
    /// The credential that worked last, tried first.
    preferred: AtomicUsize,
}

/// What is asked for, before it is known as whom.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: &'static str,
}

impl Wire {
    pub(super) fn new(
        transport: Transport,
        token_hosts: HashMap<String, Vec<String>>,
        known: &Known,
    ) -> Self {
        Self {
            transport: Arc::new(transport),
            tokens: Arc::clone(&known.tokens),
            challenges: known.challenges.clone(),
            token_hosts,
        }
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(
        wire: &'a Wire,
        endpoint: &'a Endpoint,
        credentials: Vec<Arc<Credential>>,
    ) -> Self {
        Self {
            wire,
            endpoint,
            credentials,
            preferred: AtomicUsize::new(0),
        }
    }

    /// The body of such an answer, of at most `limit` bytes.
    pub(super) async fn read_body(
        &self,
        answer: Response,
        limit: usize,
    ) -> Result<Vec<u8>, LookupFailure> {
        self.wire.transport.read_body(answer, limit).await
    }

    /// The answer to a call, if it is a success.
    pub(super) async fn request(&self, call: &Call) -> Result<Response, LookupFailure> {
        let key = (
            self.endpoint.base().clone(),
            self.endpoint.repository.clone(),
        );
        if let Some(challenge) = self.wire.challenges.0.get(&key) {
            let answer = self.answer(&challenge, call).await;
            // Whichever refusal it is, so that the next look-up takes as many requests after each of them.
            let is_refused = matches!(
                answer,
                Err(LookupFailure::NotFound
                    | LookupFailure::Unauthorized
                    | LookupFailure::Forbidden)
            );
            if is_refused {
                self.wire.challenges.0.invalidate(&key);
            }
            return answer;
        }
        let answer = self.send(call, None).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return success(answer).await;
        }
        let Some(challenge) = Challenge::from_headers(answer.headers()) else {
            return Err(failure_of(answer).await);
        };
        drop(answer);
        self.wire.challenges.0.insert(key, challenge.clone());
        self.answer(&challenge, call).await
    }

    /// Tries each credential, then none. Where all are refused, the refusal that says most counts.
    async fn answer(&self, challenge: &Challenge, call: &Call) -> Result<Response, LookupFailure> {
        let count = self.credentials.len() + 1;
        let first = self.preferred.load(Ordering::Relaxed);
        let mut refusal = LookupFailure::Unauthorized;
        for i in (0..count).map(|i| (first + i) % count) {
            match self.attempt(challenge, self.credentials.get(i), call).await {
                Ok(answer) => {
                    self.preferred.store(i, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(LookupFailure::NotFound) => refusal = LookupFailure::NotFound,
                Err(LookupFailure::Forbidden) if refusal == LookupFailure::Unauthorized => {
                    refusal = LookupFailure::Forbidden;
                }
                Err(LookupFailure::Forbidden | LookupFailure::Unauthorized) => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(refusal)
    }

    async fn attempt(
        &self,
        challenge: &Challenge,
        credential: Option<&Arc<Credential>>,
        call: &Call,
    ) -> Result<Response, LookupFailure> {
        let Challenge::Bearer {
            realm,
            service,
            scope,
        } = challenge
        else {
            let basic = credential.and_then(|credential| credential.basic());
            let basic = basic.ok_or(LookupFailure::Unauthorized)?;
            return success(self.send(call, Some(basic)).await?).await;
        };
        let token_hosts = self.wire.token_hosts.get(&*self.endpoint.name);
        check_realm(
            self.endpoint.base(),
            realm,
            token_hosts.map_or(&[], Vec::as_slice),
        )
        .map_err(|_| self.wire.transport.guard().block(Rule::Realm))?;
        let key = TokenKey {
            registry: authority(self.endpoint.base()).ok_or(LookupFailure::Blocked)?,
            identity: credential.map(|credential| credential.identity()),
            realm: realm.clone(),
            service: service.clone(),
            scope: pull_scope(scope.as_deref(), &self.endpoint.repository),
        };
        self.send_with_token(&key, credential, call).await
    }

    /// A kept token that is refused is dropped and replaced once.
    async fn send_with_token(
        &self,
        key: &TokenKey,
        credential: Option<&Arc<Credential>>,
        call: &Call,
    ) -> Result<Response, LookupFailure> {
        let (tokens, transport) = (&self.wire.tokens, &self.wire.transport);
        let token = tokens.get(transport, key, credential).await?;
        let answer = self.send(call, Some(token.header.clone())).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return success(answer).await;
        }
        tokens.forget(key, &token.header).await;
        if token.is_fresh {
            return Err(failure_of(answer).await);
        }
        let token = tokens.get(transport, key, credential).await?;
        success(self.send(call, Some(token.header)).await?).await
    }

    async fn send(
        &self,
        call: &Call,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, LookupFailure> {
        let request = Request {
            method: call.method.clone(),
            url: call.url.clone(),
            form: None,
            accept: call.accept,
            authorization,
            headers: self.endpoint.headers.clone(),
            led_by: Trust::Named,
        };
        self.wire.transport.send(request).await
    }
}

async fn success(answer: Response) -> Result<Response, LookupFailure> {
    if answer.status().is_success() {
        Ok(answer)
    } else {
        Err(failure_of(answer).await)
    }
}
