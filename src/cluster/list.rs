//! Lists: all objects of a kind as they are now, for commands that need them once.
//!
//! Leaves out watching what becomes of them.

use std::fmt::Debug;
use std::time::Duration;

use kube::Api;
use kube::api::{ListParams, ObjectList};
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
    list_with(api, ListParams::default(), |_| ()).await
}

/// As [`list`], of those that `params` select. `on_page` is told how many there are so far.
pub(super) async fn list_with<K: Clone + DeserializeOwned + Debug>(
    api: &Api<K>,
    params: ListParams,
    on_page: impl FnMut(usize),
) -> Result<Vec<K>, ListError> {
    let fetch = |params| async move { api.list(&params).await };
    list_pages(params, fetch, on_page).await
}

/// As [`list_with`], with each page asked for by a function.
pub(super) async fn list_pages<K: Clone, F>(
    params: ListParams,
    fetch: impl Fn(ListParams) -> F,
    mut on_page: impl FnMut(usize),
) -> Result<Vec<K>, ListError>
where
    F: Future<Output = Result<ObjectList<K>, kube::Error>>,
{
    let mut objects = Vec::new();
    let mut params = params.limit(PAGE);
    loop {
        let page = tokio::time::timeout(PAGE_TIMEOUT, fetch(params.clone())).await??;
        objects.extend(page.items);
        on_page(objects.len());
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
}
