//! `registries.conf` of the containers tools (version 2) and the files of its `.d` folder, as CRI-O and Podman read
//! them: prefixes, locations, mirrors, insecure and blocked registries.
//!
//! Leaves out unqualified search registries and short-name aliases, since pods name images in full, and credential
//! helpers.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::egress::Scheme;
use super::endpoint::upstream_url;
use super::hosts::{Connection, HostSettings, Location, Mirror};
use super::hosts_toml::{HostFiles, one_line};

#[derive(Deserialize)]
struct RawFile {
    #[serde(default)]
    registry: Vec<RawRegistry>,
    /// Of version 1.
    registries: Option<toml::Table>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawRegistry {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<RawMirror>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawMirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: PullFrom,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PullFrom {
    #[default]
    #[serde(alias = "")]
    All,
    DigestOnly,
    TagOnly,
}

/// Reads a `registries.conf` and what its `.d` folder adds; a later file's registry takes the place of an earlier one's.
#[must_use]
pub fn load_registries_conf(path: &Path) -> HostFiles {
    let mut files = HostFiles::default();
    let mut folder = path.as_os_str().to_owned();
    folder.push(".d");
    let mut paths = vec![path.to_owned()];
    paths.extend(parts(Path::new(&folder)));
    for path in paths {
        let read = std::fs::read_to_string(&path);
        let parsed = read
            .map_err(|error| format!("cannot be read: {error}"))
            .and_then(|text| parse(&text));
        match parsed {
            Ok((hosts, mistakes)) => {
                files.hosts.extend(hosts);
                let named = mistakes.iter().map(|m| format!("{}: {m}", path.display()));
                files.mistakes.extend(named);
            }
            Err(problem) => {
                let mistake = format!("{}: {problem}", path.display());
                files.mistakes.push(mistake);
            }
        }
    }
    files
}

/// The `.conf` files of a folder in the order of their names; none where there is no folder.
fn parts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conf")
        })
        .collect();
    paths.sort_unstable();
    paths
}

type Parsed = (Vec<(String, HostSettings)>, Vec<String>);

pub(super) fn parse(text: &str) -> Result<Parsed, String> {
    let raw: RawFile = toml::from_str(text).map_err(|error| one_line(&error))?;
    if raw.registries.is_some() {
        return Err("this is version 1: write [[registry]] tables".to_owned());
    }
    let (mut hosts, mut mistakes) = (Vec::new(), Vec::new());
    for raw in raw.registry {
        let prefix = match raw.prefix.as_str() {
            "" => raw.location.clone(),
            prefix => prefix.trim_end_matches('/').to_owned(),
        };
        match settings(&prefix, &raw) {
            Ok(settings) => hosts.push((prefix, settings)),
            Err(problem) => mistakes.push(format!("registry {prefix:?}: {problem}")),
        }
    }
    Ok((hosts, mistakes))
}

fn settings(prefix: &str, raw: &RawRegistry) -> Result<HostSettings, String> {
    if prefix.is_empty() {
        return Err("give a prefix or a location".to_owned());
    }
    let is_wildcard = prefix.starts_with("*.");
    if !is_wildcard {
        location(prefix)?;
    }
    let mut settings = HostSettings {
        blocked: raw.blocked,
        ..HostSettings::default()
    };
    for mirror in &raw.mirror {
        let mut pull_from = mirror.pull_from_mirror;
        if raw.mirror_by_digest_only {
            pull_from = PullFrom::DigestOnly;
        }
        let of = at(&mirror.location, mirror.insecure, pull_from)?;
        settings.mirrors.extend(of);
    }
    let is_elsewhere = !raw.location.is_empty() && raw.location != prefix;
    if is_elsewhere || (raw.insecure && !is_wildcard) {
        let place = if is_elsewhere { &raw.location } else { prefix };
        let of = at(place, raw.insecure, PullFrom::All)?;
        settings.mirrors.extend(of);
        settings.mirrors_only = true;
    }
    Ok(settings)
}

/// The places of one location: HTTPS, and where it is insecure unchecked HTTPS, then plain HTTP.
fn at(text: &str, is_insecure: bool, pull_from: PullFrom) -> Result<Vec<Mirror>, String> {
    let schemes: &[Scheme] = match is_insecure {
        true => &[Scheme::Https, Scheme::PlainHttp],
        false => &[Scheme::Https],
    };
    let location = location(text)?;
    let mirror = |scheme: &Scheme| {
        let url = upstream_url(&location.host, *scheme)?;
        Some(Mirror {
            location: Some(location.clone()),
            serves_tags: pull_from != PullFrom::DigestOnly,
            serves_digests: pull_from != PullFrom::TagOnly,
            sends_namespace: false,
            connection: Connection {
                skip_verify: is_insecure,
                ..Connection::default()
            },
            ..Mirror::from(url)
        })
    };
    Ok(schemes.iter().filter_map(mirror).collect())
}

/// Parts `host[:port]/path`.
fn location(text: &str) -> Result<Location, String> {
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    if text.contains("://") || upstream_url(host, Scheme::Https).is_none() {
        let advice = "write host, host:port or host/path, without a scheme";
        return Err(format!("{text:?} is no location: {advice}"));
    }
    Ok(Location {
        host: host.to_owned(),
        path: path.trim_end_matches('/').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places in short: scheme, location, `t` and `d` for what they serve.
    fn describe(settings: &HostSettings) -> String {
        let mirror = |mirror: &Mirror| {
            let location = mirror.location.as_ref().unwrap();
            let (tags, digests) = (mirror.serves_tags, mirror.serves_digests);
            format!(
                "{}:{}/{} {}{}{}",
                mirror.url.scheme(),
                location.host,
                location.path,
                if tags { "t" } else { "" },
                if digests { "d" } else { "" },
                if mirror.connection.skip_verify {
                    "!"
                } else {
                    ""
                }
            )
        };
        let mut all: Vec<String> = settings.mirrors.iter().map(mirror).collect();
        if settings.blocked {
            all.push("blocked".to_owned());
        }
        if !settings.mirrors_only {
            all.push("itself".to_owned());
        }
        all.join(", ")
    }

    #[track_caller]
    fn check(text: &str, prefix: &str, want: &str) {
        let (hosts, mistakes) = parse(text).unwrap();
        assert_eq!(mistakes, [""; 0]);
        let (_, settings) = hosts.iter().find(|(name, _)| name == prefix).unwrap();
        assert_eq!(describe(settings), want, "{text}");
    }

    #[test]
    fn registries_are_read() {
        check("[[registry]]\nlocation='r.example'", "r.example", "itself");
        check(
            "[[registry]]\nprefix='*.example'\nblocked=true",
            "*.example",
            "blocked, itself",
        );
        check(
            "[[registry]]\nprefix='docker.io/library'\nlocation='r.example:5000/hub/'",
            "docker.io/library",
            "https:r.example:5000/hub td",
        );
        check(
            "[[registry]]\nlocation='r.example'\ninsecure=true",
            "r.example",
            "https:r.example/ td!, http:r.example/ td!",
        );
        check(
            "[[registry]]\nlocation='docker.io'\n[[registry.mirror]]\nlocation='z.example'\npull-from-mirror='digest-only'\n[[registry.mirror]]\nlocation='a.example/x'\npull-from-mirror='tag-only'",
            "docker.io",
            "https:z.example/ d, https:a.example/x t, itself",
        );
        check(
            "[[registry]]\nlocation='docker.io'\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation='z.example'\ninsecure=true",
            "docker.io",
            "https:z.example/ d!, http:z.example/ d!, itself",
        );
    }

    #[test]
    fn a_bad_registry_is_named_and_the_others_stay() {
        let text = "[[registry]]\nlocation='https://r.example'\n[[registry]]\nlocation='good.example'\n[[registry]]\ninsecure=true\n";
        let (hosts, mistakes) = parse(text).unwrap();
        assert_eq!(hosts.len(), 1);
        assert!(mistakes[0].contains("\"https://r.example\" is no location"));
        assert!(mistakes[1].contains("give a prefix"));
        assert!(
            parse("[registries.search]\nregistries=[]")
                .unwrap_err()
                .contains("version 1")
        );
        assert!(parse("[[registry]]\nlocation=1").is_err());
    }

    #[test]
    fn later_files_take_the_place_of_earlier_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registries.conf");
        let parts = folder.path().join("registries.conf.d");
        std::fs::create_dir(&parts).unwrap();
        for (path, text) in [
            (
                path.clone(),
                "[[registry]]\nlocation='a.example'\nblocked=true\n",
            ),
            (parts.join("2.conf"), "[[registry]]\nlocation='a.example'\n"),
            (
                parts.join("1.conf"),
                "[[registry]]\nlocation='b.example'\nblocked=true\n",
            ),
            (parts.join("3.conf"), "no toml"),
            (parts.join("readme"), "no toml"),
        ] {
            std::fs::write(path, text).unwrap();
        }
        let files = load_registries_conf(&path);
        let blocked: Vec<_> = files.hosts.values().map(|host| host.blocked).collect();
        assert_eq!(blocked, [false, true]);
        assert_eq!(files.mistakes.len(), 1);
        assert!(files.mistakes[0].contains("3.conf"));
    }
}
