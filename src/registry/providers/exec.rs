//! One run of a credential provider: the request on its standard input, the answer from its standard output, both
//! bounded.
//!
//! Leaves out what is kept of the answer. What a provider writes elsewhere is dropped: it may hold anything.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::config::{Provider, duration};
use crate::registry::docker_config::LoginEntry;

/// Longest run, as in the kubelet.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of an answer.
const MAX_OUTPUT: u64 = 256 << 10;

/// Why a run gave nothing. Nothing that the provider wrote is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(super) enum Failure {
    #[error("it cannot be started")]
    Start,
    #[error("it was not done within a minute")]
    Timeout,
    #[error("it ended with a failure")]
    Exit,
    #[error("its answer is too long")]
    TooLong,
    #[error("its answer is no CredentialProviderResponse of the version asked for")]
    Answer,
}

pub(super) struct Answer {
    pub(super) cache_key_type: CacheKeyType,
    /// `None`: the default of the config file.
    pub(super) lifetime: Option<Duration>,
    pub(super) logins: Vec<LoginEntry>,
}

/// For which other images the same answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum CacheKeyType {
    Image,
    Registry,
    Global,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAnswer {
    kind: String,
    api_version: String,
    cache_key_type: CacheKeyType,
    cache_duration: Option<String>,
    auth: Option<BTreeMap<String, RawLogin>>,
}

#[derive(Deserialize)]
struct RawLogin {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

/// Asks a provider for the credentials of an image, `registry/repository`.
pub(super) async fn ask(provider: &Provider, image: &str) -> Result<Answer, Failure> {
    let output = timeout(TIMEOUT, run(provider, image)).await;
    parse(
        &output.unwrap_or(Err(Failure::Timeout))?,
        &provider.api_version,
    )
}

async fn run(provider: &Provider, image: &str) -> Result<Vec<u8>, Failure> {
    let mut program = Command::new(&provider.program)
        .args(&provider.args)
        .envs(provider.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|_| Failure::Start)?;
    let request = json!({
        "kind": "CredentialProviderRequest",
        "apiVersion": provider.api_version,
        "image": image,
    });
    if let Some(mut input) = program.stdin.take() {
        // A provider need not read what it does not want to know.
        let _ = input.write_all(request.to_string().as_bytes()).await;
    }
    let mut answer = Vec::new();
    if let Some(output) = program.stdout.take() {
        let mut output = output.take(MAX_OUTPUT + 1);
        let read = output.read_to_end(&mut answer).await;
        read.map_err(|_| Failure::Exit)?;
    }
    if answer.len() as u64 > MAX_OUTPUT {
        return Err(Failure::TooLong);
    }
    let status = program.wait().await.map_err(|_| Failure::Exit)?;
    status.success().then_some(answer).ok_or(Failure::Exit)
}

fn parse(output: &[u8], api_version: &str) -> Result<Answer, Failure> {
    let raw: RawAnswer = serde_json::from_slice(output).map_err(|_| Failure::Answer)?;
    if raw.kind != "CredentialProviderResponse" || raw.api_version != api_version {
        return Err(Failure::Answer);
    }
    let lifetime = match raw.cache_duration.as_deref() {
        Some(text) => Some(duration(text).ok_or(Failure::Answer)?),
        None => None,
    };
    let logins = raw.auth.unwrap_or_default().into_iter();
    Ok(Answer {
        cache_key_type: raw.cache_key_type,
        lifetime,
        logins: logins
            .map(|(location, login)| (location, login.username, login.password))
            .collect(),
    })
}
