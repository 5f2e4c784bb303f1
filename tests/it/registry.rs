//! The registry client against scripted registries on loopback, and against real ones. `registry/README.md` says which test
//! is for which fault and threat.

mod access;
mod bounded;
mod cached;
mod changed;
mod faults;
mod files;
mod hostile;
mod images;
mod isolated;
mod measured;
mod operator;
mod outage;
mod proxied;
mod real;
mod reasons;
mod tenants;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use platform_gate::domain::image::Image;
use platform_gate::domain::lookup::LookupFailure;
use platform_gate::domain::reference::Reference;
use platform_gate::registry::{
    Caller, Connection, EgressPolicy, HostSettings, Keychain, Registry, RegistrySettings,
};
use tokio::time::Instant;

use crate::support::registry::FakeRegistry;

/// Settings that name these registries as plain HTTP.
fn settings_for(servers: &[&FakeRegistry]) -> RegistrySettings {
    let mut settings = RegistrySettings::new(EgressPolicy::Cli);
    for server in servers {
        let host = HostSettings {
            plain_http: true,
            ..HostSettings::default()
        };
        settings.hosts.insert(server.host(), host);
    }
    settings
}

fn registry_for(servers: &[&FakeRegistry]) -> Registry {
    Registry::new(settings_for(servers)).unwrap()
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// Fetches `HOST/NAME` with these credentials.
async fn fetch(
    registry: &Registry,
    server: &FakeRegistry,
    name: &str,
    keychain: &Keychain,
) -> Result<Arc<Image>, LookupFailure> {
    let reference = Reference::parse(&format!("{}/{name}", server.host())).unwrap();
    registry.fetch_image(&reference, keychain, deadline()).await
}

async fn fetch_anonymously(
    registry: &Registry,
    server: &FakeRegistry,
    name: &str,
) -> Result<Arc<Image>, LookupFailure> {
    fetch(registry, server, name, &Keychain::anonymous()).await
}

/// A keychain of logins `(location, user)`, each with the password `secret`.
fn keychain(logins: &[(&str, &str)]) -> Keychain {
    let auths: serde_json::Map<_, _> = logins
        .iter()
        .map(|(location, user)| {
            let login = serde_json::json!({"username": user, "password": "secret"});
            ((*location).to_owned(), login)
        })
        .collect();
    let document = serde_json::json!({ "auths": auths }).to_string();
    Keychain::from_docker_config_json(document.as_bytes()).unwrap()
}

/// The `Authorization` header of a user of [`keychain`].
fn basic(user: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:secret"));
    format!("Basic {encoded}")
}

/// Moves the clock: tests do not wait for time to pass.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Waits until the server has been asked this many times.
async fn asked(server: &FakeRegistry, times: usize) {
    let wait = async {
        while server.lines().len() < times {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .unwrap();
}

/// Every test that `registry/README.md` and `docs/security.md` name is there.
#[test]
fn the_tables_of_threats_name_tests_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    for (table, least) in [
        ("tests/it/registry/README.md", 60),
        ("docs/security.md", 35),
    ] {
        let text = read(table);
        let rows = text.lines().filter(|line| line.starts_with("| "));
        let names = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
        let mut found = 0;
        for (file, test) in names.filter_map(|name| name.split_once("::")) {
            let (path, title) = match file.rsplit_once('.') {
                Some((_, "rs")) => (file.to_owned(), format!("fn {test}(")),
                Some((_, "yaml")) if file.starts_with("hack/") => {
                    (file.to_owned(), format!("- name: {test}\n"))
                }
                Some((_, "yaml")) => (file.to_owned(), format!("- it: {test}\n")),
                _ => {
                    let path = format!("tests/it/registry/{file}.rs");
                    (path, format!("fn {test}("))
                }
            };
            assert!(read(&path).contains(&title), "{table}: {file}::{test}");
            found += 1;
        }
        assert!(found > least, "{table}: {found}");
    }
}
