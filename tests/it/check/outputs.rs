//! What `check` and `nodes` print, whole: text, JSON and SARIF, compared with what was looked at once.

use super::{Desk, NODES};

/// One file of a rendered chart, with one object of every outcome.
const SHOP: &str = "\
# Source: shop/templates/web.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  replicas: 2
  template:
    spec:
      initContainers:
      - name: setup
        image: hello-world:nanoserver-sac2016
      containers:
      - name: web
        image: hello-world:nanoserver
      nodeSelector:
        node.kubernetes.io/windows-build: 10.0.14393
---
apiVersion: v1
kind: Service
metadata:
  name: web
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report, namespace: shop}
spec:
  jobTemplate:
    spec:
      template:
        spec:
          nodeSelector: {kubernetes.io/os: linux}
          containers: [{name: report, image: 'centos:7'}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: kube-system}
spec:
  template:
    spec:
      containers:
      - {name: agent, image: centos:6.6}
---
apiVersion: v1
kind: Pod
metadata: {generateName: gpu-}
spec:
  nodeSelector: {gpu: 'true'}
  containers:
  - {name: train, image: centos:7}
---
apiVersion: v1
kind: Pod
metadata: {name: gone}
spec:
  nodeSelector: {kubernetes.io/os: linux}
  containers:
  - {name: app, image: 'REGISTRY/nothing/here:1'}
";

async fn printed(format: &str) -> String {
    let desk = Desk::new().await;
    let host = desk.registry.host();
    desk.write("shop/web.yaml", &SHOP.replace("REGISTRY", &host));
    desk.write("shop/values.yaml", "replicas: 2\n");
    let told = desk.check(&["-f", "shop", "-o", format]).await;
    assert_eq!((told.code, &*told.err), (1, ""), "{}", told.out);
    assert!(!told.out.contains('\u{1b}'), "colours are for terminals");
    told.out.replace(&host, "REGISTRY")
}

#[tokio::test(flavor = "multi_thread")]
async fn text() {
    insta::assert_snapshot!(printed("text").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn json() {
    insta::assert_snapshot!(printed("json").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sarif() {
    let version = format!("\"semanticVersion\": \"{}\"", env!("CARGO_PKG_VERSION"));
    let out = printed("sarif").await;
    insta::assert_snapshot!(out.replace(&version, "\"semanticVersion\": \"VERSION\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes() {
    let desk = Desk::with(crate::support::site::Site::new()).await;
    let mut tainted = std::fs::read_to_string(NODES).unwrap();
    tainted = tainted.replacen(
        "  status:",
        "  spec:\n    taints: [{key: os, value: windows, effect: NoSchedule}, {key: old, effect: NoExecute}]\n  status:",
        1,
    );
    desk.write("nodes.yaml", &tainted);
    let text = desk.run(&["nodes", "--nodes", "nodes.yaml"], "").await;
    assert_eq!((text.code, &*text.err), (0, ""));
    let json = desk
        .run(&["nodes", "--nodes", "nodes.yaml", "-o", "json"], "")
        .await;
    assert_eq!((json.code, &*json.err), (0, ""));
    insta::assert_snapshot!(format!("{}\n{:#}\n", text.out, json.json()));
}

/// What the settings say of nodes counts here as it does for the webhook.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_the_settings() {
    let desk = Desk::with(crate::support::site::Site::new()).await;
    let settings = "pools: [{name: burst, os: windows, architecture: amd64, windowsBuild: 10.0.26100, taints: [{key: gpu, effect: NoSchedule}]}]\n\
        nodeOverrides: [{matchLabels: {kubernetes.io/arch: arm64}, armVariant: v8, runtime: cri-o}]\n";
    desk.write("settings.yaml", settings);
    let nodes = ["nodes", "--nodes", NODES, "--config", "settings.yaml"];
    let text = desk.run(&nodes, "").await;
    let json = desk.run(&[&nodes[..], &["-o", "json"]].concat(), "").await;
    assert_eq!((text.code, json.code), (0, 0), "{}{}", text.err, json.err);
    insta::assert_snapshot!(format!("{}\n{:#}\n", text.out, json.json()));
}
