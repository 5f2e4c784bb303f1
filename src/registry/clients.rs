//! The HTTP clients: one for hosts that the settings name, one for all others, and one for each host that has CAs, a client
//! certificate or a lack of checks of its own.
//!
//! Leaves out what is sent with them: that is `transport`.

use std::collections::HashMap;
use std::sync::Arc;

use reqwest::{Client, ClientBuilder, Proxy};
use rustls::pki_types::CertificateDer;

use super::egress::{Authority, Guard, GuardedResolver, Trust};
use super::hosts::Connection;
use super::proxy::Proxies;
use super::settings::{RegistryError, RegistrySettings};

pub(super) struct Clients {
    unnamed: Pair,
    named: Pair,
    by_host: HashMap<Authority, Pair>,
}

/// A client and the same one through the proxies, if there are any.
struct Pair {
    direct: Client,
    proxied: Option<Client>,
}

impl Clients {
    pub(super) fn new(
        guard: &Arc<Guard>,
        settings: &RegistrySettings,
        connections: &HashMap<Authority, (String, Connection)>,
    ) -> Result<Self, RegistryError> {
        let roots = root_certificates(&settings.roots)?;
        let pair = |trust, roots: Vec<_>, connection: Option<(&str, &Connection)>| {
            let build = |trust, proxies| {
                let mut client = builder(guard, trust, settings, roots.clone());
                if let Some((host, connection)) = connection {
                    client = with_connection(client, host, connection)?;
                }
                through(client, proxies)
            };
            let proxies = Some(&settings.proxies).filter(|proxies| !proxies.is_none());
            // All that this one resolves is the names of the proxies.
            let proxied = proxies.map(|proxies| build(Trust::Named, Some(proxies)));
            Ok::<_, RegistryError>(Pair {
                direct: build(trust, None)?,
                proxied: proxied.transpose()?,
            })
        };
        let mut by_host = HashMap::new();
        for (authority, (host, connection)) in connections {
            let mut roots = roots.clone();
            if let Some(pem) = &connection.ca_pem {
                roots.extend(parse_ca(host, pem)?);
            }
            let of_host = pair(Trust::Named, roots, Some((host, connection)))?;
            by_host.insert(authority.clone(), of_host);
        }
        Ok(Self {
            unnamed: pair(Trust::Unnamed, roots.clone(), None)?,
            named: pair(Trust::Named, roots, None)?,
            by_host,
        })
    }

    pub(super) fn of(&self, host: &Authority, trust: Trust, is_proxied: bool) -> &Client {
        let pair = match trust {
            Trust::Named => self.by_host.get(host).unwrap_or(&self.named),
            Trust::Unnamed => &self.unnamed,
        };
        match &pair.proxied {
            Some(proxied) if is_proxied => proxied,
            _ => &pair.direct,
        }
    }
}

/// Whether the CAs and the client certificate can be used. Some faults only show when a client is made.
pub(super) fn check_connection(host: &str, connection: &Connection) -> Result<(), RegistryError> {
    let build = |roots| Client::builder().no_proxy().tls_certs_only(roots);
    let host = || host.to_owned();
    if let Some(pem) = &connection.ca_pem {
        let unusable = |error| RegistryError::Ca {
            host: host(),
            source: Some(error),
        };
        build(parse_ca(&host(), pem)?).build().map_err(unusable)?;
    }
    if let Some(pem) = &connection.identity_pem {
        let unusable = |source| RegistryError::Identity {
            host: host(),
            source,
        };
        let client = build(Vec::new()).identity(parse_identity(&host(), pem)?);
        client.build().map_err(unusable)?;
    }
    Ok(())
}

fn with_connection(
    client: ClientBuilder,
    host: &str,
    connection: &Connection,
) -> Result<ClientBuilder, RegistryError> {
    let client = client.tls_danger_accept_invalid_certs(connection.skip_verify);
    match &connection.identity_pem {
        Some(pem) => Ok(client.identity(parse_identity(host, pem)?)),
        None => Ok(client),
    }
}

fn through(client: ClientBuilder, proxies: Option<&Proxies>) -> Result<Client, RegistryError> {
    let mut client = client.no_proxy();
    if let Some(proxies) = proxies {
        let unusable = RegistryError::Client;
        if let Some(url) = &proxies.https {
            client = client.proxy(Proxy::https(url.clone()).map_err(unusable)?);
        }
        if let Some(url) = &proxies.http {
            client = client.proxy(Proxy::http(url.clone()).map_err(unusable)?);
        }
    }
    client.build().map_err(RegistryError::Client)
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
