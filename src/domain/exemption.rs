//! What an operator takes out of the judgement: images by their reference or their registry, and whole namespaces.
//!
//! Every use is a value that says what did it, so that it can be counted and audited. Leaves out who may ask for one: the
//! settings are the operator's, and the chart has a policy for the label of namespaces.

use wildmatch::WildMatch;

use super::pod::PodImage;
use super::reference::Reference;

/// A pattern in which `*` stands for any characters.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    text: String,
    compiled: WildMatch,
}

/// All that the settings exempt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exemptions {
    /// References in their canonical form, `docker.io/library/nginx:1.27`; `*` covers `/` and `:` too.
    pub images: Vec<Pattern>,
    /// Registries as references name them, `docker.io` or `registry.example:5000`.
    pub registries: Vec<Pattern>,
    /// Names of namespaces.
    pub namespaces: Vec<Pattern>,
}

/// What kind of choice exempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExemptionKind {
    /// A pattern of images.
    Image,
    /// A pattern of registries.
    Registry,
    /// A pattern of namespaces.
    Namespace,
    /// The label of the namespace.
    NamespaceLabel,
}

/// One use of an exemption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exemption {
    /// What kind it is of.
    pub kind: ExemptionKind,
    /// What is exempt and by what, for the audit log.
    pub what: String,
}

impl Pattern {
    /// The pattern of a text; every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            compiled: WildMatch::new(text),
        }
    }

    fn is_for(&self, text: &str) -> bool {
        self.compiled.matches(text)
    }
}

impl ExemptionKind {
    /// The word for metrics and the audit log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Registry => "registry",
            Self::Namespace => "namespace",
            Self::NamespaceLabel => "namespace-label",
        }
    }
}

impl Exemptions {
    /// Whether any image may be exempt.
    #[must_use]
    pub fn any_images(&self) -> bool {
        !(self.images.is_empty() && self.registries.is_empty())
    }

    /// What exempts an image, if anything does. A reference that cannot be read is exempt by nothing.
    #[must_use]
    pub fn of_image(&self, image: &PodImage<'_>) -> Option<Exemption> {
        let reference = Reference::parse(image.image).ok()?;
        let by = |kind, patterns: &[Pattern], text: &str| {
            let pattern = patterns.iter().find(|pattern| pattern.is_for(text))?;
            let what = format!("{} by {:?}", image.field(), pattern.text);
            Some(Exemption { kind, what })
        };
        by(ExemptionKind::Image, &self.images, &reference.to_string()).or_else(|| {
            by(
                ExemptionKind::Registry,
                &self.registries,
                reference.registry(),
            )
        })
    }

    /// What exempts all pods of a namespace, if anything does.
    #[must_use]
    pub fn of_namespace(&self, name: &str) -> Option<Exemption> {
        let pattern = self
            .namespaces
            .iter()
            .find(|pattern| pattern.is_for(name))?;
        Some(Exemption {
            kind: ExemptionKind::Namespace,
            what: format!("the namespace by {:?}", pattern.text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pod::ImageField;

    fn patterns(text: &str) -> Vec<Pattern> {
        text.split_whitespace().map(Pattern::new).collect()
    }

    #[test]
    fn patterns_are_for_canonical_references_and_registries() {
        for (images, registries, image, want) in [
            ("docker.io/library/nginx:*", "", "nginx", "image"),
            ("docker.io/*", "", "bitnami/redis:7", "image"),
            ("nginx", "", "nginx", ""),
            (
                "*/legacy-*",
                "",
                "registry.example:5000/team/legacy-app:1",
                "image",
            ),
            ("registry.example/*", "", "registry.example.evil/app", ""),
            ("", "docker.io", "nginx", "registry"),
            ("", "registry.example", "registry.example:5000/app", ""),
            (
                "",
                "registry.example:*",
                "registry.example:5000/app",
                "registry",
            ),
            ("", "*.example", "eu.registry.example/app", "registry"),
            ("", "*.example", "registry.example.evil/app", ""),
            ("*", "*", "nginx", "image"),
            ("*", "*", "Not A Reference", ""),
            ("", "", "nginx", ""),
        ] {
            let exemptions = Exemptions {
                images: patterns(images),
                registries: patterns(registries),
                namespaces: Vec::new(),
            };
            let image = PodImage {
                name: "app",
                kind: ImageField::Container,
                position: 2,
                image,
                never_pulled: false,
                host_process: false,
            };
            let found = exemptions.of_image(&image);
            let kind = found.as_ref().map_or("", |found| found.kind.as_str());
            assert_eq!(kind, want, "{images} {registries} {image:?}");
            assert!(
                found.is_none_or(|found| found.what.starts_with("spec.containers[2].image by "))
            );
        }
    }

    #[test]
    fn namespaces_are_exempt_by_name() {
        let exemptions = Exemptions {
            namespaces: patterns("build-* ci"),
            ..Exemptions::default()
        };
        for (name, want) in [
            ("ci", true),
            ("build-7", true),
            ("ci-2", false),
            ("", false),
        ] {
            assert_eq!(exemptions.of_namespace(name).is_some(), want, "{name}");
        }
    }
}
