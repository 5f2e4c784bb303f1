//! Proxies, as the environment of most programs names them (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`), and which hosts
//! are reached without.
//!
//! A proxy resolves names itself, so that addresses cannot be checked here: what is never looked up through one is told
//! by its name (OPERATIONS, threat 28). Leaves out proxies that speak SOCKS.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

/// Which proxy is used for which host. Its `Debug` form shows no password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For HTTPS registries.
    pub https: Option<Url>,
    /// For plain HTTP registries.
    pub http: Option<Url>,
    without: Vec<Without>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Without {
    All,
    Net(IpNet),
    /// A host and those below it, or with a leading dot those below it alone; and its port, if that counts.
    Name(String, Option<u16>),
}

/// A variable that names no proxy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no proxy: write a URL such as http://proxy.example:3128")]
pub struct ProxyError(&'static str);

impl Proxies {
    /// Reads the three variables, each upper-case or lower-case, through `variable`.
    ///
    /// # Errors
    /// Names the variable whose value is no `http` or `https` URL.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyError> {
        let read = |name: &str| {
            let value = variable(name).or_else(|| variable(&name.to_ascii_lowercase()));
            value.filter(|value| !value.is_empty())
        };
        let url = |name: &'static str| match read(name) {
            Some(text) => parse_proxy(&text).map(Some).ok_or(ProxyError(name)),
            None => Ok(None),
        };
        let without = read("NO_PROXY").unwrap_or_default();
        Ok(Self {
            https: url("HTTPS_PROXY")?,
            http: url("HTTP_PROXY")?,
            without: without.split(',').filter_map(Without::parse).collect(),
        })
    }

    /// Whether a URL is asked for through a proxy. Loopback never is.
    pub(super) fn covers(&self, url: &Url) -> bool {
        let proxy = match url.scheme() {
            "https" => &self.https,
            _ => &self.http,
        };
        proxy.is_some() && !is_loopback(url) && !self.without.iter().any(|w| w.fits(url))
    }

    pub(super) fn is_none(&self) -> bool {
        self.https.is_none() && self.http.is_none()
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |url: &Option<Url>| {
            url.as_ref()
                .and_then(|url| url.host_str().map(str::to_owned))
        };
        f.debug_struct("Proxies")
            .field("https", &host(&self.https))
            .field("http", &host(&self.http))
            .field("without", &self.without)
            .finish()
    }
}

/// A proxy without a scheme is one of plain HTTP, as everywhere.
fn parse_proxy(text: &str) -> Option<Url> {
    let text = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let url = Url::parse(&text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Names that only a cluster or its cloud knows: services, single labels, and what ends like the names of inside.
pub(super) fn is_inside_name(url: &Url) -> bool {
    const INSIDE: [&str; 6] = [
        ".svc",
        ".cluster.local",
        ".local",
        ".internal",
        ".localdomain",
        ".localhost",
    ];
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            !name.contains('.') || INSIDE.iter().any(|end| name.ends_with(end))
        }
        _ => false,
    }
}

impl Without {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        if text == "*" {
            return Some(Self::All);
        }
        if let Ok(net) = text.parse() {
            return Some(Self::Net(net));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(Self::Net(address.into()));
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (text.as_str(), None),
        };
        let name = name.trim_start_matches('*').to_owned();
        Some(Self::Name(name, port))
    }

    fn fits(&self, url: &Url) -> bool {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        };
        match self {
            Self::All => true,
            Self::Net(net) => address.is_some_and(|address| net.contains(&address)),
            Self::Name(name, port) => {
                let host = url.host_str().unwrap_or_default().trim_end_matches('.');
                let below = host.strip_suffix(name.trim_start_matches('.'));
                let name_fits = match below {
                    Some("") => !name.starts_with('.'),
                    Some(rest) => rest.ends_with('.'),
                    None => false,
                };
                name_fits && port.is_none_or(|port| url.port_or_known_default() == Some(port))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(no_proxy: &str) -> Proxies {
        let variable = |name: &str| match name {
            "HTTPS_PROXY" => Some("http://user:SECRET@proxy.example:3128".to_owned()),
            "http_proxy" => Some("proxy.example".to_owned()),
            "NO_PROXY" => Some(no_proxy.to_owned()),
            _ => None,
        };
        Proxies::from_variables(variable).unwrap()
    }

    #[test]
    fn hosts_without_a_proxy_are_those_of_no_proxy() {
        for (no_proxy, url, covered) in [
            ("", "https://reg.example", true),
            ("", "http://reg.example", true),
            ("", "http://localhost:5000", false),
            ("", "https://127.0.0.1", false),
            ("*", "https://reg.example", false),
            ("reg.example", "https://reg.example", false),
            ("reg.example", "https://a.reg.example:5000", false),
            ("reg.example", "https://areg.example", true),
            (".reg.example", "https://reg.example", true),
            (".reg.example", "https://a.reg.example", false),
            ("*.reg.example", "https://a.reg.example", false),
            ("reg.example:5000", "https://reg.example:5000", false),
            ("reg.example:443", "https://reg.example", false),
            ("reg.example:5000", "https://reg.example", true),
            ("a, 10.0.0.0/8 ,b", "https://10.1.2.3", false),
            ("10.1.2.3", "https://10.1.2.3:5000", false),
            ("10.1.2.3", "https://10.1.2.4", true),
            ("fd00::/8", "https://[fd00::1]", false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(proxies(no_proxy).covers(&url), covered, "{no_proxy} {url}");
        }
        assert!(!Proxies::default().covers(&Url::parse("https://reg.example").unwrap()));
    }

    #[test]
    fn a_bad_proxy_is_named_and_passwords_are_not() {
        for bad in ["socks5://proxy.example", "http://", "::"] {
            let error = Proxies::from_variables(|_| Some(bad.to_owned())).unwrap_err();
            assert_eq!(error, ProxyError("HTTPS_PROXY"), "{bad}");
        }
        assert!(!format!("{:?}", proxies("")).contains("SECRET"));
    }

    #[test]
    fn names_of_the_inside_are_told_without_resolving_them() {
        for (host, inside) in [
            ("kubernetes.default.svc", true),
            ("kubernetes.default.svc.cluster.local", true),
            ("kubernetes.default.svc.", true),
            ("metadata.google.internal", true),
            ("kubernetes", true),
            ("printer.local", true),
            ("reg.example", false),
            ("svc.example", false),
            ("10.0.0.1", false),
        ] {
            let url = Url::parse(&format!("https://{host}/")).unwrap();
            assert_eq!(is_inside_name(&url), inside, "{host}");
        }
    }
}
