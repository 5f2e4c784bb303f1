//! Where a credential is for, `*.example.com:5000/team`, and which images are there: `URLsMatch` of the kubelet's
//! `pkg/credentialprovider/keyring.go`, and as much of Go's URL parser as decides about it.
//!
//! Leaves out the order in which credentials are tried: that is `keychain`.

use std::net::Ipv6Addr;

use super::glob::Glob;

/// A location that images can be at.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    labels: Vec<Glob>,
    port: String,
    path: String,
}

/// What a location is matched with: the image's `registry/repository`.
pub(super) struct Target {
    labels: Vec<String>,
    port: String,
    path: String,
}

/// The key that a pull secret's entry is filed under: host and path, without scheme and API version
/// (`https://index.docker.io/v1/` is `index.docker.io`). `None` where it is no URL.
pub(super) fn key_of(location: &str) -> Option<String> {
    let schemeless = location
        .strip_prefix("https://")
        .or_else(|| location.strip_prefix("http://"))
        .unwrap_or(location);
    let (host, path) = parse(schemeless)?;
    let is_versioned = path.starts_with("/v1/") || path.starts_with("/v2/");
    let path = if is_versioned { &path[3..] } else { &path };
    let path = if path == "/" { "" } else { path };
    Some(format!("{host}{path}"))
}

impl Pattern {
    /// `None` for what matches nothing.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Target { labels, port, path } = Target::parse(text)?;
        let labels: Option<Vec<_>> = labels.iter().map(|label| Glob::parse(label)).collect();
        Some(Self {
            labels: labels?,
            port,
            path,
        })
    }

    /// Equal ports, a glob for each label of the host, a prefix of the path.
    pub(super) fn matches(&self, target: &Target) -> bool {
        let labels = || self.labels.iter().zip(&target.labels);
        self.port == target.port
            && self.labels.len() == target.labels.len()
            && target.path.starts_with(&self.path)
            && labels().all(|(glob, label)| glob.matches(label))
    }
}

impl Target {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, path) = parse(text)?;
        let (host, port) = split_port(&host).unwrap_or((&host, ""));
        Some(Self {
            labels: host.split('.').map(str::to_owned).collect(),
            port: port.to_owned(),
            path,
        })
    }
}

/// Host with port, and path, of a URL without its scheme, as `net/url` reads them.
fn parse(schemeless: &str) -> Option<(String, String)> {
    let (text, fragment) = schemeless.split_once('#').unwrap_or((schemeless, ""));
    if text.bytes().any(|b| b.is_ascii_control()) {
        return None;
    }
    unescape(fragment)?;
    let text = text.split('?').next().unwrap_or_default();
    let (authority, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    let host = match authority.rsplit_once('@') {
        Some((user, host)) => {
            check_user(user)?;
            host
        }
        None => authority,
    };
    Some((parse_host(host)?, unescape(path)?))
}

fn check_user(user: &str) -> Option<()> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b);
    user.bytes().all(fits).then_some(())?;
    unescape(user).map(|_| ())
}

fn parse_host(host: &str) -> Option<String> {
    match host.rfind('[') {
        Some(0) => {
            let end = host.rfind(']')?;
            check_port(&host[end + 1..])?;
            let address = &host[1..end];
            let address = match address.find("%25") {
                Some(at) => {
                    let (address, zone) = address.split_at(at);
                    format!("{}{}", unescape_host(address)?, unescape_zone(zone)?)
                }
                None => unescape_host(address)?,
            };
            check_ipv6(&address)?;
            Some(format!("[{address}]{}", &host[end + 1..]))
        }
        Some(_) => None,
        None => {
            check_port(&host[host.rfind(':').unwrap_or(host.len())..])?;
            unescape_host(host)
        }
    }
}

/// Nothing, or a colon and digits, of which there may be none.
fn check_port(text: &str) -> Option<()> {
    let is_port = match text.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()),
        None => text.is_empty(),
    };
    is_port.then_some(())
}

fn check_ipv6(address: &str) -> Option<()> {
    let (address, zone) = match address.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (address, None),
    };
    address.parse::<Ipv6Addr>().ok()?;
    (zone != Some("")).then_some(())
}

/// In a host only what is not ASCII may be escaped, and `%` itself.
fn unescape_host(host: &str) -> Option<String> {
    check_host_bytes(host, |escaped| escaped >= 0x80)?;
    unescape(host)
}

/// In a zone, what may be written unescaped too, and the space.
fn unescape_zone(zone: &str) -> Option<String> {
    check_host_bytes(zone, |escaped| escaped == b' ' || is_host_byte(escaped))?;
    unescape(zone)
}

fn check_host_bytes(host: &str, may_be_escaped: impl Fn(u8) -> bool) -> Option<()> {
    let fits = |b: u8| b >= 0x80 || b == b'%' || is_host_byte(b);
    host.bytes().all(fits).then_some(())?;
    let mut escapes = host.split('%').skip(1);
    let escaped_fits = |escape: &str| {
        let hex = escape.get(..2)?;
        let byte = u8::from_str_radix(hex, 16).ok()?;
        Some(byte == b'%' || may_be_escaped(byte))
    };
    escapes
        .all(|escape| escaped_fits(escape) == Some(true))
        .then_some(())
}

fn is_host_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&b)
}

/// Replaces `%XX`. `None` where two hexadecimal digits do not follow, or the bytes are no text.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(b) = bytes.next() {
        let b = if b == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            u8::try_from(digit()? * 16 + digit()?).ok()?
        } else {
            b
        };
        plain.push(b);
    }
    String::from_utf8(plain).ok()
}

/// `net.SplitHostPort`: `None` where there is no port, or more colons or brackets than it takes.
fn split_port(host: &str) -> Option<(&str, &str)> {
    let (name, port) = host.rsplit_once(':')?;
    let name = match name.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if name.contains(':') => return None,
        None => name,
    };
    let has_bracket = [name, port].iter().any(|part| part.contains(['[', ']']));
    (!has_bracket).then_some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_host_and_path() {
        for (location, key) in [
            ("reg.example", Some("reg.example")),
            ("https://reg.example/", Some("reg.example")),
            ("http://reg.example:5000/v2/", Some("reg.example:5000")),
            ("https://index.docker.io/v1/", Some("index.docker.io")),
            ("index.docker.io/v1", Some("index.docker.io/v1")),
            ("reg.example/v1/team", Some("reg.example/team")),
            ("reg.example/team?x=y#z", Some("reg.example/team")),
            ("user:pass@reg.example/team", Some("reg.example/team")),
            ("reg.example/te%61m", Some("reg.example/team")),
            ("HTTPS://reg.example", Some("HTTPS://reg.example")),
            ("", Some("")),
            ("/team", Some("/team")),
            ("reg.example:port", None),
            ("reg example", None),
            ("reg.example/a\nb", None),
            ("reg.example/%zz", None),
            ("reg.%65xample", None),
            ("re\\g.example", None),
            ("r[a-z]g.example", None),
            ("[reg].example", None),
            ("[1.2.3.4]", None),
            ("[::1]:5000", Some("[::1]:5000")),
            ("[fe80::1%25eth0]", Some("[fe80::1%eth0]")),
            ("us er@reg.example", None),
            ("reg.example#%", None),
        ] {
            assert_eq!(key_of(location).as_deref(), key, "{location}");
        }
    }

    #[track_caller]
    fn check(pattern: &str, target: &str, want: bool) {
        let target_read = Target::parse(target).unwrap();
        let matches = Pattern::parse(pattern).is_some_and(|p| p.matches(&target_read));
        assert_eq!(matches, want, "{pattern} for {target}");
    }

    #[test]
    fn ports_are_equal_paths_begin_and_labels_match() {
        for (pattern, target, want) in [
            ("reg.example:5000", "reg.example:5000/app", true),
            ("reg.example:5000", "reg.example/app", false),
            ("reg.example", "reg.example:5000/app", false),
            ("*.example:5000", "reg.example:5000/app", true),
            ("reg.example:*", "reg.example:5000/app", false),
            ("*.example", "a.b.example/app", false),
            ("r*g-?.example", "reg-1.example/app", false),
            ("reg.example/team", "reg.example/teams/app", true),
            ("reg.example/*", "reg.example/team/app", false),
            // Go reads an address without a port as a class of characters.
            ("[::1]", "[::1]/app", false),
            ("[::1]:5000", "[::1]:5000/app", true),
            ("[1::]", "1/app", true),
        ] {
            check(pattern, target, want);
        }
    }
}
