//! Bearer tokens: fetched once for all who want the same one at the same time, kept for as long as the token server
//! says, and dropped when a registry refuses them.
//!
//! Leaves out which credential is tried, and whether the realm may be asked: that is `session` and `challenge`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tracing::Instrument;
use url::Url;

use super::egress::{Authority, Trust};
use super::keychain::{Credential, Identity};
use super::transport::{Request, Transport, failure_of};
use crate::domain::lookup::LookupFailure;

/// Most bytes of a token server's answer.
const MAX_TOKEN_BODY: usize = 64 << 10;
/// Most bytes of a token: servers take no header longer than this.
const MAX_TOKEN: usize = 16 << 10;
/// Most bytes of tokens kept; any pod author can cause one.
const MAX_TOKENS: u64 = 8 << 20;
/// How long a token is good for whose answer does not say (distribution's token specification).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// A token is not used in the last seconds of its life, and no token is kept for longer than an hour.
const LEEWAY: Duration = Duration::from_secs(10);
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// What a token depends on: it serves nobody with another credential and no other registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    pub(super) registry: Authority,
    pub(super) identity: Option<Identity>,
    pub(super) realm: Url,
    pub(super) service: Option<String>,
    pub(super) scope: String,
}

impl TokenKey {
    fn service_and_scope(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let service = self.service.iter().map(|service| ("service", &**service));
        service.chain([("scope", &*self.scope)])
    }
}

/// A token as a header, and whether it was made for this very call. Never printed.
pub(super) struct Token {
    pub(super) header: HeaderValue,
    pub(super) is_fresh: bool,
}

pub(super) struct Tokens {
    kept: moka::future::Cache<TokenKey, Kept>,
}

#[derive(Clone)]
struct Kept {
    header: HeaderValue,
    lifetime: Duration,
}

/// Lets each token expire by its own lifetime.
struct ByLifetime;

impl moka::Expiry<TokenKey, Kept> for ByLifetime {
    fn expire_after_create(&self, _: &TokenKey, token: &Kept, _: Instant) -> Option<Duration> {
        Some(token.lifetime)
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<Value>,
}

impl Tokens {
    pub(super) fn new() -> Self {
        let kept = moka::future::Cache::builder()
            .max_capacity(MAX_TOKENS)
            .weigher(|key: &TokenKey, kept: &Kept| {
                let service = key.service.as_ref().map_or(0, String::len);
                let key =
                    key.registry.0.len() + key.realm.as_str().len() + service + key.scope.len();
                u32::try_from(256 + key + kept.header.len()).unwrap_or(u32::MAX)
            })
            .expire_after(ByLifetime)
            .build();
        Self { kept }
    }

    /// The token for a key: a kept one, the one that another caller is waiting for, or a new one.
    pub(super) async fn get(
        &self,
        transport: &Arc<Transport>,
        key: &TokenKey,
        credential: Option<&Arc<Credential>>,
    ) -> Result<Token, LookupFailure> {
        let load = fetch_token(transport, key, credential);
        let entry = self.kept.entry_by_ref(key).or_try_insert_with(load).await;
        let entry = entry.map_err(|failure: Arc<LookupFailure>| *failure)?;
        Ok(Token {
            is_fresh: entry.is_fresh(),
            header: entry.into_value().header,
        })
    }

    /// Drops a token that the registry refused, unless a newer one has taken its place.
    pub(super) async fn forget(&self, key: &TokenKey, refused: &HeaderValue) {
        if self
            .kept
            .get(key)
            .await
            .is_some_and(|kept| kept.header == *refused)
        {
            self.kept.invalidate(key).await;
        }
    }
}

async fn fetch_token(
    transport: &Arc<Transport>,
    key: &TokenKey,
    credential: Option<&Arc<Credential>>,
) -> Result<Kept, LookupFailure> {
    let identity_token = credential.and_then(|credential| credential.identity_token());
    let mut url = key.realm.clone();
    let mut form = None;
    match identity_token {
        Some(token) => form = Some(exchange_form(key, token)),
        None => {
            let mut query = url.query_pairs_mut();
            for (name, value) in key.service_and_scope() {
                query.append_pair(name, value);
            }
        }
    }
    let method = match form {
        Some(_) => Method::POST,
        None => Method::GET,
    };
    let request = Request {
        method,
        url,
        form,
        accept: "application/json",
        authorization: credential.and_then(|credential| credential.basic()),
        headers: HeaderMap::new(),
        led_by: Trust::Named,
    };
    let span = tracing::info_span!(target: crate::trace::TARGET, "token");
    let answer = transport.send(request).instrument(span).await?;
    match answer.status() {
        status if status.is_success() => {
            parse_token(&transport.read_body(answer, MAX_TOKEN_BODY).await?)
        }
        // A token server says 400 to credentials that it does not know, too.
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => Err(LookupFailure::Unauthorized),
        _ => Err(failure_of(answer).await),
    }
}

/// The form of OAuth2's refresh token grant, as distribution's token servers take it.
fn exchange_form(key: &TokenKey, token: &str) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token");
    form.append_pair("refresh_token", token);
    form.append_pair("client_id", "platform-gate");
    form.extend_pairs(key.service_and_scope());
    form.finish()
}

/// Reads `token`, or `access_token` where that one is absent or empty. No token at all is no leave to go on without.
fn parse_token(body: &[u8]) -> Result<Kept, LookupFailure> {
    let malformed = LookupFailure::Malformed;
    let answer: TokenAnswer = serde_json::from_slice(body).map_err(|_| malformed)?;
    let token = [answer.token, answer.access_token]
        .into_iter()
        .flatten()
        .find(|token| !token.is_empty())
        .ok_or(malformed)?;
    if token.len() > MAX_TOKEN {
        return Err(LookupFailure::TooLarge);
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| malformed)?;
    header.set_sensitive(true);
    let seconds = answer.expires_in.as_ref().and_then(Value::as_f64);
    let stated = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let stated = stated
        .filter(|stated| !stated.is_zero())
        .unwrap_or(DEFAULT_LIFETIME);
    Ok(Kept {
        header,
        lifetime: stated.min(MAX_LIFETIME).saturating_sub(LEEWAY),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_no_server_takes_is_not_kept() {
        let body = |length| format!(r#"{{"token":"{}"}}"#, "t".repeat(length));
        assert!(parse_token(body(MAX_TOKEN).as_bytes()).is_ok());
        let long = parse_token(body(MAX_TOKEN + 1).as_bytes());
        assert_eq!(long.err(), Some(LookupFailure::TooLarge));
    }

    #[test]
    fn tokens_are_read_and_their_lifetime_kept() {
        for (body, want) in [
            (r#"{"token":"T"}"#, Ok(("Bearer T", 50))),
            (
                r#"{"access_token":"T","expires_in":300}"#,
                Ok(("Bearer T", 290)),
            ),
            (
                r#"{"token":"","access_token":"REAL"}"#,
                Ok(("Bearer REAL", 50)),
            ),
            (
                r#"{"token":null,"access_token":"T","expires_in":null}"#,
                Ok(("Bearer T", 50)),
            ),
            (r#"{"token":"T","expires_in":5}"#, Ok(("Bearer T", 0))),
            (r#"{"token":"T","expires_in":-5}"#, Ok(("Bearer T", 50))),
            (r#"{"token":"T","expires_in":1e300}"#, Ok(("Bearer T", 50))),
            (r#"{"token":"T","expires_in":"x"}"#, Ok(("Bearer T", 50))),
            (
                r#"{"token":"T","expires_in":99999999}"#,
                Ok(("Bearer T", 3590)),
            ),
            (r#"{"token":"a\nb"}"#, Err(LookupFailure::Malformed)),
            (r#"{"token":""}"#, Err(LookupFailure::Malformed)),
            ("{}", Err(LookupFailure::Malformed)),
            ("<html>", Err(LookupFailure::Malformed)),
        ] {
            let read = parse_token(body.as_bytes());
            let read = read.map(|kept| {
                assert!(kept.header.is_sensitive());
                (
                    kept.header.to_str().unwrap().to_owned(),
                    kept.lifetime.as_secs(),
                )
            });
            assert_eq!(
                read,
                want.map(|(header, s)| (header.to_owned(), s)),
                "{body}"
            );
        }
    }
}
