//! `Deadline`: until when a review has to be answered, from the API server's `timeout` parameter.
//!
//! The verdict is chosen here, never by the API server giving up. It rounds the time that is left up to whole seconds
//! before it sends it, and the time for connecting has passed by then.

use std::time::Duration;

use tokio::time::Instant;

/// What the API server waits when its webhook configuration names no `timeoutSeconds`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// The API server rounds up to a whole second.
const ROUNDING: Duration = Duration::from_secs(1);
/// For the way back.
const MARGIN: Duration = Duration::from_millis(200);
/// A shorter timeout leaves no time for a registry.
const SHORTEST_FOR_LOOKUPS: Duration = Duration::from_secs(2);

/// Until when to answer, and whether the time is enough to ask registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// Work is to be over by then.
    pub at: Instant,
    /// The time does not suffice to ask a registry: only what is already known counts.
    pub cache_only: bool,
    /// Too many reviews are being worked on: this one is to be answered at once, whatever the answer.
    pub overloaded: bool,
}

impl Deadline {
    /// The deadline of a request that arrived at `arrived` with the query `query`, `cap` at most.
    #[must_use]
    pub fn from_query(query: Option<&str>, arrived: Instant, cap: Duration) -> Self {
        let timeout = query.and_then(timeout_of).unwrap_or(DEFAULT_TIMEOUT);
        let work = timeout.saturating_sub(ROUNDING + MARGIN).min(cap);
        Self {
            at: arrived + work,
            cache_only: timeout < SHORTEST_FOR_LOOKUPS,
            overloaded: false,
        }
    }

    /// Until when registries are waited for: not at all where only what is known counts.
    #[must_use]
    pub fn for_lookups(&self) -> Instant {
        if self.cache_only {
            Instant::now()
        } else {
            self.at
        }
    }

    /// The time that is left.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}

fn timeout_of(query: &str) -> Option<Duration> {
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("timeout="))?;
    parse_go_duration(value)
}

/// A duration as Go writes it: `5s`, `1m30s`, `1.5s`, `500ms`. Negative ones are refused.
#[must_use]
pub fn parse_go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    // Whole seconds are what API servers send.
    if let Some(Ok(seconds)) = text.strip_suffix('s').map(str::parse::<u32>) {
        return Some(Duration::from_secs(seconds.into()));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        seconds += number.parse::<f64>().ok()? * seconds_of(unit)?;
        rest = next;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "h" => 3600.0,
        "m" => 60.0,
        "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" | "μs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_secs(10);

    #[test]
    fn go_durations_are_read() {
        let cases = [
            ("5s", Some(5_000)),
            ("1m", Some(60_000)),
            ("1m0s", Some(60_000)),
            ("1h2m3.5s", Some(3_723_500)),
            ("500ms", Some(500)),
            (".5s", Some(500)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("s", None),
            ("-5s", None),
            ("5 s", None),
            ("5x", None),
            ("1e9s", None),
            ("99999999999999999999h", None),
        ];
        for (text, want) in cases {
            assert_eq!(
                parse_go_duration(text),
                want.map(Duration::from_millis),
                "{text}"
            );
        }
    }

    #[test]
    fn every_timeout_leaves_time_for_the_way_back() {
        let now = Instant::now();
        for seconds in 1..=30 {
            let query = format!("timeout={seconds}s");
            let deadline = Deadline::from_query(Some(&query), now, Duration::MAX);
            let work = (deadline.at - now).as_millis();
            // What the API server really waits is more than a second less than it says.
            let want = if seconds == 1 {
                0
            } else {
                seconds * 1000 - 1200
            };
            assert_eq!(work, want, "{query}");
            assert_eq!(deadline.cache_only, seconds < 2, "{query}");
        }
    }

    #[test]
    fn the_cap_and_the_default_hold() {
        let now = Instant::now();
        let cases = [
            (Some("timeout=30s"), 10_000),
            (Some("dryRun=All&timeout=5s"), 3_800),
            (Some("timeout=1m"), 10_000),
            (Some("timeout=2500ms"), 1_300),
            (Some("timeout=soon"), 8_800),
            (Some("timeouts=1s"), 8_800),
            (Some(""), 8_800),
            (None, 8_800),
        ];
        for (query, want) in cases {
            let deadline = Deadline::from_query(query, now, CAP);
            assert_eq!((deadline.at - now).as_millis(), want, "{query:?}");
        }
    }
}
