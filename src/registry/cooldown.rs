//! Hosts that asked to be left alone for a while (`Retry-After`), and until when they are.
//!
//! Leaves out hosts that do not answer at all: that is `breaker`.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::Instant;

use super::egress::Authority;
use crate::domain::lookup::LookupFailure;

/// How long a host is left alone that gives no time with its 429.
const DEFAULT_PAUSE: Duration = Duration::from_secs(5);
/// No host is left alone for longer than this, whatever it asks for.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// Any pod author can name new hosts, so only so many are remembered.
const MAX_HOSTS: u64 = 4096;

pub(super) struct Cooldowns {
    until: moka::sync::Cache<Authority, (Instant, LookupFailure)>,
}

impl Cooldowns {
    pub(super) fn new() -> Self {
        let until = moka::sync::Cache::builder()
            .max_capacity(MAX_HOSTS)
            .time_to_live(MAX_PAUSE)
            .build();
        Self { until }
    }

    /// Fails while the host is to be left alone, with the reason that its own answer had.
    pub(super) fn check(&self, host: &Authority) -> Result<(), LookupFailure> {
        match self.until.get(host) {
            Some((until, failure)) if Instant::now() < until => Err(failure),
            _ => Ok(()),
        }
    }

    /// Notes what an answer asks for: any 429, and a 503 that names a time.
    pub(super) fn note(&self, host: &Authority, status: StatusCode, headers: &HeaderMap) {
        let asked = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        let asked = asked.and_then(|text| parse_retry_after(text, OffsetDateTime::now_utc()));
        let (pause, failure) = match status {
            StatusCode::TOO_MANY_REQUESTS => (
                Some(asked.unwrap_or(DEFAULT_PAUSE)),
                LookupFailure::RateLimited,
            ),
            StatusCode::SERVICE_UNAVAILABLE => (asked, LookupFailure::Unreachable),
            _ => return,
        };
        if let Some(pause) = pause {
            let until = Instant::now() + pause.min(MAX_PAUSE);
            self.until.insert(host.clone(), (until, failure));
        }
    }
}

/// Seconds or an HTTP date (RFC 9110, 10.2.3).
fn parse_retry_after(text: &str, now: OffsetDateTime) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = OffsetDateTime::parse(text.trim(), &Rfc2822).ok()?;
    (at - now).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap();
        for (text, want) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", None),
            ("-7", None),
            ("soon", None),
        ] {
            let want = want.map(Duration::from_secs);
            assert_eq!(parse_retry_after(text, now), want, "{text}");
        }
    }

    #[test]
    fn a_host_is_left_alone_and_no_other() {
        let cooldowns = Cooldowns::new();
        let (limited, down, well) = (
            ("limited".to_owned(), 443),
            ("down".to_owned(), 443),
            ("well".to_owned(), 443),
        );
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "60".parse().unwrap())]);
        cooldowns.note(&limited, StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new());
        cooldowns.note(&down, StatusCode::SERVICE_UNAVAILABLE, &headers);
        cooldowns.note(&well, StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new());
        assert_eq!(cooldowns.check(&limited), Err(LookupFailure::RateLimited));
        assert_eq!(cooldowns.check(&down), Err(LookupFailure::Unreachable));
        assert_eq!(cooldowns.check(&well), Ok(()));
    }
}
