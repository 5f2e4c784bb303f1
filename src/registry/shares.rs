//! How much of the cache each namespace's answers take. One that has used up its share loses its own oldest answers,
//! and nobody else's (OPERATIONS T4).
//!
//! Leaves out the cache's bound over all namespaces: that is `cache`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::cache::Key;

pub(super) struct Shares {
    /// Most bytes of one namespace.
    each: u64,
    next: AtomicU64,
    by_namespace: Mutex<HashMap<Arc<str>, Share>>,
}

#[derive(Default)]
struct Share {
    bytes: u64,
    /// In order of arrival.
    parts: BTreeMap<u64, (Key, u32)>,
}

/// An answer's place in its namespace's share, which ends with the answer.
pub(super) struct Part {
    shares: Arc<Shares>,
    namespace: Arc<str>,
    number: u64,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.namespace, self.number)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.shares.remove(&self.namespace, self.number);
    }
}

impl Shares {
    pub(super) fn new(each: u64) -> Self {
        Self {
            each,
            next: AtomicU64::new(0),
            by_namespace: Mutex::default(),
        }
    }

    /// Counts an answer, and says which older ones have to go.
    pub(super) fn add(
        self: &Arc<Self>,
        namespace: &Arc<str>,
        key: &Key,
        bytes: u32,
    ) -> (Part, Vec<Key>) {
        let mut shares = lock(&self.by_namespace);
        let share = shares.entry(Arc::clone(namespace)).or_default();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        share.bytes += u64::from(bytes);
        share.parts.insert(number, (key.clone(), bytes));
        let mut surplus = Vec::new();
        while share.bytes > self.each && share.parts.len() > 1 {
            if let Some((_, (old, bytes))) = share.parts.pop_first() {
                share.bytes -= u64::from(bytes);
                surplus.extend((old != *key).then_some(old));
            }
        }
        let part = Part {
            shares: Arc::clone(self),
            namespace: Arc::clone(namespace),
            number,
        };
        (part, surplus)
    }

    fn remove(&self, namespace: &Arc<str>, number: u64) {
        let mut shares = lock(&self.by_namespace);
        let Some(share) = shares.get_mut(namespace) else {
            return;
        };
        if let Some((_, bytes)) = share.parts.remove(&number) {
            share.bytes -= u64::from(bytes);
        }
        if share.parts.is_empty() {
            shares.remove(namespace);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reference::Reference;

    fn key(text: &str) -> Key {
        Key {
            reference: Reference::parse(text).unwrap(),
            identity: None,
        }
    }

    #[test]
    fn the_oldest_of_a_full_share_go_and_no_one_elses() {
        let shares = Arc::new(Shares::new(100));
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut parts = Vec::new();
        for (namespace, name, bytes, gone) in [
            (&a, "one", 40, &[][..]),
            (&b, "other", 90, &[]),
            (&a, "two", 40, &[]),
            (&a, "three", 40, &["one"]),
            (&a, "two", 70, &["three"]),
            (&a, "huge", 500, &["two"]),
        ] {
            let (part, surplus) = shares.add(namespace, &key(name), bytes);
            let gone: Vec<Key> = gone.iter().map(|name| key(name)).collect();
            assert_eq!(surplus, gone, "{name}");
            parts.push(part);
        }
        drop(parts);
        assert!(lock(&shares.by_namespace).is_empty());
    }
}
