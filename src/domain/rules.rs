//! All that an operator may set about decisions, as valid values in one place.
//!
//! Leaves out the file it is written in (`config`) and how registries are reached (`registry`).

use wildmatch::WildMatch;

use super::decision::Handlers;
use super::inventory::NodeRules;
use super::policy::Policy;
use super::reference::Reference;

/// The operator's rules.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// What findings do to pods.
    pub policy: Policy,
    /// What is known of nodes.
    pub nodes: NodeRules,
    /// What runtime handlers mean.
    pub handlers: Handlers,
    /// Images that are never judged: their config lies, say, which no webhook can know.
    pub exempt_images: Vec<ImagePattern>,
}

/// A pattern for image references in their canonical form, `docker.io/library/nginx:1.27`: `*` stands for any
/// characters, `/` and `:` among them.
#[derive(Debug, Clone, PartialEq)]
pub struct ImagePattern(WildMatch);

impl ImagePattern {
    /// The pattern of a text; every text is one.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(WildMatch::new(pattern))
    }

    /// Whether it is for that image.
    #[must_use]
    pub fn is_for(&self, reference: &Reference) -> bool {
        self.0.matches(&reference.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_for_canonical_references() {
        for (pattern, image, want) in [
            ("docker.io/library/nginx:*", "nginx", true),
            ("docker.io/*", "bitnami/redis:7", true),
            ("nginx", "nginx", false),
            (
                "*/legacy-*",
                "registry.example:5000/team/legacy-app:1",
                true,
            ),
            ("registry.example/*", "registry.example.evil/app", false),
        ] {
            let reference = Reference::parse(image).unwrap();
            assert_eq!(
                ImagePattern::new(pattern).is_for(&reference),
                want,
                "{pattern} {image}"
            );
        }
    }
}
