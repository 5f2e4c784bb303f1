//! Registries behind a proxy: what goes through it, and what does not even there.

use platform_gate::registry::Proxies;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::support::site::Site;

const LINUX: &str = r#"{"os":"linux","architecture":"amd64"}"#;

fn through(proxy: &str, no_proxy: &str) -> RegistrySettings {
    crate::support::certificates::install_provider();
    let mut settings = RegistrySettings::new(EgressPolicy::Cluster { denied: Vec::new() });
    settings.proxies = Proxies::from_variables(|name| match name {
        "HTTPS_PROXY" | "HTTP_PROXY" => Some(proxy.to_owned()),
        "NO_PROXY" => Some(no_proxy.to_owned()),
        _ => None,
    })
    .unwrap();
    let host = HostSettings {
        plain_http: true,
        ..HostSettings::default()
    };
    for name in ["plain.invalid", "near.invalid"] {
        settings.hosts.insert(name.to_owned(), host.clone());
    }
    settings
}

async fn fetch_name(registry: &Registry, name: &str) -> Result<Arc<Image>, LookupFailure> {
    let reference = Reference::parse(name).unwrap();
    let anonymous = Keychain::anonymous();
    let fetched = registry.fetch_image(&reference, &anonymous, deadline());
    fetched.await
}

#[tokio::test]
async fn plain_registries_are_asked_through_the_proxy_unless_no_proxy_names_them() {
    let site = Site::new().image("app", "1", LINUX);
    let proxy = FakeRegistry::start(move |request| site.answer(request)).await;
    let registry = Registry::new(through(&proxy.url(), ".near.invalid,near.invalid")).unwrap();
    fetch_name(&registry, "plain.invalid/app:1").await.unwrap();
    let first = proxy.received().remove(0);
    assert_eq!(first.base(), "http://plain.invalid");
    proxy.forget();
    let outcome = fetch_name(&registry, "near.invalid/app:1").await;
    assert_eq!(outcome, Err(LookupFailure::Unreachable));
    assert_eq!(proxy.lines(), [""; 0]);
}

/// Answers so many `CONNECT`s with a refusal, and says what they were for.
async fn refusals(listener: TcpListener, number: usize) -> Vec<String> {
    let mut targets = Vec::new();
    for _ in 0..number {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(refusal).await.unwrap();
        let head = String::from_utf8(head).unwrap();
        targets.push(head.lines().next().unwrap().to_owned());
    }
    targets
}

#[tokio::test]
async fn names_and_addresses_of_the_inside_do_not_reach_the_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let registry = Registry::new(through(&url, "")).unwrap();
    registry.deny_networks(vec!["10.96.0.0/12".parse().unwrap()]);
    let proxy = tokio::spawn(refusals(listener, 1));
    for name in [
        "kubernetes.default.svc/x",
        "kubernetes.default.svc.cluster.local:443/x",
        "metadata.google.internal/x",
        "169.254.169.254/x",
        "[fd00:ec2::254]/x",
        "10.96.0.1/x",
        "127.0.0.1:5000/x",
        "reg.invalid:6443/x",
    ] {
        let outcome = fetch_name(&registry, name).await;
        assert_eq!(outcome, Err(LookupFailure::Blocked), "{name}");
    }
    let outcome = fetch_name(&registry, "outside.invalid/x").await;
    assert_eq!(outcome, Err(LookupFailure::Unreachable));
    let targets = proxy.await.unwrap();
    assert_eq!(targets, ["CONNECT outside.invalid:443 HTTP/1.1"]);
}
