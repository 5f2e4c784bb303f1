//! Where pods go, as `check` tells it: the rules of their RuntimeClass, and why each node is left out.

use super::{Desk, pod};

const TAINTED: &str = "\
kind: List
items:
- {kind: Node, metadata: {name: linux, labels: {kubernetes.io/os: linux}},
   status: {nodeInfo: {operatingSystem: linux, architecture: amd64, containerRuntimeVersion: 'containerd://2.1.5'}}}
- {kind: Node, metadata: {name: windows, labels: {kubernetes.io/os: windows}},
   spec: {taints: [{key: os, value: windows, effect: NoSchedule}]},
   status: {nodeInfo: {operatingSystem: windows, architecture: amd64, kernelVersion: 10.0.17763.5458,
     containerRuntimeVersion: 'containerd://2.1.5'}}}
";

const CLASS: &str = "\
apiVersion: v1
kind: List
items:
- apiVersion: node.k8s.io/v1
  kind: RuntimeClass
  metadata: {name: windows-2019}
  handler: runhcs-wcow-process
  scheduling:
    nodeSelector: {kubernetes.io/os: windows}
    tolerations: [{key: os, operator: Equal, value: windows, effect: NoSchedule}]
";

fn job(image: &str, class: &str) -> String {
    format!(
        "{{apiVersion: batch/v1, kind: Job, metadata: {{name: job}}, spec: {{template: {{spec: {{runtimeClassName: {class}, \
         containers: [{{name: app, image: {image}}}]}}}}}}}}\n"
    )
}

/// A Windows image under a class that sends it to Windows nodes: without the class's rules it would be denied, since
/// the taint leaves the Linux node alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_class_among_the_objects_places_their_pods() {
    let desk = Desk::new().await;
    desk.write("nodes.yaml", TAINTED);
    let windows = "hello-world:nanoserver";
    let in_pod = pod("pod", windows, ", runtimeClassName: windows-2019");
    desk.write("job.yaml", &job(windows, "windows-2019"));
    desk.write("pod.yaml", &in_pod);
    desk.write("wrong.yaml", &job("centos:7", "windows-2019"));
    desk.write("no-class.yaml", &pod("pod", windows, ""));
    desk.write("classes.yaml", CLASS);
    let words = [
        "check",
        "--config",
        "settings.yaml",
        "--nodes",
        "nodes.yaml",
        "-o",
        "json",
        "-f",
    ];
    let files = ["job.yaml", "pod.yaml", "wrong.yaml", "no-class.yaml"];
    let with = desk
        .run(&[&words[..], &files, &["classes.yaml"]].concat(), "")
        .await;
    assert_eq!(
        with.verdicts(),
        ["allow", "allow", "deny", "deny"],
        "{}",
        with.err
    );
    let groups = &with.json()["objects"][0]["nodeGroups"];
    assert_eq!(
        (&groups[0]["verdict"], &groups[0]["why"]),
        (&"excluded".into(), &"nodeSelector".into())
    );

    // Of a class that nobody knows, only a doubt remains.
    let without = desk.run(&[&words[..], &files].concat(), "").await;
    assert_eq!(without.verdicts(), ["warn", "warn", "allow", "deny"]);
    let message = without.json()["objects"][0]["message"].to_string();
    assert!(
        message.contains("its RuntimeClass is not known"),
        "{message}"
    );

    desk.write(
        "classes.yaml",
        &CLASS.replace("{kubernetes.io/os: windows}", "windows"),
    );
    let broken = desk
        .run(&[&words[..], &["job.yaml", "classes.yaml"]].concat(), "")
        .await;
    assert_eq!(broken.code, 2);
    assert!(broken.err.contains("classes.yaml:9:"), "{}", broken.err);
    assert!(
        broken.err.contains("scheduling.nodeSelector"),
        "{}",
        broken.err
    );
}

/// Every node that is left out has its reason: in the JSON always, and in the message where there is one.
#[tokio::test(flavor = "multi_thread")]
async fn every_node_left_out_has_its_reason() {
    let desk = Desk::new().await;
    desk.write("nodes.yaml", TAINTED);
    let tolerant = "tolerations: [{operator: Exists}]";
    let cases = [
        (
            "runs",
            "centos:7",
            String::new(),
            "allow",
            ["", "taint os=windows:NoSchedule"],
        ),
        (
            "nowhere",
            "hello-world:nanoserver",
            String::new(),
            "deny",
            ["-", "taint os=windows:NoSchedule"],
        ),
        (
            "bound",
            "centos:7",
            ", nodeName: linux".to_owned(),
            "allow",
            ["", "nodeName"],
        ),
        (
            "none",
            "centos:7",
            format!(", nodeSelector: {{gpu: x}}, {tolerant}"),
            "warn",
            ["nodeSelector", "nodeSelector"],
        ),
        (
            "os",
            "centos:7",
            format!(", os: {{name: linux}}, {tolerant}"),
            "warn",
            ["", "spec.os"],
        ),
        (
            "gone",
            "nothing/here:1",
            String::new(),
            "warn",
            ["-", "taint os=windows:NoSchedule"],
        ),
    ];
    let pods: Vec<String> = cases
        .iter()
        .map(|(name, image, spec, ..)| pod(name, image, spec))
        .collect();
    desk.write("pods.yaml", &pods.join("---\n"));
    let words = [
        "check",
        "--config",
        "settings.yaml",
        "--nodes",
        "nodes.yaml",
        "-o",
        "json",
        "-f",
        "pods.yaml",
    ];
    let told = desk.run(&words, "").await.json();
    for ((name, _, _, verdict, whys), object) in
        cases.iter().zip(told["objects"].as_array().unwrap())
    {
        assert_eq!(object["verdict"], *verdict, "{name}: {object:#}");
        for (group, why) in object["nodeGroups"].as_array().unwrap().iter().zip(whys) {
            match *why {
                "" => assert_eq!(group["verdict"], "runs", "{name}: {object:#}"),
                "-" => assert_ne!(group["verdict"], "excluded", "{name}: {object:#}"),
                why => {
                    assert_eq!(
                        (&group["verdict"], &group["why"]),
                        (&"excluded".into(), &why.into()),
                        "{name}"
                    );
                    let message = object["message"].as_str().unwrap();
                    let said =
                        message.contains("Left out: ") && message.contains(&format!("(by {why})"));
                    assert!(said || *verdict == "allow", "{name}: {message}");
                }
            }
        }
    }
    let steers = told["objects"][4]["warnings"][0].as_str().unwrap();
    assert!(
        steers.starts_with("spec.os does not steer the scheduler"),
        "{steers}"
    );
}
