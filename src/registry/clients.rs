//! The HTTP clients: one for hosts that the settings name, one for all others, and one for each host that has CAs, a client
//! certificate or a lack of checks of its own.
//!
//! Leaves out what is sent with them: that is `transport`.

use std::collections::HashMap;
use std::sync::Arc;

use reqwest::{Client, ClientBuilder};
use rustls::pki_types::CertificateDer;

use super::egress::{Authority, Guard, GuardedResolver, Trust};
use super::hosts::Connection;
use super::settings::{RegistryError, RegistrySettings};

pub(super) struct Clients {
    unnamed: Client,
    named: Client,
    by_host: HashMap<Authority, Client>,
}

impl Clients {
    pub(super) fn new(
        guard: &Arc<Guard>,
        settings: &RegistrySettings,
        connections: HashMap<Authority, (String, Connection)>,
    ) -> Result<Self, RegistryError> {
        let roots = root_certificates(&settings.roots)?;
        let build = |trust, roots| {
            let client = builder(guard, trust, settings, roots);
            client.build().map_err(RegistryError::Client)
        };
        let mut by_host = HashMap::new();
        for (authority, (host, connection)) in connections {
            let mut roots = roots.clone();
            if let Some(pem) = &connection.ca_pem {
                roots.extend(parse_ca(&host, pem)?);
            }
            let mut client = builder(guard, Trust::Named, settings, roots)
                .tls_danger_accept_invalid_certs(connection.skip_verify);
            if let Some(pem) = &connection.identity_pem {
                client = client.identity(parse_identity(&host, pem)?);
            }
            by_host.insert(authority, client.build().map_err(RegistryError::Client)?);
        }
        Ok(Self {
            unnamed: build(Trust::Unnamed, roots.clone())?,
            named: build(Trust::Named, roots)?,
            by_host,
        })
    }

    pub(super) fn of(&self, host: &Authority, trust: Trust) -> &Client {
        match trust {
            Trust::Named => self.by_host.get(host).unwrap_or(&self.named),
            Trust::Unnamed => &self.unnamed,
        }
    }
}

fn builder(
    guard: &Arc<Guard>,
    trust: Trust,
    settings: &RegistrySettings,
    roots: Vec<reqwest::Certificate>,
) -> ClientBuilder {
    let resolver = GuardedResolver {
        guard: Arc::clone(guard),
        trust,
    };
    Client::builder()
        .user_agent(concat!("platform-gate/", env!("CARGO_PKG_VERSION")))
        .tls_certs_only(roots)
        .dns_resolver(resolver)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(settings.connect_timeout)
}

fn root_certificates(
    roots: &[CertificateDer<'static>],
) -> Result<Vec<reqwest::Certificate>, RegistryError> {
    roots
        .iter()
        .map(|root| reqwest::Certificate::from_der(root).map_err(RegistryError::Client))
        .collect()
}

fn parse_ca(host: &str, pem: &[u8]) -> Result<Vec<reqwest::Certificate>, RegistryError> {
    let unusable = |source| RegistryError::Ca {
        host: host.to_owned(),
        source,
    };
    match reqwest::Certificate::from_pem_bundle(pem) {
        Ok(roots) if roots.is_empty() => Err(unusable(None)),
        Ok(roots) => Ok(roots),
        Err(error) => Err(unusable(Some(error))),
    }
}

fn parse_identity(host: &str, pem: &[u8]) -> Result<reqwest::Identity, RegistryError> {
    reqwest::Identity::from_pem(pem).map_err(|source| RegistryError::Identity {
        host: host.to_owned(),
        source,
    })
}
