//! Events on the owners of pods, where the operator asks for them: what a warning says is seen by nobody where a controller
//! creates the pods.
//!
//! What is worth an event, and that it is so once, is the caller's to know. Here is that there are never many: one a
//! second, and what finds a hundred of them waiting is left out. Its line in the log is written all the same.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Between two events of one replica.
const PACE: Duration = Duration::from_secs(1);
/// Events that may wait.
const WAITING: usize = 100;
const CONTROLLER: &str = "platform-gate";

/// Something to tell of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerEvent {
    /// The object's namespace.
    pub namespace: String,
    /// Its API version, such as `apps/v1`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// In a word, why.
    pub reason: &'static str,
    /// In sentences; a kilobyte at most is kept.
    pub note: String,
}

/// Where events are handed in. Never waits.
#[derive(Debug, Clone)]
pub struct Events(mpsc::Sender<OwnerEvent>);

impl Events {
    /// A place to hand them in, and what is handed in.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<OwnerEvent>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    /// Hands one in, if there is room.
    pub fn report(&self, event: OwnerEvent) {
        if self.0.try_send(event).is_err() {
            tracing::debug!("an event is left out: too many wait");
        }
    }
}

/// Writes what is handed in, as the replica `instance`, as long as there may come more.
pub async fn write(client: Client, instance: String, mut events: mpsc::Receiver<OwnerEvent>) {
    let reporter = Reporter {
        controller: CONTROLLER.to_owned(),
        instance: Some(instance),
    };
    let recorder = Recorder::new(client, reporter);
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut works = true;
    while let Some(event) = events.recv().await {
        pace.tick().await;
        let written = publish(&recorder, event).await;
        match &written {
            Err(error) if works => {
                tracing::warn!(%error, "events cannot be written; allow it, or set events to false");
            }
            _ => {}
        }
        works = written.is_ok();
    }
}

async fn publish(recorder: &Recorder, event: OwnerEvent) -> kube::Result<()> {
    let owner = ObjectReference {
        api_version: Some(event.api_version),
        kind: Some(event.kind),
        namespace: Some(event.namespace),
        name: Some(event.name),
        uid: Some(event.uid),
        ..ObjectReference::default()
    };
    let event = Event {
        type_: EventType::Warning,
        reason: event.reason.to_owned(),
        note: Some(bounded(event.note)),
        action: "Admission".to_owned(),
        secondary: None,
    };
    recorder.publish(&event, &owner).await
}

/// The API server takes a kilobyte.
fn bounded(mut note: String) -> String {
    let end = (0..=note.len().min(1000)).rfind(|at| note.is_char_boundary(*at));
    note.truncate(end.unwrap_or_default());
    note
}

#[cfg(test)]
pub(crate) mod tests {
    use hyper::{Method, Request, Response, StatusCode};
    use kube::client::Body;
    use tokio::time::Instant;
    use tower::BoxError;

    use super::*;

    /// An API server that takes events and knows nothing else, and when it took them. It is no further away than a call, so
    /// that a test can do without real time.
    pub(crate) fn api_server() -> (Client, mpsc::UnboundedReceiver<(Instant, String)>) {
        let (sender, taken) = mpsc::unbounded_channel();
        let service = tower::service_fn(move |request: Request<Body>| {
            let sender = sender.clone();
            async move {
                if request.method() != Method::POST {
                    let mut answer = Response::new(Body::from(b"{}".to_vec()));
                    *answer.status_mut() = StatusCode::NOT_FOUND;
                    return Ok::<_, BoxError>(answer);
                }
                let event = request.into_body().collect_bytes().await?.to_vec();
                let text = String::from_utf8(event.clone())?;
                sender.send((Instant::now(), text))?;
                Ok(Response::new(Body::from(event)))
            }
        });
        (Client::new(service, "default"), taken)
    }

    fn event(number: usize) -> OwnerEvent {
        OwnerEvent {
            namespace: "shop".to_owned(),
            api_version: "apps/v1".to_owned(),
            kind: "ReplicaSet".to_owned(),
            name: format!("web-{number}"),
            uid: "u".to_owned(),
            reason: "PodRejected",
            note: String::new(),
        }
    }

    #[test]
    fn what_finds_too_many_waiting_is_left_out_and_nobody_waits() {
        let (events, mut handed_in) = Events::channel();
        (0..3 * WAITING).for_each(|number| events.report(event(number)));
        let kept = std::iter::from_fn(|| handed_in.try_recv().ok()).count();
        assert_eq!(kept, WAITING);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_written_one_a_second_and_what_comes_after_it_is_written_too() {
        let (events, handed_in) = Events::channel();
        (0..3 * WAITING).for_each(|number| events.report(event(number)));
        let (client, mut taken) = api_server();
        let writing = tokio::spawn(write(client, "me".to_owned(), handed_in));
        let mut before: Option<Instant> = None;
        for number in 0..WAITING {
            let (at, text) = taken.recv().await.unwrap();
            assert!(text.contains(&format!("\"web-{number}\"")), "{text}");
            assert!(before.is_none_or(|before| at - before >= PACE));
            before = Some(at);
        }
        // There is room again, and a quiet hour is no reason to hurry.
        tokio::time::advance(PACE * 3600).await;
        (1000..1003).for_each(|number| events.report(event(number)));
        drop(events);
        writing.await.unwrap();
        let mut times = Vec::new();
        while let Some((at, _)) = taken.recv().await {
            times.push(at);
        }
        assert_eq!(times.len(), 3, "what was left out does not come back");
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= PACE));
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(bounded("short".to_owned()), "short");
        assert_eq!(bounded("\u{e9}".repeat(800)).len(), 1000);
        assert_eq!(bounded(format!("a{}", "\u{e9}".repeat(800))).len(), 999);
    }
}
