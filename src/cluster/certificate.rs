//! The certificate: kept in a Secret, presented by every replica, trusted by the API server.
//!
//! One pass brings Secret, presented certificate and `caBundle` together; it runs on every change of either object, and
//! by the clock. Who may write is settled by a [`Lease`], and by resource versions besides: losing it changes nothing in
//! what is presented. The webhook configuration is never created or deleted, so that whoever deletes it in an emergency
//! has the last word.

mod bundle;
mod plan;
mod secret;
mod settings;

use std::fmt::Debug;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use bundle::Configuration;

use super::WATCH_SECONDS;
use super::lease::Lease;
use crate::certificate::{CertificateError, Issued, Pair, check_serves, split};

pub use settings::{KeepError, Mode, Settings};

/// The name under which fields are owned.
pub const FIELD_MANAGER: &str = "platform-gate";
/// By the wall clock: machines sleep, and clocks are set.
const CHECK_EVERY: Duration = Duration::from_secs(10 * 60);
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// A pass is a few requests; one that hangs must not keep the next from being tried.
const PASS_LIMIT: Duration = Duration::from_secs(20);
/// A Secret that goes with the whole release must not be brought back while the release is being removed.
const MISSING_FOR: Duration = Duration::from_secs(4);
/// Longer than a Lease takes to change hands: who holds it does not fill the Secret, since it is of a release of another
/// mode, on which the roll-out waits until this replica is ready.
const LEFT_EMPTY_FOR: Duration = Duration::from_secs(10);
/// Replicas that start at once lose this race at most once each.
const MAX_ATTEMPTS: usize = 8;

/// What a replica has come to, pass by pass.
#[derive(Debug, Default)]
pub struct Progress {
    /// What was last found good, in self-managed mode.
    held: Option<Issued>,
    presented: Option<Pair>,
    /// The bundle that the API server has been told to trust, and since when.
    published: Option<(String, Instant)>,
    missing_since: Option<Instant>,
    empty_since: Option<Instant>,
    configured: bool,
}

/// What a pass came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Whether it came to its end.
    pub in_order: bool,
    /// Whether there is a webhook configuration; `false` too where it is not ours to read.
    pub configured: bool,
}

/// Keeps one certificate.
pub struct Keeper {
    settings: Settings,
    client: Client,
    secrets: Api<Secret>,
    validating: Api<ValidatingWebhookConfiguration>,
    mutating: Api<MutatingWebhookConfiguration>,
}

impl Keeper {
    /// A keeper that talks through `client`.
    #[must_use]
    pub fn new(client: &Client, settings: Settings) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &settings.namespace),
            validating: Api::all(client.clone()),
            mutating: Api::all(client.clone()),
            client: client.clone(),
            settings,
        }
    }

    /// Keeps the certificate for ever; `present` is handed each new pair, and may refuse it, and `tell` is told after
    /// each pass what it came to.
    pub async fn run(
        self,
        mut present: impl FnMut(&Pair) -> Result<(), CertificateError>,
        tell: impl Fn(State),
    ) {
        let mut leads = self.lead();
        let mut changes = pin!(self.changes());
        let mut progress = Progress::default();
        let mut last_problem = String::new();
        loop {
            let writes = *leads.borrow_and_update();
            let pass = self.pass(&mut progress, writes, &mut present);
            let outcome = timeout(PASS_LIMIT, pass).await;
            let problem = outcome.unwrap_or(Err(KeepError::Slow)).err();
            let problem = problem.map_or_else(String::new, |e| e.to_string());
            tell(State {
                in_order: problem.is_empty(),
                configured: progress.configured,
            });
            if problem != last_problem && !problem.is_empty() {
                tracing::warn!(problem, "the certificate is not in order, trying again");
            }
            let pause = self.pause(problem.is_empty());
            last_problem = problem;
            // What woke us does not matter: a pass looks at everything.
            tokio::select! {
                _ = timeout(pause, changes.next()) => {}
                Ok(()) = leads.changed() => {}
            }
        }
    }

    /// Whether this replica is the one that writes, from now on. With cert-manager none is.
    fn lead(&self) -> watch::Receiver<bool> {
        let settings = &self.settings;
        let (held, leads) = watch::channel(false);
        if settings.mode != Mode::CertManager {
            let lease = Lease::new(
                &self.client,
                &settings.namespace,
                &settings.lease,
                &settings.identity,
            );
            tokio::spawn(lease.keep(held));
        }
        leads
    }

    fn pause(&self, is_fine: bool) -> Duration {
        match self.settings.mode {
            _ if !is_fine => RETRY_AFTER,
            // Every replica has looked again before the old CA is dropped, even one whose watch is dead.
            Mode::SelfManaged { overlap } => CHECK_EVERY.min(overlap / 2),
            _ => CHECK_EVERY,
        }
    }

    async fn pass(
        &self,
        progress: &mut Progress,
        writes: bool,
        present: &mut impl FnMut(&Pair) -> Result<(), CertificateError>,
    ) -> Result<(), KeepError> {
        let (leaf, ca) = self.find(progress, writes).await?;
        if progress.presented.as_ref() != Some(&leaf) {
            present(&leaf)?;
            let secret = &self.settings.secret;
            tracing::info!(secret, "presenting a new certificate");
            progress.presented = Some(leaf);
        }
        let Some(ca) = ca else { return Ok(()) };
        progress.configured = self.publish(&ca, writes).await?;
        if !writes {
            progress.published = None;
            return Ok(());
        }
        let published = progress.published.take();
        let same = published.filter(|(bundle, _)| *bundle == ca);
        progress.published = same.or_else(|| Some((ca, Instant::now())));
        Ok(())
    }

    /// The pair to present, and what clients are to trust if that is ours to say.
    async fn find(
        &self,
        progress: &mut Progress,
        writes: bool,
    ) -> Result<(Pair, Option<String>), KeepError> {
        match &self.settings.mode {
            Mode::SelfManaged { .. } => {
                let now = SystemTime::now();
                let issued = if writes {
                    self.settle(progress, now).await?
                } else {
                    self.follow(progress, now).await?
                };
                progress.held = Some(issued.clone());
                Ok((issued.leaf, Some(issued.ca.certificate)))
            }
            Mode::Provided { ca_bundle } => {
                let (leaf, found) = self.provided().await?;
                let ca = ca_bundle.clone().or(found);
                let ca = ca.ok_or_else(|| {
                    let missing = "ca.crt, and the settings name no certificate.caBundle";
                    KeepError::Incomplete(self.settings.secret.clone(), missing)
                })?;
                check_serves(&leaf, &ca, &self.settings.names()[..1], SystemTime::now())?;
                Ok((leaf, Some(split(&ca)?.concat())))
            }
            Mode::CertManager => Ok((self.provided().await?.0, None)),
        }
    }

    async fn provided(&self) -> Result<(Pair, Option<String>), KeepError> {
        let name = &self.settings.secret;
        let cure = "it is to be made by who provides the certificate";
        let secret = self.read().await?;
        let secret = secret.ok_or_else(|| KeepError::NoSecret(name.clone(), cure))?;
        secret::provided(&secret)
            .ok_or_else(|| KeepError::Incomplete(name.clone(), "tls.crt and tls.key"))
    }

    /// What another replica wrote, if it serves. Nobody uses what an empty Secret will hold, so that any replica may
    /// fill it, of two only one.
    async fn follow(&self, progress: &mut Progress, now: SystemTime) -> Result<Issued, KeepError> {
        let secret = self.read().await?;
        match &secret {
            Some(_) => progress.missing_since = None,
            // In case this replica has to bring it back soon.
            None => _ = progress.missing_since.get_or_insert_with(Instant::now),
        }
        if secret.as_ref().is_some_and(secret::is_empty) {
            let since = *progress.empty_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= LEFT_EMPTY_FOR {
                return self.settle(progress, now).await;
            }
        } else {
            progress.empty_since = None;
        }
        let stored = secret.and_then(|secret| secret::parse(&secret));
        let names = self.settings.names();
        stored
            .filter(|it| check_serves(&it.leaf, &it.ca.certificate, &names, now).is_ok())
            .ok_or_else(|| KeepError::Waiting(self.settings.secret.clone()))
    }

    async fn read(&self) -> Result<Option<Secret>, KeepError> {
        let secret = self.secrets.get_opt(&self.settings.secret).await;
        secret.map_err(|e| api("reading the certificate's Secret", e))
    }

    /// Brings the Secret in order and returns what it holds: what it held if that is good, otherwise what this replica
    /// holds if that is, otherwise what is newly issued and written unless another replica was faster.
    ///
    /// # Errors
    /// When the Secret has only just gone, or cannot be read or written.
    pub async fn settle(
        &self,
        progress: &mut Progress,
        now: SystemTime,
    ) -> Result<Issued, KeepError> {
        let (name, names) = (&self.settings.secret, self.settings.names());
        for _ in 0..MAX_ATTEMPTS {
            let Some(secret) = self.read().await? else {
                self.bring_back(progress).await?;
                continue;
            };
            progress.missing_since = None;
            let next = match self.plan(&secret, progress, &names, now)? {
                plan::Plan::Keep(issued) => return Ok(issued),
                plan::Plan::Write(issued, why) => {
                    tracing::info!(secret = name, why, "writing the certificate");
                    issued
                }
            };
            let patch = Patch::Merge(secret::patch(&secret, &next));
            let params = PatchParams::apply(FIELD_MANAGER);
            match self.secrets.patch(name, &params, &patch).await {
                Ok(_) => return Ok(next),
                // Another replica was faster: what it wrote counts.
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(error) => return Err(api("writing the certificate's Secret", error)),
            }
        }
        Err(KeepError::Contended(name.clone()))
    }

    fn plan(
        &self,
        secret: &Secret,
        progress: &Progress,
        names: &[String],
        now: SystemTime,
    ) -> Result<plan::Plan, CertificateError> {
        let stored = secret::parse(secret);
        let overlap = match self.settings.mode {
            Mode::SelfManaged { overlap } => overlap,
            _ => Duration::MAX,
        };
        let published = progress.published.as_ref().filter(|(bundle, _)| {
            let stored = stored.as_ref().map(|stored| &stored.ca.certificate);
            stored == Some(bundle)
        });
        let situation = plan::Situation {
            held: progress.held.as_ref(),
            names,
            now,
            published_for: published.map_or(Duration::ZERO, |(_, since)| since.elapsed()),
            overlap,
            asked: secret::asked(secret),
        };
        plan::plan(stored, &situation)
    }

    /// Makes a Secret that was deleted anew, empty; filling it is a matter of resource versions again.
    async fn bring_back(&self, progress: &mut Progress) -> Result<(), KeepError> {
        let (namespace, name) = (&self.settings.namespace, &self.settings.secret);
        let since = *progress.missing_since.get_or_insert_with(Instant::now);
        let is_recent = since.elapsed() < MISSING_FOR;
        let sibling = self.sibling().await?.filter(|_| !is_recent);
        let sibling = sibling.ok_or_else(|| {
            KeepError::NoSecret(
                format!("{namespace}/{name}"),
                "unless the release is being removed, it is made anew in some seconds",
            )
        })?;
        let params = PatchParams::apply(FIELD_MANAGER);
        let patch = Patch::Apply(secret::empty(namespace, name, &sibling));
        let made = self.secrets.patch(name, &params, &patch).await;
        made.map_err(|e| api("making the certificate's Secret anew", e))?;
        tracing::info!(secret = name, "the certificate's Secret was missing");
        Ok(())
    }

    /// What the release says of another object of its own, if it is installed.
    async fn sibling(&self) -> Result<Option<ObjectMeta>, KeepError> {
        let name = &self.settings.webhook_configuration;
        let found = self.validating.get_opt(name).await;
        let found = found.map_err(|e| api("reading the webhook configuration", e))?;
        Ok(found.map(|found| found.metadata))
    }

    /// Sees to it that the API server trusts `ca`, if there are webhook configurations at all and this replica is the
    /// one to write. Whether there is the validating one.
    ///
    /// # Errors
    /// When a configuration cannot be read or written.
    pub async fn publish(&self, ca: &str, writes: bool) -> Result<bool, KeepError> {
        let settings = &self.settings;
        let name = &settings.webhook_configuration;
        let exists = publish(&self.validating, name, ca, writes).await?;
        if let Some(name) = &settings.mutating_webhook_configuration {
            publish(&self.mutating, name, ca, writes).await?;
        }
        Ok(exists)
    }

    /// An item for each change of the Secret or of a webhook configuration, and for each failure to watch them.
    fn changes(&self) -> impl futures::Stream<Item = ()> + use<> {
        let settings = &self.settings;
        let secrets = watch(self.secrets.clone(), &settings.secret, "Secret");
        if settings.mode == Mode::CertManager {
            return secrets.left_stream();
        }
        let what = "webhook configuration";
        let validating = watch(
            self.validating.clone(),
            &settings.webhook_configuration,
            what,
        );
        let mutating = match &settings.mutating_webhook_configuration {
            Some(name) => watch(self.mutating.clone(), name, what).left_stream(),
            None => stream::pending().right_stream(),
        };
        stream::select(secrets, stream::select(validating, mutating)).right_stream()
    }
}

/// Repairs one configuration, if `writes`; whether it exists.
async fn publish<K>(
    configurations: &Api<K>,
    name: &str,
    ca: &str,
    writes: bool,
) -> Result<bool, KeepError>
where
    K: Configuration + Clone + DeserializeOwned + Debug,
{
    let found = configurations.get_opt(name).await;
    let found = found.map_err(|e| api("reading the webhook configuration", e))?;
    let Some(found) = found else { return Ok(false) };
    let Some(patch) = bundle::repair(&found, ca).filter(|_| writes) else {
        return Ok(true);
    };
    // By force: whoever emptied the field took it over with that.
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(patch);
    let patched = configurations.patch(name, &params, &patch).await;
    patched.map_err(|e| api("writing caBundle", e))?;
    tracing::info!(configuration = name, "caBundle is up to date");
    Ok(true)
}

/// An item for each change of one object.
fn watch<K>(objects: Api<K>, name: &str, what: &'static str) -> impl Stream<Item = ()> + use<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let fields = format!("metadata.name={name}");
    let config = watcher::Config::default()
        .fields(&fields)
        .timeout(WATCH_SECONDS);
    let changes = watcher(objects, config).default_backoff().touched_objects();
    changes.map(move |change| log(what, change))
}

fn log<K>(what: &str, change: Result<K, watcher::Error>) {
    if let Err(error) = change {
        tracing::warn!(%error, "watching the {what} failed, trying again");
    }
}

fn api(doing: &'static str, source: kube::Error) -> KeepError {
    KeepError::Api { doing, source }
}
