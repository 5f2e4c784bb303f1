//! Registries as a node's own files describe them: containerd's `hosts.toml` and `registries.conf`.

use std::path::Path;

use platform_gate::registry::{load_hosts_folder, load_registries_conf};

use super::*;
use crate::support::certificates::TestCa;
use crate::support::registry::Answer;
use crate::support::site::Site;

const LINUX: &str = r#"{"os":"linux","architecture":"amd64"}"#;

fn write_hosts(folder: &Path, host: &str, text: &str) {
    let folder = folder.join(host);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("hosts.toml"), text).unwrap();
}

fn registry_of_folder(folder: &Path) -> Registry {
    crate::support::certificates::install_provider();
    let files = load_hosts_folder(folder);
    assert_eq!(files.mistakes, [""; 0]);
    let mut settings = RegistrySettings::new(EgressPolicy::Cluster { denied: Vec::new() });
    settings.hosts = files.hosts;
    Registry::new(settings).unwrap()
}

fn registry_of_conf(text: &str) -> Registry {
    crate::support::certificates::install_provider();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registries.conf");
    std::fs::write(&path, text).unwrap();
    let files = load_registries_conf(&path);
    assert_eq!(files.mistakes, [""; 0]);
    let mut settings = RegistrySettings::new(EgressPolicy::Cluster { denied: Vec::new() });
    settings.hosts = files.hosts;
    Registry::new(settings).unwrap()
}

async fn fetch_name(registry: &Registry, name: &str) -> Result<Arc<Image>, LookupFailure> {
    let reference = Reference::parse(name).unwrap();
    let anonymous = Keychain::anonymous();
    registry
        .fetch_image(&reference, &anonymous, deadline())
        .await
}

#[tokio::test]
async fn mirrors_of_a_folder_are_asked_in_order_with_their_own_headers_and_paths() {
    let site = Site::new().image("library/app", "1", LINUX);
    let empty = FakeRegistry::start(|_| Answer::new(404)).await;
    let digests_only = FakeRegistry::start(|_| Answer::new(500)).await;
    let full = FakeRegistry::start(move |request| {
        let mut inner = request.clone();
        inner.path = request.path.replacen("/api/hub/", "/v2/", 1);
        site.answer(&inner)
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[host.\"{}\"]\n[host.\"{}\"]\ncapabilities = ['pull']\n[host.\"{}/api/hub\"]\noverride_path = true\nheader = {{ x-test = 'of-full' }}\n",
        empty.url(),
        digests_only.url(),
        full.url()
    );
    write_hosts(folder.path(), "docker.io", &text);
    let registry = registry_of_folder(folder.path());
    fetch_name(&registry, "app:1").await.unwrap();
    let path = "/library/app/manifests/1";
    assert_eq!(empty.lines(), [format!("GET /v2{path}")]);
    assert_eq!(empty.received()[0].extra, None);
    assert_eq!(digests_only.lines(), [""; 0]);
    let first = full.received().remove(0);
    assert_eq!(first.path, format!("/api/hub{path}"));
    assert_eq!(first.query, "ns=docker.io");
    assert_eq!(first.extra.as_deref(), Some("of-full"));
}

#[tokio::test]
async fn a_hosts_headers_follow_no_redirect_elsewhere() {
    let cdn = FakeRegistry::start(|_| Answer::new(404)).await;
    let target = cdn.url();
    let server = FakeRegistry::start(move |_| Answer::redirect(&target)).await;
    let folder = tempfile::tempdir().unwrap();
    for (server, header) in [(&server, "header = { x-test = 'secret' }\n"), (&cdn, "")] {
        let text = format!("server = '{}'\n{header}", server.url());
        write_hosts(folder.path(), &server.host(), &text);
    }
    let registry = registry_of_folder(folder.path());
    let outcome = fetch_name(&registry, &format!("{}/app:1", server.host())).await;
    assert_eq!(outcome, Err(LookupFailure::NotFound));
    assert_eq!(server.received()[0].extra.as_deref(), Some("secret"));
    assert_eq!(cdn.received()[0].extra, None);
}

#[tokio::test]
async fn a_registry_that_wants_a_client_certificate_gets_it_from_its_folder_alone() {
    let (ca, site) = (TestCa::new(), Site::new().image("app", "1", LINUX));
    let server =
        FakeRegistry::start_tls(&ca.strict_server, move |request| site.answer(request)).await;
    for (text, works) in [
        ("ca = 'ca.pem'\nclient = 'identity.pem'\n", true),
        ("skip_verify = true\nclient = ['identity.pem']\n", true),
        ("ca = 'ca.pem'\n", false),
        ("client = 'identity.pem'\n", false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        write_hosts(folder.path(), &server.host(), text);
        let of_host = folder.path().join(server.host());
        std::fs::write(of_host.join("ca.pem"), &ca.pem).unwrap();
        std::fs::write(of_host.join("identity.pem"), &ca.identity).unwrap();
        let registry = registry_of_folder(folder.path());
        let outcome = fetch_name(&registry, &format!("{}/app:1", server.host())).await;
        assert_eq!(outcome.is_ok(), works, "{text} {outcome:?}");
    }
}

#[tokio::test]
async fn locations_of_registries_conf_rename_the_image() {
    let site = Site::new().image("hub/library/app", "1", LINUX);
    let server = FakeRegistry::start(move |request| match request.authorization {
        Some(_) => site.answer(request),
        None => Answer::challenge(&["Basic realm=x"]),
    })
    .await;
    let text = format!(
        "[[registry]]\nprefix='docker.io'\nlocation='{}/hub'\ninsecure=true\n\
         [[registry]]\nprefix='docker.io/evil'\nblocked=true\n",
        server.host()
    );
    let registry = registry_of_conf(&text);
    let keychain = keychain(&[(&format!("{}/hub", server.host()), "good")]);
    let reference = Reference::parse("app:1").unwrap();
    let fetched = registry.fetch_image(&reference, &keychain, deadline());
    fetched.await.unwrap();
    let first = server.received().remove(0);
    assert_eq!(first.path, "/v2/hub/library/app/manifests/1");
    assert_eq!(first.query, "");
    server.forget();
    let outcome = fetch_name(&registry, "evil/app:1").await;
    assert_eq!(outcome, Err(LookupFailure::Blocked));
    assert_eq!(server.lines(), [""; 0]);
}
