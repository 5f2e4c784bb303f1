//! `check --fix`: patches that keep pods where they run, as YAML and as JSON, for files that stay as they are.

use serde_json::{Value, json};

use super::{Desk, Told};

/// Objects that may land wrong, and one of each kind that is left alone.
const CHART: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata:
      labels: {app: web}
    spec:
      containers: [{name: web, image: 'centos:7'}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report}
spec:
  jobTemplate:
    spec:
      template:
        spec:
          affinity:
            nodeAffinity:
              requiredDuringSchedulingIgnoredDuringExecution:
                nodeSelectorTerms:
                - matchExpressions: [{key: kubernetes.io/os, operator: In, values: ['linux']}]
                - matchExpressions: [{key: spot, operator: DoesNotExist}]
          containers: [{name: report, image: 'centos:6.6'}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec: {template: {spec: {containers: [{name: agent, image: 'centos:7'}]}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-1
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: true}]
spec: {template: {spec: {containers: [{name: web, image: 'centos:7'}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: bound}
spec: {nodeName: linux-amd64, containers: [{name: web, image: 'centos:7'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: right}
spec: {nodeSelector: {kubernetes.io/os: linux}, containers: [{name: web, image: 'centos:7'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: 'true', annotations: {a: b}}
spec: {containers: [{name: web, image: 'centos:7'}]}
";

/// The documents of a text.
fn documents(text: &str) -> Vec<Value> {
    let parts = text.split("---\n").filter(|part| !part.trim().is_empty());
    parts
        .map(|part| serde_saphyr::from_str(part).unwrap())
        .collect()
}

/// RFC 7386, which for what is added comes to the same as a strategic merge.
fn merged(object: &Value, patch: &Value) -> Value {
    let mut object = object.clone();
    json_patch::merge(&mut object, patch);
    object
}

async fn checked(desk: &Desk, arguments: &[&str]) -> Told {
    desk.check(&[&["-f", "chart.yaml"], arguments].concat())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_land_wrong_gets_a_patch_and_the_file_stays() {
    let desk = Desk::new().await;
    desk.write("chart.yaml", CHART);
    let told = checked(&desk, &["--fix"]).await;
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.err.contains("7 objects checked"), "{}", told.err);
    let now = std::fs::read_to_string(desk.path("chart.yaml")).unwrap();
    assert_eq!(now, CHART);

    let patches = documents(&told.out);
    let names = |patch: &Value| format!("{} {}", patch["kind"], patch["metadata"]["name"]);
    let named: Vec<_> = patches.iter().map(names).collect();
    let want = [
        r#""Deployment" "web""#,
        r#""CronJob" "report""#,
        r#""Pod" "true""#,
    ];
    assert_eq!(named, want, "{}", told.out);
    let web = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": {
            "metadata": {"annotations": patches[0]["spec"]["template"]["metadata"]["annotations"]},
            "spec": {"nodeSelector": {"kubernetes.io/os": "linux"}},
        }},
    });
    assert_eq!(patches[0], web);
    let reason = &web["spec"]["template"]["metadata"]["annotations"]["platform-gate.io/pinned"];
    let reason = reason.as_str().unwrap();
    assert!(reason.starts_with("kubernetes.io/os=linux: "), "{reason}");
    // The terms are ORed: each is narrowed, none is added.
    let terms = "/spec/jobTemplate/spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let terms = patches[1].pointer(terms).unwrap().as_array().unwrap();
    assert_eq!(terms.len(), 2);
    for term in terms {
        let expressions = term["matchExpressions"].as_array().unwrap();
        let amd64 = json!({"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]});
        assert!(expressions.contains(&amd64), "{term}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_forms_say_the_same_and_what_they_make_is_right() {
    let desk = Desk::new().await;
    desk.write("chart.yaml", CHART);
    let patches = documents(&checked(&desk, &["--fix"]).await.out);
    let report = checked(&desk, &["--fix", "-o", "json"]).await.json();
    let plain = checked(&desk, &["-o", "json"]).await.json();
    let mut patches = patches.iter();
    let mut fixed = Vec::new();
    for (at, mut object) in documents(CHART).into_iter().enumerate() {
        assert_eq!(plain["objects"][at].get("patch"), None);
        if let Some(patch) = report["objects"][at].get("patch") {
            let wanted = merged(&object, patches.next().unwrap());
            let patch: json_patch::Patch = serde_json::from_value(patch.clone()).unwrap();
            json_patch::patch(&mut object, &patch).unwrap();
            assert_eq!(object, wanted);
            fixed.push(object);
        }
    }
    assert_eq!((fixed.len(), patches.next()), (3, None));

    let list = json!({"apiVersion": "v1", "kind": "List", "items": fixed});
    desk.write("chart.yaml", &list.to_string());
    let again = checked(&desk, &["--fix", "-o", "json"]).await.json();
    for object in again["objects"].as_array().unwrap() {
        assert_eq!(object["verdict"], "allow", "{object}");
        assert_eq!(object.get("patch"), None, "{object}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_form_for_sarif() {
    let desk = Desk::new().await;
    desk.write("chart.yaml", CHART);
    let told = checked(&desk, &["--fix", "-o", "sarif"]).await;
    assert_eq!(told.code, 2);
    assert!(told.err.contains("-o json"), "{}", told.err);
}
