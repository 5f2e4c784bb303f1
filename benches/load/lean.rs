//! What a gate cannot do without, and nothing of a gate: axum in front, the fields of a review that decide where a pod
//! may run and with which images, and one answer for all of them. The types are its own, so that it stays what it is
//! while those of platform-gate change.

#![expect(dead_code, reason = "much is read that an answer does not need")]

use std::borrow::Cow;
use std::collections::HashMap;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;

pub(crate) fn router() -> Router {
    Router::new()
        .route("/validate", post(answer))
        .route("/mutate", post(answer))
}

async fn answer(body: Bytes) -> Response {
    let Ok(review) = serde_json::from_slice::<Review<'_>>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let answer = super::floor::answer_to(&review.request.uid, review.request.object.spec.images());
    ([(header::CONTENT_TYPE, "application/json")], answer).into_response()
}

#[derive(Deserialize)]
struct Review<'a> {
    #[serde(borrow)]
    request: Request<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    kind: Kind<'a>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    operation: Cow<'a, str>,
    #[serde(borrow, default)]
    user_info: UserInfo<'a>,
    #[serde(borrow)]
    object: Pod<'a>,
    #[serde(borrow, default)]
    old_object: Option<Pod<'a>>,
    dry_run: Option<bool>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    group: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
struct UserInfo<'a> {
    #[serde(borrow, default)]
    groups: Vec<&'a str>,
}

#[derive(Deserialize)]
struct Pod<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Spec<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    generate_name: Cow<'a, str>,
    #[serde(borrow)]
    owner_references: Vec<Owner<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owner<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    uid: Cow<'a, str>,
    controller: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec<'a> {
    #[serde(borrow)]
    containers: Vec<Container<'a>>,
    #[serde(borrow)]
    init_containers: Vec<Container<'a>>,
    #[serde(borrow)]
    ephemeral_containers: Vec<Container<'a>>,
    #[serde(borrow)]
    node_name: Cow<'a, str>,
    #[serde(borrow)]
    node_selector: HashMap<&'a str, &'a str>,
    #[serde(borrow)]
    affinity: Affinity<'a>,
    #[serde(borrow)]
    tolerations: Vec<Toleration<'a>>,
    #[serde(borrow)]
    runtime_class_name: Cow<'a, str>,
    #[serde(borrow)]
    service_account_name: Cow<'a, str>,
}

impl Spec<'_> {
    fn images(&self) -> usize {
        let containers = self.containers.iter().chain(&self.init_containers);
        containers.map(|container| container.image.len()).sum()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    image: Cow<'a, str>,
    #[serde(borrow, default)]
    image_pull_policy: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Affinity<'a> {
    #[serde(borrow)]
    node_affinity: NodeAffinity<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeAffinity<'a> {
    #[serde(borrow)]
    required_during_scheduling_ignored_during_execution: Selector<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Selector<'a> {
    #[serde(borrow)]
    node_selector_terms: Vec<Term<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term<'a> {
    #[serde(borrow)]
    match_expressions: Vec<Requirement<'a>>,
}

#[derive(Deserialize)]
struct Requirement<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    operator: Cow<'a, str>,
    #[serde(borrow, default)]
    values: Vec<&'a str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Toleration<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    operator: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
    #[serde(borrow)]
    effect: Cow<'a, str>,
}
