//! Keeping watch: a verdict ages. One replica judges what makes pods against the nodes of today, again and again, and
//! tells by metrics, policy reports and events what may land wrong or runs nowhere.
//!
//! All of it is off the path of admission: it has look-ups of its own, few and slow, and what it needs of the API server it
//! asks for little by little. Leaves out how templates are judged (`gate`), and how reports read (`report`).

mod ledger;
mod publish;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::ledger::Ledger;
use self::publish::Publisher;
use crate::cluster::lease::Lease;
use crate::cluster::workloads::{Template, TemplateEvent, watch_templates};
use crate::gate::{Found, Gate};
use crate::metrics::Metrics;

/// Between two looks at whether nodes or settings have changed.
const TICK: Duration = Duration::from_secs(1);
/// Least time between two passes over everything.
const PAUSE: Duration = Duration::from_secs(5);
/// Longest time between them: tags move, and registries come back.
const AGAIN: Duration = Duration::from_secs(600);
/// Templates judged between two looks at what has changed meanwhile.
const AT_A_TIME: usize = 64;
/// Templates judged at once, and how long one keeps its place after a registry was asked: some 20 a second at most.
const AT_ONCE: usize = 2;
const AFTER_LOOKUP: Duration = Duration::from_millis(100);
/// Events on the way from the API server.
const QUEUE: usize = 64;

/// Whose Lease says who makes the pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub lease: String,
    /// The name of this replica, which no other has.
    pub identity: String,
}

/// Everything that the watch needs.
pub struct Watch {
    /// The API server.
    pub client: Client,
    /// Who judges.
    pub gate: Arc<Gate>,
    /// Where counts go.
    pub metrics: Arc<Metrics>,
    /// Who makes the pass.
    pub settings: Settings,
}

/// When everything was last judged.
struct Pass {
    began: Instant,
    revision: u64,
}

impl Watch {
    /// Keeps watch whenever this replica holds the Lease, until it is dropped.
    pub async fn run(self) {
        let Settings {
            namespace,
            lease,
            identity,
        } = &self.settings;
        let lease = Lease::new(&self.client, namespace, lease, identity);
        let (tell, mut held) = watch::channel(false);
        // It ends, and gives the Lease up, once nobody listens.
        tokio::spawn(lease.keep(tell));
        while held.wait_for(|held| *held).await.is_ok() {
            tokio::select! {
                () = self.keep_watch() => {}
                () = async { drop(held.wait_for(|held| !*held).await) } => {}
            }
            self.metrics.forget_watched();
        }
    }

    async fn keep_watch(&self) {
        let (sender, events) = mpsc::channel(QUEUE);
        tokio::select! {
            () = watch_templates(self.client.clone(), sender) => {}
            () = self.follow(events) => {}
        }
    }

    async fn follow(&self, mut events: mpsc::Receiver<TemplateEvent>) {
        let mut ledger = Ledger::default();
        let mut publisher = Publisher::new(&self.client, &self.settings.identity);
        let mut pass: Option<Pass> = None;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if !ledger.has_work() || !self.may_judge(&ledger) {
                tokio::select! {
                    event = events.recv() => match event {
                        Some(event) => ledger.take(event),
                        None => return,
                    },
                    _ = ticks.tick() => {}
                }
            }
            while let Ok(event) = events.try_recv() {
                ledger.take(event);
            }
            // What is judged by nodes that nobody has heard of lately is no news.
            if !self.may_judge(&ledger) {
                continue;
            }
            let revision = self.gate.revision();
            if pass.as_ref().is_none_or(|pass| pass.is_over(revision)) {
                ledger.mark_all();
                let began = Instant::now();
                pass = Some(Pass { began, revision });
            }
            self.judge_some(&mut ledger).await;
            if !ledger.has_work() {
                let counts = ledger.finish_pass();
                self.metrics.set_watched(&counts, SystemTime::now());
            }
            publisher.publish(&mut ledger).await;
        }
    }

    fn may_judge(&self, ledger: &Ledger) -> bool {
        ledger.is_complete() && !self.gate.is_stale()
    }

    async fn judge_some(&self, ledger: &mut Ledger) {
        let mut judged = futures::stream::iter(ledger.next(AT_A_TIME))
            .map(|template| self.judge(template))
            .buffer_unordered(AT_ONCE);
        while let Some((template, found)) = judged.next().await {
            ledger.judged(&template, found);
        }
    }

    async fn judge(&self, template: Arc<Template>) -> (Arc<Template>, Option<Found>) {
        let (kind, namespace, _) = &template.name;
        let judging = self
            .gate
            .judge_in_background(namespace, &template.spec, *kind);
        let found = judging.await;
        if found.as_ref().is_some_and(|found| found.asked) {
            #[allow(clippy::disallowed_methods, reason = "the pause is the point")]
            sleep(AFTER_LOOKUP).await;
        }
        // Reviews go first.
        tokio::task::yield_now().await;
        (template, found)
    }
}

impl Pass {
    /// Whether everything is to be judged anew.
    fn is_over(&self, revision: u64) -> bool {
        let age = self.began.elapsed();
        age >= AGAIN || (age >= PAUSE && self.revision != revision)
    }
}
