//! Obeying the settings file while running: it is looked at every few seconds, and what it says takes the place of what
//! was in force as a whole. A file that cannot be used is told once, and changes nothing.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::registry_args::RegistryArgs;
use super::{SharedNetworks, lock, trusted_callers};
use crate::config::{Reload, Settings};
use crate::gate::Gate;
use crate::registry::{EgressPolicy, Registry};
use crate::webhook::Shared;

/// A change has to be seen twice, and a kubelet takes up to a minute or two to bring one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Those who obey settings.
pub(super) struct Obeying {
    pub(super) gate: Arc<Gate>,
    pub(super) registry: Registry,
    /// What the command line says of registries goes on counting.
    pub(super) flags: RegistryArgs,
    pub(super) egress: EgressPolicy,
    /// What was told of the settings' files.
    pub(super) left_out: Vec<String>,
    pub(super) networks: SharedNetworks,
    pub(super) watch_lease: tokio::sync::watch::Sender<Option<String>>,
    /// Whom the webhook answers, and metrics.
    pub(super) shared: Shared,
}

impl Obeying {
    /// Looks at the file for ever.
    pub(super) async fn watch(mut self, mut reload: Reload) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Reading files may block.
            let looked = tokio::task::spawn_blocking(move || (reload.look(), reload)).await;
            let Ok((found, again)) = looked else {
                tracing::error!("the settings file is no longer watched: reading it panicked");
                return;
            };
            reload = again;
            let obeyed = match found {
                None => continue,
                Some(Ok(settings)) => self.take(settings).await.map_err(|e| format!("{e:#}")),
                Some(Err(mistakes)) => Err(mistakes),
            };
            match obeyed {
                Ok(()) => {
                    tracing::info!("the settings have changed and are in force");
                    self.shared.metrics.settings_taken(SystemTime::now());
                }
                Err(mistakes) => {
                    tracing::error!(%mistakes, "the settings file cannot be used; the settings before it stay in force");
                    self.shared.metrics.settings_refused();
                }
            }
        }
    }

    /// All of it or nothing: what may fail comes first.
    async fn take(&mut self, settings: Settings) -> anyhow::Result<()> {
        let egress = self.egress.clone();
        let trusted = trusted_callers(&settings, &self.shared.certificate)?;
        let registries = self.flags.serving(&settings, &self.left_out, egress)?;
        self.left_out = settings.left_out;
        self.registry.reconfigure(registries).await?;
        self.shared.callers.replace(trusted);
        {
            let mut networks = lock(&self.networks);
            networks.set_blocked(settings.blocked_networks);
            self.gate.deny_networks(networks.all());
        }
        self.gate.read_pull_secrets(settings.pull_secrets);
        self.gate.report_events(settings.events);
        self.gate.set_rules(settings.rules);
        self.watch_lease.send_if_modified(|lease| {
            let changes = *lease != settings.watch_lease;
            *lease = settings.watch_lease;
            changes
        });
        Ok(())
    }
}
