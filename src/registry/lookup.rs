//! One look-up: the cache, the mirrors in order, the registry, and what is kept of the answer.
//!
//! Leaves out reading the documents: that is `pull`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::cache::{Asked, Flight, Kept, Key, Outcome, failure_lifetime, is_outage};
use super::egress::Scheme;
use super::endpoint::Endpoint;
use super::keychain::{Credential, Keychain, identity_of};
use super::known::Known;
use super::limits::{Caller, Turn};
use super::operator::OperatorCredentials;
use super::pull::{pull, resolve_tag};
use super::routes::{Plan, Routes, Upstream};
use super::session::{Session, Wire};
use super::settings::RegistrySettings;
use crate::domain::image::{Digest, EntryContent, Image, ImageContent, ImageIndex};
use crate::domain::lookup::LookupFailure;
use crate::domain::reference::Reference;

/// How long an answer is kept of which a part could not be read.
const PARTIAL_LIFETIME: Duration = Duration::from_secs(10);

pub(super) struct Lookups {
    pub(super) wire: Wire,
    pub(super) known: Known,
    pub(super) routes: Routes,
    pub(super) credentials: OperatorCredentials,
    hides_refusals: bool,
    tag_ttl: Duration,
    tag_stale: Duration,
    pull_timeout: Duration,
}

impl Lookups {
    pub(super) fn new(wire: Wire, settings: RegistrySettings, known: Known) -> Self {
        Self {
            wire,
            known,
            routes: Routes::new(settings.hosts),
            credentials: settings.credentials,
            hides_refusals: settings.hides_refusals,
            tag_ttl: settings.tag_ttl,
            tag_stale: settings.tag_stale,
            pull_timeout: settings.pull_timeout,
        }
    }

    /// What the answer for a reference is kept by: every credential that may be tried for it counts.
    /// Fails where nobody may be asked.
    pub(super) fn asked<'r>(
        &self,
        reference: &'r Reference,
        keychain: &Keychain,
    ) -> Result<Asked<'r>, LookupFailure> {
        self.routes.check(reference)?;
        // Reviews of pods whose images are known come by here: without credentials there is nothing to match.
        let identity = match keychain.is_empty() {
            true => None,
            false => {
                let plan = self.routes.plan(reference)?;
                let credentials: Vec<_> = plan
                    .endpoints()
                    .flat_map(|endpoint| credentials_at(endpoint, keychain))
                    .collect();
                identity_of(&credentials)
            }
        };
        Ok(Asked {
            reference,
            identity,
        })
    }

    pub(super) fn kept(&self, asked: &Asked<'_>) -> Option<Kept> {
        self.known.cache.get(asked)
    }

    /// What the registry says, or at the deadline what was known before.
    pub(super) async fn wait(
        self: &Arc<Self>,
        key: &Key,
        older: Option<Arc<Image>>,
        caller: Caller<'_>,
        deadline: Instant,
    ) -> Outcome {
        let flight = match self.join(key, caller, deadline).await {
            Ok(flight) => flight,
            Err(failure) => return older.ok_or(failure),
        };
        match timeout_at(deadline, flight).await {
            Ok(outcome) => outcome,
            Err(_) => older.ok_or(LookupFailure::Timeout),
        }
    }

    /// Joins the look-up that is under way, or starts one when it is the caller's turn.
    async fn join(
        self: &Arc<Self>,
        key: &Key,
        caller: Caller<'_>,
        deadline: Instant,
    ) -> Result<Flight, LookupFailure> {
        if let Some(flight) = self.known.cache.flight(key) {
            return Ok(flight);
        }
        let turn = self.known.limits.turn(caller, deadline).await?;
        Ok(self.start(key, caller.keychain, turn))
    }

    /// The answer of a tag that may have moved, if it is recent enough to be used while the registry is asked. That is
    /// put off where the caller's share of look-ups is used up.
    pub(super) fn revalidating(
        self: &Arc<Self>,
        key: &Key,
        kept: Option<&Kept>,
        caller: Caller<'_>,
    ) -> Option<Arc<Image>> {
        let image = kept?.image_within(self.tag_stale)?;
        if !is_complete(&image) {
            return None;
        }
        let deadline = Instant::now() + self.pull_timeout;
        if self.known.cache.flight(key).is_none()
            && let Some(turn) = self.known.limits.turn_now(caller, deadline)
        {
            drop(self.start(key, caller.keychain, turn));
        }
        Some(image)
    }

    fn start(self: &Arc<Self>, key: &Key, keychain: &Keychain, turn: Turn) -> Flight {
        self.known.cache.join(key, || {
            let (this, key, keychain) = (Arc::clone(self), key.clone(), keychain.clone());
            async move { this.load(key, &keychain, &turn).await }
        })
    }

    /// Asks the registry and keeps what it says, unless another flight landed since the caller looked.
    async fn load(&self, key: Key, keychain: &Keychain, turn: &Turn) -> Outcome {
        let kept = self.kept(&key.asked());
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_fresh()) {
            return kept.outcome.clone();
        }
        let known = kept.as_ref().and_then(|kept| kept.outcome.clone().ok());
        let query = Query {
            key: &key,
            keychain,
            known: known.as_ref(),
            deadline: turn.deadline,
            in_background: turn.in_background,
        };
        let outcome = timeout(self.pull_timeout, self.ask(&query)).await;
        let failure = match outcome.unwrap_or(Err(LookupFailure::Timeout)) {
            Ok(image) => return self.keep(key, image, turn),
            Err(failure) => failure,
        };
        let registry = key.reference.registry();
        tracing::debug!(registry, reason = failure.code(), "image look-up failed");
        let failure = self.told(&key.reference, failure);
        let lifetime = failure_lifetime(failure);
        let known = kept.filter(|kept| kept.outcome.is_ok() && is_outage(failure));
        let next = match known {
            Some(known) => known.still_fresh_for(lifetime),
            None => Kept::fresh_for(Err(failure), lifetime),
        };
        let outcome = next.outcome.clone();
        if outcome.is_ok() || !lifetime.is_zero() {
            self.known.cache.insert(key, next, turn.namespace.as_ref());
        }
        outcome
    }

    /// What a caller is told of a failure. It is kept as that too: for how long must not tell more than the words.
    fn told(&self, reference: &Reference, failure: LookupFailure) -> LookupFailure {
        let is_refusal = matches!(
            failure,
            LookupFailure::NotFound | LookupFailure::Unauthorized | LookupFailure::Forbidden
        );
        if !(self.hides_refusals && is_refusal) {
            return failure;
        }
        let plan = self.routes.plan(reference);
        let mut endpoints = plan.iter().flat_map(Plan::endpoints);
        let name = |endpoint: &Endpoint| format!("{}/{}", endpoint.name, endpoint.repository);
        let is_hidden =
            endpoints.any(|endpoint| self.credentials.may_be_tried(reference, &name(endpoint)));
        if is_hidden {
            LookupFailure::NotReadable
        } else {
            failure
        }
    }

    fn keep(&self, key: Key, image: Arc<Image>, turn: &Turn) -> Outcome {
        let namespace = turn.namespace.as_ref();
        let is_tag = key.reference.tag().is_some();
        let by_digest = Key {
            reference: key.reference.with_digest(image.digest.clone()),
            identity: key.identity,
        };
        let kept = if is_complete(&image) {
            Kept::for_ever(Arc::clone(&image))
        } else {
            Kept::fresh_for(Ok(Arc::clone(&image)), PARTIAL_LIFETIME)
        };
        self.known.cache.insert(by_digest, kept, namespace);
        if is_tag {
            let kept = Kept::fresh_for(Ok(Arc::clone(&image)), self.tag_ttl);
            self.known.cache.insert(key, kept, namespace);
        }
        Ok(image)
    }

    /// Asks the mirrors in order, then the registry. Where all fail the last one's answer counts.
    async fn ask(&self, query: &Query<'_>) -> Outcome {
        let plan = self.routes.plan(&query.key.reference)?;
        let mut outcome = Err(LookupFailure::Blocked);
        for mirror in &plan.mirrors {
            outcome = self.ask_at(mirror, query).await;
            if outcome.is_ok() {
                return outcome;
            }
        }
        match &plan.upstream {
            Some(upstream) => self.ask_upstream(upstream, query).await,
            None => outcome,
        }
    }

    async fn ask_upstream(&self, upstream: &Upstream, query: &Query<'_>) -> Outcome {
        let Upstream { https, plain } = upstream;
        let guard = self.wire.transport.guard();
        let schemes = guard.schemes(https.base(), plain.base());
        if !schemes.contains(&Scheme::Https) {
            return self.ask_at(plain, query).await;
        }
        let outcome = self.ask_at(https, query).await;
        let speaks_no_tls = matches!(
            outcome,
            Err(LookupFailure::Tls | LookupFailure::Unreachable)
        );
        if !(schemes.contains(&Scheme::PlainHttp) && speaks_no_tls) {
            return outcome;
        }
        match self.ask_at(plain, query).await {
            // No HTTP registry either: the first failure tells more.
            Err(LookupFailure::Malformed | LookupFailure::Unreachable) => outcome,
            plain => plain,
        }
    }

    async fn ask_at(&self, endpoint: &Endpoint, query: &Query<'_>) -> Outcome {
        let _slot = match query.in_background {
            false => {
                let slot = self.known.limits.at_host(&endpoint.name, query.deadline);
                Some(slot.await?)
            }
            true => None,
        };
        let reference = &query.key.reference;
        let credentials = credentials_at(endpoint, query.keychain);
        let session = Session::new(&self.wire, endpoint, credentials);
        let image = match (reference.tag(), reference.digest()) {
            (Some(tag), _) => match self.revalidate(&session, query, tag).await? {
                Moved::Not(image) => return Ok(image),
                Moved::To(digest) => pull(&session, digest.as_str(), Some(&digest)).await,
                Moved::Unknown => pull(&session, tag, None).await,
            },
            (None, Some(digest)) => pull(&session, digest.as_str(), Some(digest)).await,
            (None, None) => Err(LookupFailure::InvalidReference),
        };
        image.map(Arc::new)
    }

    /// Asks by HEAD whether a known tag has moved, and if so whether to a known image.
    async fn revalidate(
        &self,
        session: &Session<'_>,
        query: &Query<'_>,
        tag: &str,
    ) -> Result<Moved, LookupFailure> {
        let Some(known) = query.known.filter(|known| is_complete(known)) else {
            return Ok(Moved::Unknown);
        };
        let digest = match resolve_tag(session, tag).await {
            Ok(Some(digest)) => digest,
            // A registry that answers no HEAD, or answers it without a digest.
            Ok(None) | Err(LookupFailure::Malformed) => return Ok(Moved::Unknown),
            Err(failure) => return Err(failure),
        };
        if digest == known.digest {
            return Ok(Moved::Not(Arc::clone(known)));
        }
        let by_digest = query.key.reference.with_digest(digest.clone());
        let asked = Asked {
            reference: &by_digest,
            identity: query.key.identity,
        };
        let kept = self.kept(&asked).filter(Kept::is_fresh);
        Ok(match kept.and_then(|kept| kept.outcome.ok()) {
            Some(image) => Moved::Not(image),
            None => Moved::To(digest),
        })
    }
}

pub(super) fn credentials_at(endpoint: &Endpoint, keychain: &Keychain) -> Vec<Arc<Credential>> {
    keychain.matching(&format!("{}/{}", endpoint.name, endpoint.repository))
}

/// What is asked of each endpoint.
struct Query<'a> {
    key: &'a Key,
    keychain: &'a Keychain,
    /// The answer so far, of a tag that may have moved.
    known: Option<&'a Arc<Image>>,
    /// Until when a host's turn is waited for.
    deadline: Instant,
    /// Background look-ups are few enough to wait for no host's turn, and to take none.
    in_background: bool,
}

/// What a HEAD request told of a known tag.
enum Moved {
    /// It is at an image that is known.
    Not(Arc<Image>),
    /// It is at an image that is not known.
    To(Digest),
    /// Nothing.
    Unknown,
}

/// Whether everything that had to be read could be.
fn is_complete(image: &Image) -> bool {
    fn all_read(index: &ImageIndex) -> bool {
        index.manifests.iter().all(|entry| match &entry.content {
            EntryContent::Failed(_) => false,
            EntryContent::Index(index) => all_read(index),
            EntryContent::Unread | EntryContent::Manifest(_) => true,
        })
    }
    match &image.content {
        ImageContent::Index(index) => all_read(index),
        _ => true,
    }
}
