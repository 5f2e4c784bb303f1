//! Registries that are down: the first look-up waits for them, the next ones do not, and their return is noticed.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::{TcpSocket, TcpStream};

use super::*;
use crate::support::registry::Answer;
use crate::support::site::Site;

const LINUX: &str = r#"{"os":"linux","architecture":"amd64"}"#;

/// An address that drops what would connect: a listener that accepts nothing and whose queue is full.
struct Blackhole {
    host: String,
    _listener: tokio::net::TcpListener,
    _queue: Vec<TcpStream>,
}

impl Blackhole {
    async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        let patience = Duration::from_millis(100);
        while let Ok(stream) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
            queue.push(stream.unwrap());
        }
        Self {
            host: address.to_string(),
            _listener: listener,
            _queue: queue,
        }
    }
}

async fn fetch_from(registry: &Registry, host: &str, name: &str) -> Result<(), LookupFailure> {
    let reference = Reference::parse(&format!("{host}/{name}")).unwrap();
    let anonymous = Keychain::anonymous();
    let fetched = registry.fetch_image(&reference, &anonymous, deadline());
    fetched.await.map(|_| ())
}

#[tokio::test]
async fn only_the_first_look_up_waits_for_a_host_that_drops_connections() {
    crate::support::certificates::install_provider();
    let hole = Blackhole::new().await;
    let connect_timeout = Duration::from_millis(500);
    let mut settings = RegistrySettings::new(EgressPolicy::Cli);
    settings.connect_timeout = connect_timeout;
    let host = HostSettings {
        plain_http: true,
        ..HostSettings::default()
    };
    settings.hosts.insert(hole.host.clone(), host);
    let registry = Registry::new(settings).unwrap();
    let began = Instant::now();
    let first = fetch_from(&registry, &hole.host, "first:1").await;
    assert_eq!(first, Err(LookupFailure::Timeout));
    assert!(began.elapsed() >= connect_timeout);
    let began = Instant::now();
    for i in 0..100 {
        let next = fetch_from(&registry, &hole.host, &format!("next:{i}")).await;
        assert_eq!(next, Err(LookupFailure::Timeout));
    }
    // Each on its own would have waited as long as the first.
    let took = began.elapsed();
    assert!(took < 10 * connect_timeout, "{took:?}");
}

#[tokio::test]
async fn errors_in_a_row_put_a_host_out_and_one_probe_a_window_brings_it_back() {
    let site = Site::new().image("app", "1", LINUX);
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let server = FakeRegistry::start(move |request| match is_up.load(Ordering::Relaxed) {
        true => site.answer(request),
        false => Answer::new(500),
    })
    .await;
    let (registry, host) = (registry_for(&[&server]), server.host());
    let down = Err(LookupFailure::Unreachable);
    for i in 0..10 {
        let outcome = fetch_from(&registry, &host, &format!("app:{i}")).await;
        assert_eq!(outcome, down);
    }
    assert_eq!(server.lines().len(), 3);
    for window in [1, 2] {
        server.forget();
        pass(Duration::from_secs(window)).await;
        for i in 0..10 {
            let outcome = fetch_from(&registry, &host, &format!("w{window}:{i}")).await;
            assert_eq!(outcome, down);
        }
        asked(&server, 1).await;
        assert_eq!(server.lines(), ["HEAD /v2/"]);
        // The probe's failure is noted once its answer has arrived.
        pass(Duration::ZERO).await;
    }
    up.store(true, Ordering::Relaxed);
    pass(Duration::from_secs(10)).await;
    server.forget();
    assert_eq!(fetch_from(&registry, &host, "probe:1").await, down);
    asked(&server, 1).await;
    let back = async {
        while fetch_from(&registry, &host, "app:1").await.is_err() {
            pass(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), back)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_host_that_answers_with_refusals_stays_in() {
    let server = FakeRegistry::start(|_| Answer::new(404)).await;
    let (registry, host) = (registry_for(&[&server]), server.host());
    for i in 0..10 {
        let outcome = fetch_from(&registry, &host, &format!("app:{i}")).await;
        assert_eq!(outcome, Err(LookupFailure::NotFound));
    }
    assert_eq!(server.lines().len(), 10);
}

#[tokio::test]
async fn a_host_whose_answers_never_end_is_left_alone_too() {
    let server = FakeRegistry::start(|_| Answer::new(200).stalled_body()).await;
    let registry = registry_for(&[&server]);
    let mut waiting = tokio::task::JoinSet::new();
    for i in 0..3 {
        let (registry, host) = (registry.clone(), server.host());
        waiting.spawn(async move { fetch_from(&registry, &host, &format!("app:{i}")).await });
    }
    // The time-out of the bodies begins when the headers have arrived, and that is when a request is counted.
    let arrived = format!(
        r#"{{registry="{}",method="GET",code="200"}} 3"#,
        server.host()
    );
    let all_arrived = async {
        while !super::measured::text_of(&registry).contains(&arrived) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all_arrived)
        .await
        .unwrap();
    pass(Duration::from_secs(10)).await;
    let outcomes = waiting.join_all().await;
    assert_eq!(outcomes, [Err(LookupFailure::Timeout); 3]);
    let next = fetch_from(&registry, &server.host(), "app:next").await;
    assert_eq!(next, Err(LookupFailure::Timeout));
    assert_eq!(server.lines().len(), 3, "the fourth was not sent");
}

#[tokio::test]
async fn an_errors_body_is_not_waited_for() {
    let server = FakeRegistry::start(|_| Answer::new(404).stalled_body()).await;
    let registry = registry_for(&[&server]);
    let outcome = fetch_from(&registry, &server.host(), "app:1").await;
    assert_eq!(outcome, Err(LookupFailure::NotFound));
}
