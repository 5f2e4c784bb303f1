//! What repeats is told once per owner: a controller whose pods are denied asks again and again, and its answer is the
//! same each time. Counted in metrics and audited is each of them all the same.
//!
//! Leaves out what nobody owns: whoever applies that by hand looks for its line in the log.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

/// How long the same is not told again.
const QUIET: Duration = Duration::from_secs(600);
/// Owners and findings remembered. What is forgotten is told again.
const REMEMBERED: u64 = 10_000;

/// What was told lately.
pub(super) struct Repeats {
    seen: Cache<u64, Arc<Mutex<Told>>>,
    hashes: RandomState,
}

struct Told {
    last: Instant,
    held_back: u64,
}

impl Default for Repeats {
    fn default() -> Self {
        let seen = Cache::builder()
            .max_capacity(REMEMBERED)
            .time_to_idle(QUIET * 6);
        Self {
            seen: seen.build(),
            hashes: RandomState::new(),
        }
    }
}

impl Repeats {
    /// How often the same was held back since it was told; `None` is to hold it back now too.
    pub(super) fn tell(&self, what: &[&str], now: Instant) -> Option<u64> {
        let mut is_new = false;
        let told = self.seen.get_with(self.hashes.hash_one(what), || {
            is_new = true;
            Arc::new(Mutex::new(Told {
                last: now,
                held_back: 0,
            }))
        });
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if is_new {
            return Some(0);
        }
        if now.duration_since(told.last) < QUIET {
            told.held_back += 1;
            return None;
        }
        told.last = now;
        Some(std::mem::take(&mut told.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_and_after_a_while_with_how_often_it_was_held_back() {
        let (repeats, began) = (Repeats::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        for (seconds, what, told) in [
            (0, ["a", "deny"], Some(0)),
            (1, ["a", "deny"], None),
            (599, ["a", "deny"], None),
            (599, ["a", "warn"], Some(0)),
            (600, ["a", "deny"], Some(2)),
            (601, ["a", "deny"], None),
            (1200, ["a", "deny"], Some(1)),
            (1200, ["b", "deny"], Some(0)),
        ] {
            assert_eq!(
                repeats.tell(&what, at(seconds)),
                told,
                "{what:?} after {seconds} s"
            );
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (repeats, now) = (Repeats::default(), Instant::now());
        for owner in 0..3 * REMEMBERED {
            repeats.tell(&[&owner.to_string()], now);
        }
        repeats.seen.run_pending_tasks();
        assert!(repeats.seen.entry_count() <= REMEMBERED);
    }
}
