//! Waiting for a condition that nothing reports: it is looked at again and again until it holds or time is up.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(50);

/// Calls `probe` until it gives a value. An error ends the wait at once; so does the time limit.
pub(crate) fn until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if began.elapsed() > limit {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        #[allow(clippy::disallowed_methods, reason = "the pause of a poll")]
        std::thread::sleep(PAUSE);
    }
}
