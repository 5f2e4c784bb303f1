//! The binary as shells and kubectl call it: by other names, for words that may follow, interrupted, and its manual.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::registry::{Answer, FakeRegistry};

/// A folder in which the binary has kubectl's names.
struct Links(tempfile::TempDir);

impl Links {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["kubectl-platform_gate", "kubectl_complete-platform_gate"] {
            let link = folder.path().join(name);
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_platform-gate"), link).unwrap();
        }
        Self(folder)
    }

    fn run(&self, name: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(self.0.path().join(name));
        text(&command.args(arguments).env_clear().output().unwrap())
    }
}

fn text(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn help_names_the_program_as_the_user_does() {
    let links = Links::new();
    let plugin = |arguments: &[&str]| links.run("kubectl-platform_gate", arguments);
    assert!(plugin(&["--help"]).contains("Usage: kubectl platform-gate <COMMAND>"));
    let help = plugin(&["inspect", "--help"]);
    assert!(
        help.contains("Usage: kubectl platform-gate inspect "),
        "{help}"
    );
    assert!(
        help.contains("\n  kubectl platform-gate inspect centos:7\n"),
        "{help}"
    );
    let own = Command::new(env!("CARGO_BIN_EXE_platform-gate"))
        .args(["inspect", "--help"])
        .output()
        .unwrap();
    let own = text(&own);
    assert!(
        own.contains("Usage: platform-gate inspect ") && !own.contains("kubectl"),
        "{own}"
    );
}

/// Every command that people call says how.
#[test]
fn every_command_has_an_example() {
    let help = |arguments: &[&str]| {
        text(
            &Command::new(env!("CARGO_BIN_EXE_platform-gate"))
                .args(arguments)
                .output()
                .unwrap(),
        )
    };
    let all = help(&["--help"]);
    let commands = all
        .split("Commands:\n")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    let names: Vec<&str> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() >= 9, "{names:?}");
    for name in names {
        let help = help(&[name, "--help"]);
        assert!(help.contains("Example"), "{name}: {help}");
        assert!(
            help.contains(&format!("platform-gate {name}")),
            "{name}: {help}"
        );
    }
}

#[test]
fn kubectl_gets_the_words_that_may_follow() {
    let links = Links::new();
    let after = |words: &[&str]| {
        let told = links.run("kubectl_complete-platform_gate", words);
        let words = told
            .lines()
            .map(|line| line.split('\t').next().unwrap().to_owned());
        words.collect::<Vec<_>>().join(" ")
    };
    for (words, want) in [
        (vec!["s"], "serve scan suggest :4"),
        (vec!["scan", "--wh"], "--what-if :4"),
        (vec!["scan", "-o", ""], "text json html :4"),
        (vec!["check", "--output", "sa"], "sarif :4"),
        (vec!["check", "-f", "x"], ":0"),
        (vec!["completions", "z"], "zsh :4"),
        (vec!["nonsense", "--nothing"], ":4"),
    ] {
        assert_eq!(after(&words), want, "{words:?}");
    }
    assert!(
        after(&[""]).starts_with("serve inspect check"),
        "{}",
        after(&[])
    );
}

/// By the real kubectl, where there is one.
#[test]
fn kubectl_finds_the_plugin() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cache = std::env::var_os("PLATFORM_GATE_CACHE").map(PathBuf::from);
    let cache = cache
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/platform-gate")));
    let tools = cache.and_then(|cache| std::fs::read_dir(cache.join("tools")).ok());
    let tools = tools
        .into_iter()
        .flatten()
        .flatten()
        .map(|tools| tools.path().join("bin"));
    let mut kubectls = std::env::split_paths(&path)
        .chain(tools)
        .map(|folder| folder.join("kubectl"));
    let Some(kubectl) = kubectls.find(|kubectl| kubectl.is_file()) else {
        return eprintln!("left out: there is no kubectl");
    };
    let links = Links::new();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&kubectl);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", links.0.path())
            .env("HOME", links.0.path());
        text(&command.output().unwrap())
    };
    let nodes = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/demo/nodes.yaml");
    let table = run(&["platform-gate", "nodes", "--nodes", nodes.to_str().unwrap()]);
    assert!(
        table.contains("windows/amd64:10.0.14393 (Windows Server 2016)"),
        "{table}"
    );
    assert!(run(&["plugin", "list"]).contains("kubectl-platform_gate"));
    let words = run(&["__complete", "platform-gate", "insp"]);
    assert!(words.starts_with("inspect\t"), "{words}");
}

#[test]
fn there_is_a_manual_page_of_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let man = |arguments: &[&str]| {
        text(
            &Command::new(env!("CARGO_BIN_EXE_platform-gate"))
                .arg("man")
                .args(arguments)
                .output()
                .unwrap(),
        )
    };
    assert!(man(&[]).contains(".TH platform-gate 1"));
    assert_eq!(man(&[folder.path().to_str().unwrap()]), "");
    for name in [
        "", "-scan", "-suggest", "-check", "-inspect", "-nodes", "-serve",
    ] {
        let page = folder.path().join(format!("platform-gate{name}.1"));
        let page = std::fs::read_to_string(&page)
            .unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(page.contains(".SH NAME"), "{page}");
    }
}

/// Ctrl-C while registries are waited for: nothing is half written, and the shell is told.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_command_ends_at_once() {
    let registry = FakeRegistry::start(|_| Answer::json("{}").stalled_body()).await;
    let image = format!("{}/a/b:1", registry.host());
    for arguments in [
        vec!["inspect", "-o", "json", &image],
        vec!["suggest", "--platform", "linux/arm64", "-o", "json", &image],
    ] {
        registry.forget();
        let child = Command::new(env!("CARGO_BIN_EXE_platform-gate"))
            .args(&arguments)
            .env_clear()
            .env("HOME", "/nonexistent")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let asked = async {
            while registry.received().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), asked)
            .await
            .unwrap();
        let id = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .unwrap()
                .success()
        );
        let ended = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap())
            .await
            .unwrap();
        assert_eq!(ended.status.code(), Some(130), "{arguments:?}");
        assert!(
            ended.stdout.is_empty() && ended.stderr.is_empty(),
            "{ended:?}"
        );
    }
}
