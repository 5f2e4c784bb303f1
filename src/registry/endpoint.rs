//! Where an image is asked for: the mirrors of its registry in order, then the registry itself.
//!
//! Leaves out asking them: that is `session`.

use reqwest::header::HeaderMap;
use url::Url;

use super::egress::Scheme;
use super::hosts::{HostSettings, Mirror};
use super::settings::RegistryError;
use crate::domain::lookup::LookupFailure;
use crate::domain::reference::Reference;

/// Docker Hub's API is not at the host that its images are named by.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// One place to ask for one repository.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    /// Base URL.
    base: Url,
    /// Path of the API: `/v2`.
    root: Box<str>,
    /// What credentials are filed under: the registry as references write it, or the mirror's `host[:port]`.
    pub(super) name: Box<str>,
    /// The repository's name there.
    pub(super) repository: Box<str>,
    /// The registry a mirror is asked on behalf of, sent as `?ns=` as containerd does.
    namespace: Option<Box<str>>,
    /// Further headers of each request.
    pub(super) headers: HeaderMap,
}

/// Which kind of content is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Manifest,
    Blob,
    /// The only version of it is `list`.
    Tags,
}

impl Endpoint {
    /// The registry itself.
    pub(super) fn upstream(
        reference: &Reference,
        scheme: Scheme,
        headers: &HeaderMap,
    ) -> Result<Self, LookupFailure> {
        let registry = reference.registry();
        Ok(Self {
            base: upstream_url(registry, scheme).ok_or(LookupFailure::InvalidReference)?,
            root: "/v2".into(),
            name: registry.into(),
            repository: reference.repository().into(),
            namespace: None,
            headers: headers.clone(),
        })
    }

    /// A mirror, given what the prefix that it is for leaves of the image's name.
    pub(super) fn mirror(mirror: &Mirror, reference: &Reference, rest: &str) -> Self {
        let base = &mirror.url;
        let host = base.host_str().unwrap_or_default();
        let (name, repository) = match (&mirror.location, base.port()) {
            (Some(location), _) => {
                let path = format!("{}{rest}", location.path);
                (location.host.clone(), path.trim_start_matches('/').into())
            }
            (None, Some(port)) => (format!("{host}:{port}"), reference.repository().into()),
            (None, None) => (host.to_owned(), reference.repository().into()),
        };
        let path = base.path().trim_end_matches('/');
        let suffix = if mirror.is_api_root { "" } else { "/v2" };
        let namespace = mirror.sends_namespace.then(|| reference.registry().into());
        Self {
            root: format!("{path}{suffix}").into(),
            base: base.clone(),
            name: name.into(),
            repository,
            namespace,
            headers: mirror.connection.headers.clone(),
        }
    }

    /// The URL of a manifest or blob. Repository and version follow the reference's grammar, so nothing in them can
    /// change the path.
    pub(super) fn url(&self, content: Content, version: &str) -> Url {
        let kind = match content {
            Content::Manifest => "manifests",
            Content::Blob => "blobs",
            Content::Tags => "tags",
        };
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/{}/{kind}/{version}",
            self.root, self.repository
        ));
        if let Some(namespace) = &self.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        url
    }

    /// The URL whose host decides about schemes, realms and clients.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }
}

/// The base URL of a registry by its name in references.
pub(super) fn upstream_url(registry: &str, scheme: Scheme) -> Option<Url> {
    let host = if registry == DOCKER_HUB.0 {
        DOCKER_HUB.1
    } else {
        registry
    };
    let scheme = scheme.as_str();
    let url = Url::parse(&format!("{scheme}://{host}/")).ok()?;
    let is_bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    is_bare.then_some(url)
}

/// Checks the mirrors of one registry.
pub(super) fn check_mirrors(registry: &str, settings: &HostSettings) -> Result<(), RegistryError> {
    let fits = |url: &Url| matches!(url.scheme(), "http" | "https") && url.host().is_some();
    let mut urls = settings.mirrors.iter().map(|mirror| &mirror.url);
    match urls.find(|url| !fits(url)) {
        None => Ok(()),
        Some(url) => Err(RegistryError::Mirror {
            host: registry.to_owned(),
            mirror: url.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::hosts::Location;

    fn image(registry: &str) -> Reference {
        Reference::parse(&format!("{registry}/a/b:1")).unwrap()
    }

    fn mirror(base: &str) -> Endpoint {
        let mirror = Mirror::from(Url::parse(base).unwrap());
        Endpoint::mirror(&mirror, &image("docker.io"), "")
    }

    fn renamed(path: &str, rest: &str) -> Endpoint {
        let mut mirror = Mirror::from(Url::parse("https://m.example").unwrap());
        mirror.is_api_root = path.is_empty();
        mirror.sends_namespace = false;
        mirror.location = Some(Location {
            host: "m.example".to_owned(),
            path: path.to_owned(),
        });
        Endpoint::mirror(&mirror, &image("docker.io"), rest)
    }

    #[test]
    fn urls_of_registries() {
        let headers = HeaderMap::new();
        for (name, host) in [
            ("docker.io", "registry-1.docker.io"),
            ("r.example:5000", "r.example:5000"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            let endpoint = Endpoint::upstream(&image(name), Scheme::Https, &headers).unwrap();
            assert_eq!(&*endpoint.name, name);
            let want = format!("https://{host}/v2/a/b/manifests/1");
            assert_eq!(endpoint.url(Content::Manifest, "1").as_str(), want);
        }
        let plain = Endpoint::upstream(&image("r.example"), Scheme::PlainHttp, &headers);
        assert_eq!(
            plain.unwrap().url(Content::Blob, "sha256:0").as_str(),
            "http://r.example/v2/a/b/blobs/sha256:0"
        );
        for name in ["a/b", "u@h", "h?x", "1.2.3.4.5", ""] {
            assert!(upstream_url(name, Scheme::Https).is_none(), "{name}");
        }
    }

    #[test]
    fn urls_of_mirrors() {
        for (endpoint, name, want) in [
            (
                mirror("https://m.example"),
                "m.example",
                "https://m.example/v2/a/b/manifests/1?ns=docker.io",
            ),
            (
                mirror("http://m.example:80/hub/"),
                "m.example",
                "http://m.example/hub/v2/a/b/manifests/1?ns=docker.io",
            ),
            (
                mirror("https://m.example:5000/hub"),
                "m.example:5000",
                "https://m.example:5000/hub/v2/a/b/manifests/1?ns=docker.io",
            ),
            (
                renamed("hub", "/a/b"),
                "m.example",
                "https://m.example/v2/hub/a/b/manifests/1",
            ),
            (
                renamed("", "/b"),
                "m.example",
                "https://m.example/b/manifests/1",
            ),
        ] {
            assert_eq!(&*endpoint.name, name);
            assert_eq!(endpoint.url(Content::Manifest, "1").as_str(), want);
        }
    }
}
