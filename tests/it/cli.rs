//! The binary as a user runs it: what it prints, where, and its exit codes.

use std::io::Write;
use std::process::Output;

use crate::support::program::{Server, platform_gate};
use crate::support::registry::FakeRegistry;
use crate::support::site::Site;

fn run(arguments: &[&str]) -> Output {
    platform_gate(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn fixtures() -> FakeRegistry {
    let site = Site::of_fixtures();
    FakeRegistry::start(move |request| site.answer(request)).await
}

/// Runs the binary while this test's registry answers.
async fn run_beside(arguments: Vec<String>) -> Output {
    tokio::task::spawn_blocking(move || {
        run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    })
    .await
    .unwrap()
}

#[test]
fn the_demo_tells_the_story() {
    let output = run(&["demo"]);
    let told = text(&output.stdout);
    assert!(output.status.success(), "{told}{}", text(&output.stderr));
    let lines: Vec<&str> = told.lines().map(str::trim).collect();
    let verdicts: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| line.starts_with("ADMITTED") || *line == "DENIED")
        .collect();
    let (yes, warned, no) = ("ADMITTED", "ADMITTED WITH A WARNING", "DENIED");
    assert_eq!(verdicts, [no, yes, yes, yes, no, warned, no, warned]);
    let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains(
            "no matching manifest for windows/amd64 10.0.14393 in the manifest list entries"
        ),
        "{told}"
    );
    assert!(!told.contains('\x1b'), "colours are for terminals");
}

#[tokio::test(flavor = "multi_thread")]
async fn inspect_prints_what_people_know() {
    let registry = fixtures().await;
    let image = |name: &str| format!("{}/library/{name}", registry.host());
    let output = run_beside(vec![
        "inspect".into(),
        image("centos:7"),
        image("hello-world:nanoserver"),
    ])
    .await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let want = format!(
        "Image: {}\n * Manifest List: Yes\n * Supported platforms:\n   - linux/amd64\n   - linux/arm/v7\n   - linux/arm64\n   \
         - linux/386\n   - linux/ppc64le\nImage: {}\n * Manifest List: Yes\n * Supported platforms:\n   \
         - windows/amd64:10.0.17134.885\n   - windows/amd64:10.0.17763.615\n",
        image("centos:7"),
        image("hello-world:nanoserver"),
    );
    assert_eq!(text(&output.stdout), want);
}

#[tokio::test(flavor = "multi_thread")]
async fn inspect_judges_platforms_in_json() {
    let registry = fixtures().await;
    let image = format!("{}/library/hello-world:nanoserver", registry.host());
    let judge = |platform: &str| {
        let words = [
            "inspect",
            "-o",
            "json",
            "--runtime",
            "containerd@1.7.20",
            "--platform",
            platform,
            &image,
        ];
        run_beside(words.map(str::to_owned).to_vec())
    };
    let output = judge("windows/amd64:10.0.14393").await;
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = &json["matches"][0];
    assert_eq!(found["platform"], "windows/amd64:10.0.14393");
    assert_eq!(found["runtime"], "containerd@1.7.20");
    assert_eq!(
        (&found["verdict"], &found["code"]),
        (&"cannot-run".into(), &"no-match".into())
    );
    assert_eq!(found.get("chosen"), None);
    let output = judge("windows(10.0.17763)/amd64").await;
    assert_eq!(output.status.code(), Some(0));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["matches"][0]["verdict"], "runs");
    assert_eq!(json["matches"][0]["chosen"], json["platforms"][1]["digest"]);
    assert_eq!(json["platforms"][1]["osVersion"], "10.0.17763.615");
    assert_eq!(
        (
            &json["manifestList"],
            json["platforms"].as_array().unwrap().len()
        ),
        (&true.into(), 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_up_is_exit_code_3() {
    let registry = fixtures().await;
    let output = run_beside(vec![
        "inspect".into(),
        format!("{}/library/gone:1", registry.host()),
    ])
    .await;
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stdout).contains("was not found in its registry"));
}

#[test]
fn wrong_usage_is_exit_code_2_and_names_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let nodes = file(
        "nodes.yaml",
        "kind: List\nitems:\n- kind: Node\n  metadata:\n    name: a\n    labels: 7\n",
    );
    let settings = file("config.yaml", "enforcementActoin: deny\n");
    let address = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
    for (arguments, words) in [
        (vec!["inspect", "Nginx:1"], vec!["Nginx"]),
        (
            vec!["inspect", "--platform", "linux", "nginx"],
            vec!["os/arch"],
        ),
        (
            vec!["inspect", "--runtime", "rkt", "nginx"],
            vec!["containerd"],
        ),
        (
            vec!["serve", "--nodes", &nodes],
            vec!["nodes.yaml", "line 6", "labels"],
        ),
        (
            vec!["serve", "--config", &settings],
            vec![
                "config.yaml",
                "line 1",
                "enforcementActoin",
                "enforcementAction",
            ],
        ),
        (
            vec!["serve", "--config", "/no/such/file"],
            vec!["/no/such/file"],
        ),
    ] {
        let arguments = if arguments[0] == "serve" {
            [arguments, address.to_vec()].concat()
        } else {
            arguments
        };
        let output = run(&arguments);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        for word in words {
            assert!(
                told.contains(word),
                "{arguments:?}: {word:?} is not in:\n{told}"
            );
        }
        assert!(output.stdout.is_empty(), "complaints go to stderr");
    }
}

/// `serve --nodes` needs no cluster: it answers reviews, is ready, exports metrics, and stops on SIGTERM.
#[tokio::test(flavor = "multi_thread")]
async fn serve_runs_without_a_cluster() {
    let registry = fixtures().await;
    let folder = tempfile::tempdir().unwrap();
    let nodes = folder.path().join("nodes.json");
    let node = serde_json::json!({"kind": "List", "items": [{"kind": "Node", "metadata": {"name": "win"}, "status": {"nodeInfo": {
        "operatingSystem": "windows", "architecture": "amd64", "kernelVersion": "10.0.14393.2551",
        "containerRuntimeVersion": "containerd://1.7.20"}}}]});
    std::fs::File::create(&nodes)
        .unwrap()
        .write_all(node.to_string().as_bytes())
        .unwrap();
    let mut server = Server::start(&["--nodes", nodes.to_str().unwrap()]);
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        .build()
        .unwrap();
    let ready = client
        .get(format!("http://{}/readyz", server.metrics))
        .send()
        .await
        .unwrap();
    assert!(ready.status().is_success());
    let review = serde_json::json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u-1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE", "namespace": "default",
        "object": {"spec": {"containers": [{"name": "app", "image": format!("{}/library/hello-world:nanoserver", registry.host())}]}}}});
    let url = format!("https://{}/validate?timeout=5s", server.webhook);
    let answer = client
        .post(url)
        .body(review.to_string())
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let response = &answer["response"];
    assert_eq!(
        (&response["uid"], &response["allowed"]),
        (&"u-1".into(), &false.into())
    );
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("no matching manifest for windows/amd64 10.0.14393"),
        "{message}"
    );
    let metrics = client
        .get(format!("http://{}/metrics", server.metrics))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        metrics.contains(r#"decision="deny",reason="nowhere""#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"platform_gate_nodes{os="windows",arch="amd64"} 1"#),
        "{metrics}"
    );
    assert!(
        metrics.contains("platform_gate_registry_requests_total"),
        "{metrics}"
    );
    drop(client);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn inspect_reaches_registries_by_the_files_that_the_settings_name() {
    use crate::support::registry::Answer;
    let site = Site::new().image(
        "library/app",
        "1",
        r#"{"os":"linux","architecture":"s390x"}"#,
    );
    let registry = FakeRegistry::start(move |request| match &request.authorization {
        // u:p
        Some(sent) if sent == "Basic dTpw" => site.answer(request),
        _ => Answer::challenge(&["Basic realm=x"]),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (host, hosts) in [
        ("docker.io", format!("server = '{}'\n", registry.url())),
        ("bad.example", "server =".to_owned()),
    ] {
        std::fs::create_dir_all(path("certs.d").join(host)).unwrap();
        std::fs::write(path("certs.d").join(host).join("hosts.toml"), hosts).unwrap();
    }
    let login = format!(r#"{{"auths":{{"{}":{{"auth":"dTpw"}}}}}}"#, registry.host());
    std::fs::write(path("config.json"), login).unwrap();
    let settings = format!(
        "hostsDir: {}\ndefaultCredentials: {}\ncredentialProviders: {{configFile: {}, binDir: /bin}}\n",
        path("certs.d").display(),
        path("config.json").display(),
        path("no-providers.yaml").display(),
    );
    std::fs::write(path("settings.yaml"), settings).unwrap();
    let output = run_beside(vec![
        "inspect".into(),
        "--registry-config".into(),
        path("settings.yaml").display().to_string(),
        "app:1".into(),
    ])
    .await;
    let (out, complaints) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{complaints}");
    assert!(out.contains("linux/s390x"), "{out}");
    for named in [
        "bad.example/hosts.toml: ",
        "no-providers.yaml: cannot be read",
    ] {
        assert_eq!(complaints.matches(named).count(), 1, "{complaints}");
    }
    assert!(!complaints.contains("dTpw"), "{complaints}");
}
