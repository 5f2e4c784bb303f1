//! The egress guard: which URLs may be asked and which addresses connected to (OPERATIONS, threats 1-5).
//!
//! Names are checked where they are resolved, so that the address checked is the one connected to; addresses written
//! in a URL never reach the resolver and are checked with the URL. Leaves out redirects and realms, which come back
//! here with each URL they name.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::known::{Denied, Known};
use super::measure::{Measures, Rule};
use super::proxy::{Proxies, is_inside_name};
use super::settings::EgressPolicy;
use crate::domain::lookup::LookupFailure;

/// A host and its port, lower-case, the default port filled in.
pub(super) type Authority = (String, u16);

/// The host and port that a URL names.
pub(super) fn authority(url: &Url) -> Option<Authority> {
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

/// Whether the settings vouch for a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Named,
    Unnamed,
}

/// How a host named in the settings is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Https,
    PlainHttp,
}

impl Scheme {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::PlainHttp => "http",
        }
    }
}

#[derive(Debug)]
pub(super) struct Guard {
    /// Loopback is the user's own.
    is_cli: bool,
    denied: Denied,
    named: HashMap<Authority, Scheme>,
    proxies: Proxies,
    measures: Measures,
}

/// An address that must not be connected to; found again in the error that reqwest makes of it.
#[derive(Debug, thiserror::Error)]
#[error("the address is blocked")]
pub(super) struct BlockedAddress;

impl Guard {
    pub(super) fn new(
        policy: &EgressPolicy,
        named: HashMap<Authority, Scheme>,
        proxies: Proxies,
        known: &Known,
    ) -> Self {
        Self {
            is_cli: matches!(policy, EgressPolicy::Cli),
            denied: Arc::clone(&known.denied),
            named,
            proxies,
            measures: known.measures.clone(),
        }
    }

    /// Notes that a rule forbids a request.
    pub(super) fn block(&self, rule: Rule) -> LookupFailure {
        self.measures.blocked(rule)
    }

    /// Checks what can be told from a URL, and says how its host is to be resolved. Whoever led there lends its trust:
    /// a host that the settings do not name opens none of the addresses that they open.
    pub(super) fn check_url(&self, url: &Url, led_by: Trust) -> Result<Trust, LookupFailure> {
        self.rule_against(url, led_by)
            .map_err(|rule| self.block(rule))
    }

    /// How far a host is trusted that an answer of this URL leads to.
    pub(super) fn trust_after(&self, led_by: Trust, url: &Url) -> Trust {
        let is_named = authority(url).is_some_and(|authority| self.named.contains_key(&authority));
        match led_by {
            Trust::Named if is_named || self.is_cli => Trust::Named,
            _ => Trust::Unnamed,
        }
    }

    fn rule_against(&self, url: &Url, led_by: Trust) -> Result<Trust, Rule> {
        let authority = authority(url).ok_or(Rule::Scheme)?;
        let trust = match self.named.get(&authority) {
            Some(_) => led_by,
            None => Trust::Unnamed,
        };
        let scheme_fits = match url.scheme() {
            "https" => true,
            "http" => {
                self.named.get(&authority) == Some(&Scheme::PlainHttp)
                    || (self.is_cli && is_loopback_host(url))
            }
            _ => false,
        };
        if !scheme_fits {
            return Err(Rule::Scheme);
        }
        if trust == Trust::Unnamed && !self.is_cli && !is_registry_port(authority.1) {
            return Err(Rule::Port);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Rule::User);
        }
        let is_unchecked = trust == Trust::Unnamed && !self.is_cli && self.is_proxied(url);
        if is_unchecked && is_inside_name(url) {
            return Err(Rule::Name);
        }
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        };
        match literal {
            Some(address) if !self.allows_address(address, trust) => Err(Rule::Address),
            _ => Ok(trust),
        }
    }

    /// Whether a URL is asked for through a proxy, which then resolves its name.
    pub(super) fn is_proxied(&self, url: &Url) -> bool {
        self.proxies.covers(url)
    }

    /// The schemes to speak to a registry, best first, given its URL with each: what the settings say, HTTPS where they
    /// say nothing, and both for the user's own loopback, as Docker.
    pub(super) fn schemes(&self, https: &Url, plain: &Url) -> &'static [Scheme] {
        let named = |url| authority(url).and_then(|authority| self.named.get(&authority));
        match (named(plain), named(https)) {
            (Some(Scheme::PlainHttp), _) => &[Scheme::PlainHttp],
            (_, None) if self.is_cli && is_loopback_host(https) => {
                &[Scheme::Https, Scheme::PlainHttp]
            }
            _ => &[Scheme::Https],
        }
    }

    fn allows_address(&self, address: IpAddr, trust: Trust) -> bool {
        let forms = [address, embedded_ipv4(address).unwrap_or(address)];
        !forms.iter().any(|form| {
            is_never_a_registry(*form)
                || (trust == Trust::Unnamed && !self.is_cli && self.is_inside(*form))
        })
    }

    /// Loopback, this network, reserved, and the networks of the cluster.
    fn is_inside(&self, address: IpAddr) -> bool {
        let special = match address {
            IpAddr::V4(v4) => v4.is_loopback() || v4.octets()[0] == 0 || v4.octets()[0] >= 240,
            IpAddr::V6(v6) => v6.is_loopback(),
        };
        special || self.denied.load().iter().any(|net| net.contains(&address))
    }
}

/// Unspecified, multicast, broadcast, link-local and the clouds' metadata addresses: no registry is there, and no
/// setting opens them.
fn is_never_a_registry(address: IpAddr) -> bool {
    const METADATA_V4: [Ipv4Addr; 3] = [
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    const METADATA_V6: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    ];
    match address {
        IpAddr::V4(v4) => {
            v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_link_local()
                || METADATA_V4.contains(&v4)
        }
        IpAddr::V6(v6) => {
            v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || METADATA_V6.contains(&v6)
        }
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 (both prefixes) and 6to4.
fn embedded_ipv4(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(v6) = address else {
        return None;
    };
    let s = v6.segments();
    let pair = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] => pair(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => pair(high, low),
        [0x64, 0xff9b, 0 | 1, .., high, low] => pair(high, low),
        [0x2002, high, low, ..] => pair(high, low),
        _ => None,
    }
}

/// HTTP's own ports, and those from 1024 that no part of a cluster listens on: etcd, the API server, the kubelet and
/// the components' health ports.
fn is_registry_port(port: u16) -> bool {
    match port {
        80 | 443 => true,
        2379..=2381 | 6443 | 10248..=10260 => false,
        _ => port >= 1024,
    }
}

fn is_loopback_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(v4)) => v4.is_loopback(),
        Some(Host::Ipv6(v6)) => v6.is_loopback(),
        None => false,
    }
}

/// Resolves names by the system's resolver and keeps the addresses that the guard allows.
#[derive(Debug)]
pub(super) struct GuardedResolver {
    pub(super) guard: Arc<Guard>,
    pub(super) trust: Trust,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, trust) = (Arc::clone(&self.guard), self.trust);
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<_> = found
                .iter()
                .copied()
                .filter(|address| guard.allows_address(address.ip(), trust))
                .collect();
            if allowed.is_empty() && !found.is_empty() {
                guard.block(Rule::Address);
                return Err(BlockedAddress.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
