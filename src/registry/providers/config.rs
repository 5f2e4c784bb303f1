//! The kubelet's `CredentialProviderConfig` file, YAML or JSON, with its own strictness.
//!
//! Leaves out running the providers: that is `exec`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::registry::location::Pattern;

/// A program and the images that it is asked for.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) name: Box<str>,
    pub(super) program: PathBuf,
    pub(super) patterns: Vec<Pattern>,
    pub(super) default_lifetime: Duration,
    pub(super) api_version: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawConfig {
    api_version: String,
    kind: String,
    #[serde(default)]
    providers: Vec<RawProvider>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawProvider {
    name: String,
    #[serde(default)]
    match_images: Vec<String>,
    default_cache_duration: Option<String>,
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<RawVariable>,
    token_attributes: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVariable {
    name: String,
    #[serde(default)]
    value: String,
}

/// The providers that can be used, and what is wrong with the others.
pub(super) fn parse(text: &str, folder: &Path) -> (Vec<Provider>, Vec<String>) {
    let raw: RawConfig = match serde_saphyr::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            let first = error.to_string();
            let first = first.lines().next().unwrap_or_default();
            return (Vec::new(), vec![first.to_owned()]);
        }
    };
    let group = raw.api_version.split('/').next().unwrap_or_default();
    if raw.kind != "CredentialProviderConfig" || group != "kubelet.config.k8s.io" {
        let mistake = "write kind: CredentialProviderConfig, apiVersion: kubelet.config.k8s.io/v1";
        return (Vec::new(), vec![mistake.to_owned()]);
    }
    let (mut providers, mut mistakes) = (Vec::<Provider>::new(), Vec::new());
    for raw in raw.providers {
        let name = raw.name.clone();
        let is_known = providers.iter().any(|known| *known.name == *name);
        let checked = match is_known {
            true => Err("the name is there twice".to_owned()),
            false => provider(raw, folder),
        };
        match checked {
            Ok(provider) => providers.push(provider),
            Err(problem) => mistakes.push(format!("provider {name:?}: {problem}")),
        }
    }
    (providers, mistakes)
}

fn provider(raw: RawProvider, folder: &Path) -> Result<Provider, String> {
    let RawProvider {
        name, api_version, ..
    } = raw;
    if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', ' ']) {
        return Err("the name is that of a program, without slash or space".to_owned());
    }
    if raw.token_attributes.is_some() {
        return Err("tokenAttributes is not supported".to_owned());
    }
    let version = api_version.strip_prefix("credentialprovider.kubelet.k8s.io/");
    if !matches!(version, Some("v1" | "v1beta1" | "v1alpha1")) {
        return Err("write apiVersion: credentialprovider.kubelet.k8s.io/v1".to_owned());
    }
    if raw.match_images.is_empty() {
        return Err("matchImages is empty".to_owned());
    }
    let pattern = |text: &String| {
        let read = Pattern::parse(text);
        read.ok_or_else(|| format!("matchImages {text:?} is no host with a path"))
    };
    let patterns: Result<Vec<_>, _> = raw.match_images.iter().map(pattern).collect();
    let lifetime = raw.default_cache_duration.as_deref().and_then(duration);
    Ok(Provider {
        program: folder.join(&name),
        name: name.into(),
        patterns: patterns?,
        default_lifetime: lifetime.ok_or("write defaultCacheDuration: 10m, or such")?,
        api_version,
        args: raw.args,
        env: raw.env.into_iter().map(|v| (v.name, v.value)).collect(),
    })
}

/// A duration as Go writes it: `1h30m`, `0s`, `1.5s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("μs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() || text.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok()
}
