//! Which URLs and addresses the guard lets pass, in every spelling.

use super::*;
use crate::registry::RegistrySettings;

fn guard(policy: EgressPolicy, named: HashMap<Authority, Scheme>, proxies: Proxies) -> Guard {
    let settings = RegistrySettings::new(policy);
    Guard::new(&settings.egress, named, proxies, &Known::new(&settings))
}

fn cluster() -> Guard {
    let denied = ["10.96.0.0/12", "fd00:10::/32", "192.168.7.3/32"];
    let denied = denied.iter().map(|net| net.parse().unwrap()).collect();
    let named = HashMap::from([
        (("registry.svc".to_owned(), 5000), Scheme::PlainHttp),
        (("10.96.0.9".to_owned(), 443), Scheme::Https),
        (("169.254.169.254".to_owned(), 443), Scheme::Https),
    ]);
    guard(EgressPolicy::Cluster { denied }, named, Proxies::default())
}

fn check(guard: &Guard, url: &str, want: Result<Trust, LookupFailure>) {
    assert_eq!(
        guard.check_url(&Url::parse(url).unwrap(), Trust::Named),
        want,
        "{url}"
    );
}

const BLOCKED: Result<Trust, LookupFailure> = Err(LookupFailure::Blocked);
const UNNAMED: Result<Trust, LookupFailure> = Ok(Trust::Unnamed);
const NAMED: Result<Trust, LookupFailure> = Ok(Trust::Named);

#[test]
fn a_cluster_reaches_the_world_and_not_itself() {
    let guard = cluster();
    for (url, want) in [
        ("https://reg.example/v2/", UNNAMED),
        ("https://reg.example:5000/v2/", UNNAMED),
        ("https://192.168.7.2/v2/", UNNAMED),
        ("https://192.168.7.3/v2/", BLOCKED),
        ("http://reg.example/v2/", BLOCKED),
        ("http://192.168.7.2/v2/", BLOCKED),
        ("ftp://reg.example/v2/", BLOCKED),
        ("https://user@reg.example/v2/", BLOCKED),
        ("https://reg.example:22/v2/", BLOCKED),
        ("https://192.168.7.2:6443/v2/", BLOCKED),
        ("https://192.168.7.2:10250/v2/", BLOCKED),
        ("http://registry.svc:5000/v2/", NAMED),
        ("https://registry.svc:5000/v2/", NAMED),
        ("http://registry.svc/v2/", BLOCKED),
        ("https://10.96.0.9/v2/", NAMED),
        ("https://10.96.0.9:8443/v2/", BLOCKED),
        ("https://169.254.169.254/v2/", BLOCKED),
    ] {
        check(&guard, url, want);
    }
}

#[test]
fn odd_spellings_of_blocked_addresses_are_blocked() {
    let guard = cluster();
    for host in [
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:a9fe:a9fe]",
        "[::a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "168.63.129.16",
        "100.100.100.200",
        "127.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "[::]",
        "224.0.0.1",
        "[ff02::1]",
        "255.255.255.255",
        "10.96.0.1",
        "[::ffff:10.96.0.1]",
        "[64:ff9b::10.96.0.1]",
        "[fd00:10::1]",
        "169.254.169.254.",
    ] {
        check(&guard, &format!("https://{host}/v2/"), BLOCKED);
    }
}

#[test]
fn the_cli_reaches_loopback_but_no_metadata() {
    let guard = guard(EgressPolicy::Cli, HashMap::new(), Proxies::default());
    for (url, want) in [
        ("http://127.0.0.1:5000/v2/", UNNAMED),
        ("http://localhost:5000/v2/", UNNAMED),
        ("http://[::1]:5000/v2/", UNNAMED),
        ("https://10.96.0.1/v2/", UNNAMED),
        ("http://10.96.0.1/v2/", BLOCKED),
        ("http://169.254.169.254/v2/", BLOCKED),
        ("https://169.254.169.254/v2/", BLOCKED),
    ] {
        check(&guard, url, want);
    }
}

#[test]
fn the_denied_networks_can_be_replaced() {
    let guard = cluster();
    check(&guard, "https://10.200.0.1/", UNNAMED);
    let denied = vec!["10.200.0.0/16".parse().unwrap()];
    guard.denied.store(Arc::new(denied));
    check(&guard, "https://10.200.0.1/", BLOCKED);
    check(&guard, "https://10.96.0.1/", UNNAMED);
}

#[tokio::test]
async fn names_are_checked_where_they_are_resolved() {
    let guard = Arc::new(cluster());
    for (trust, allowed) in [(Trust::Unnamed, false), (Trust::Named, true)] {
        let resolver = GuardedResolver {
            guard: Arc::clone(&guard),
            trust,
        };
        let found = resolver.resolve("localhost".parse().unwrap()).await;
        match found {
            Ok(_) => assert!(allowed),
            Err(error) => {
                assert!(!allowed && error.downcast_ref::<BlockedAddress>().is_some());
            }
        }
    }
}
