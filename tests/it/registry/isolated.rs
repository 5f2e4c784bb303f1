//! Addresses that must never be connected to, in a network namespace of the test's own that has them all: listeners
//! on each see no connection, whatever references, names, redirects and realms lead there (OPERATIONS, threats 1-5).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;

use super::*;
use crate::support::certificates::TestCa;
use crate::support::registry::{Answer, Received};
use crate::support::site::Site;

/// Metadata services, an API server's service address, a pod, a node, and loopback.
const FORBIDDEN: [&str; 10] = [
    "169.254.169.254",
    "169.254.1.1",
    "168.63.129.16",
    "100.100.100.200",
    "10.96.0.1",
    "10.244.1.5",
    "192.168.49.2",
    "fd00:ec2::254",
    "127.0.0.1",
    "::1",
];
const PORTS: [u16; 5] = [80, 443, 5000, 6443, 10250];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Where an evil registry is: an address that may be connected to.
const OUTSIDE: &str = "203.0.113.5";
const INSIDE_MARK: &str = "PLATFORM_GATE_TEST_NAMESPACE";

#[test]
#[ignore = "needs root: makes a network namespace with unshare and ip, and its own resolv.conf"]
fn nothing_inside_is_connected_to() {
    if std::env::var_os(INSIDE_MARK).is_some() {
        prepare_namespace();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(all_cases());
    }
    let status = Command::new("unshare")
        .args(["--net", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "registry::isolated::nothing_inside_is_connected_to",
        ])
        .args(["--include-ignored", "--nocapture"])
        .env(INSIDE_MARK, "1")
        .status();
    assert!(status.unwrap().success());
}

/// Gives loopback all addresses, and makes the test's DNS server the only one.
fn prepare_namespace() {
    let run = |program: &str, args: &[&str]| {
        let status = Command::new(program).args(args).status().unwrap();
        assert!(status.success(), "{program} {args:?}");
    };
    run("ip", &["link", "set", "lo", "up"]);
    for address in FORBIDDEN.iter().chain([&OUTSIDE]) {
        if !address.parse::<IpAddr>().unwrap().is_loopback() {
            run("ip", &["address", "add", address, "dev", "lo"]);
        }
    }
    for (file, text) in [
        ("/etc/resolv.conf", "nameserver 127.0.0.1\n"),
        ("/etc/nsswitch.conf", "hosts: files dns\n"),
    ] {
        let folder = tempfile::tempdir().unwrap().keep();
        let ours = folder.join("file");
        std::fs::write(&ours, text).unwrap();
        run("mount", &["--bind", ours.to_str().unwrap(), file]);
        std::fs::remove_dir_all(folder).ok();
    }
}

async fn all_cases() {
    let mut canaries = Canaries::start().await;
    Dns::start().await;
    let ca = TestCa::new();
    let evil = FakeRegistry::start_tls_at(&format!("{OUTSIDE}:443"), &ca.server, evil_script).await;
    let denied = ["10.96.0.0/12", "10.244.0.0/16", "192.168.49.2/32"];
    let denied = denied.iter().map(|net| net.parse().unwrap()).collect();
    let mut settings = RegistrySettings::new(EgressPolicy::Cluster { denied });
    settings.roots = vec![ca.der.clone()];
    settings.connect_timeout = CONNECT_TIMEOUT;
    // An operator's registry inside: for references, and not for whom an evil registry sends there.
    let inside = HostSettings::default();
    settings.hosts.insert("named.test".to_owned(), inside);
    let registry = Registry::new(settings).unwrap();
    let keychain = keychain(&[
        ("evil.test", "CANARY"),
        ("*.*.*.*", "CANARY"),
        ("*", "CANARY"),
    ]);

    let fetch = async |name: &str| {
        let reference = Reference::parse(name).unwrap();
        registry
            .fetch_image(&reference, &keychain, deadline())
            .await
    };
    fetch("evil.test/good:1")
        .await
        .expect("the evil registry answers");
    for name in references() {
        assert!(fetch(&name).await.is_err(), "{name}");
    }
    let reached = evil.lines().len();
    for kind in ["redirect", "realm", "blob"] {
        for at in 0..targets().len() {
            let name = format!("evil.test/{kind}/{at}:1");
            assert!(fetch(&name).await.is_err(), "{name}: {}", targets()[at]);
        }
    }
    assert!(evil.lines().len() >= reached + 3 * targets().len());
    // The name leads outside and inside in turn; one connection each, so that every look-up resolves it.
    let mut outcomes = HashMap::<_, usize>::new();
    for i in 0..40 {
        let outcome = fetch(&format!("rebind.test/app:{i}")).await.unwrap_err();
        *outcomes.entry(outcome.code()).or_default() += 1;
    }
    assert!(
        outcomes["not-found"] > 5 && outcomes["blocked"] > 5,
        "{outcomes:?}"
    );
    fetch("both.test/good:1")
        .await
        .expect("the allowed address of two is used");

    for name in ["missing.test", "servfail.test"] {
        let outcome = fetch(&format!("{name}/x:1")).await;
        assert_eq!(outcome, Err(LookupFailure::Unreachable), "{name}");
    }
    // The first look-up waits for a DNS server that says nothing, and the next ones do not.
    let began = Instant::now();
    for i in 0..50 {
        let outcome = fetch(&format!("silent.test/x:{i}")).await;
        assert_eq!(outcome, Err(LookupFailure::Timeout));
    }
    let took = began.elapsed();
    assert!(
        took >= CONNECT_TIMEOUT && took < 10 * CONNECT_TIMEOUT,
        "{took:?}"
    );

    canaries.expect_silence();
    assert!(fetch("named.test/x:1").await.is_err());
    assert!(
        canaries.seen.recv().await.is_some(),
        "a canary sings when it is connected to"
    );
}

/// Images whose registry is inside, in all spellings that the grammar of references takes.
fn references() -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for address in FORBIDDEN {
        let host = match address.contains(':') {
            true => format!("[{address}]"),
            false => address.to_owned(),
        };
        hosts.extend(PORTS.map(|port| format!("{host}:{port}")));
        hosts.push(host);
    }
    let odd = [
        "0xa9.0xfe.0xa9.0xfe",
        "0xa9fea9fe.",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.16689662",
        "127.1:5000",
        "2852039166:443",
        "[::ffff:a9fe:a9fe]",
        "[::ffff:169.254.169.254]",
        "[::a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[::ffff:0a60:0001]:443",
        "localhost",
        "localhost:5000",
        "api.localhost:5000",
        "inside.test",
        "inside.test:5000",
        "service.test",
        "pod.test",
        "mapped.test",
        "nat64.test",
        "zero.test",
    ];
    hosts.extend(odd.map(str::to_owned));
    let names = hosts.iter().map(|host| format!("{host}/x:1"));
    names
        .filter(|name| Reference::parse(name).is_ok())
        .collect()
}

/// Where the evil registry would like callers to go.
fn targets() -> Vec<String> {
    let mut targets = vec![
        "http://evil.test/".to_owned(),
        "https://inside.test/".to_owned(),
        "https://named.test/".to_owned(),
        "https://service.test/".to_owned(),
        "https://[::ffff:a9fe:a9fe]/".to_owned(),
        "https://0xa9fea9fe/".to_owned(),
        "https://169.254.43518/".to_owned(),
        "//169.254.169.254/latest/meta-data/".to_owned(),
        "https://evil.test@169.254.169.254/".to_owned(),
        "https://localhost:5000/".to_owned(),
        "file:///etc/shadow".to_owned(),
    ];
    for address in FORBIDDEN {
        let host = match address.contains(':') {
            true => format!("[{address}]"),
            false => address.to_owned(),
        };
        targets.extend(["http", "https"].map(|scheme| format!("{scheme}://{host}/latest/")));
        targets.push(format!("https://{host}:6443/"));
    }
    targets
}

fn evil_script(request: &Received) -> Answer {
    const LINUX: &str = r#"{"os":"linux","architecture":"amd64"}"#;
    let mut parts = request.path.split('/').skip(2);
    let (kind, at) = (parts.next().unwrap_or_default(), parts.next());
    let target = at.and_then(|at| targets().get(at.parse::<usize>().ok()?).cloned());
    match (kind, target) {
        ("redirect", Some(target)) => Answer::redirect(&target),
        ("realm", Some(target)) => {
            Answer::challenge(&[&format!(r#"Bearer realm="{target}",service="x""#)])
        }
        ("blob", Some(target)) if request.path.contains("/blobs/") => Answer::redirect(&target),
        ("blob", Some(_)) => {
            let mut inner = request.clone();
            inner.path = "/v2/good/manifests/1".to_owned();
            Site::new().image("good", "1", LINUX).answer(&inner)
        }
        ("good", _) => Site::new().image("good", "1", LINUX).answer(request),
        _ => Answer::new(404).header("connection", "close"),
    }
}

/// Listeners on every forbidden address and port.
struct Canaries {
    seen: mpsc::UnboundedReceiver<String>,
}

impl Canaries {
    async fn start() -> Self {
        let (tell, seen) = mpsc::unbounded_channel();
        for address in FORBIDDEN {
            for port in PORTS {
                let address: IpAddr = address.parse().unwrap();
                let listener = TcpListener::bind((address, port)).await.unwrap();
                let tell = tell.clone();
                tokio::spawn(async move {
                    while listener.accept().await.is_ok() {
                        // Fails only when the test has ended.
                        let _ = tell.send(format!("{address} {port}"));
                    }
                });
            }
        }
        Self { seen }
    }

    fn expect_silence(&mut self) {
        let mut seen = Vec::new();
        while let Ok(connection) = self.seen.try_recv() {
            seen.push(connection);
        }
        assert_eq!(seen, [""; 0]);
    }
}

/// A DNS server that knows a few names, one of which changes its mind with each question.
struct Dns;

impl Dns {
    async fn start() {
        let socket = UdpSocket::bind("127.0.0.1:53").await.unwrap();
        tokio::spawn(async move {
            let (mut buffer, mut turn) = ([0; 512], 0);
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                if let Some(answer) = Self::answer(&buffer[..length], &mut turn) {
                    // Who asked may have given up.
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
    }

    fn addresses(name: &str, turn: &mut usize) -> Option<Vec<IpAddr>> {
        let v4 = |text: &str| IpAddr::V4(text.parse::<Ipv4Addr>().unwrap());
        let v6 = |text: &str| IpAddr::V6(text.parse::<Ipv6Addr>().unwrap());
        Some(match name {
            "evil.test" => vec![v4(OUTSIDE)],
            "inside.test" => vec![v4("169.254.169.254")],
            "service.test" | "named.test" => vec![v4("10.96.0.1")],
            "pod.test" => vec![v4("10.244.1.5")],
            "mapped.test" => vec![v6("::ffff:169.254.169.254")],
            "nat64.test" => vec![v6("64:ff9b::a9fe:a9fe")],
            "zero.test" => vec![v4("0.0.0.0"), v6("::")],
            "both.test" => vec![v4("169.254.169.254"), v4(OUTSIDE)],
            "rebind.test" => {
                *turn += 1;
                vec![v4([OUTSIDE, "169.254.169.254"][*turn % 2])]
            }
            _ => return None,
        })
    }

    /// The answer to a question of one name, if there is one.
    fn answer(question: &[u8], turn: &mut usize) -> Option<Vec<u8>> {
        let (mut labels, mut at) = (Vec::new(), 12);
        while question[at] != 0 {
            let end = at + 1 + usize::from(question[at]);
            labels.push(String::from_utf8_lossy(&question[at + 1..end]).to_lowercase());
            at = end;
        }
        let is_v4 = question[at + 2] == 1;
        let name = labels.join(".");
        // Only one of the two questions of a look-up takes a turn.
        let found = match is_v4 || name != "rebind.test" {
            true => Self::addresses(&name, turn),
            false => Some(Vec::new()),
        };
        let code = match (name.as_str(), &found) {
            ("silent.test", _) => return None,
            ("servfail.test", _) => 0x82,
            (_, None) => 0x83,
            (_, Some(_)) => 0x80,
        };
        let addresses: Vec<IpAddr> = found.unwrap_or_default();
        let fitting = addresses
            .iter()
            .filter(|address| address.is_ipv4() == is_v4);
        let mut answer = question[..2].to_vec();
        answer.extend([
            0x81,
            code,
            0,
            1,
            0,
            u8::try_from(fitting.clone().count()).unwrap(),
        ]);
        answer.extend([0, 0, 0, 0]);
        answer.extend(&question[12..at + 5]);
        for address in fitting {
            let (kind, bytes) = match address {
                IpAddr::V4(v4) => (1, v4.octets().to_vec()),
                IpAddr::V6(v6) => (28, v6.octets().to_vec()),
            };
            answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 0, 0]);
            answer.push(u8::try_from(bytes.len()).unwrap());
            answer.extend(bytes);
        }
        Some(answer)
    }
}
