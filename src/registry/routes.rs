//! Which places an image is asked for at, by the settings of its registry or of the longest prefix of its name.
//!
//! Leaves out asking them: that is `lookup`.

use std::collections::BTreeMap;

use reqwest::header::HeaderMap;

use super::egress::Scheme;
use super::endpoint::Endpoint;
use super::hosts::{HostSettings, Mirror};
use crate::domain::lookup::LookupFailure;
use crate::domain::reference::{Reference, prefix_length};

pub(super) struct Routes {
    /// The longest prefix first.
    by_prefix: Vec<(String, HostSettings)>,
}

/// The places for one image, in order; the registry itself is the last.
pub(super) struct Plan {
    pub(super) mirrors: Vec<Endpoint>,
    pub(super) upstream: Option<Upstream>,
}

/// The registry itself, by either scheme.
pub(super) struct Upstream {
    pub(super) https: Endpoint,
    pub(super) plain: Endpoint,
}

impl Routes {
    pub(super) fn new(hosts: BTreeMap<String, HostSettings>) -> Self {
        let mut by_prefix: Vec<_> = hosts.into_iter().collect();
        by_prefix.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self { by_prefix }
    }

    /// Fails where nobody may be asked for the image. Cheaper than a plan, which only a look-up needs.
    pub(super) fn check(&self, reference: &Reference) -> Result<(), LookupFailure> {
        match self.settings_of(reference) {
            Some((_, settings)) => serving(settings, reference).map(drop),
            None => Ok(()),
        }
    }

    pub(super) fn plan(&self, reference: &Reference) -> Result<Plan, LookupFailure> {
        let Some((rest, settings)) = self.settings_of(reference) else {
            return Ok(Plan {
                mirrors: Vec::new(),
                upstream: Some(Upstream::new(reference, &HeaderMap::new())?),
            });
        };
        let mirrors = serving(settings, reference)?
            .into_iter()
            .map(|mirror| Endpoint::mirror(mirror, reference, rest))
            .collect();
        let upstream = match settings.mirrors_only {
            true => None,
            false => Some(Upstream::new(reference, &settings.connection.headers)?),
        };
        Ok(Plan { mirrors, upstream })
    }

    /// The settings of the longest prefix of the image's name, and the rest of the name.
    fn settings_of<'r>(&self, reference: &'r Reference) -> Option<(&'r str, &HostSettings)> {
        let name = reference.name();
        self.by_prefix.iter().find_map(|(prefix, settings)| {
            let length = prefix_length(prefix, name)?;
            Some((&name[length..], settings))
        })
    }
}

/// The mirrors that serve such a reference. Fails where neither they nor the registry may be asked.
fn serving<'s>(
    settings: &'s HostSettings,
    reference: &Reference,
) -> Result<Vec<&'s Mirror>, LookupFailure> {
    let is_tag = reference.tag().is_some();
    let serves = |mirror: &&Mirror| match is_tag {
        true => mirror.serves_tags,
        false => mirror.serves_digests,
    };
    let mirrors: Vec<&Mirror> = settings.mirrors.iter().filter(serves).collect();
    if settings.blocked || (settings.mirrors_only && mirrors.is_empty()) {
        return Err(LookupFailure::Blocked);
    }
    Ok(mirrors)
}

impl Plan {
    /// Every place that may be asked, whichever scheme.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        let upstream = self.upstream.iter().map(|upstream| &upstream.https);
        self.mirrors.iter().chain(upstream)
    }
}

impl Upstream {
    fn new(reference: &Reference, headers: &HeaderMap) -> Result<Self, LookupFailure> {
        let endpoint = |scheme| Endpoint::upstream(reference, scheme, headers);
        Ok(Self {
            https: endpoint(Scheme::Https)?,
            plain: endpoint(Scheme::PlainHttp)?,
        })
    }
}

/// The host that a prefix names; `None` for several.
pub(super) fn host_of(prefix: &str) -> Option<&str> {
    let host = prefix.split('/').next()?;
    (!host.starts_with('*')).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_where_a_part_of_the_name_does() {
        for (prefix, name, want) in [
            ("docker.io", "docker.io/library/x", Some(9)),
            ("docker.io/library", "docker.io/library/x", Some(17)),
            ("docker.io/library/x", "docker.io/library/x", Some(19)),
            ("docker.io/lib", "docker.io/library/x", None),
            ("docker.io", "docker.io.evil.example/x", None),
            ("docker.io", "docker.io:5000/x", None),
            ("*.example", "reg.example/x", Some(11)),
            ("*.example", "a.reg.example/x", Some(13)),
            ("*.example/team", "reg.example/team/x", Some(16)),
            ("*.example", "example/x", None),
            ("*.example", "reg.example.com/x", None),
            ("*.example", "docker.io/reg.example/x", None),
            ("*", "docker.io/library/x", Some(0)),
        ] {
            assert_eq!(prefix_length(prefix, name), want, "{prefix} {name}");
        }
        assert_eq!(host_of("docker.io/library"), Some("docker.io"));
        assert_eq!(host_of("*.example"), None);
    }
}
