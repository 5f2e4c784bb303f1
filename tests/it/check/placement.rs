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

/// A pod may ask for a platform that no node has yet. What is found of it is a warning, even where everything is denied.
#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_no_node_has_is_judged_for_a_warning() {
    let desk = Desk::new().await;
    desk.write("nodes.yaml", TAINTED);
    let settings = std::fs::read_to_string(desk.path("settings.yaml")).unwrap();
    let silent = format!("{settings}noCandidate: allow\nunknown: deny\n");
    desk.write("settings.yaml", &silent);
    let in_affinity = ", affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{\
        matchExpressions: [{key: node.kubernetes.io/windows-build, operator: In, values: [10.0.20348]}]}]}}}";
    let cases = [
        (
            "hello-world:nanoserver",
            super::ON_2016,
            "warn",
            "cannot-run",
            "windows/amd64:10.0.14393",
        ),
        (
            "hello-world:nanoserver-sac2016",
            super::ON_2016,
            "allow",
            "runs",
            "windows/amd64:10.0.14393",
        ),
        (
            "hello-world:nanoserver",
            in_affinity,
            "warn",
            "cannot-run",
            "windows/amd64:10.0.20348",
        ),
        (
            "centos:6.6",
            ", nodeSelector: {kubernetes.io/arch: arm64}",
            "warn",
            "cannot-run",
            "linux/arm64",
        ),
        (
            "centos:7",
            ", nodeSelector: {kubernetes.io/arch: arm64}",
            "allow",
            "runs",
            "linux/arm64",
        ),
        // There is such a platform: something else is amiss.
        (
            "centos:6.6",
            ", nodeSelector: {kubernetes.io/os: linux, gpu: x}",
            "allow",
            "excluded",
            "linux/amd64",
        ),
    ];
    let pods: Vec<String> = cases
        .iter()
        .map(|(image, spec, ..)| pod("pod", image, spec))
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
    let told = desk.run(&words, "").await;
    assert_eq!(told.code, 0, "{}", told.err);
    for ((image, spec, verdict, standing, platform), object) in
        cases.iter().zip(told.json()["objects"].as_array().unwrap())
    {
        let group = &object["nodeGroups"][0];
        assert_eq!(object["verdict"], *verdict, "{image}{spec}: {object:#}");
        assert_eq!(
            (&group["verdict"], &group["platform"]),
            (&(*standing).into(), &(*platform).into()),
            "{object:#}"
        );
        if *standing == "cannot-run" {
            assert_eq!(group["nodes"], 0);
            let node = platform.replace(':', " ");
            let warning = format!(
                "A node that it asks for could not run it: no matching manifest for {node} in"
            );
            assert!(
                object["warnings"].to_string().contains(&warning),
                "{object:#}"
            );
            assert_eq!(object["findings"][0]["code"], "no-candidate");
            assert_eq!(object["findings"][1]["container"], "app");
        }
    }
}
