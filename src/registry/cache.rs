//! Answers kept between reviews, and one flight for all who want the same answer at the same time.
//!
//! Leaves out how an answer is got: that is `registry`.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ahash::RandomState;
use futures::future::{BoxFuture, FutureExt, Shared};
use quick_cache::sync::DefaultLifecycle;
use quick_cache::{Equivalent, OptionsBuilder, Weighter};
use tokio::time::Instant;
use tracing::Instrument;

use super::keychain::Identity;
use super::settings::RegistrySettings;
use super::shares::{Part, Shares};
use crate::domain::image::{EntryContent, EntryPlatform, Image, ImageContent, ImageIndex};
use crate::domain::lookup::LookupFailure;
use crate::domain::platform::Platform;
use crate::domain::reference::Reference;
use crate::trace;

/// What an answer depends on. The identity keeps what one tenant's credentials opened from every other tenant
/// (OPERATIONS T1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) reference: Reference,
    pub(super) identity: Option<Identity>,
}

/// A key as it is asked for, which needs no copy of the reference.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Asked<'r> {
    pub(super) reference: &'r Reference,
    pub(super) identity: Option<Identity>,
}

impl Key {
    pub(super) fn asked(&self) -> Asked<'_> {
        let Self {
            reference,
            identity,
        } = self;
        let identity = *identity;
        Asked {
            reference,
            identity,
        }
    }
}

/// The one must find the other.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.asked().hash(state);
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.reference == key.reference && self.identity == key.identity
    }
}

impl From<Asked<'_>> for Key {
    fn from(asked: Asked<'_>) -> Self {
        Self {
            reference: asked.reference.clone(),
            identity: asked.identity,
        }
    }
}

pub(super) type Outcome = Result<Arc<Image>, LookupFailure>;

/// An answer and how long it may be used unasked.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) outcome: Outcome,
    /// `None`: for as long as there is room.
    fresh_until: Option<Instant>,
    /// When the registry last said so; later than that only because nobody could be asked.
    said_at: Instant,
    part: Option<Arc<Part>>,
}

impl Kept {
    pub(super) fn for_ever(image: Arc<Image>) -> Self {
        Self {
            outcome: Ok(image),
            fresh_until: None,
            said_at: Instant::now(),
            part: None,
        }
    }

    pub(super) fn fresh_for(outcome: Outcome, time: Duration) -> Self {
        Self {
            outcome,
            fresh_until: Some(Instant::now() + time),
            said_at: Instant::now(),
            part: None,
        }
    }

    /// The same answer for a while longer, without it having been heard again.
    pub(super) fn still_fresh_for(&self, time: Duration) -> Self {
        Self {
            outcome: self.outcome.clone(),
            fresh_until: Some(Instant::now() + time),
            said_at: self.said_at,
            part: None,
        }
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.is_fresh_at(Instant::now())
    }

    pub(super) fn is_fresh_at(&self, now: Instant) -> bool {
        self.fresh_until.is_none_or(|until| now < until)
    }

    /// The image, if it was heard of not longer ago than this.
    pub(super) fn image_within(&self, age: Duration) -> Option<Arc<Image>> {
        let image = self.outcome.as_ref().ok();
        image.filter(|_| self.said_at.elapsed() <= age).cloned()
    }
}

/// How long a failure is not tried again. A denial is never made of one, so these only spare the registry.
pub(super) fn failure_lifetime(failure: LookupFailure) -> Duration {
    Duration::from_secs(match failure {
        LookupFailure::NotFound | LookupFailure::Unreachable | LookupFailure::Timeout => 5,
        LookupFailure::NotReadable | LookupFailure::Tls | LookupFailure::RateLimited => 10,
        LookupFailure::Unauthorized
        | LookupFailure::Forbidden
        | LookupFailure::Malformed
        | LookupFailure::TooLarge
        | LookupFailure::DigestMismatch
        | LookupFailure::Blocked => 30,
        LookupFailure::InvalidReference | LookupFailure::Overloaded | LookupFailure::Internal => 0,
    })
}

/// Whether an older answer is better than this failure: the registry did not say that anything has changed.
pub(super) fn is_outage(failure: LookupFailure) -> bool {
    matches!(
        failure,
        LookupFailure::Unreachable
            | LookupFailure::Timeout
            | LookupFailure::Tls
            | LookupFailure::RateLimited
            | LookupFailure::Overloaded
            | LookupFailure::Internal
    )
}

pub(super) struct Cache {
    kept: quick_cache::sync::Cache<Key, Kept, ByBytes, RandomState>,
    shares: Arc<Shares>,
    flights: Flights,
}

pub(super) type Flight = Shared<BoxFuture<'static, Outcome>>;
type Flights = Arc<Mutex<HashMap<Key, Flight>>>;

impl Cache {
    pub(super) fn new(settings: &RegistrySettings) -> Self {
        let number = settings.cache_bytes / TYPICAL_BYTES;
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .weight_capacity(settings.cache_bytes)
            .estimated_items_capacity(usize::try_from(number).unwrap_or(usize::MAX))
            .build()
            .expect("both capacities are given");
        let kept = quick_cache::sync::Cache::with_options(
            options,
            ByBytes,
            RandomState::default(),
            DefaultLifecycle::default(),
        );
        Self {
            kept,
            shares: Arc::new(Shares::new(settings.cache_bytes_per_namespace)),
            flights: Flights::default(),
        }
    }

    pub(super) fn get(&self, asked: &Asked<'_>) -> Option<Kept> {
        self.kept.get(asked)
    }

    /// Keeps an answer, counted against the share of the namespace that it was got for.
    pub(super) fn insert(&self, key: Key, mut kept: Kept, namespace: Option<&Arc<str>>) {
        let mut surplus = Vec::new();
        if let Some(namespace) = namespace {
            let (part, old) = self.shares.add(namespace, &key, weigh(&key, &kept));
            (kept.part, surplus) = (Some(Arc::new(part)), old);
        }
        self.kept.insert(key, kept);
        for key in surplus {
            self.kept.remove(&key);
        }
    }

    /// Forgets failures, which other settings may cure.
    pub(super) fn forget_failures(&self) {
        self.kept.retain(|_, kept| kept.outcome.is_ok());
    }

    /// About the bytes that the answers take.
    pub(super) fn bytes(&self) -> u64 {
        self.kept.weight()
    }

    /// The flight for a key, if there is one.
    pub(super) fn flight(&self, key: &Key) -> Option<Flight> {
        lock(&self.flights).get(key).cloned()
    }

    /// Joins the flight for a key, or starts one. It goes on when its callers have gone, so that their time-out does
    /// not throw the answer away, and a panic in it is its own.
    pub(super) fn join<F>(&self, key: &Key, load: impl FnOnce() -> F) -> Flight
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut flights = lock(&self.flights);
        if let Some(flight) = flights.get(key) {
            return flight.clone();
        }
        let landing = Landing {
            flights: Arc::clone(&self.flights),
            key: key.clone(),
        };
        let load = load();
        let span = tracing::info_span!(target: trace::TARGET, parent: None, "flight");
        trace::follow(&span);
        let flight = async move {
            let _landing = landing;
            load.await
        };
        let task = tokio::spawn(flight.instrument(span));
        let flight = async move { task.await.unwrap_or(Err(LookupFailure::Internal)) };
        let flight = flight.boxed().shared();
        flights.insert(key.clone(), flight.clone());
        flight
    }
}

/// Takes a flight off the list however it ends.
struct Landing {
    flights: Flights,
    key: Key,
}

impl Drop for Landing {
    fn drop(&mut self) {
        lock(&self.flights).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each has a lock and as much of the room as the others: few, so that the longest index has room in one.
const SHARDS: usize = 4;
/// What an index of some ten entries takes.
const TYPICAL_BYTES: u64 = 2 << 10;

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Kept> for ByBytes {
    fn weight(&self, key: &Key, kept: &Kept) -> u64 {
        weigh(key, kept).into()
    }
}

/// About the bytes that an answer takes, its own bookkeeping included.
fn weigh(key: &Key, kept: &Kept) -> u32 {
    let reference = &key.reference;
    let version = reference.tag().map_or(71, str::len);
    let key = reference.registry().len() + reference.repository().len() + version;
    let image = kept.outcome.as_ref().map_or(0, |image| image_bytes(image));
    u32::try_from(256 + key + image).unwrap_or(u32::MAX)
}

fn image_bytes(image: &Image) -> usize {
    let content = match &image.content {
        ImageContent::Index(index) => index_bytes(index),
        ImageContent::Manifest(platform) => platform_bytes(platform),
        ImageContent::Artifact | ImageContent::Schema1 => 0,
    };
    size_of::<Image>() + image.digest.as_str().len() + image.media_type.len() + content
}

fn index_bytes(index: &ImageIndex) -> usize {
    let entry = |entry: &crate::domain::image::IndexEntry| {
        let content = match &entry.content {
            EntryContent::Index(index) => index_bytes(index),
            EntryContent::Manifest(platform) => platform_bytes(platform),
            EntryContent::Unread | EntryContent::Failed(_) => 0,
        };
        let platform = entry.platform.as_ref().map_or(0, platform_bytes);
        size_of_val(entry) + entry.digest.as_str().len() + platform + content
    };
    index.manifests.iter().map(entry).sum()
}

/// Both forms of a platform are kept.
fn platform_bytes(platform: &EntryPlatform) -> usize {
    2 * text_bytes(&platform.written)
}

fn text_bytes(platform: &Platform) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let features: usize = platform
        .os_features
        .iter()
        .map(|f| size_of::<String>() + f.len())
        .sum();
    platform.os.len()
        + platform.architecture.len()
        + optional(&platform.variant)
        + optional(&platform.os_version)
        + features
}

#[cfg(test)]
mod tests;
