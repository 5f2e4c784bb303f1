//! One line on a terminal that says how far a command is. Elsewhere, and where nobody waits long, there is none.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two writes.
const PAUSE: Duration = Duration::from_millis(100);
/// Commands that are done sooner show nothing.
const GRACE: Duration = Duration::from_millis(400);

/// A count that grows; the line is gone when it is dropped.
pub(super) struct Progress {
    what: &'static str,
    of: usize,
    next: Cell<Instant>,
    is_shown: Cell<bool>,
    is_wanted: bool,
}

impl Progress {
    /// Counts to `of`: `12 of 300 images looked up`, where `what` is `images looked up`.
    pub(super) fn new(what: &'static str, of: usize) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            what,
            of,
            next: Cell::new(Instant::now() + GRACE),
            is_shown: Cell::new(false),
            is_wanted: std::io::stderr().is_terminal() && !is_dumb,
        }
    }

    /// Tells how many are done.
    pub(super) fn show(&self, done: usize) {
        let now = Instant::now();
        if !self.is_wanted || now < self.next.get() {
            return;
        }
        self.next.set(now + PAUSE);
        self.is_shown.set(true);
        let line = match self.of {
            0 => format!("{done} {}", self.what),
            of => format!("{done} of {of} {}", self.what),
        };
        let _ = write!(std::io::stderr().lock(), "\r{CLEAR}{line}");
    }
}

/// Erases to the end of the line.
pub(super) const CLEAR: &str = "\u{1b}[K";

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown.get() {
            let _ = write!(std::io::stderr().lock(), "\r{CLEAR}");
        }
    }
}
