//! Traces of a running `serve`, as a receiver of OTLP on loopback gets them.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use serde_json::json;

use crate::support::program::{Server, platform_gate};
use crate::support::registry::{Answer, FakeRegistry};
use crate::support::site::Site;

const ARM64: &str = r#"{"os":"linux","architecture":"arm64"}"#;
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// What came so far, and who sent it.
type Received = Arc<Mutex<Vec<ExportTraceServiceRequest>>>;

/// A receiver: its base URL, and what it gets.
async fn receiver() -> (String, Received) {
    let received = Received::default();
    let take = async |State(received): State<Received>, body: Bytes| {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        received.lock().unwrap().push(request);
    };
    let app = Router::new()
        .route("/v1/traces", post(take))
        .with_state(Arc::clone(&received));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, received)
}

fn spans(received: &Received) -> Vec<Span> {
    let requests = received.lock().unwrap().clone();
    let resources = requests.into_iter().flat_map(|r| r.resource_spans);
    let scopes = resources.flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

/// An attribute as text.
fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|pair| pair.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{name} is {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Asks once about a pod of this image, as a part of a trace or not, and ends the server.
async fn review(mut server: Server, image: &str, traceparent: Option<&str>) {
    let object = json!({"spec": {"containers": [{"name": "app", "image": image}]}});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
        "namespace": "default", "object": object}});
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        .build()
        .unwrap();
    let url = format!("https://{}/validate?timeout=5s", server.webhook);
    let mut request = client.post(url).body(review.to_string());
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    request.send().await.unwrap().error_for_status().unwrap();
    tokio::task::spawn_blocking(move || server.stop())
        .await
        .unwrap();
}

struct Setting {
    folder: tempfile::TempDir,
    registry: FakeRegistry,
}

impl Setting {
    /// A registry that the settings name, behind a token server, with the image `app:1`.
    async fn new() -> Self {
        let site = Site::new().image("app", "1", ARM64);
        let registry = FakeRegistry::start(move |request| {
            if request.path == "/token" {
                return Answer::json(r#"{"token":"canary-token"}"#);
            }
            if request.authorization.is_none() {
                let realm = format!(r#"Bearer realm="{}/token",service="s""#, request.base());
                return Answer::challenge(&[&realm]);
            }
            site.answer(request)
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let node = json!({"kind": "Node", "metadata": {"name": "edge"}, "status": {"nodeInfo": {
            "operatingSystem": "linux", "architecture": "amd64", "containerRuntimeVersion": "containerd://2.2.0"}}});
        std::fs::write(folder.path().join("nodes.json"), node.to_string()).unwrap();
        let settings = json!({"registries": {registry.host(): {"plainHttp": true}}});
        std::fs::write(folder.path().join("config.yaml"), settings.to_string()).unwrap();
        Self { folder, registry }
    }

    fn start(&self, variables: &[(&str, &str)]) -> Server {
        let file = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let (nodes, config) = (file("nodes.json"), file("config.yaml"));
        Server::start_with(&["--nodes", &nodes, "--config", &config], variables)
    }

    fn image(&self) -> String {
        format!("{}/app:1", self.registry.host())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_are_parts_of_the_callers_trace() {
    let (url, received) = receiver().await;
    let setting = Setting::new().await;
    let server = setting.start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]);
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    review(server, &setting.image(), Some(&traceparent)).await;

    let spans = spans(&received);
    let named = |name: &str| -> Vec<&Span> { spans.iter().filter(|s| s.name == name).collect() };
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
    let [reviewed] = named("review")[..] else {
        panic!("{spans:#?}")
    };
    assert_eq!(hex(&reviewed.parent_span_id), CALLER);
    assert_eq!(reviewed.kind(), SpanKind::Server);
    let of_review = |name| attribute(&reviewed.attributes, name);
    assert_eq!(of_review("platform_gate.decision").unwrap(), "deny");
    assert_eq!(of_review("platform_gate.reason").unwrap(), "nowhere");
    assert_eq!(of_review("http.response.status_code").unwrap(), "200");

    let [look_up] = named("look-up")[..] else {
        panic!("{spans:#?}")
    };
    assert_eq!(look_up.parent_span_id, reviewed.span_id);
    assert_eq!(attribute(&look_up.attributes, "cache").unwrap(), "miss");
    let [flight] = named("flight")[..] else {
        panic!("{spans:#?}")
    };
    assert_eq!(flight.parent_span_id, look_up.span_id);

    // Each request to the registry and its token server, by host alone.
    let requests = named("registry request");
    assert_eq!(requests.len(), setting.registry.received().len());
    let statuses: Vec<_> = requests
        .iter()
        .filter_map(|span| attribute(&span.attributes, "http.response.status_code"))
        .collect();
    assert!(statuses.contains(&"401".to_owned()), "{statuses:?}");
    assert!(statuses.contains(&"200".to_owned()), "{statuses:?}");
    let [token] = named("token")[..] else {
        panic!("{spans:#?}")
    };
    assert!(
        requests
            .iter()
            .any(|span| span.parent_span_id == token.span_id)
    );
    for request in requests {
        assert_eq!(request.kind(), SpanKind::Client);
        let host = attribute(&request.attributes, "server.address").unwrap();
        assert_eq!(host, setting.registry.host());
    }
    let told = format!("{spans:?}");
    assert!(!told.contains("canary-token") && !told.contains("app"));
    let resource = received.lock().unwrap()[0].resource_spans[0]
        .resource
        .clone();
    let resource = resource.unwrap().attributes;
    assert_eq!(
        attribute(&resource, "service.name").unwrap(),
        "platform-gate"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_and_the_ratio_say_what_is_sampled() {
    let setting = Setting::new().await;
    let unsampled = format!("00-{TRACE}-{CALLER}-00");
    let sampled = format!("00-{TRACE}-{CALLER}-01");
    for (ratio, traceparent, expected) in [
        ("0", None, false),
        ("1", None, true),
        ("1", Some(&unsampled), false),
        ("0", Some(&sampled), true),
    ] {
        let (url, received) = receiver().await;
        let server = setting.start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", ratio),
        ]);
        review(server, &setting.image(), traceparent.map(String::as_str)).await;
        let reviews = spans(&received);
        let mut reviews = reviews.iter().filter(|span| span.name == "review");
        let found = reviews.next();
        assert_eq!(found.is_some(), expected, "{ratio} {traceparent:?}");
        if traceparent.is_none() {
            assert!(found.is_none_or(|span| span.parent_span_id.is_empty()));
        }
    }
}

/// Reviews are answered, and the program ends, as if there were no traces.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_not_there_is_no_failure() {
    let setting = Setting::new().await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let server = setting.start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]);
    review(server, &setting.image(), None).await;
}

#[test]
fn an_address_that_is_none_is_told_of() {
    let output = platform_gate(&["serve", "--nodes", "/dev/null"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("OTEL_EXPORTER_OTLP_ENDPOINT is \"collector:4318\""),
        "{told}"
    );
}
