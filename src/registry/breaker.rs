//! Hosts that do not answer: after the first look-up has waited for one, the others are told at once.
//!
//! While a host is out, one probe a window finds out whether it is back, in nobody's time. Leaves out sending the probe
//! (`transport`) and hosts that ask to be left alone (`cooldown`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::egress::Authority;
use crate::domain::lookup::LookupFailure;

/// Answers in a row that are errors of the server's own, or do not come, before a host is out. A connection that
/// cannot be made counts for all of them.
const STRIKES: u32 = 3;
/// How long a host is out before the first probe; doubled by each probe that fails, up to the longest. Together with
/// the time for which failures are kept, a host that is back is used again within half a minute (OPERATIONS R15).
const FIRST_WINDOW: Duration = Duration::from_secs(1);
const LONGEST_WINDOW: Duration = Duration::from_secs(10);
/// Any pod author can name new hosts, so only so many are remembered, and none for ever.
const MAX_HOSTS: u64 = 4096;
const MEMORY: Duration = Duration::from_secs(600);

pub(super) struct Breakers {
    hosts: moka::sync::Cache<Authority, Arc<Mutex<Breaker>>>,
}

struct Breaker {
    strikes: u32,
    failure: LookupFailure,
    window: Duration,
    /// `None` while the host is in.
    out_until: Option<Instant>,
}

/// How a host failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strike {
    /// No connection, or no name.
    Connect,
    /// A connection, and then an error or nothing.
    Answer,
    /// The beginning of an answer that never ended. Such a host answers probes well, so it is left alone for longer.
    Body,
}

/// What may be sent to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    In,
    /// Nothing: this is what became of it.
    Out(LookupFailure),
    /// A probe, by this caller alone; other than that as [`State::Out`].
    Probe(LookupFailure),
}

impl Breakers {
    pub(super) fn new() -> Self {
        let hosts = moka::sync::Cache::builder()
            .max_capacity(MAX_HOSTS)
            .time_to_idle(MEMORY)
            .build();
        Self { hosts }
    }

    pub(super) fn check(&self, host: &Authority) -> State {
        let Some(breaker) = self.hosts.get(host) else {
            return State::In;
        };
        let mut breaker = lock(&breaker);
        let now = Instant::now();
        match breaker.out_until {
            None => State::In,
            Some(until) if now < until => State::Out(breaker.failure),
            Some(_) => {
                breaker.out_until = Some(now + breaker.window);
                State::Probe(breaker.failure)
            }
        }
    }

    /// The hosts that are out.
    pub(super) fn out(&self) -> Vec<Authority> {
        let is_out = |breaker: &Mutex<Breaker>| lock(breaker).out_until.is_some();
        let hosts = self.hosts.iter().filter(|(_, breaker)| is_out(breaker));
        hosts.map(|(host, _)| (*host).clone()).collect()
    }

    /// The host answered.
    pub(super) fn succeeded(&self, host: &Authority) {
        if self.hosts.contains_key(host) {
            self.hosts.invalidate(host);
        }
    }

    /// The host did not. Says whether it is out from now on. What was under way when it went out changes nothing.
    pub(super) fn failed(&self, host: &Authority, strike: Strike, failure: LookupFailure) -> bool {
        let breaker = self.hosts.get_with_by_ref(host, || {
            Arc::new(Mutex::new(Breaker {
                strikes: 0,
                failure,
                window: FIRST_WINDOW,
                out_until: None,
            }))
        });
        let mut breaker = lock(&breaker);
        if breaker.out_until.is_some() {
            return false;
        }
        breaker.strikes += match strike {
            Strike::Connect => STRIKES,
            Strike::Answer | Strike::Body => 1,
        };
        breaker.failure = failure;
        if strike == Strike::Body {
            breaker.window = LONGEST_WINDOW;
        }
        if breaker.strikes < STRIKES {
            return false;
        }
        breaker.out_until = Some(Instant::now() + breaker.window);
        true
    }

    /// The probe found the host as it was.
    pub(super) fn probe_failed(&self, host: &Authority, failure: LookupFailure) {
        let Some(breaker) = self.hosts.get(host) else {
            return;
        };
        let mut breaker = lock(&breaker);
        breaker.failure = failure;
        breaker.window = (breaker.window * 2).min(LONGEST_WINDOW);
        breaker.out_until = Some(Instant::now() + breaker.window);
    }
}

fn lock(breaker: &Mutex<Breaker>) -> std::sync::MutexGuard<'_, Breaker> {
    breaker.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const TIMEOUT: LookupFailure = LookupFailure::Timeout;
    const UNREACHABLE: LookupFailure = LookupFailure::Unreachable;

    fn host() -> Authority {
        ("reg.example".to_owned(), 443)
    }

    #[tokio::test]
    async fn a_connection_that_fails_counts_at_once_and_answers_in_a_row() {
        let breakers = Breakers::new();
        assert!(breakers.failed(&host(), Strike::Connect, TIMEOUT));
        assert_eq!(breakers.check(&host()), State::Out(TIMEOUT));
        let other = ("other.example".to_owned(), 443);
        for _ in 0..2 {
            assert!(!breakers.failed(&other, Strike::Answer, UNREACHABLE));
        }
        breakers.succeeded(&other);
        for _ in 0..2 {
            assert!(!breakers.failed(&other, Strike::Answer, UNREACHABLE));
            assert_eq!(breakers.check(&other), State::In);
        }
        assert!(breakers.failed(&other, Strike::Answer, UNREACHABLE));
        assert!(!breakers.failed(&other, Strike::Answer, UNREACHABLE));
        assert_eq!(breakers.check(&other), State::Out(UNREACHABLE));
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_a_window_and_windows_grow_to_ten_seconds() {
        let breakers = Breakers::new();
        breakers.failed(&host(), Strike::Connect, TIMEOUT);
        for seconds in [1, 2, 4, 8, 10, 10] {
            advance(Duration::from_millis(seconds * 1000 - 1)).await;
            assert_eq!(breakers.check(&host()), State::Out(TIMEOUT), "{seconds}");
            advance(Duration::from_millis(1)).await;
            assert_eq!(breakers.check(&host()), State::Probe(TIMEOUT), "{seconds}");
            assert_eq!(breakers.check(&host()), State::Out(TIMEOUT), "{seconds}");
            breakers.probe_failed(&host(), TIMEOUT);
        }
        breakers.succeeded(&host());
        assert_eq!(breakers.check(&host()), State::In);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_ends_is_followed_by_another() {
        let breakers = Breakers::new();
        breakers.failed(&host(), Strike::Connect, TIMEOUT);
        for _ in 0..3 {
            advance(FIRST_WINDOW).await;
            assert_eq!(breakers.check(&host()), State::Probe(TIMEOUT));
        }
    }
}
