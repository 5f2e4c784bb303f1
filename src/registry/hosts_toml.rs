//! containerd's folder of hosts, `/etc/containerd/certs.d/HOST/hosts.toml`, read as containerd 2 does.
//!
//! A folder without a `hosts.toml` may hold certificates as Docker has them: `*.crt` is a CA, `*.cert` with the `*.key` of
//! the same name a client certificate.
//!
//! Leaves out `push` and dial time-outs. Of several client certificates for one host the first is used.

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::header::HeaderMap;
use serde::Deserialize;
use url::Url;

use super::clients::check_connection;
use super::egress::Scheme;
use super::endpoint::upstream_url;
use super::hosts::{Connection, HostSettings, Mirror};

/// Registries as files describe them, and what is wrong with those that are left out.
#[derive(Debug, Default)]
pub struct HostFiles {
    /// For [`RegistrySettings::hosts`](super::RegistrySettings::hosts).
    pub hosts: BTreeMap<String, HostSettings>,
    /// One sentence each, with the file's name.
    pub mistakes: Vec<String>,
}

#[derive(Deserialize)]
struct RawFile {
    server: Option<String>,
    /// In the order written.
    host: Option<toml::Table>,
    #[serde(flatten)]
    own: RawHost,
}

#[derive(Default, Deserialize)]
struct RawHost {
    capabilities: Option<Vec<String>>,
    ca: Option<OneOrMore<String>>,
    client: Option<OneOrMore<OneOrMore<String>>>,
    skip_verify: Option<bool>,
    header: Option<BTreeMap<String, OneOrMore<String>>>,
    #[serde(default)]
    override_path: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

/// Reads the folder of hosts. A file that cannot be used leaves its registry as if there were none.
#[must_use]
pub fn load_hosts_folder(folder: &Path) -> HostFiles {
    let mut files = HostFiles::default();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let mistake = format!("cannot read {}: {error}", folder.display());
            files.mistakes.push(mistake);
            return files;
        }
    };
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    // `host:5000` first, so that `host_5000_` takes its place.
    names.sort_unstable();
    for name in names {
        let folder = folder.join(&name);
        let host = host_of_folder(&name);
        match read_host(&host, &folder) {
            Ok(None) => {}
            Ok(Some(settings)) => {
                files.hosts.insert(host, settings);
            }
            Err(mistake) => files.mistakes.push(mistake),
        }
    }
    files
}

/// What the folder of one host says; `None` if it says nothing.
fn read_host(host: &str, folder: &Path) -> Result<Option<HostSettings>, String> {
    let path = folder.join("hosts.toml");
    let settings = match std::fs::read_to_string(&path) {
        Ok(text) => parse_hosts(host, folder, &text).map(Some),
        Err(error) if is_absent(&error) => {
            let settings = read_certificates(host, folder);
            return settings.map_err(|problem| format!("{}: {problem}", folder.display()));
        }
        Err(error) => Err(format!("cannot be read: {error}")),
    };
    settings.map_err(|problem| format!("{}: {problem}", path.display()))
}

/// Docker's certificates, which containerd takes where there is no `hosts.toml`.
fn read_certificates(host: &str, folder: &Path) -> Result<Option<HostSettings>, String> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    let is = |name: &String, extension: &str| name.ends_with(extension);
    let ca: Vec<String> = names.iter().filter(|n| is(n, ".crt")).cloned().collect();
    let client = names.iter().filter_map(|name| {
        let stem = name.strip_suffix(".cert")?;
        Some(OneOrMore::More(vec![name.clone(), format!("{stem}.key")]))
    });
    let client: Vec<_> = client.collect();
    // A volume of Kubernetes has folders of its own, such as `..data`.
    if (ca.is_empty() && client.is_empty()) || host.starts_with('.') {
        return Ok(None);
    }
    check_host(host)?;
    let raw = RawHost {
        ca: Some(OneOrMore::More(ca)),
        client: Some(OneOrMore::More(client)),
        ..RawHost::default()
    };
    Ok(Some(HostSettings {
        connection: connection(&raw, folder)?,
        ..HostSettings::default()
    }))
}

fn check_host(host: &str) -> Result<(), String> {
    match host == "*" || upstream_url(host, Scheme::Https).is_some() {
        true => Ok(()),
        false => Err("the folder's name is no host: write host, host:port or _default".to_owned()),
    }
}

/// No folder, or one without the file: a volume of Kubernetes has some of its own.
fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn folder_name(folder: &Path) -> &str {
    let name = folder.file_name().and_then(|name| name.to_str());
    name.unwrap_or_default()
}

/// `_default` is for all hosts without a folder; `host_5000_` is `host:5000`, which some file systems do not take.
fn host_of_folder(name: &str) -> String {
    if name == "_default" {
        return "*".to_owned();
    }
    let port = name
        .strip_suffix('_')
        .and_then(|name| name.rsplit_once('_'));
    match port {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => format!("{host}:{port}"),
        _ => name.to_owned(),
    }
}

pub(super) fn parse_hosts(host: &str, folder: &Path, text: &str) -> Result<HostSettings, String> {
    let raw: RawFile = toml::from_str(text).map_err(|error| one_line(&error))?;
    check_host(host)?;
    let mut settings = HostSettings::default();
    for (url, raw) in raw.host.unwrap_or_default() {
        let raw: RawHost = raw
            .try_into()
            .map_err(|error| format!("[host.{url:?}]: {}", one_line(&error)))?;
        let mirror = mirror(&url, &raw, folder).map_err(|p| format!("[host.{url:?}]: {p}"))?;
        settings.mirrors.push(mirror);
    }
    match raw.server.filter(|server| !server.is_empty()) {
        None => settings.connection = connection(&raw.own, folder)?,
        Some(server) => {
            let server = mirror(&server, &raw.own, folder).map_err(|p| format!("server: {p}"))?;
            if is_itself(host, &server) {
                settings.plain_http = server.url.scheme() == "http";
                settings.connection = server.connection;
            } else {
                settings.mirrors_only = true;
                settings.mirrors.push(server);
            }
        }
    }
    Ok(settings)
}

/// Whether a `server` is the registry that the folder is named for.
fn is_itself(host: &str, server: &Mirror) -> bool {
    let schemes = [Scheme::Https, Scheme::PlainHttp];
    let own = schemes.map(|scheme| upstream_url(host, scheme));
    server.serves_tags
        && server.serves_digests
        && !server.is_api_root
        && own.iter().flatten().any(|own| *own == server.url)
}

fn mirror(text: &str, raw: &RawHost, folder: &Path) -> Result<Mirror, String> {
    let text = match text.starts_with("http") {
        true => text.to_owned(),
        false => format!("https://{text}"),
    };
    let url = Url::parse(&text).ok().filter(Url::has_host);
    let mut url = url.ok_or("write a URL such as https://registry.example:5000")?;
    if !raw.override_path
        && let Some(path) = url.path().trim_end_matches('/').strip_suffix("/v2")
    {
        let path = path.to_owned();
        url.set_path(&path);
    }
    let mut mirror = Mirror::from(url);
    mirror.is_api_root = raw.override_path;
    mirror.connection = connection(raw, folder)?;
    if let Some(capabilities) = raw.capabilities.as_ref().filter(|c| !c.is_empty()) {
        let lower = capabilities.iter().map(|c| c.to_ascii_lowercase());
        let lower: Vec<String> = lower.collect();
        let known = ["pull", "resolve", "push"];
        if let Some(other) = lower.iter().find(|c| !known.contains(&c.as_str())) {
            return Err(format!(
                "unknown capability {other:?}: write pull, resolve or push"
            ));
        }
        let has = |name: &str| lower.iter().any(|c| c == name);
        mirror.serves_digests = has("pull");
        mirror.serves_tags = has("pull") && has("resolve");
    }
    Ok(mirror)
}

fn connection(raw: &RawHost, folder: &Path) -> Result<Connection, String> {
    let mut ca_pem = Vec::new();
    for file in raw.ca.iter().flat_map(OneOrMore::as_slice) {
        ca_pem.extend(read(folder, file)?);
        ca_pem.push(b'\n');
    }
    let mut identity_pem = None;
    if let Some(files) = raw.client.as_ref().and_then(|c| c.as_slice().first()) {
        let mut pem = Vec::new();
        for file in files.as_slice() {
            pem.extend(read(folder, file)?);
            pem.push(b'\n');
        }
        identity_pem = Some(pem);
    }
    let mut headers = HeaderMap::new();
    for (name, values) in raw.header.iter().flatten() {
        for value in values.as_slice() {
            let header = Connection::header(name, value);
            let (name, value) = header.ok_or(format!("header {name:?} is no HTTP header"))?;
            headers.append(name, value);
        }
    }
    let connection = Connection {
        ca_pem: (!ca_pem.is_empty()).then_some(ca_pem),
        identity_pem,
        skip_verify: raw.skip_verify.unwrap_or_default(),
        headers,
    };
    check_connection(folder_name(folder), &connection).map_err(|error| error.to_string())?;
    Ok(connection)
}

/// A file named relative to the folder.
fn read(folder: &Path, file: &str) -> Result<Vec<u8>, String> {
    std::fs::read(folder.join(file)).map_err(|error| format!("cannot read {file:?}: {error}"))
}

/// What the parser says, without the excerpt of the file, which may hold a header's secret.
pub(super) fn one_line(error: &toml::de::Error) -> String {
    error.message().lines().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
