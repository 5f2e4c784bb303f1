//! The self-managed certificate: kept in a Secret of the chart, presented by every replica, trusted by the API server.
//!
//! One pass brings Secret, presented certificate and `caBundle` together; it runs on every change of either object, and
//! by the clock. Every replica may write: the resource version decides who was first. The webhook configuration is
//! never created or deleted, so that whoever deletes it in an emergency has the last word.

mod bundle;
mod plan;
mod secret;

use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures::{StreamExt, stream};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::time::timeout;

use super::WATCH_SECONDS;
use crate::certificate::{CertificateError, Issued, Pair};

/// The name under which fields are owned.
pub const FIELD_MANAGER: &str = "platform-gate";
/// By the wall clock: machines sleep, and clocks are set.
const CHECK_EVERY: Duration = Duration::from_secs(10 * 60);
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Replicas that start at once lose this race at most once each.
const MAX_ATTEMPTS: usize = 8;

/// Where the certificate is kept and whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Namespace of the Secret and of the Service.
    pub namespace: String,
    /// The Secret, made by the chart and filled here.
    pub secret: String,
    /// The Service through which the API server calls.
    pub service: String,
    /// The webhook configuration whose `caBundle` is kept.
    pub webhook_configuration: String,
}

impl Settings {
    /// The names under which the Service is called; the API server uses the first.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let (service, namespace) = (&self.service, &self.namespace);
        vec![
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            format!("{service}.{namespace}"),
            service.clone(),
        ]
    }
}

/// Why a pass did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The Secret has gone, or was never made.
    #[error("Secret {namespace}/{name} does not exist: `helm upgrade` brings it back")]
    NoSecret {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Others kept writing the Secret.
    #[error("Secret {0} was changed by others {MAX_ATTEMPTS} times in a row: see who writes it")]
    Contended(String),
    /// The API server refused, or did not answer.
    #[error("{doing}: {source}")]
    Api {
        /// What was being done.
        doing: &'static str,
        /// What was answered.
        source: kube::Error,
    },
    /// Certificates could not be issued, or what is stored was refused.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Keeps one certificate.
pub struct Keeper {
    settings: Settings,
    secrets: Api<Secret>,
    configurations: Api<ValidatingWebhookConfiguration>,
}

impl Keeper {
    /// A keeper that talks through `client`.
    #[must_use]
    pub fn new(client: &Client, settings: Settings) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &settings.namespace),
            configurations: Api::all(client.clone()),
            settings,
        }
    }

    /// Keeps the certificate for ever; `present` is handed each new pair, and may refuse it.
    pub async fn run(self, mut present: impl FnMut(&Pair) -> Result<(), CertificateError>) {
        let mut changes = pin!(self.changes());
        let mut held: Option<Issued> = None;
        let mut last_problem = String::new();
        loop {
            let outcome = self.pass(&mut held, &mut present).await;
            let problem = outcome.err().map_or_else(String::new, |e| e.to_string());
            if problem != last_problem && !problem.is_empty() {
                tracing::warn!(problem, "the certificate is not in order, trying again");
            }
            let pause = if problem.is_empty() {
                CHECK_EVERY
            } else {
                RETRY_AFTER
            };
            last_problem = problem;
            // What woke us does not matter: a pass looks at everything.
            let _ = timeout(pause, changes.next()).await;
        }
    }

    async fn pass(
        &self,
        held: &mut Option<Issued>,
        present: &mut impl FnMut(&Pair) -> Result<(), CertificateError>,
    ) -> Result<(), KeepError> {
        let issued = self.settle(held.as_ref(), SystemTime::now()).await?;
        if held.as_ref().map(|held| &held.leaf) != Some(&issued.leaf) {
            present(&issued.leaf)?;
            tracing::info!(
                secret = self.settings.secret,
                "presenting a new certificate"
            );
        }
        let ca = issued.ca.certificate.clone();
        *held = Some(issued);
        self.publish(&ca).await
    }

    /// Brings the Secret in order and returns what it holds: what it held if that is good, otherwise `held` if that
    /// is, otherwise what is newly issued and written unless another replica was faster.
    ///
    /// # Errors
    /// When the Secret does not exist, or cannot be read or written.
    pub async fn settle(
        &self,
        held: Option<&Issued>,
        now: SystemTime,
    ) -> Result<Issued, KeepError> {
        let (name, names) = (&self.settings.secret, self.settings.names());
        for _ in 0..MAX_ATTEMPTS {
            let secret = self.secrets.get_opt(name).await;
            let secret = secret.map_err(|e| api("reading the certificate's Secret", e))?;
            let secret = secret.ok_or_else(|| KeepError::NoSecret {
                namespace: self.settings.namespace.clone(),
                name: name.clone(),
            })?;
            let next = match plan::plan(secret::parse(&secret), held, &names, now)? {
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

    /// Sees to it that the API server trusts `ca`, if there is a webhook configuration at all.
    ///
    /// # Errors
    /// When the configuration cannot be read or written.
    pub async fn publish(&self, ca: &str) -> Result<(), KeepError> {
        let name = &self.settings.webhook_configuration;
        let configuration = self.configurations.get_opt(name).await;
        let configuration =
            configuration.map_err(|e| api("reading the webhook configuration", e))?;
        let Some(patch) = configuration.and_then(|found| bundle::repair(&found, ca)) else {
            return Ok(());
        };
        // By force: whoever emptied the field took it over with that.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(patch);
        let patched = self.configurations.patch(name, &params, &patch).await;
        patched.map_err(|e| api("writing caBundle", e))?;
        tracing::info!(configuration = name, "caBundle is up to date");
        Ok(())
    }

    /// An item for each change of the Secret or of the webhook configuration, and for each failure to watch them.
    fn changes(&self) -> impl futures::Stream<Item = ()> + use<> {
        let named = |name: &str| {
            let fields = format!("metadata.name={name}");
            watcher::Config::default()
                .fields(&fields)
                .timeout(WATCH_SECONDS)
        };
        let secrets = watcher(self.secrets.clone(), named(&self.settings.secret));
        let configurations = watcher(
            self.configurations.clone(),
            named(&self.settings.webhook_configuration),
        );
        stream::select(
            secrets
                .default_backoff()
                .touched_objects()
                .map(|change| log("Secret", change)),
            configurations
                .default_backoff()
                .touched_objects()
                .map(|change| log("webhook configuration", change)),
        )
    }
}

fn log<K>(what: &str, change: Result<K, watcher::Error>) {
    if let Err(error) = change {
        tracing::warn!(%error, "watching the {what} failed, trying again");
    }
}

fn api(doing: &'static str, source: kube::Error) -> KeepError {
    KeepError::Api { doing, source }
}
