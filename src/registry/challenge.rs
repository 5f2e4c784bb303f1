//! `WWW-Authenticate`: what a registry asks for, and whether its token server may be asked at all.
//!
//! Leaves out getting the token: that is `token`.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use url::Url;

use super::egress::authority;
use crate::domain::lookup::LookupFailure;

/// What a registry asks for, of the two schemes that registries use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password with each request.
    Basic,
    /// A token from the realm.
    Bearer {
        realm: Url,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// Longest realm, service and scope that are believed.
const MAX_PARAM: usize = 2048;

/// Registries and the token servers that they are publicly known to use.
const KNOWN_TOKEN_HOSTS: [(&str, &str); 5] = [
    ("registry-1.docker.io", "auth.docker.io"),
    ("dhi.io", "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
    ("docker.elastic.co", "docker-auth.elastic.co"),
    ("registry.redhat.io", "sso.redhat.com"),
];

impl Challenge {
    /// Bytes of its text.
    pub(super) fn length(&self) -> usize {
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        match self {
            Self::Basic => 0,
            Self::Bearer {
                realm,
                service,
                scope,
            } => realm.as_str().len() + optional(service) + optional(scope),
        }
    }

    /// The best challenge of all the headers: Bearer before Basic, as containerd. `None` where the answer has none of
    /// the two. A header that cannot be read is passed over.
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut basic = None;
        for value in headers.get_all(WWW_AUTHENTICATE) {
            let Ok(text) = value.to_str() else { continue };
            for challenge in http_auth::parser::ChallengeParser::new(text).map_while(Result::ok) {
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    if let Some(bearer) = bearer(&challenge) {
                        return Some(bearer);
                    }
                } else if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
            }
        }
        basic
    }
}

fn bearer(challenge: &http_auth::ChallengeRef<'_>) -> Option<Challenge> {
    let param = |name: &str| {
        let found = challenge
            .params
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    let (realm, service, scope) = (param("realm")?, param("service"), param("scope"));
    let all = [Some(&realm), service.as_ref(), scope.as_ref()];
    let is_short = all.into_iter().flatten().all(|p| p.len() <= MAX_PARAM);
    let realm = Url::parse(&realm).ok().filter(|_| is_short)?;
    Some(Challenge::Bearer {
        realm,
        service,
        scope,
    })
}

/// What a token is asked for: pulling, from the repository that the challenge names, else from `repository`. The
/// challenge counts because a mirror may know the repository by another name; what it wants beyond pulling does not.
pub(super) fn pull_scope(challenge_scope: Option<&str>, repository: &str) -> String {
    let named = challenge_scope
        .into_iter()
        .flat_map(|scope| scope.split(' '))
        .find_map(|scope| {
            let (name, _actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
            (!name.is_empty() && name.len() <= 512).then_some(name)
        });
    format!("repository:{}:pull", named.unwrap_or(repository))
}

/// Where a registry may send callers for a token (OPERATIONS, threat 4): its own host, a publicly known pair or a host
/// of its settings, and never from HTTPS to plain HTTP.
pub(super) fn check_realm(
    registry: &Url,
    realm: &Url,
    token_hosts: &[String],
) -> Result<(), LookupFailure> {
    let host = |url: &Url| url.host_str().unwrap_or_default().to_owned();
    let is_downgrade = registry.scheme() == "https" && realm.scheme() != "https";
    let pair = (host(registry), host(realm));
    let is_known = KNOWN_TOKEN_HOSTS
        .iter()
        .any(|(from, to)| pair.0 == *from && pair.1 == *to);
    let is_set = token_hosts.iter().any(|allowed| {
        let allowed = Url::parse(&format!("{}://{allowed}/", realm.scheme())).ok();
        allowed.is_some_and(|allowed| authority(&allowed) == authority(realm))
    });
    if !is_downgrade && (pair.0 == pair.1 || is_known || is_set) {
        Ok(())
    } else {
        Err(LookupFailure::Blocked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn read(values: &[&[u8]]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(value).unwrap());
        }
        Challenge::from_headers(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: Url::parse(realm).unwrap(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        })
    }

    #[test]
    fn all_headers_are_read_and_bearer_comes_first() {
        let hub: &[u8] = br#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/x:pull""#;
        let want = bearer(
            "https://auth.docker.io/token",
            Some("registry.docker.io"),
            Some("repository:library/x:pull"),
        );
        assert_eq!(read(&[hub]), want);
        assert_eq!(read(&[b"Negotiate", hub]), want);
        assert_eq!(read(&[b"Negotiate YII=", hub]), want);
        assert_eq!(read(&[b"Basic realm=\"x\"", hub]), want);
        assert_eq!(read(&[b"\xff\xfe", hub]), want);
        assert_eq!(
            read(&[b"BASIC realm=x, bearer REALM=\"https://a.example\""]),
            bearer("https://a.example", None, None)
        );
        assert_eq!(read(&[b"Basic realm=\"x\""]), Some(Challenge::Basic));
    }

    #[test]
    fn what_cannot_be_read_is_no_challenge() {
        for value in [
            &b""[..],
            b"Negotiate",
            b"Bearer",
            b"Bearer service=\"x\"",
            b"Bearer realm=\"/token\"",
            b"Bearer realm=\"",
            b"====",
        ] {
            assert_eq!(read(&[value]), None, "{}", value.escape_ascii());
        }
        assert_eq!(read(&[]), None);
        for parameter in ["realm", "service", "scope"] {
            let long = format!("{parameter}=\"https://r.example/{}\"", "x".repeat(4000));
            let header = format!("Bearer realm=\"https://r.example\",{long}");
            let header = match parameter {
                "realm" => format!("Bearer {long}"),
                _ => header,
            };
            assert_eq!(read(&[header.as_bytes()]), None, "{parameter}");
        }
    }

    #[test]
    fn a_token_is_asked_for_pulling_only() {
        for (challenge, want) in [
            (None, "repository:app:pull"),
            (
                Some("repository:proxy/app:pull,push"),
                "repository:proxy/app:pull",
            ),
            (
                Some("registry:catalog:* repository:r.example:5000/app:*"),
                "repository:r.example:5000/app:pull",
            ),
            (Some("registry:catalog:*"), "repository:app:pull"),
            (Some("repository::pull"), "repository:app:pull"),
        ] {
            assert_eq!(pull_scope(challenge, "app"), want);
        }
    }

    #[test]
    fn realms_stay_with_their_registry() {
        for (registry, realm, allowed) in [
            ("https://r.example", "https://r.example/token", true),
            (
                "https://r.example:5000",
                "https://r.example:5001/token",
                true,
            ),
            ("https://r.example", "http://r.example/token", false),
            ("https://r.example", "https://evil.example/token", false),
            ("https://r.example", "https://auth.docker.io/token", false),
            (
                "https://registry-1.docker.io",
                "https://auth.docker.io/token",
                true,
            ),
            (
                "https://registry-1.docker.io",
                "https://auth.docker.io.evil.example/",
                false,
            ),
            ("http://r.example", "http://r.example/token", true),
            ("http://r.example", "https://r.example/token", true),
            ("http://r.example", "http://evil.example/token", false),
            ("https://r.example", "https://login.example/token", true),
            (
                "https://r.example",
                "https://login.example:8443/token",
                false,
            ),
            ("https://r.example", "http://login.example/token", false),
        ] {
            let urls = (Url::parse(registry).unwrap(), Url::parse(realm).unwrap());
            let checked = check_realm(&urls.0, &urls.1, &["login.example".to_owned()]);
            assert_eq!(checked.is_ok(), allowed, "{registry} {realm}");
        }
    }
}
