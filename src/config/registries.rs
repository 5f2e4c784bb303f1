//! What the settings say of registries, and what the files say that they name: `hosts.toml` folders, `registries.conf`,
//! docker's credentials, the kubelet's credential providers.
//!
//! The settings themselves must be right. The files are made for nodes: what cannot be used of them is left out and
//! named. Leaves out how each of those files is read, which is `registry`'s.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use url::Url;

use super::raw;
use crate::registry::{
    Connection, CredentialProviders, HeaderMap, HostFiles, HostSettings, Keychain,
    OperatorCredentials, load_hosts_folder, load_registries_conf,
};

/// Files by their settings; an empty path is no file.
pub(super) struct Files {
    pub(super) hosts_dir: PathBuf,
    pub(super) registries_conf: PathBuf,
    pub(super) default_credentials: PathBuf,
    pub(super) credential_providers: raw::CredentialProviders,
}

#[derive(Default)]
pub(super) struct Registries {
    pub(super) hosts: BTreeMap<String, HostSettings>,
    pub(super) credentials: OperatorCredentials,
    /// What is wrong with the files.
    pub(super) left_out: Vec<String>,
}

/// What the settings say comes first, then the folder of hosts, then `registries.conf`.
pub(super) fn load(
    raw: BTreeMap<String, raw::Registry>,
    files: &Files,
    mistakes: &mut Vec<String>,
) -> Registries {
    let mut all = Registries::default();
    for (host, raw) in raw {
        let settings = registry(&host, raw, mistakes);
        all.hosts.insert(host, settings);
    }
    if let Some(folder) = given(&files.hosts_dir) {
        all.add(load_hosts_folder(folder));
    }
    if let Some(path) = given(&files.registries_conf) {
        all.add(load_registries_conf(path));
    }
    if let Some(path) = given(&files.default_credentials) {
        all.credentials.default = default_credentials(path, &mut all.left_out);
    }
    let raw::CredentialProviders {
        config_file,
        bin_dir,
    } = &files.credential_providers;
    match (given(config_file), given(bin_dir)) {
        (None, None) => {}
        (Some(config), Some(folder)) => {
            let (providers, left_out) = CredentialProviders::load(config, folder);
            all.credentials.providers = Some(providers);
            all.left_out.extend(left_out);
        }
        _ => mistakes.push("credentialProviders: write both configFile and binDir".to_owned()),
    }
    all
}

fn given(path: &Path) -> Option<&Path> {
    (!path.as_os_str().is_empty()).then_some(path)
}

impl Registries {
    fn add(&mut self, files: HostFiles) {
        for (host, of_file) in files.hosts {
            let settings = self.hosts.remove(&host).unwrap_or_default();
            self.hosts.insert(host, settings.or(of_file));
        }
        self.left_out.extend(files.mistakes);
    }
}

/// Docker's credentials, or none where the file cannot be used.
fn default_credentials(path: &Path, left_out: &mut Vec<String>) -> Keychain {
    let problem = match std::fs::read(path) {
        Ok(bytes) => match Keychain::from_docker_login(&bytes) {
            Ok(keychain) => return keychain,
            Err(error) => error.to_string(),
        },
        Err(error) => format!("cannot be read: {error}"),
    };
    left_out.push(format!("{}: {problem}", path.display()));
    Keychain::anonymous()
}

fn registry(host: &str, raw: raw::Registry, mistakes: &mut Vec<String>) -> HostSettings {
    let field = |name: &str| format!("registries.{host:?}.{name}");
    let mut mirrors = Vec::new();
    for (at, text) in raw.mirrors.iter().enumerate() {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "https" | "http") && url.has_host() => {
                mirrors.push(url.into())
            }
            _ => mistakes.push(format!(
                "{}: {text:?} is no mirror: write a URL such as https://registry.example:5000",
                field(&format!("mirrors[{at}]"))
            )),
        }
    }
    let mut read = |name: &str, path: Option<PathBuf>| {
        let path = path.filter(|path| !path.as_os_str().is_empty())?;
        let read = std::fs::read(&path);
        let complain = |error| format!("{}: cannot read {}: {error}", field(name), path.display());
        read.map_err(|error| mistakes.push(complain(error))).ok()
    };
    let is_half = raw.client_certificate_file.is_some() != raw.client_key_file.is_some();
    let ca_pem = read("caFile", raw.ca_file);
    let certificate = read("clientCertificateFile", raw.client_certificate_file);
    let key = read("clientKeyFile", raw.client_key_file);
    if is_half {
        mistakes.push(format!(
            "registries.{host:?}: write both clientCertificateFile and clientKeyFile"
        ));
    }
    let identity_pem = certificate.zip(key).map(|(mut pem, key)| {
        pem.push(b'\n');
        pem.extend(key);
        pem
    });
    HostSettings {
        mirrors,
        connection: Connection {
            ca_pem,
            identity_pem,
            headers: headers(&field("headers"), &raw.headers, mistakes),
            ..Connection::default()
        },
        plain_http: raw.plain_http,
        token_hosts: raw.token_hosts,
        ..HostSettings::default()
    }
}

fn headers(field: &str, raw: &BTreeMap<String, String>, mistakes: &mut Vec<String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in raw {
        match Connection::header(name, value) {
            Some((name, value)) => _ = headers.insert(name, value),
            None => mistakes.push(format!("{field}.{name:?}: is no HTTP header")),
        }
    }
    headers
}
