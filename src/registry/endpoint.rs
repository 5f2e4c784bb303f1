//! Where an image is asked for: the mirrors of its registry in order, then the registry itself.
//!
//! Leaves out asking them: that is `session`.

use url::Url;

use super::egress::Scheme;
use super::settings::{HostSettings, RegistryError};
use crate::domain::lookup::LookupFailure;

/// Docker Hub's API is not at the host that its images are named by.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// One place to ask.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    /// Base URL, without `/v2/`.
    base: Url,
    /// What credentials are filed under: the registry as references write it, or the mirror's `host[:port]`.
    pub(super) name: Box<str>,
    /// The registry a mirror is asked on behalf of, sent as `?ns=` as containerd does.
    namespace: Option<Box<str>>,
}

/// Which kind of content is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Manifest,
    Blob,
}

impl Endpoint {
    /// The registry itself.
    pub(super) fn upstream(registry: &str, scheme: Scheme) -> Result<Self, LookupFailure> {
        Ok(Self {
            base: upstream_url(registry, scheme).ok_or(LookupFailure::InvalidReference)?,
            name: registry.into(),
            namespace: None,
        })
    }

    pub(super) fn mirror(base: &Url, registry: &str) -> Self {
        let host = base.host_str().unwrap_or_default();
        let name = match base.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Self {
            base: base.clone(),
            name: name.into(),
            namespace: Some(registry.into()),
        }
    }

    /// The URL of a manifest or blob. Repository and version follow the reference's grammar, so nothing in them can
    /// change the path.
    pub(super) fn url(&self, content: Content, repository: &str, version: &str) -> Url {
        let kind = match content {
            Content::Manifest => "manifests",
            Content::Blob => "blobs",
        };
        let prefix = self.base.path().trim_end_matches('/');
        let path = format!("{prefix}/v2/{repository}/{kind}/{version}");
        let mut url = self.base.clone();
        url.set_path(&path);
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
    match settings.mirrors.iter().find(|url| !fits(url)) {
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

    #[test]
    fn urls_of_registries_and_mirrors() {
        let mirror = |base: &str| Endpoint::mirror(&Url::parse(base).unwrap(), "docker.io");
        let upstream = |name| Endpoint::upstream(name, Scheme::Https).unwrap();
        for (endpoint, name, want) in [
            (
                upstream("docker.io"),
                "docker.io",
                "https://registry-1.docker.io/v2/a/b/manifests/1",
            ),
            (
                upstream("r.example:5000"),
                "r.example:5000",
                "https://r.example:5000/v2/a/b/manifests/1",
            ),
            (
                upstream("[::1]:5000"),
                "[::1]:5000",
                "https://[::1]:5000/v2/a/b/manifests/1",
            ),
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
        ] {
            assert_eq!(&*endpoint.name, name);
            assert_eq!(endpoint.url(Content::Manifest, "a/b", "1").as_str(), want);
        }
        assert_eq!(
            Endpoint::upstream("r.example", Scheme::PlainHttp)
                .unwrap()
                .url(Content::Blob, "a", "sha256:0")
                .as_str(),
            "http://r.example/v2/a/blobs/sha256:0"
        );
        for name in ["a/b", "u@h", "h?x", "1.2.3.4.5", ""] {
            assert!(upstream_url(name, Scheme::Https).is_none(), "{name}");
        }
    }
}
