//! Keeping watch while the settings ask for it. Leaves out what is watched, and how it is told (`watch`).

use std::sync::Arc;

use super::{NAMESPACE_VARIABLE, identity, ready, stop_signal};
use crate::gate::Gate;
use crate::watch::{self, Watch};
use crate::webhook::Shared;

/// The Lease of those who keep watch, as the settings have it now; `None` where no watch is kept.
pub(super) type Leases = tokio::sync::watch::Receiver<Option<String>>;

/// Judges what makes pods in the background, once this process is ready, while the settings ask for it, and until it is
/// told to stop.
pub(super) fn keep_watch(
    client: kube::Client,
    mut leases: Leases,
    gate: &Arc<Gate>,
    shared: &Shared,
) -> anyhow::Result<()> {
    let (gate, metrics) = (Arc::clone(gate), Arc::clone(&shared.metrics));
    let (readiness, stop) = (shared.readiness.clone(), stop_signal()?);
    let counts = Arc::clone(&metrics);
    let watch = move |lease| {
        let settings = watch_settings(lease)?;
        Some(Watch {
            client: client.clone(),
            gate: Arc::clone(&gate),
            metrics: Arc::clone(&metrics),
            settings,
        })
    };
    let keep = async move {
        ready(&readiness).await;
        loop {
            let lease = leases.borrow_and_update().clone();
            let keep = async {
                match lease.and_then(&watch) {
                    Some(watch) => watch.run().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = keep => {}
                Ok(()) = leases.changed() => {}
            }
            counts.forget_watched();
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = keep => {}
            () = stop => {}
        }
    });
    Ok(())
}

/// `None` where the pod's namespace is not known.
fn watch_settings(lease: String) -> Option<watch::Settings> {
    let Ok(namespace) = std::env::var(NAMESPACE_VARIABLE) else {
        tracing::error!(
            lease,
            "no watch is kept: {NAMESPACE_VARIABLE} is not set, which names the Lease's namespace"
        );
        return None;
    };
    Some(watch::Settings {
        namespace,
        lease,
        identity: identity(),
    })
}
