//! `scan` as a user runs it: the binary, on files and on the wire of an API server, with a registry on loopback.

mod browser;
mod cluster;

use serde_json::Value;

use crate::check::{Desk, Told};

/// A Windows Server 2016 and a 2019 node, a Linux node each of amd64 and arm64.
const NODES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/demo/nodes.yaml");

/// What `kubectl get pods,replicasets,jobs -A -o yaml` prints, as far as it counts, and a Deployment's template.
const CLUSTER: &str = "\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: &web {name: web-1-a, namespace: shop, ownerReferences: [{kind: ReplicaSet, name: web-1, controller: true}]}
  spec: &web-spec
    nodeName: linux-amd64
    nodeSelector: {kubernetes.io/os: linux, kubernetes.io/arch: amd64}
    containers: [{name: web, image: 'nginx:latest'}]
    volumes: [{name: kube-api-access-a, projected: {}}]
- {apiVersion: v1, kind: Pod, metadata: {<<: *web, name: web-1-b}, spec: {<<: *web-spec, volumes: [{name: kube-api-access-b}]}}
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata: {name: web-1, namespace: shop, ownerReferences: [{kind: Deployment, name: web, controller: true}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: old-a, namespace: shop, ownerReferences: [{kind: StatefulSet, name: old, controller: true}]}
  spec: {nodeSelector: {kubernetes.io/os: linux}, containers: [{name: old, image: 'centos:6.6'}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: win-a, namespace: shop, ownerReferences: [{kind: ReplicaSet, name: win-1, controller: true}]}
  spec: {nodeSelector: {kubernetes.io/os: windows, node.kubernetes.io/windows-build: 10.0.17763}, containers: [{name: win, image: 'hello-world:nanoserver'}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: report-7-x, namespace: batch, ownerReferences: [{kind: Job, name: report-7, controller: true}]}
  spec: {nodeSelector: {kubernetes.io/os: linux}, containers: [{name: report, image: 'centos:7'}]}
- apiVersion: batch/v1
  kind: Job
  metadata: {name: report-7, namespace: batch, ownerReferences: [{kind: CronJob, name: report, controller: true}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: done, namespace: batch}
  spec: {containers: [{name: a, image: 'nothing/here:1'}]}
  status: {phase: Succeeded}
- apiVersion: v1
  kind: Pod
  metadata: {name: lost, namespace: dev}
  spec: {nodeSelector: {gpu: 'yes'}, containers: [{name: a, image: 'centos:7'}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: \"<img/src=x/onerror=alert(1)>\", namespace: dev}
  spec: {nodeSelector: {kubernetes.io/os: linux}, containers: [{name: a, image: 'REGISTRY/<img/src=x/onerror=alert(1)>'}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: gone, namespace: dev}
  spec: {nodeSelector: {kubernetes.io/os: linux}, containers: [{name: a, image: 'REGISTRY/gone:1'}]}
";

async fn desk() -> Desk {
    let desk = Desk::new().await;
    desk.write(
        "pods.yaml",
        &CLUSTER.replace("REGISTRY", &desk.registry.host()),
    );
    desk
}

async fn scan(desk: &Desk, arguments: &[&str]) -> Told {
    let always = [
        "scan",
        "-f",
        "pods.yaml",
        "--nodes",
        NODES,
        "--config",
        "settings.yaml",
    ];
    let mut told = desk.run(&[&always, arguments].concat(), "").await;
    told.out = told.out.replace(&desk.registry.host(), "REGISTRY");
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn text_tells_who_stands_where() {
    let desk = desk().await;
    let mut all = String::new();
    for (arguments, code) in [
        (vec![], 3),
        (vec!["--what-if", "add=linux/arm64"], 3),
        (vec!["--what-if", "windows=10.0.26100"], 1),
        (
            vec![
                "--what-if",
                "add=linux/s390x",
                "--what-if",
                "remove=kubernetes.io/arch=amd64",
            ],
            1,
        ),
    ] {
        let told = scan(&desk, &arguments).await;
        assert_eq!(
            (told.code, &*told.err),
            (code, ""),
            "{arguments:?}: {}",
            told.out
        );
        assert!(!told.out.contains('\u{1b}'), "colours are for terminals");
        all += &format!(
            "$ platform-gate scan {}\n{}\n",
            arguments.join(" "),
            told.out
        );
    }
    insta::assert_snapshot!(all);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_everything() {
    let desk = desk().await;
    let told = scan(&desk, &["--what-if", "windows=10.0.26100", "-o", "json"]).await;
    assert_eq!((told.code, &*told.err), (1, ""));
    insta::assert_snapshot!(told.out);
    let cells = |row: &Value| row["nodeGroups"].as_array().unwrap().len();
    let json = told.json();
    let columns = json["nodeGroups"].as_array().unwrap().len();
    assert!(
        json["workloads"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| cells(row) == columns)
    );
}

/// Each image is asked for once, whoever runs it and however often it is judged; one that is not there too.
#[tokio::test(flavor = "multi_thread")]
async fn images_are_asked_for_once() {
    let desk = desk().await;
    scan(&desk, &["--what-if", "add=linux/arm64"]).await;
    let mut asked = desk.registry.lines();
    asked.retain(|line| line.contains("/manifests/") && !line.contains("sha256:"));
    let total = asked.len();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), total, "{asked:?}");
    assert!(
        asked
            .iter()
            .any(|line| line.ends_with("/v2/gone/manifests/1")),
        "{asked:?}"
    );
    assert!(
        !asked.iter().any(|line| line.contains("nothing/here")),
        "a pod that has ended: {asked:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_exit_code_2() {
    let desk = desk().await;
    for (arguments, words) in [
        (vec!["--what-if", "add=linux"], "os/arch"),
        (vec!["--what-if", "windows=new"], "no Windows build"),
        (
            vec!["--what-if", "remove=gone", "--what-if", "remove=lost=1"],
            "remove=lost=1: no node has such labels",
        ),
        (vec!["-f", "absent.yaml"], "absent.yaml: cannot be read"),
    ] {
        let told = scan(&desk, &arguments).await;
        assert_eq!(told.code, 2, "{arguments:?}: {}", told.err);
        assert!(told.err.contains(words), "{words:?} is not in {}", told.err);
    }
}
