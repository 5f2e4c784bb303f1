//! `Readiness`: the named conditions that have to hold before a review can be judged.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The conditions that do not hold at the moment. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    missing: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Readiness {
    /// Not ready before every one of `conditions` is [met](Self::met).
    #[must_use]
    pub fn waiting_for(conditions: &[&'static str]) -> Self {
        Self {
            missing: Arc::new(Mutex::new(conditions.iter().copied().collect())),
        }
    }

    /// The condition holds now.
    pub fn met(&self, condition: &'static str) {
        if self.lock().remove(condition) {
            tracing::info!(condition, "condition for readiness met");
        }
    }

    /// The condition no longer holds.
    pub fn lost(&self, condition: &'static str) {
        if self.lock().insert(condition) {
            tracing::info!(condition, "no longer ready");
        }
    }

    /// What keeps the process from being ready, sorted; empty when ready.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.lock().iter().copied().collect()
    }

    /// Whether reviews can be judged.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<&'static str>> {
        // Insert and remove leave the set whole even if a holder panicked.
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_every_condition_is_met() {
        let readiness = Readiness::waiting_for(&["nodes", "certificate"]);
        assert_eq!(readiness.missing(), ["certificate", "nodes"]);
        readiness.met("nodes");
        assert!(!readiness.is_ready());
        readiness.clone().met("certificate");
        assert!(readiness.is_ready());
        readiness.lost("draining");
        assert_eq!(readiness.missing(), ["draining"]);
    }
}
