//! What the client has learnt and what it is busy with: all that outlives a change of its settings.
//!
//! Leaves out what follows from the settings themselves: that is `lookup` and what it is made of.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use super::breaker::Breakers;
use super::cache::{Cache, Kept, Outcome};
use super::cooldown::Cooldowns;
use super::egress::Authority;
use super::limits::Limits;
use super::measure::{CacheResult, Levels, Measures};
use super::session::Challenges;
use super::settings::{EgressPolicy, RegistrySettings};
use super::token::Tokens;
use crate::trace;

/// Networks that are blocked where the policy is [`EgressPolicy::Cluster`].
pub(super) type Denied = Arc<ArcSwap<Vec<IpNet>>>;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) cache: Arc<Cache>,
    pub(super) limits: Arc<Limits>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) challenges: Challenges,
    pub(super) cooldowns: Arc<Cooldowns>,
    pub(super) breakers: Arc<Breakers>,
    pub(super) measures: Measures,
    pub(super) denied: Denied,
}

impl Known {
    pub(super) fn new(settings: &RegistrySettings) -> Self {
        let denied = match &settings.egress {
            EgressPolicy::Cluster { denied } => denied.clone(),
            EgressPolicy::Cli => Vec::new(),
        };
        Self {
            cache: Arc::new(Cache::new(settings)),
            limits: Arc::new(Limits::new(settings)),
            tokens: Arc::new(Tokens::new()),
            challenges: Challenges::new(),
            cooldowns: Arc::new(Cooldowns::new()),
            breakers: Arc::new(Breakers::new()),
            measures: Measures::new(HashMap::new()),
            denied: Arc::new(ArcSwap::from_pointee(denied)),
        }
    }
}

impl Known {
    /// Counts an answer that was kept.
    pub(super) fn hit(&self, kept: Kept) -> Outcome {
        self.measures.cache(CacheResult::Hit);
        trace::record("cache", "hit");
        kept.outcome
    }
}

impl Levels for Known {
    fn open_circuits(&self) -> Vec<Authority> {
        self.breakers.out()
    }

    fn cache_bytes(&self) -> u64 {
        self.cache.bytes()
    }
}
