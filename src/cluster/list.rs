//! Lists: all objects of a kind as they are now, for commands that need them once.
//!
//! Leaves out watching what becomes of them.

use std::fmt::Debug;
use std::time::Duration;

use kube::Api;
use kube::api::ListParams;
use serde::de::DeserializeOwned;

/// Objects asked for at once.
const PAGE: u32 = 500;
/// Longest wait for one page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The API server cannot be reached, or says no.
    #[error("listing them failed")]
    Failed(#[from] kube::Error),
    /// Nothing came in time.
    #[error("no answer within {} s", PAGE_TIMEOUT.as_secs())]
    Timeout(#[from] tokio::time::error::Elapsed),
}

/// Lists all objects, page by page.
pub(super) async fn list<K: Clone + DeserializeOwned + Debug>(
    api: &Api<K>,
) -> Result<Vec<K>, ListError> {
    let mut objects = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = tokio::time::timeout(PAGE_TIMEOUT, api.list(&params)).await??;
        objects.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
}
