//! How many look-ups may be under way: in all, at one host, and for one namespace, so that no tenant's registry keeps
//! the others waiting (OPERATIONS T4).
//!
//! Who has to wait does so until the deadline of the review, in order of arrival. Leaves out what answers take in the
//! cache: that is `shares`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::keychain::Keychain;
use super::settings::RegistrySettings;
use crate::domain::lookup::LookupFailure;

/// On whose behalf an image is looked up.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// The credentials that may be used.
    pub keychain: &'a Keychain,
    /// Whose share of look-ups and of the cache it counts against; `None` for nobody's.
    pub namespace: Option<&'a str>,
    /// Whether nobody waits for it: it then has few slots of its own, and takes none of those that reviews need.
    pub in_background: bool,
}

/// Nobody's share: the command line, where there is one user.
impl<'a> From<&'a Keychain> for Caller<'a> {
    fn from(keychain: &'a Keychain) -> Self {
        Self {
            keychain,
            namespace: None,
            in_background: false,
        }
    }
}

/// Look-ups in the background at once.
const IN_BACKGROUND: usize = 2;

pub(super) struct Limits {
    all: Arc<Semaphore>,
    background: Arc<Semaphore>,
    by_host: Slots,
    by_namespace: Slots,
}

/// A look-up that has its turn: until when it waits for others, and whose share it counts against.
pub(super) struct Turn {
    pub(super) deadline: Instant,
    pub(super) namespace: Option<Arc<str>>,
    pub(super) in_background: bool,
    _slots: [Option<OwnedSemaphorePermit>; 2],
}

impl Turn {
    fn new(
        caller: Caller<'_>,
        deadline: Instant,
        slots: [Option<OwnedSemaphorePermit>; 2],
    ) -> Self {
        Self {
            deadline,
            namespace: caller.namespace.map(Arc::from),
            in_background: caller.in_background,
            _slots: slots,
        }
    }
}

impl Limits {
    pub(super) fn new(settings: &RegistrySettings) -> Self {
        Self {
            all: Arc::new(Semaphore::new(settings.max_lookups)),
            background: Arc::new(Semaphore::new(IN_BACKGROUND)),
            by_host: Slots::new(settings.max_lookups_per_host),
            by_namespace: Slots::new(settings.max_lookups_per_namespace),
        }
    }

    /// Waits for a turn, the namespace's first, so that a namespace never holds more of all slots than its share.
    pub(super) async fn turn(
        &self,
        caller: Caller<'_>,
        deadline: Instant,
    ) -> Result<Turn, LookupFailure> {
        let (of_namespace, of_all) = self.slots(caller);
        let of_namespace = match of_namespace {
            Some(slots) => Some(take(slots, deadline).await?),
            None => None,
        };
        let of_all = take(of_all, deadline).await?;
        Ok(Turn::new(caller, deadline, [of_namespace, Some(of_all)]))
    }

    /// A turn if there is one at once, for work that nobody waits for.
    pub(super) fn turn_now(&self, caller: Caller<'_>, deadline: Instant) -> Option<Turn> {
        let (of_namespace, of_all) = self.slots(caller);
        let of_namespace = match of_namespace {
            Some(slots) => Some(slots.try_acquire_owned().ok()?),
            None => None,
        };
        let of_all = of_all.try_acquire_owned().ok()?;
        Some(Turn::new(caller, deadline, [of_namespace, Some(of_all)]))
    }

    /// The slots of which a caller needs one each.
    fn slots(&self, caller: Caller<'_>) -> (Option<Arc<Semaphore>>, Arc<Semaphore>) {
        if caller.in_background {
            return (None, Arc::clone(&self.background));
        }
        let of_namespace = caller.namespace.map(|name| self.by_namespace.of(name));
        (of_namespace, Arc::clone(&self.all))
    }

    /// Waits until the host may be asked.
    pub(super) async fn at_host(
        &self,
        host: &str,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, LookupFailure> {
        take(self.by_host.of(host), deadline).await
    }
}

async fn take(
    slots: Arc<Semaphore>,
    deadline: Instant,
) -> Result<OwnedSemaphorePermit, LookupFailure> {
    match timeout_at(deadline, slots.acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(LookupFailure::Overloaded),
    }
}

/// A number of slots for each key, forgotten with the last who uses them.
struct Slots {
    each: usize,
    used: Mutex<HashMap<Box<str>, Weak<Semaphore>>>,
}

impl Slots {
    fn new(each: usize) -> Self {
        Self {
            each,
            used: Mutex::default(),
        }
    }

    fn of(&self, key: &str) -> Arc<Semaphore> {
        /// More keys than this are looked through for unused ones.
        const MANY: usize = 1024;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slots) = used.get(key).and_then(Weak::upgrade) {
            return slots;
        }
        if used.len() >= MANY {
            used.retain(|_, slots| slots.strong_count() > 0);
        }
        let slots = Arc::new(Semaphore::new(self.each));
        used.insert(key.into(), Arc::downgrade(&slots));
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::EgressPolicy;
    use std::time::Duration;

    fn limits(all: usize, host: usize, namespace: usize) -> Limits {
        let mut settings = RegistrySettings::new(EgressPolicy::Cli);
        settings.max_lookups = all;
        settings.max_lookups_per_host = host;
        settings.max_lookups_per_namespace = namespace;
        Limits::new(&settings)
    }

    fn caller(namespace: Option<&str>) -> Caller<'_> {
        static ANONYMOUS: std::sync::LazyLock<Keychain> =
            std::sync::LazyLock::new(Keychain::anonymous);
        Caller {
            namespace,
            ..Caller::from(&*ANONYMOUS)
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(3)
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_has_its_share_and_no_more() {
        let limits = limits(3, 9, 2);
        let mut turns = Vec::new();
        for (namespace, has_turn) in [
            (Some("a"), true),
            (Some("a"), true),
            (Some("a"), false),
            (Some("b"), true),
            (Some("b"), false),
            (None, false),
        ] {
            let turn = limits.turn(caller(namespace), soon()).await;
            assert_eq!(turn.is_ok(), has_turn, "{namespace:?}");
            turns.extend(turn.ok());
            let at_once = limits.turn_now(caller(Some("a")), soon()).is_some();
            assert_eq!(at_once, turns.len() < 2);
        }
        drop(turns);
        assert!(limits.turn(caller(Some("a")), soon()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_background_takes_no_turn_of_a_review() {
        let limits = limits(1, 9, 1);
        let background = Caller {
            in_background: true,
            ..caller(Some("a"))
        };
        let mut turns = Vec::new();
        for has_turn in [true, true, false] {
            let turn = limits.turn(background, soon()).await;
            assert_eq!(turn.is_ok(), has_turn);
            turns.extend(turn.ok());
        }
        let review = limits.turn(caller(Some("a")), soon()).await;
        assert!(review.is_ok(), "both the namespace's and the only one");
        drop(turns);
        assert!(limits.turn_now(background, soon()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_served_in_order_or_gives_up_at_the_deadline() {
        let limits = limits(9, 1, 9);
        let first = limits.at_host("reg.example", soon()).await.unwrap();
        assert!(limits.at_host("other.example", soon()).await.is_ok());
        let began = Instant::now();
        let late = limits.at_host("reg.example", soon()).await;
        assert_eq!(late.err(), Some(LookupFailure::Overloaded));
        assert_eq!(began.elapsed(), Duration::from_secs(3));
        let next = limits.at_host("reg.example", soon());
        let (next, ()) = tokio::join!(next, async { drop(first) });
        assert!(next.is_ok());
    }

    #[tokio::test]
    async fn unused_slots_are_forgotten() {
        let limits = limits(9, 1, 9);
        let held = limits.at_host("held.example", soon()).await.unwrap();
        for i in 0..5000 {
            drop(limits.at_host(&format!("r{i}.example"), soon()).await);
        }
        let used = limits.by_host.used.lock().unwrap();
        assert!(used.len() <= 1025);
        assert!(used.contains_key("held.example"));
        drop(held);
    }
}
