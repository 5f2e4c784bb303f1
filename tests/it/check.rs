//! `check` and `nodes` as a user runs them: the binary, files, and a registry that answers on loopback.

mod fix;
mod logins;
mod outputs;
mod placement;
mod sarif;
mod schema;
mod vectors;
mod webhook;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value;

use crate::support::registry::FakeRegistry;
use crate::support::site::Site;

/// A Windows Server 2016 and a 2019 node, a Linux node each of amd64 and arm64.
const NODES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/demo/nodes.yaml");

/// A folder to check, nodes to check it against, and the recorded images under their own names.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
    pub(crate) registry: FakeRegistry,
}

/// What a run came to.
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    /// A desk with the images of `tests/data/images`.
    pub(crate) async fn new() -> Self {
        Self::with(Site::of_fixtures()).await
    }

    pub(crate) async fn with(site: Site) -> Self {
        let registry = FakeRegistry::start(move |request| site.answer(request)).await;
        let desk = Self {
            folder: tempfile::tempdir().unwrap(),
            registry,
        };
        let mirror = format!("{{mirrors: [{:?}]}}", desk.registry.url());
        let settings = format!("registries: {{docker.io: {mirror}, registry.test: {mirror}}}\n");
        desk.write("settings.yaml", &settings);
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs `check` with these arguments against [`NODES`].
    pub(crate) async fn check(&self, arguments: &[&str]) -> Told {
        let nodes = ["check", "--config", "settings.yaml", "--nodes", NODES];
        self.run(&[&nodes, arguments].concat(), "").await
    }

    /// Runs the binary in the desk's folder, with nothing of the person's environment.
    pub(crate) async fn run(&self, arguments: &[&str], stdin: &str) -> Told {
        self.run_with(arguments, stdin, &[]).await
    }

    /// As `run`, with these environment variables.
    pub(crate) async fn run_with(
        &self,
        arguments: &[&str],
        stdin: &str,
        variables: &[(&str, PathBuf)],
    ) -> Told {
        let mut command = command(self.folder.path(), arguments);
        command.envs(variables.iter().cloned());
        let stdin = stdin.to_owned();
        // The registry answers meanwhile.
        let run = tokio::task::spawn_blocking(move || told(&mut command, &stdin));
        run.await.unwrap()
    }
}

impl Told {
    /// Standard output, which has to be one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| {
            panic!("{error} in: {}\n{}", self.out, self.err);
        })
    }

    /// The verdicts in the order of the objects.
    #[track_caller]
    pub(crate) fn verdicts(&self) -> Vec<String> {
        let json = self.json();
        let objects = json["objects"].as_array().unwrap().iter();
        let verdict = |object: &Value| object["verdict"].as_str().unwrap().to_owned();
        objects.map(verdict).collect()
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_platform-gate"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn told(command: &mut Command, stdin: &str) -> Told {
    let mut child = command.spawn().unwrap();
    // A command that reads nothing may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output: Output = child.wait_with_output().unwrap();
    Told {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A Pod of one container, as YAML in one line.
fn pod(name: &str, image: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: app, image: {image}}}]{spec}}}}}\n"
    )
}

const ON_2016: &str = ", nodeSelector: {node.kubernetes.io/windows-build: 10.0.14393}";
const ON_LINUX: &str = ", nodeSelector: {kubernetes.io/os: linux}";

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_tells_the_worst() {
    let desk = Desk::new().await;
    desk.write("fine.yaml", &pod("a", "centos:7", ON_LINUX));
    desk.write("warned.yaml", &pod("a", "centos:7", ""));
    desk.write("denied.yaml", &pod("a", "hello-world:nanoserver", ON_2016));
    desk.write(
        "absent.yaml",
        &pod("a", &format!("{}/here:1", desk.registry.host()), ON_LINUX),
    );
    desk.write("broken.yaml", "kind: Pod\nspec: [\n");
    desk.write("other.yaml", "{apiVersion: v1, kind: ConfigMap}");
    desk.write("odd.yaml", "replicas: 3\n");
    for (files, want) in [
        (vec!["fine.yaml"], 0),
        (vec!["warned.yaml"], 0),
        (vec!["other.yaml"], 0),
        (vec!["denied.yaml", "fine.yaml"], 1),
        (vec!["absent.yaml", "fine.yaml"], 3),
        (vec!["absent.yaml", "denied.yaml"], 1),
        (vec!["broken.yaml", "denied.yaml"], 2),
        (vec!["odd.yaml"], 2),
        (vec!["not-there.yaml", "fine.yaml"], 2),
    ] {
        let told = desk.check(&[&["-f"], files.as_slice()].concat()).await;
        assert_eq!(told.code, want, "{files:?}: {}{}", told.out, told.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_and_the_rest_is_checked() {
    let desk = Desk::new().await;
    let denied = pod("a", "hello-world:nanoserver", ON_2016);
    let text = format!("{denied}---\nkind: Pod\nspec: [1,\n b: }}\n---\n{denied}");
    desk.write("some.yaml", &text);
    desk.write(
        "typed.yaml",
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: 1.5\n",
    );
    desk.write("last.yaml", &denied);
    let files = [
        "-o",
        "json",
        "-f",
        "some.yaml",
        "typed.yaml",
        "none.yaml",
        "last.yaml",
    ];
    let told = desk.check(&files).await;
    assert_eq!(
        (told.code, told.verdicts()),
        (2, vec!["deny".to_owned(); 3])
    );
    for words in [
        "platform-gate: some.yaml:4:",
        "platform-gate: typed.yaml:6:12: spec.containers[0].image: invalid type",
        "platform-gate: none.yaml: cannot be read: No such file",
    ] {
        assert!(told.err.contains(words), "{words:?} is not in {}", told.err);
    }
}

/// The pods of a DaemonSet go everywhere: a template that runs somewhere is none to deny, whatever the settings say.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_set_is_denied_only_where_it_runs_nowhere() {
    let desk = Desk::new().await;
    let settings = std::fs::read_to_string(desk.path("settings.yaml")).unwrap();
    let strict = format!("{settings}mayLandWrong: {{os: deny, arch: deny, windowsBuild: deny}}\n");
    desk.write("settings.yaml", &strict);
    let workload = |kind: &str, image: &str, more: &str| {
        let template = format!("{{spec: {{containers: [{{name: a, image: {image}}}]{more}}}}}");
        let metadata = "metadata: {name: agent}";
        format!(
            "{{apiVersion: apps/v1, kind: {kind}, {metadata}, spec: {{template: {template}}}}}\n"
        )
    };
    let texts = [
        workload("DaemonSet", "centos:6.6", ""),
        workload("Deployment", "centos:6.6", ""),
        workload("DaemonSet", "hello-world:nanoserver", ON_2016),
        workload("DaemonSet", "centos:7", ON_LINUX),
    ];
    desk.write("all.yaml", &texts.join("---\n"));
    let told = desk.check(&["-f", "all.yaml", "-o", "json"]).await;
    assert_eq!(told.verdicts(), ["warn", "deny", "deny", "allow"]);
    let warning = &told.json()["objects"][0]["warnings"][0];
    assert!(
        warning
            .to_string()
            .contains("nodeSelector: {kubernetes.io/os: linux, kubernetes.io/arch: amd64}")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_people_pipe_is_read() {
    let desk = Desk::new().await;
    let denied = pod("a", "hello-world:nanoserver", ON_2016);
    let list = format!("{{kind: List, apiVersion: v1, items: [{denied}, {denied}]}}");
    let json =
        "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\",\n\t\"spec\": {\"containers\": []}\n}";
    let windows = format!("\u{feff}# Source: a\r\n---\r\n{}\r\n---\r\n", denied.trim());
    for (stdin, want) in [
        (denied.clone(), vec!["deny"]),
        (
            format!("# a\n---\n{denied}---\n# b\n---\n{denied}"),
            vec!["deny", "deny"],
        ),
        (list, vec!["deny", "deny"]),
        (json.to_owned(), vec!["allow"]),
        (windows, vec!["deny"]),
        (String::new(), vec![]),
    ] {
        let words = [
            "check",
            "-f",
            "-",
            "--config",
            "settings.yaml",
            "--nodes",
            NODES,
            "-o",
            "json",
        ];
        let told = desk.run(&words, &stdin).await;
        assert_eq!(told.verdicts(), want, "{stdin:?}: {}", told.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_does_not_answer_is_said_so() {
    let desk = Desk::with(Site::new()).await;
    desk.write("pod.yaml", &pod("a", "centos:7", ""));
    let address = Arc::new(desk.registry.url());
    for (server, words) in [
        ("http://127.0.0.1:1", "Connection refused"),
        // Not an API server at all.
        (address.as_str(), "the cluster gives no nodes"),
    ] {
        desk.write(
            "kubeconfig",
            &format!(
                "{{apiVersion: v1, kind: Config, current-context: a, users: [{{name: a, user: {{}}}}],\n\
                 contexts: [{{name: a, context: {{cluster: a, user: a}}}}],\n\
                 clusters: [{{name: a, cluster: {{server: {server:?}}}}}]}}"
            ),
        );
        for arguments in [vec!["nodes"], vec!["check", "-f", "pod.yaml", "-o", "json"]] {
            let mut command = command(desk.folder.path(), &arguments);
            command.env("KUBECONFIG", desk.path("kubeconfig"));
            let told = tokio::task::spawn_blocking(move || told(&mut command, ""))
                .await
                .unwrap();
            assert_eq!((told.code, &*told.out), (3, ""), "{}", told.err);
            assert!(
                told.err.contains(words) && told.err.contains("--nodes"),
                "{}",
                told.err
            );
        }
    }
    let kubeconfig = [("KUBECONFIG", desk.path("kubeconfig"))];
    let told = desk
        .run_with(&["nodes", "--context", "a"], "", &kubeconfig)
        .await;
    assert_eq!(told.code, 3, "{}", told.err);
    let told = desk
        .run_with(&["nodes", "--context", "b"], "", &kubeconfig)
        .await;
    assert_eq!(told.code, 2, "{}", told.err);
    assert!(told.err.contains("the context \"b\""), "{}", told.err);
    let told = desk.run(&["nodes"], "").await;
    assert_eq!(told.code, 2, "{}", told.err);
    assert!(told.err.contains("KUBECONFIG"), "{}", told.err);
}
