//! Callers that must show a client certificate: who is answered, who is not and how that is told, and a change of CA or
//! names while serving.

use platform_gate::admission::ReviewError;
use platform_gate::webhook::Trusted;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType, date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};

use super::harness::{self, Gate, Identity, by_name, options, review_of, start};

/// A CA for callers.
struct ClientCa(CertifiedIssuer<'static, KeyPair>);

impl ClientCa {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A client's certificate with this common name, changed as wished.
    fn client(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
        }
    }

    fn named(&self, name: &str) -> Identity {
        self.client(name, |_| {})
    }
}

/// From now on the webhook answers callers of these CAs and names alone.
fn trust(gate: &Gate, cas: &[&ClientCa], names: &[&str]) {
    let bundle: String = cas.iter().map(|ca| ca.0.pem()).collect();
    let names = names.iter().map(ToString::to_string).collect();
    let trusted = Trusted::new(&bundle, names, &gate.shared.certificate);
    gate.shared.callers.replace(Some(trusted.unwrap()));
}

/// What a review on a new connection is answered with; an error where there is no connection.
async fn status(gate: &Gate, identity: Option<&Identity>) -> std::io::Result<u16> {
    let mut client = gate.connect_as(identity, &[&TLS13]).await?;
    let body = review_of("fine");
    Ok(client.send("POST", "/validate", &body).await?.status)
}

fn counted(metrics: &str, reason: &str, times: u32) -> bool {
    let line = format!(r#"platform_gate_callers_refused_total{{reason="{reason}"}} {times}"#);
    metrics.lines().any(|told| told == line)
}

#[tokio::test]
async fn a_certificate_of_the_ca_is_answered_and_others_are_not() {
    let gate = start(options(), by_name).await;
    let (ca, other) = (ClientCa::new(), ClientCa::new());
    trust(&gate, &[&ca], &[]);
    for version in [&TLS12, &TLS13] {
        let (ours, strange) = (ca.named("anyone"), other.named("anyone"));
        let mut let_in = gate.connect_as(Some(&ours), &[version]).await.unwrap();
        for _ in 0..2 {
            assert_eq!(let_in.review(&review_of("fine")).await.status, 200);
        }
        // The caller may learn of it only when it waits for an answer.
        let refused = async {
            let mut client = gate.connect_as(Some(&strange), &[version]).await?;
            client.send("POST", "/validate", b"").await
        };
        assert!(refused.await.is_err(), "{version:?}");
        let mut anonymous = gate.connect_as(None, &[version]).await.unwrap();
        let told = anonymous.review(&review_of("fine")).await;
        assert_eq!(told.status, 401);
        assert!(told.text().contains("client certificate"), "{told:?}");
    }
    let metrics = gate.health("/metrics").await;
    assert!(counted(metrics.text(), "untrusted", 2), "{metrics:?}");
    assert!(counted(metrics.text(), "no-certificate", 2), "{metrics:?}");
}

#[tokio::test]
async fn a_certificate_that_is_over_or_for_servers_is_none() {
    let gate = start(options(), by_name).await;
    let ca = ClientCa::new();
    trust(&gate, &[&ca], &[]);
    let over = ca.client("a", |it| it.not_after = date_time_ymd(2020, 1, 1));
    let servers = [ExtendedKeyUsagePurpose::ServerAuth];
    let of_a_server = ca.client("a", |it| it.extended_key_usages = servers.into());
    for refused in [over, of_a_server] {
        assert!(status(&gate, Some(&refused)).await.is_err());
    }
}

#[tokio::test]
async fn names_are_common_or_alternative_ones_and_whole() {
    let gate = start(options(), by_name).await;
    let ca = ClientCa::new();
    trust(&gate, &[&ca], &["api-server", "spiffe://cluster/api"]);
    let dns = SanType::DnsName("api-server".try_into().unwrap());
    let uri = SanType::URI("spiffe://cluster/api".try_into().unwrap());
    for (identity, want) in [
        (ca.named("api-server"), 200),
        (
            ca.client("other", |it| it.subject_alt_names = vec![dns]),
            200,
        ),
        (
            ca.client("other", |it| it.subject_alt_names = vec![uri]),
            200,
        ),
        (ca.named("other"), 401),
        (ca.named("api-server.example"), 401),
        (ca.named("API-SERVER"), 401),
        (ca.named(""), 401),
    ] {
        assert_eq!(status(&gate, Some(&identity)).await.unwrap(), want);
    }
    let other = ca.named("other");
    let client = gate.connect_as(Some(&other), &[&TLS13]).await;
    let told = client.unwrap().review(&review_of("fine")).await;
    assert!(told.text().contains(r#"["other"]"#), "{told:?}");
    let metrics = gate.health("/metrics").await;
    assert!(counted(metrics.text(), "name", 5), "{metrics:?}");
}

#[tokio::test]
async fn who_is_not_answered_is_told_before_a_body_is_read_whatever_the_path() {
    let asked = |_, _| async { Err(ReviewError::Overloaded) };
    let gate = start(options(), asked).await;
    trust(&gate, &[&ClientCa::new()], &[]);
    for (method, path) in [("POST", "/validate"), ("POST", "/mutate"), ("GET", "/x")] {
        let mut client = gate.connect().await;
        // Of the body that it announces, nothing follows.
        client.announce(method, path, 1024 * 1024).await.unwrap();
        let told = client.reply().await.unwrap();
        assert_eq!(told.status, 401, "{method} {path}");
        assert_eq!(told.headers["connection"], "close");
        assert!(client.is_closed().await);
    }
    // Probes and metrics are asked by others.
    gate.shared.readiness.met("nodes");
    assert_eq!(gate.health("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_change_counts_from_the_next_connection_on() {
    let gate = start(options(), by_name).await;
    let (old, new) = (ClientCa::new(), ClientCa::new());
    let (of_old, of_new) = (old.named("api"), new.named("api"));
    let mut before = gate.connect().await;
    trust(&gate, &[&old], &[]);
    assert_eq!(status(&gate, None).await.unwrap(), 401);
    let mut open = gate.connect_as(Some(&of_old), &[&TLS13]).await.unwrap();

    // As a CA is changed: both for a time, then the new one alone.
    trust(&gate, &[&old, &new], &[]);
    assert_eq!(status(&gate, Some(&of_old)).await.unwrap(), 200);
    assert_eq!(status(&gate, Some(&of_new)).await.unwrap(), 200);
    trust(&gate, &[&new], &["api"]);
    assert!(status(&gate, Some(&of_old)).await.is_err());
    assert_eq!(status(&gate, Some(&of_new)).await.unwrap(), 200);

    gate.shared.callers.replace(None);
    assert_eq!(status(&gate, None).await.unwrap(), 200);
    for client in [&mut before, &mut open] {
        assert_eq!(client.review(&review_of("fine")).await.status, 200);
    }
}

#[tokio::test]
async fn a_renewed_certificate_of_our_own_is_presented_to_them_too() {
    let gate = start(options(), by_name).await;
    let ca = ClientCa::new();
    trust(&gate, &[&ca], &[]);
    let next = harness::issue();
    gate.shared.certificate.replace(&next.leaf).unwrap();
    let renewed = Gate {
        issued: next,
        ..gate
    };
    let identity = ca.named("api");
    assert_eq!(status(&renewed, Some(&identity)).await.unwrap(), 200);
}

#[tokio::test]
async fn what_is_no_ca_is_refused() {
    let gate = start(options(), by_name).await;
    let whole = ClientCa::new().0.pem();
    let broken = whole.replacen("MII", "MIX", 1);
    for bundle in ["", "none", &broken, &format!("{whole}{broken}")] {
        let refused = Trusted::new(bundle, Vec::new(), &gate.shared.certificate);
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("callers.caFile"), "{told}");
    }
}
