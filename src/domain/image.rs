//! What a registry says an image is: an index of platforms, or a single manifest with its config's platform.
//!
//! Leaves out how the documents are fetched and read: that is `registry`.

use std::fmt;

use super::lookup::LookupFailure;
use super::platform::{ArchitectureFamily, Platform};

/// A content digest, `sha256:`, `sha384:` or `sha512:` and 64, 96 or 128 hex digits, checked when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Box<str>);

/// An image as its registry describes it, bound to the digest that the answer was checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Digest of the document that the reference resolved to.
    pub digest: Digest,
    /// Media type of that document.
    pub media_type: Box<str>,
    /// What the document is.
    pub content: ImageContent,
}

/// The two kinds of document that a reference can resolve to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageContent {
    /// An OCI index or a Docker manifest list (the same rules: SEMANTICS section 4).
    Index(ImageIndex),
    /// A single image manifest; the platform is what its config says. Fields of the config that are absent or
    /// empty stay empty.
    Manifest(Box<EntryPlatform>),
    /// A manifest that is no runnable image: its config is none of an image.
    Artifact,
    /// A Docker schema 1 manifest.
    Schema1,
}

/// The entries of an index, in the order written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageIndex {
    /// The descriptors.
    pub manifests: Vec<IndexEntry>,
}

/// One descriptor of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Digest of the manifest or index that the descriptor points to.
    pub digest: Digest,
    /// The platform object; `None` where the descriptor has none.
    pub platform: Option<EntryPlatform>,
    /// What the descriptor points to, as far as a verdict needs it.
    pub content: EntryContent,
}

/// A platform in both forms, so that judging an entry on many nodes normalises it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPlatform {
    /// As written.
    pub written: Platform,
    /// As containerd compares it.
    pub normal: Platform,
    /// Of the normal form.
    pub family: ArchitectureFamily,
}

/// What an index entry points to. Runtimes read no further than the descriptor where it has a platform
/// (SEMANTICS 1.4), so most entries stay [`EntryContent::Unread`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryContent {
    /// An image manifest that nobody needs to read, since its descriptor names the platform.
    Unread,
    /// An image manifest that was read since its descriptor names no platform: the platform of its config.
    Manifest(Box<EntryPlatform>),
    /// A nested index.
    Index(ImageIndex),
    /// It would have to be read, and could not be.
    Failed(LookupFailure),
}

impl IndexEntry {
    /// An entry whose platform object is as written, `None` where it has none.
    #[must_use]
    pub fn new(digest: Digest, platform: Option<Platform>, content: EntryContent) -> Self {
        Self {
            digest,
            platform: platform.map(EntryPlatform::from),
            content,
        }
    }
}

impl fmt::Display for EntryPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.fmt(f)
    }
}

impl From<Platform> for Box<EntryPlatform> {
    fn from(written: Platform) -> Self {
        Self::new(EntryPlatform::from(written))
    }
}

impl From<Platform> for EntryPlatform {
    fn from(written: Platform) -> Self {
        let normal = written.normalized();
        Self {
            family: ArchitectureFamily::of(&normal.architecture),
            normal,
            written,
        }
    }
}

impl Image {
    /// The platforms that the image offers, in the order written and each once; attestations and entries without a
    /// platform are left out.
    #[must_use]
    pub fn offered(&self) -> Vec<&Platform> {
        let mut offered = Vec::new();
        match &self.content {
            ImageContent::Index(index) => collect_offered(index, &mut offered),
            ImageContent::Manifest(platform) => offered.push(&platform.written),
            ImageContent::Artifact | ImageContent::Schema1 => {}
        }
        offered
    }
}

fn collect_offered<'a>(index: &'a ImageIndex, offered: &mut Vec<&'a Platform>) {
    for entry in &index.manifests {
        let platform = match (&entry.platform, &entry.content) {
            (_, EntryContent::Index(nested)) => {
                collect_offered(nested, offered);
                continue;
            }
            (Some(platform), _) => platform,
            (None, EntryContent::Manifest(config)) => config,
            (None, EntryContent::Unread | EntryContent::Failed(_)) => continue,
        };
        if !platform.normal.is_unknown() && !offered.contains(&&platform.written) {
            offered.push(&platform.written);
        }
    }
}

impl Digest {
    /// Reads a digest of the two algorithms that the OCI image-spec registers, or of sha384, which runtimes take too
    /// (`opencontainers/go-digest`).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (algorithm, hex) = text.split_once(':')?;
        let length = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return None,
        };
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (hex.len() == length && hex.bytes().all(lower_hex)).then(|| Self(text.into()))
    }

    /// The digest as written: `sha256:...`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The algorithm: `sha256`, `sha384` or `sha512`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.0[..6]
    }

    /// The hexadecimal part.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0[7..]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_strictly() {
        let hex = "a".repeat(64);
        for (text, valid) in [
            (format!("sha256:{hex}"), true),
            (format!("sha512:{hex}{hex}"), true),
            (format!("sha256:{}", "A".repeat(64)), false),
            (format!("sha256:{}", "a".repeat(63)), false),
            (format!("sha384:{hex}{}", "a".repeat(32)), true),
            (format!("sha384:{hex}"), false),
            (format!("sha512:{hex}"), false),
            (format!("md5:{}", "a".repeat(32)), false),
            (format!("sha256:../{}", "a".repeat(61)), false),
            (hex.clone(), false),
        ] {
            assert_eq!(Digest::parse(&text).is_some(), valid, "{text}");
        }
        let digest = Digest::parse(&format!("sha256:{hex}")).unwrap();
        assert_eq!((digest.algorithm(), digest.hex()), ("sha256", hex.as_str()));
    }
}
