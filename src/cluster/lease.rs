//! A Lease that one replica holds at a time: whoever holds it writes, the others follow.
//!
//! Taken and renewed with the resource version that was read, so that of two only one can succeed. Whether another's
//! hold has run out is told as client-go does, by how long this process has seen no renewal: clocks of machines are
//! not compared. What is done with the hold is the caller's; nothing here has to do with serving.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::certificate::FIELD_MANAGER;

/// How long a hold lasts without renewal: with [`RETRY`], another replica has taken over within eight seconds.
const DURATION: Duration = Duration::from_secs(6);
const RETRY: Duration = Duration::from_secs(2);

/// One replica's view of the Lease.
pub struct Lease {
    api: Api<LeaseObject>,
    namespace: String,
    name: String,
    identity: String,
    /// The resource version last seen and since when.
    seen: Option<(String, Instant)>,
}

impl Lease {
    /// The Lease `name`, to be held under the name `identity`, which no other replica has.
    #[must_use]
    pub fn new(client: &Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: identity.to_owned(),
            seen: None,
        }
    }

    /// Tries to get and keep the Lease, and tells whether it is held, until nobody listens any more; then gives it up,
    /// so that another replica need not wait for it to run out.
    pub async fn keep(mut self, held: watch::Sender<bool>) {
        let mut until = Instant::now();
        let mut tries = interval(RETRY);
        tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let began = tokio::select! {
                began = tries.tick() => began,
                () = held.closed() => break,
            };
            match timeout(RETRY, self.try_hold()).await {
                Ok(Ok(true)) => until = began + DURATION,
                Ok(Ok(false)) => until = began,
                // Until the hold has run out, nobody else can have taken it.
                Ok(Err(error)) => {
                    tracing::debug!(%error, lease = self.name, "no word of the Lease")
                }
                Err(_) => tracing::debug!(lease = self.name, "the Lease took too long"),
            }
            // Given up one try early, since the next might hang until after the end.
            let holds = Instant::now() + RETRY < until;
            let changed = held.send_if_modified(|now| std::mem::replace(now, holds) != holds);
            if changed {
                tracing::info!(
                    lease = self.name,
                    holds,
                    "whether this replica holds the Lease has changed"
                );
            }
        }
        let released = timeout(RETRY, self.release()).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::debug!(lease = self.name, "the Lease was not given up: it runs out");
        }
    }

    async fn release(&self) -> Result<(), kube::Error> {
        let found = self.api.get_opt(&self.name).await?;
        let Some(ours) = found.filter(|it| holder(it) == Some(self.identity.as_str())) else {
            return Ok(());
        };
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": ours.metadata.resource_version},
            "spec": {"holderIdentity": ""},
        }));
        let params = PatchParams::apply(FIELD_MANAGER);
        self.api.patch(&self.name, &params, &patch).await.map(drop)
    }

    /// Takes the Lease if it is free, or renews it if it is ours. Whether it is ours now.
    ///
    /// # Errors
    /// When it cannot be read or written; another's being faster is no error.
    pub async fn try_hold(&mut self) -> Result<bool, kube::Error> {
        let Some(found) = self.api.get_opt(&self.name).await? else {
            self.create().await?;
            return Ok(false);
        };
        let ours = holder(&found) == Some(self.identity.as_str());
        if !ours && !self.has_run_out(&found) {
            return Ok(false);
        }
        let patch = Patch::Merge(self.hold(&found, ours));
        let params = PatchParams::apply(FIELD_MANAGER);
        match self.api.patch(&self.name, &params, &patch).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether nobody holds it, or who does has not renewed it for as long as they said.
    fn has_run_out(&mut self, found: &LeaseObject) -> bool {
        if holder(found).is_none() {
            return true;
        }
        let version = found.metadata.resource_version.clone().unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => {
                let now = Instant::now();
                self.seen = Some((version, now));
                now
            }
        };
        let spec = found.spec.as_ref();
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
        let duration = seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(DURATION, Duration::from_secs);
        since.elapsed() >= duration
    }

    fn hold(&self, found: &LeaseObject, ours: bool) -> Value {
        let now = micro_time(SystemTime::now());
        let mut spec = json!({
            "holderIdentity": self.identity,
            "leaseDurationSeconds": DURATION.as_secs(),
            "renewTime": now,
        });
        if !ours {
            let transitions = found.spec.as_ref().and_then(|spec| spec.lease_transitions);
            spec["acquireTime"] = json!(now);
            spec["leaseTransitions"] = json!(transitions.unwrap_or(0).saturating_add(1));
        }
        json!({
            "metadata": {"resourceVersion": found.metadata.resource_version},
            "spec": spec,
        })
    }

    /// Brings back a Lease that was deleted; an apply without fields changes none if another was faster.
    async fn create(&self) -> Result<(), kube::Error> {
        let empty = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": self.namespace},
        });
        let (params, patch) = (PatchParams::apply(FIELD_MANAGER), Patch::Apply(empty));
        self.api.patch(&self.name, &params, &patch).await.map(drop)
    }
}

fn holder(lease: &LeaseObject) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    (!holder.is_empty()).then_some(holder)
}

/// As the API writes times with microseconds.
fn micro_time(at: SystemTime) -> String {
    let seconds = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let nanoseconds = i64::try_from(seconds.as_nanos()).unwrap_or(i64::MAX);
    let at = k8s_openapi::jiff::Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default();
    format!("{at:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_api_reads_them() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_000);
        assert_eq!(micro_time(at), "1970-01-01T00:00:01.500000Z");
    }
}
