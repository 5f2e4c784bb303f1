//! The credentials that the user already has: what `docker login` or `podman login` wrote, and what the credential
//! helpers named there say (<https://github.com/docker/docker-credential-helpers>).
//!
//! Leaves out which of them is tried for an image: that is the `Keychain`'s. Nothing that a helper writes is repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::logging::complain;
use crate::domain::reference::Reference;
use crate::registry::Keychain;

/// Docker Hub's entry, by tradition.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// Helpers run at once.
const AT_ONCE: usize = 4;
/// Longest wait for a helper; some ask the user to unlock a store.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of a helper's answer.
const MAX_ANSWER: u64 = 256 << 10;

/// The helpers of one file.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Helpers {
    /// By registry.
    cred_helpers: Option<BTreeMap<String, String>>,
    /// For all others.
    creds_store: Option<String>,
}

/// Why a helper gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Failure {
    #[error("it cannot be started: is it in PATH?")]
    Start,
    #[error("it was not done within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("it ended with a failure")]
    Exit,
    #[error("its answer is none of a credential helper")]
    Answer,
}

/// The credentials for images of these references. A file or helper that cannot be used is told once and left out.
pub(super) async fn keychain<'a>(images: impl IntoIterator<Item = &'a str>) -> Keychain {
    let references = images
        .into_iter()
        .filter_map(|image| Reference::parse(image).ok());
    let registries: BTreeSet<String> = references
        .map(|reference| reference.registry().to_owned())
        .collect();
    let mut keychain = Keychain::anonymous();
    for path in docker_config_files() {
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        let found = Keychain::from_docker_login(&bytes).map_err(|error| error.to_string());
        let helpers = serde_json::from_slice::<Option<Helpers>>(&bytes)
            .map_err(|_| "credHelpers or credsStore is not what docker reads".to_owned());
        match (found, helpers) {
            (Ok(found), Ok(helpers)) => {
                let helped = helpers.unwrap_or_default().ask(&registries).await;
                keychain = keychain.merge(&helped.merge(&found));
            }
            (Err(error), _) | (_, Err(error)) => complain(&format!(
                "credentials in {} are left out: {error}",
                path.display()
            )),
        }
    }
    keychain
}

impl Helpers {
    /// What the helpers say of these registries.
    async fn ask(&self, registries: &BTreeSet<String>) -> Keychain {
        let asked = registries
            .iter()
            .filter_map(|registry| Some((registry, self.helper_for(registry)?)));
        let answers = futures::stream::iter(asked)
            .map(|(registry, helper)| async move {
                (helper, registry, ask(helper, key(registry)).await)
            })
            .buffered(AT_ONCE);
        let mut keychain = Keychain::anonymous();
        let mut answers = std::pin::pin!(answers);
        while let Some((helper, registry, answer)) = answers.next().await {
            match answer {
                Ok(Some(found)) => keychain = keychain.merge(&found),
                Ok(None) => {}
                Err(failure) => complain(&format!(
                    "docker-credential-{helper} gives no credentials for {registry}: {failure}"
                )),
            }
        }
        keychain
    }

    fn helper_for(&self, registry: &str) -> Option<&str> {
        let names = match registry {
            "docker.io" => vec![DOCKER_HUB, "index.docker.io", "docker.io"],
            other => vec![other],
        };
        let own = self.cred_helpers.iter().flatten();
        let mut own = own.filter(|(name, _)| names.contains(&name.as_str()));
        let helper = match own.next() {
            // A registry whose helper is empty has none, podman says.
            Some((_, helper)) => helper,
            None => self.creds_store.as_ref()?,
        };
        // The name becomes that of a program in PATH, never a path.
        (!helper.is_empty() && !helper.contains(['/', '\\'])).then_some(helper)
    }
}

/// What a registry is called in files and to helpers.
fn key(registry: &str) -> &str {
    match registry {
        "docker.io" => DOCKER_HUB,
        other => other,
    }
}

/// Asks a helper for the credentials of a server; `None` where it has none.
async fn ask(helper: &str, server: &str) -> Result<Option<Keychain>, Failure> {
    let run = tokio::time::timeout(TIMEOUT, run(helper, server)).await;
    let (succeeded, answer) = run.unwrap_or(Err(Failure::Timeout))?;
    if !succeeded {
        let said = String::from_utf8_lossy(&answer);
        let has_none = said.contains("credentials not found");
        return if has_none {
            Ok(None)
        } else {
            Err(Failure::Exit)
        };
    }
    parse(server, &answer)
}

async fn run(helper: &str, server: &str) -> Result<(bool, Vec<u8>), Failure> {
    let mut program = Command::new(format!("docker-credential-{helper}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|_| Failure::Start)?;
    if let Some(mut input) = program.stdin.take() {
        // A helper need not read what it does not want to know.
        let _ = input.write_all(server.as_bytes()).await;
    }
    let mut answer = Vec::new();
    if let Some(output) = program.stdout.take() {
        let read = output.take(MAX_ANSWER).read_to_end(&mut answer).await;
        read.map_err(|_| Failure::Exit)?;
    }
    let status = program.wait().await.map_err(|_| Failure::Exit)?;
    Ok((status.success(), answer))
}

fn parse(server: &str, answer: &[u8]) -> Result<Option<Keychain>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        #[serde(default)]
        username: String,
        secret: String,
    }
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| Failure::Answer)?;
    let login = serde_json::json!({"username": answer.username, "password": answer.secret});
    let file = serde_json::json!({"auths": {server: login}}).to_string();
    let keychain = Keychain::from_docker_login(file.as_bytes());
    keychain.map(Some).map_err(|_| Failure::Answer)
}

/// Where docker and podman keep credentials, podman's first, as podman looks for them.
fn docker_config_files() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let podman = variable("REGISTRY_AUTH_FILE")
        .or_else(|| Some(variable("XDG_RUNTIME_DIR")?.join("containers/auth.json")));
    let docker = variable("DOCKER_CONFIG").or_else(|| Some(variable("HOME")?.join(".docker")));
    podman
        .into_iter()
        .chain(docker.map(|folder| folder.join("config.json")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_helper_of_a_registry_comes_before_that_of_all() {
        let helpers = |json: &str| serde_json::from_str::<Helpers>(json).unwrap();
        let both = r#"{"credsStore":"all","credHelpers":{"a.example":"own","b.example":"","index.docker.io":"hub"}}"#;
        let path = r#"{"credsStore":"../../bin/sh"}"#;
        for (json, registry, want) in [
            (both, "a.example", Some("own")),
            (both, "b.example", None),
            (both, "c.example", Some("all")),
            (both, "docker.io", Some("hub")),
            (
                r#"{"credHelpers":{"docker.io":"hub"}}"#,
                "docker.io",
                Some("hub"),
            ),
            (
                r#"{"credHelpers":null,"credsStore":null}"#,
                "a.example",
                None,
            ),
            (path, "a.example", None),
        ] {
            assert_eq!(
                helpers(json).helper_for(registry),
                want,
                "{json} {registry}"
            );
        }
    }

    #[test]
    fn answers_are_read_strictly() {
        let parsed =
            |answer: &str| parse("a.example", answer.as_bytes()).map(|found| found.is_some());
        assert_eq!(
            parsed(r#"{"ServerURL":"a.example","Username":"u","Secret":"p"}"#),
            Ok(true)
        );
        assert_eq!(parsed(r#"{"Username":"<token>","Secret":"p"}"#), Ok(true));
        assert_eq!(parsed(r#"{"Username":"u"}"#), Err(Failure::Answer));
        assert_eq!(parsed("no"), Err(Failure::Answer));
    }
}
