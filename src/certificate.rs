//! Certificates as values: issue a CA and a serving certificate, tell when one is due, check that a pair serves.
//!
//! Time is an argument; leaves out where certificates are kept (a Secret: [`crate::cluster`]) and who presents them
//! (the webhook).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a CA is valid.
pub const CA_LIFE: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
/// How long a serving certificate is valid.
pub const LEAF_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Certificates begin in the past, for clients whose clock is behind ours.
const BACKDATE: Duration = Duration::from_secs(60 * 60);

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A certificate (or chain, or bundle) and the key of its first entry, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// One or more `CERTIFICATE` blocks.
    pub certificate: String,
    /// The private key of the first certificate.
    pub key: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("certificate", &self.certificate)
            .field("key", &"(not shown)")
            .finish()
    }
}

/// A CA and a serving certificate that it signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The CA; its certificate is what clients have to trust.
    pub ca: Pair,
    /// The serving certificate.
    pub leaf: Pair,
    /// A CA that clients trust already, and that the next serving certificate will be of.
    pub next: Option<Pair>,
}

/// Why certificates could not be made or must not be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Issuing failed.
    #[error("could not issue a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    /// No certificate in the PEM text.
    #[error(
        "no PEM certificate in tls.crt: it has to hold the serving certificate, chain after it"
    )]
    NoCertificate,
    /// No key in the PEM text.
    #[error("no PEM private key in tls.key: it has to hold the unencrypted key of tls.crt")]
    NoKey,
    /// The DER inside does not parse.
    #[error("the certificate does not parse: give it as PEM of an X.509 certificate")]
    Malformed,
    /// The key is of another certificate, or of a kind that is not supported.
    #[error("tls.key does not go with tls.crt: {0}")]
    Mismatch(#[source] rustls::Error),
    /// Clients that trust the CA would not accept the certificate.
    #[error("clients that trust ca.crt would refuse tls.crt for {name}: {source}")]
    Untrusted {
        /// The name under which clients call.
        name: String,
        /// Why they would refuse.
        source: rustls::Error,
    },
    /// Past its end.
    #[error("the certificate has expired: renew it")]
    Expired,
    /// What is to vouch for callers is no CA.
    #[error(
        "callers.caFile does not parse: it has to hold the CA of callers' certificates, as PEM"
    )]
    ClientCa,
}

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Start of validity.
    pub not_before: SystemTime,
    /// End of validity.
    pub not_after: SystemTime,
}

impl Validity {
    /// The validity of the first certificate in a PEM text.
    ///
    /// # Errors
    /// When there is none or it does not parse.
    pub fn of_pem(certificate: &str) -> Result<Self, CertificateError> {
        Self::of_der(&first_certificate(certificate)?)
    }

    fn of_der(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|_| CertificateError::Malformed)?;
        let time = |at: x509_parser::time::ASN1Time| {
            u64::try_from(at.timestamp())
                .ok()
                .and_then(|seconds| {
                    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
                })
                .ok_or(CertificateError::Malformed)
        };
        Ok(Self {
            not_before: time(parsed.validity().not_before)?,
            not_after: time(parsed.validity().not_after)?,
        })
    }

    /// Whether a third of the life or less is left, or the clock has been set back before its start.
    #[must_use]
    pub fn needs_renewal(&self, now: SystemTime) -> bool {
        let life = self.not_after.duration_since(self.not_before);
        match (life, self.not_after.duration_since(now)) {
            (Ok(life), Ok(left)) => left <= life / 3 || now < self.not_before,
            _ => true,
        }
    }
}

/// A new CA and a serving certificate for `names` (DNS names or IP addresses).
///
/// # Errors
/// When a name is neither, or the system gives no randomness.
pub fn issue(names: &[String], now: SystemTime) -> Result<Issued, CertificateError> {
    let ca = issue_ca(now)?;
    let leaf = issue_leaf(&ca, names, now)?;
    Ok(Issued {
        ca,
        leaf,
        next: None,
    })
}

/// A new CA: ECDSA on P-256, whose handshakes are cheap and which every client knows.
///
/// # Errors
/// When the system gives no randomness.
pub fn issue_ca(now: SystemTime) -> Result<Pair, CertificateError> {
    let mut params = CertificateParams::default();
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + CA_LIFE).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = named("platform-gate CA");
    let key = KeyPair::generate()?;
    Ok(Pair {
        certificate: params.self_signed(&key)?.pem(),
        key: key.serialize_pem(),
    })
}

/// A new serving certificate for `names`, signed by the first CA of `ca`, which it does not outlive.
///
/// # Errors
/// When the CA or a name does not parse.
pub fn issue_leaf(ca: &Pair, names: &[String], now: SystemTime) -> Result<Pair, CertificateError> {
    let ca_ends = Validity::of_pem(&ca.certificate)?.not_after;
    let issuer = Issuer::from_ca_cert_der(
        &first_certificate(&ca.certificate)?,
        KeyPair::from_pem(&ca.key)?,
    )?;
    let mut params = CertificateParams::new(names)?;
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + LEAF_LIFE).min(ca_ends).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name = named("platform-gate");
    let key = KeyPair::generate()?;
    Ok(Pair {
        certificate: params.signed_by(&key, &issuer)?.pem(),
        key: key.serialize_pem(),
    })
}

/// A common name alone: clients look at the alternative names, whose length is not limited to 64.
fn named(common_name: &str) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// The pair as rustls presents it, and its validity.
///
/// # Errors
/// When it does not parse, the key is of another certificate, or it has expired.
pub fn certified_key(
    pair: &Pair,
    now: SystemTime,
) -> Result<(CertifiedKey, Validity), CertificateError> {
    let chain = certificates(&pair.certificate)?;
    let key =
        PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(|_| CertificateError::NoKey)?;
    let validity = Validity::of_der(chain.first().ok_or(CertificateError::NoCertificate)?)?;
    if validity.not_after <= now {
        return Err(CertificateError::Expired);
    }
    let certified = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
        .map_err(CertificateError::Mismatch)?;
    Ok((certified, validity))
}

/// Checks that a client which trusts `ca_bundle` accepts `leaf` for every one of `names`, as the API server would.
///
/// # Errors
/// When the pair does not parse or go together, and with the first name that a client would refuse.
pub fn check_serves(
    leaf: &Pair,
    ca_bundle: &str,
    names: &[String],
    now: SystemTime,
) -> Result<(), CertificateError> {
    let (certified, _) = certified_key(leaf, now)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(certificates(ca_bundle)?);
    let untrusted = |name: &String, source| CertificateError::Untrusted {
        name: name.clone(),
        source,
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::new(rustls::crypto::ring::default_provider()),
    )
    .build()
    .map_err(|_| CertificateError::Malformed)?;
    let (end_entity, intermediates) = certified
        .cert
        .split_first()
        .ok_or(CertificateError::NoCertificate)?;
    let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(DAY));
    for name in names {
        let server = ServerName::try_from(name.as_str())
            .map_err(|_| untrusted(name, rustls::Error::General("it is not a host name".into())))?;
        verifier
            .verify_server_cert(end_entity, intermediates, &server, &[], now)
            .map_err(|source| untrusted(name, source))?;
    }
    Ok(())
}

/// Tells clients by the certificates that a CA of `ca_bundle` signed for them. One that shows none is let through, to be
/// told so; one that shows another has no handshake.
///
/// # Errors
/// When the bundle has no certificate, or one that does not parse.
pub fn client_verifier(ca_bundle: &str) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
    let mut roots = rustls::RootCertStore::empty();
    for ca in certificates(ca_bundle).map_err(|_| CertificateError::ClientCa)? {
        roots.add(ca).map_err(|_| CertificateError::ClientCa)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|_| CertificateError::ClientCa)
}

/// Whom a certificate is for: its common names, then its alternative names but for addresses.
///
/// # Errors
/// When it does not parse.
pub fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, CertificateError> {
    let malformed = |_| CertificateError::Malformed;
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|_| CertificateError::Malformed)?;
    let common = parsed.subject().iter_common_name();
    let mut names: Vec<String> = common
        .filter_map(|name| name.as_str().ok().map(str::to_owned))
        .collect();
    let alternative = parsed.subject_alternative_name().map_err(malformed)?;
    let general = alternative.iter().flat_map(|it| &it.value.general_names);
    names.extend(general.filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
            Some((*name).to_owned())
        }
        _ => None,
    }));
    Ok(names)
}

/// The certificates of a bundle, each as PEM of its own.
///
/// # Errors
/// When there is none.
pub fn split(bundle: &str) -> Result<Vec<String>, CertificateError> {
    certificates(bundle)?;
    let mut all = Vec::new();
    for block in bundle.split_inclusive(END) {
        if let Some(begin) = block.find(BEGIN) {
            all.push(format!("{}\n", &block[begin..]));
        }
    }
    Ok(all)
}

fn first_certificate(pem: &str) -> Result<CertificateDer<'static>, CertificateError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| CertificateError::NoCertificate)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(CertificateError::NoCertificate),
    }
}

#[cfg(test)]
mod tests;
