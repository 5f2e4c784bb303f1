//! `Activity`: whether a connection is used, so that one that is not can be let go.
//!
//! hyper has a limit for that, and sets a timer and takes it back with every request for it. Here a request counts up, and
//! a timer that runs for the whole limit looks whether any did.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is asked on one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A request that is being answered.
pub(super) struct Answering(Arc<Activity>);

impl Activity {
    /// Notes a request, which is being answered until what is given back is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    /// Completes when nothing has been asked for `limit` and nothing is being answered; at the latest at twice the limit.
    pub(super) async fn idle(&self, limit: Duration) {
        let mut before = None;
        loop {
            let now = [&self.begun, &self.ended].map(|count| count.load(Ordering::Relaxed));
            if before == Some(now) && now[0] == now[1] {
                return;
            }
            before = Some(now);
            #[expect(
                clippy::disallowed_methods,
                reason = "nothing happens on an idle connection that could be awaited"
            )]
            tokio::time::sleep(limit).await;
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, advance, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(100);

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_never_used_is_idle_after_the_limit() {
        let start = Instant::now();
        Activity::default().idle(LIMIT).await;
        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_within_the_limit_puts_it_off() {
        let activity = Arc::new(Activity::default());
        let start = Instant::now();
        let idle = activity.idle(LIMIT);
        tokio::pin!(idle);
        for _ in 0..5 {
            let waited = timeout(LIMIT * 9 / 10, &mut idle).await;
            assert!(waited.is_err(), "idle after {:?}", start.elapsed());
            drop(activity.begin());
        }
        let last = Instant::now();
        idle.await;
        assert!((LIMIT..=2 * LIMIT).contains(&last.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_long_is_not_idle() {
        let activity = Arc::new(Activity::default());
        let answering = activity.begin();
        let idle = activity.idle(LIMIT);
        tokio::pin!(idle);
        assert!(timeout(5 * LIMIT, &mut idle).await.is_err());
        drop(answering);
        advance(LIMIT).await;
        assert!(timeout(2 * LIMIT, &mut idle).await.is_ok());
    }
}
