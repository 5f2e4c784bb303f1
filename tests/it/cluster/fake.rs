//! A few objects behind the wire of an API server: get, list, watch, merge patch with resource versions, apply.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use kube::{Client, Config};
use platform_gate::cluster::{Freshness, client::client_for};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

pub(crate) const SECRET: &str = "/api/v1/namespaces/shop/secrets/gate-tls";
pub(crate) const CONFIGURATION: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/gate";

pub(crate) const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/shop/leases/gate-tls";

const OTHERS: [&str; 4] = [
    "/apis/karpenter.sh/",
    "/apis/cluster.x-k8s.io/",
    "/apis/wgpolicyk8s.io/",
    "/apis/openreports.io/",
];

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

#[derive(Clone)]
pub(crate) struct Fake {
    world: Arc<Mutex<World>>,
    events: broadcast::Sender<(String, String)>,
    pub(crate) freshness: Freshness,
    pub(crate) client: Client,
}

#[derive(Default)]
struct World {
    objects: BTreeMap<String, Value>,
    version: u64,
    asked: Vec<Asked>,
    before_next_patch: Option<(String, Value)>,
    installed: Vec<&'static str>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        // Fails only when another test has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config::new(format!("http://{address}").parse().unwrap());
        let freshness = Freshness::default();
        let fake = Self {
            world: Arc::default(),
            events: broadcast::channel(64).0,
            client: client_for(config, &freshness).unwrap(),
            freshness,
        };
        let app = Router::new().fallback(answer).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        fake
    }

    /// Stores an object under its path and tells those who watch.
    pub(crate) fn put(&self, path: &str, object: Value) {
        let mut world = self.world.lock().unwrap();
        let kind = if world.objects.contains_key(path) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        let stored = world.put(path, object);
        self.tell(path, kind, &stored);
    }

    pub(crate) fn delete(&self, path: &str) {
        let gone = self.world.lock().unwrap().objects.remove(path).unwrap();
        self.tell(path, "DELETED", &gone);
    }

    /// Sends an event that no object stands behind, such as a bookmark.
    pub(crate) fn tell(&self, path: &str, kind: &str, object: &Value) {
        let (collection, _) = path.rsplit_once('/').unwrap();
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        // Fails when nobody watches.
        let _ = self.events.send((collection.to_owned(), line));
    }

    /// Installs the CRDs of a group, such as `/apis/openreports.io/`.
    pub(crate) fn install(&self, group: &'static str) {
        self.world.lock().unwrap().installed.push(group);
    }

    /// Another writer gets in just before the next patch.
    pub(crate) fn before_next_patch(&self, path: &str, object: Value) {
        self.world.lock().unwrap().before_next_patch = Some((path.to_owned(), object));
    }

    pub(crate) fn object(&self, path: &str) -> Value {
        self.world.lock().unwrap().objects[path].clone()
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.world.lock().unwrap().objects.contains_key(path)
    }

    /// The writes so far, but for those of the Lease.
    pub(crate) fn writes(&self) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(|asked| asked.method != "GET" && asked.path != LEASE);
        asked
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.world.lock().unwrap().asked.clone()
    }

    fn watch(&self, collection: String) -> Response {
        let events = stream::unfold(self.events.subscribe(), |mut events| async {
            events.recv().await.ok().map(|event| (event, events))
        });
        let lines = events.filter_map(move |(of, line)| {
            std::future::ready((of == collection).then_some(Ok::<_, Infallible>(line)))
        });
        Body::from_stream(lines).into_response()
    }

    /// Kinds of others are not installed until there is an object of them.
    fn lacks_kind(&self, collection: &str) -> bool {
        let world = self.world.lock().unwrap();
        let mut installed = world.installed.iter();
        if installed.any(|group| collection.starts_with(group)) {
            return false;
        }
        let mut paths = world.objects.keys();
        OTHERS.iter().any(|group| collection.starts_with(group))
            && !paths.any(|path| path.starts_with(&format!("{collection}/")))
    }

    fn list(&self, collection: &str) -> Response {
        let world = self.world.lock().unwrap();
        let items: Vec<&Value> = world
            .objects
            .iter()
            .filter(|(path, _)| {
                path.rsplit_once('/')
                    .is_some_and(|(of, _)| of == collection)
            })
            .map(|(_, object)| object)
            .collect();
        let metadata = json!({"resourceVersion": world.version.to_string()});
        json_of(&json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}))
    }

    fn patch(&self, asked: &Asked) -> Response {
        let (path, patch) = (asked.path.as_str(), &asked.body);
        let mut world = self.world.lock().unwrap();
        if let Some((path, object)) = world.before_next_patch.take() {
            world.put(&path, object);
        }
        let found = world.objects.get(path).cloned();
        let applies = asked.headers["content-type"].contains("apply-patch");
        let Some(mut object) = found.clone().or_else(|| applies.then(|| json!({}))) else {
            return status(StatusCode::NOT_FOUND, "NotFound");
        };
        for field in ["resourceVersion", "uid"] {
            let wanted = &patch["metadata"][field];
            if !wanted.is_null() && *wanted != object["metadata"][field] {
                return status(StatusCode::CONFLICT, "Conflict");
            }
        }
        merge(&mut object, patch);
        let stored = world.put(path, object);
        let kind = found.map_or("ADDED", |_| "MODIFIED");
        self.tell(path, kind, &stored);
        json_of(&stored)
    }
}

impl World {
    fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

async fn answer(State(fake): State<Fake>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    fake.world.lock().unwrap().asked.push(asked.clone());
    let object = fake.world.lock().unwrap().objects.get(&asked.path).cloned();
    match (asked.method.as_str(), object) {
        ("PATCH", _) => fake.patch(&asked),
        ("POST", None) => {
            let name = asked.body["metadata"]["name"].as_str().unwrap();
            let path = format!("{}/{name}", asked.path);
            json_of(&fake.world.lock().unwrap().put(&path, asked.body.clone()))
        }
        ("DELETE", None) => status(StatusCode::NOT_FOUND, "NotFound"),
        ("DELETE", Some(object)) => {
            fake.delete(&asked.path);
            json_of(&object)
        }
        ("GET", Some(object)) => json_of(&object),
        ("GET", None) if [SECRET, CONFIGURATION, LEASE].contains(&asked.path.as_str()) => {
            status(StatusCode::NOT_FOUND, "NotFound")
        }
        ("GET", None) if fake.lacks_kind(&asked.path) => status(StatusCode::NOT_FOUND, "NotFound"),
        ("GET", None) if asked.query.contains("watch=true") => fake.watch(asked.path),
        ("GET", None) => fake.list(&asked.path),
        _ => status(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    }
}

fn json_of(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

fn status(code: StatusCode, reason: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": reason, "message": reason, "code": code.as_u16(),
    });
    (code, json_of(&body)).into_response()
}

/// A merge patch, null removing, with lists merged by `name` as apply does for webhooks.
fn merge(into: &mut Value, patch: &Value) {
    if patch.is_object() && into.is_null() {
        *into = json!({});
    }
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    into.remove(key);
                    continue;
                }
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        // Lists of what has no name are replaced.
        (Value::Array(into), Value::Array(patch))
            if patch.iter().any(|it| it["name"].is_string()) =>
        {
            for item in patch {
                let same = into.iter_mut().find(|old| old["name"] == item["name"]);
                merge(same.expect("an apply of ours adds no webhook"), item);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}
