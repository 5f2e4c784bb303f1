//! Telling the cluster: a policy report for each namespace, and an event for each workload that stands otherwise than
//! before. Little at a time, so that a change of many workloads is no storm.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::time::{Instant, timeout};

use super::ledger::{Ledger, News, Standing};
use crate::cluster::policy_reports::PolicyReports;
use crate::cluster::workloads::api_version;

/// Who reports events.
const CONTROLLER: &str = "platform-gate.io/watch";
/// Least time between two rounds, and what one of them tells at most.
const ROUND: Duration = Duration::from_secs(1);
const EVENTS: usize = 10;
const REPORTS: usize = 20;
/// Until it is looked again whether there are CRDs of reports.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an event's note; the API takes 1 KiB.
const NOTE: usize = 1000;

pub(super) struct Publisher {
    client: Client,
    recorder: Recorder,
    reports: Option<PolicyReports>,
    looked: Option<Instant>,
    /// Namespaces whose report is to be written.
    to_write: BTreeSet<String>,
    /// Those of them that could not be.
    failed: BTreeSet<String>,
    last_round: Option<Instant>,
}

impl Publisher {
    pub(super) fn new(client: &Client, identity: &str) -> Self {
        let reporter = Reporter {
            controller: CONTROLLER.to_owned(),
            instance: Some(identity.to_owned()),
        };
        Self {
            client: client.clone(),
            recorder: Recorder::new(client.clone(), reporter),
            reports: None,
            looked: None,
            to_write: BTreeSet::new(),
            failed: BTreeSet::new(),
            last_round: None,
        }
    }

    /// Tells some of what has changed, once everything has been judged. What cannot be told is tried again, events apart.
    pub(super) async fn publish(&mut self, ledger: &mut Ledger) {
        let is_early = self.last_round.is_some_and(|at| at.elapsed() < ROUND);
        if is_early || !ledger.has_begun() {
            return;
        }
        self.last_round = Some(Instant::now());
        for news in ledger.take_news(EVENTS) {
            self.announce(&news).await;
        }
        self.find_reports(ledger).await;
        self.to_write.extend(ledger.take_changed());
        match self.reports.clone() {
            Some(reports) => self.write(&reports, ledger).await,
            // All are written once there are CRDs.
            None => self.to_write.clear(),
        }
    }

    async fn find_reports(&mut self, ledger: &Ledger) {
        let looked = self.looked.is_some_and(|at| at.elapsed() < LOOK_AGAIN);
        if self.reports.is_some() || looked {
            return;
        }
        self.looked = Some(Instant::now());
        match PolicyReports::find(&self.client).await {
            Ok(Some((reports, written))) => {
                self.reports = Some(reports);
                self.to_write.extend(ledger.namespaces().cloned());
                self.to_write.extend(written);
            }
            Ok(None) => tracing::debug!("no CRD of policy reports is installed"),
            Err(error) => tracing::warn!(%error, "policy reports cannot be looked for"),
        }
    }

    async fn write(&mut self, reports: &PolicyReports, ledger: &Ledger) {
        if self.to_write.is_empty() {
            self.to_write = std::mem::take(&mut self.failed);
        }
        for _ in 0..REPORTS {
            let Some(namespace) = self.to_write.pop_first() else {
                break;
            };
            let written = async {
                match ledger.report(&namespace) {
                    Some(content) => reports.write(&namespace, content).await,
                    None => reports.remove(&namespace).await,
                }
            };
            match timeout(TIMEOUT, written).await {
                Ok(Ok(())) => {}
                Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
                    tracing::info!(namespace, "there is no such namespace, or no CRD any more");
                    self.reports = None;
                    return;
                }
                failed => {
                    let error = failed.map_or_else(
                        |_| "no answer".to_owned(),
                        |failed| failed.err().map_or_else(String::new, |e| e.to_string()),
                    );
                    tracing::warn!(namespace, error, "a policy report cannot be written");
                    self.failed.insert(namespace);
                }
            }
        }
    }

    async fn announce(&self, news: &News) {
        let (kind, namespace, name) = &news.template.name;
        let (type_, reason, note) = match news.standing {
            Standing::Right => (
                EventType::Normal,
                "LandsRight",
                "its pods run on every node that they may land on",
            ),
            Standing::MayLandWrong => (EventType::Warning, "MayLandWrong", &*news.message),
            Standing::Nowhere => (EventType::Warning, "RunsNowhere", &*news.message),
        };
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(cut(note)),
            action: "Judging".to_owned(),
            secondary: None,
        };
        let regarding = ObjectReference {
            api_version: Some(api_version(*kind)),
            kind: Some(kind.name().to_owned()),
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            uid: Some(news.template.uid.clone()),
            ..ObjectReference::default()
        };
        let published = timeout(TIMEOUT, self.recorder.publish(&event, &regarding)).await;
        if let Ok(Err(error)) = published {
            tracing::warn!(%error, namespace, name, "an event cannot be written");
        }
    }
}

/// The beginning of a text, of whole characters.
fn cut(text: &str) -> String {
    let mut end = text.len().min(NOTE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use serde_json::json;
    use tokio::time::advance;

    use super::*;
    use crate::cluster::events::tests::api_server;
    use crate::cluster::workloads::{Template, TemplateEvent, WATCHED};
    use crate::domain::decision::Outcome;
    use crate::domain::workload::WorkloadKind;
    use crate::gate::Found;

    /// A ledger of so many Deployments that ran everywhere and now run nowhere.
    fn all_have_changed(count: usize) -> Ledger {
        let spec =
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "a"}]}}}});
        let kind = WorkloadKind::Deployment;
        let templates = (0..count).map(|number| Template {
            name: (kind, "shop".to_owned(), format!("web-{number}")),
            uid: "u".to_owned(),
            spec: kind.read(spec.clone()).unwrap().pod.spec,
        });
        let mut ledger = Ledger::default();
        for (other, ..) in WATCHED {
            ledger.take(TemplateEvent::Restarted(other, Vec::new()));
        }
        ledger.take(TemplateEvent::Restarted(kind, templates.collect()));
        for outcome in [Outcome::Runs, Outcome::Nowhere] {
            ledger.mark_all();
            let found = |outcome| Found {
                outcome,
                message: String::new(),
                asked: false,
            };
            for template in ledger.next(count) {
                ledger.judged(&Arc::clone(&template), Some(found(outcome.clone())));
            }
            ledger.finish_pass();
        }
        ledger
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_many_workloads_is_told_little_by_little_and_each_once() {
        let (client, mut taken) = api_server();
        let mut publisher = Publisher::new(&client, "me");
        let many = 3 * EVENTS + 5;
        let mut ledger = all_have_changed(many);
        let mut told = BTreeSet::new();
        for round in 1..=4 {
            // As often as there is something to judge; only the first call of a round tells.
            for _ in 0..5 {
                publisher.publish(&mut ledger).await;
            }
            while let Ok((_, text)) = taken.try_recv() {
                let event: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert!(
                    told.insert(event["regarding"]["name"].to_string()),
                    "twice: {text}"
                );
            }
            assert_eq!(told.len(), many.min(round * EVENTS));
            advance(ROUND).await;
        }
        publisher.publish(&mut ledger).await;
        assert!(taken.try_recv().is_err(), "all of it has been told");
    }
}
