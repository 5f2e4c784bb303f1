//! Ctrl-C: the program ends with what it has written whole, and leaves the terminal as it was.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use super::progress::CLEAR;

/// What shells know an interrupted program by: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;
/// Longest wait for a reader that takes no more.
const PATIENCE: Duration = Duration::from_secs(1);

/// Waits for Ctrl-C and ends the program. Commands write answers under the lock of stdout, and so does this one end.
pub(super) async fn end_on_ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    let whole = tokio::task::spawn_blocking(|| {
        let _written = std::io::stdout().lock();
        end()
    });
    let _ = tokio::time::timeout(PATIENCE, whole).await;
    end()
}

fn end() {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r{CLEAR}");
    }
    std::process::exit(INTERRUPTED);
}
