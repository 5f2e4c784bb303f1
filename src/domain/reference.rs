//! `Reference`: an image reference by Docker's grammar, exactly as the kubelet and containerd read it
//! (`ParseDockerRef` of `distribution/reference` 0.6.0).
//!
//! Leaves out which host serves `docker.io` and which mirrors stand before it: that is `registry`.

use std::fmt;
use std::str::FromStr;

use super::image::Digest;

/// Host of references that name none, and what `index.docker.io` is a former name of.
const DEFAULT_REGISTRY: &str = "docker.io";
const LEGACY_DEFAULT_REGISTRY: &str = "index.docker.io";
/// Namespace of the official images, which are written with one word.
const OFFICIAL_NAMESPACE: &str = "library/";
/// What stands for a version that is not written.
const DEFAULT_TAG: &str = ":latest";
/// All that may be added to a reference as written.
const DEFAULTS: &str = "docker.io/library/:latest";
/// Most characters of a repository name (`RepositoryNameTotalLengthMax`).
const MAX_REPOSITORY: usize = 255;

/// A complete image reference: registry, repository, and a tag or a digest.
///
/// Where both a tag and a digest are written the digest counts and the tag is dropped, as runtimes do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// `registry/repository:tag`, or `registry/repository` before a digest. One text, since every review reads some.
    text: String,
    registry_end: usize,
    repository_end: usize,
    digest: Option<Digest>,
}

/// Why a text is no image reference, and what to write instead. Texts are cut to 100 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing is written where the name belongs.
    #[error("the image reference has no name: write name:tag or name@digest")]
    NoName,
    /// A URL rather than a reference.
    #[error("an image reference has no scheme: leave out {0:?}")]
    Scheme(String),
    /// A name of 64 hexadecimal digits is a runtime's image id.
    #[error("64 hexadecimal digits are an image id, not a name: write name@sha256:{0}")]
    ImageId(String),
    /// Repository names are lower-case.
    #[error("repository name {0:?} must be lower-case: write {lower:?}", lower = .0.to_lowercase())]
    UpperCase(String),
    /// The first part has a dot, a colon or upper-case letters, and is no host.
    #[error("{0:?} is not a registry host: write host, host:port or [IPv6]:port")]
    Host(String),
    /// The repository does not follow the grammar.
    #[error(
        "{0:?} is not a repository name: write lower-case letters and digits, separated by one '.', '_', '__', '-' or '/'"
    )]
    Repository(String),
    /// The repository is longer than any registry takes.
    #[error("the repository name has {0} characters: at most {MAX_REPOSITORY} are allowed")]
    TooLong(usize),
    /// The tag does not follow the grammar.
    #[error(
        "{0:?} is not a tag: write at most 128 of A-Z a-z 0-9 _ . - beginning with none of . and -"
    )]
    Tag(String),
    /// The digest is of an unknown algorithm, or not of its length, or not lower-case.
    #[error(
        "{0:?} is not a digest: write sha256: and 64, sha384: and 96, or sha512: and 128 lower-case hexadecimal digits"
    )]
    Digest(String),
}

impl Reference {
    /// Reads a reference as written in a pod, filling in `docker.io`, `library/` and `:latest`.
    ///
    /// # Errors
    /// Says which part does not follow the grammar, and how to write it.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.len() == 64 && text.bytes().all(is_lower_hex) {
            return Err(ReferenceError::ImageId(text.to_owned()));
        }
        // No text with a scheme is a reference: its colon ends a registry without a port, or begins a tag with a slash.
        Self::parse_name(text).map_err(|error| match scheme(text) {
            Some(scheme) => ReferenceError::Scheme(excerpt(&format!("{scheme}://"))),
            None => error,
        })
    }

    fn parse_name(text: &str) -> Result<Self, ReferenceError> {
        let (registry, namespace, remainder) = split_registry(text);
        let mut text = String::with_capacity(text.len() + DEFAULTS.len());
        for part in [registry, "/", namespace, remainder] {
            text.push_str(part);
        }
        let (name, tag, digest) = split_version(&text[registry.len() + 1..]);
        // A first part that is no host counts as part of the repository (see `check_registry`).
        let outside = match check_registry(registry)? {
            First::Host => 0,
            First::Path => registry.len() + 1,
        };
        check_repository(name)?;
        if outside + name.len() > MAX_REPOSITORY {
            return Err(ReferenceError::TooLong(outside + name.len()));
        }
        tag.map(check_tag).transpose()?;
        let digest = digest.map(read_digest).transpose()?;
        let repository_end = registry.len() + 1 + name.len();
        if digest.is_some() {
            text.truncate(repository_end);
        } else if tag.is_none() {
            text.push_str(DEFAULT_TAG);
        }
        Ok(Self {
            registry_end: registry.len(),
            text,
            repository_end,
            digest,
        })
    }

    /// The registry as written, `host[:port]`; `docker.io` where none is.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.text[..self.registry_end]
    }

    /// The repository within the registry: `library/hello-world`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.text[self.registry_end + 1..self.repository_end]
    }

    /// Registry and repository: `docker.io/library/hello-world`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[..self.repository_end]
    }

    /// The tag, `latest` where neither tag nor digest is written; `None` where a digest is.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.text.get(self.repository_end + 1..)
    }

    /// The digest, where one is written.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository at another tag.
    ///
    /// # Errors
    /// Says what a tag may look like.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        Ok(Self {
            text: format!("{}:{}", self.name(), check_tag(tag)?),
            digest: None,
            ..*self
        })
    }

    /// The same repository at a digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            text: self.name().into(),
            digest: Some(digest),
            ..*self
        }
    }
}

/// The canonical form: `docker.io/library/hello-world:nanoserver`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.digest {
            None => Ok(()),
            Some(digest) => write!(f, "@{digest}"),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// What stands before the first `://`.
fn scheme(text: &str) -> Option<&str> {
    let colons = text.bytes().enumerate().filter(|(_, b)| *b == b':');
    let mut starts = colons.filter(|(at, _)| text[*at..].starts_with("://"));
    starts.next().map(|(at, _)| &text[..at])
}

/// `splitDockerDomain`: the first part is a host when it looks like one, otherwise the image is Docker Hub's. In the
/// middle stands the namespace that is not written.
fn split_registry(text: &str) -> (&str, &'static str, &str) {
    let first = text.bytes().position(|b| b == b'/');
    let (registry, remainder) = match first.map(|at| (&text[..at], &text[at + 1..])) {
        None => (DEFAULT_REGISTRY, text),
        Some((LEGACY_DEFAULT_REGISTRY, rest)) => (DEFAULT_REGISTRY, rest),
        Some((first, rest)) if looks_like_host(first) => (first, rest),
        Some(_) => (DEFAULT_REGISTRY, text),
    };
    let is_official = registry == DEFAULT_REGISTRY && !remainder.bytes().any(|b| b == b'/');
    let namespace = if is_official { OFFICIAL_NAMESPACE } else { "" };
    (registry, namespace, remainder)
}

fn looks_like_host(first: &str) -> bool {
    first == "localhost" || first.bytes().any(|b| matches!(b, b'.' | b':')) || has_upper(first)
}

/// Whether Go would write any of it in lower case.
fn has_upper(text: &str) -> bool {
    match text.is_ascii() {
        true => text.bytes().any(|b| b.is_ascii_uppercase()),
        false => text.to_lowercase() != text,
    }
}

/// Parts `name[:tag][@digest]`. A tag has no colon and no `@`, a digest no `@`, so the first of each decides.
fn split_version(remainder: &str) -> (&str, Option<&str>, Option<&str>) {
    let (tagged, digest) = cut(remainder, b'@');
    let (name, tag) = cut(tagged, b':');
    (name, tag, digest)
}

/// What is before and after the first such byte. The texts are short: `split_once` takes longer to set out.
fn cut(text: &str, at: u8) -> (&str, Option<&str>) {
    match text.bytes().position(|b| b == at) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// What the first part of a reference is.
enum First {
    Host,
    Path,
}

/// A host, or a first part that is none but follows the grammar of repositories (`my_host.com`): Go then keeps it
/// in the path, and containerd, which cuts that path at its first slash, connects to it all the same.
fn check_registry(registry: &str) -> Result<First, ReferenceError> {
    if registry == DEFAULT_REGISTRY || is_host(registry) {
        return Ok(First::Host);
    }
    if is_path_component(registry.as_bytes()) {
        return Ok(First::Path);
    }
    if registry.is_empty() {
        return Err(ReferenceError::NoName);
    }
    Err(ReferenceError::Host(excerpt(registry)))
}

fn is_host(text: &str) -> bool {
    // A bracket anywhere else is of no label.
    let end = text.starts_with('[').then(|| text.rfind(']')).flatten();
    let (host, port) = match end {
        Some(end) => (&text[..=end], text[end + 1..].strip_prefix(':')),
        None => cut(text, b':'),
    };
    let port_fits = match port {
        Some(port) => !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()),
        None => host.len() == text.len(),
    };
    let inside = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_fits = match inside {
        Some(v6) => !v6.is_empty() && v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => is_host_name(host.as_bytes()),
    };
    port_fits && host_fits
}

/// Labels of letters, digits and `-`, which stands at no end of one, with a `.` between them.
fn is_host_name(name: &[u8]) -> bool {
    // As after a dot: a label has to come first.
    let mut last = b'.';
    for &b in name {
        let fits = match b {
            b'.' => last.is_ascii_alphanumeric(),
            b'-' => last != b'.',
            _ => b.is_ascii_alphanumeric(),
        };
        if !fits {
            return false;
        }
        last = b;
    }
    last.is_ascii_alphanumeric()
}

fn check_repository(name: &str) -> Result<(), ReferenceError> {
    let mut components = name.as_bytes().split(|b| *b == b'/');
    if components.all(is_path_component) {
        return Ok(());
    }
    Err(if has_upper(name) {
        ReferenceError::UpperCase(excerpt(name))
    } else if name.is_empty() || name == OFFICIAL_NAMESPACE {
        ReferenceError::NoName
    } else {
        ReferenceError::Repository(excerpt(name))
    })
}

/// Runs of `[a-z0-9]`, between them one `.`, one or two `_`, or any number of `-`.
fn is_path_component(component: &[u8]) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    // As after a dot: a word has to come first.
    let (mut before, mut last) = (b'.', b'.');
    for &b in component {
        let fits = match b {
            b'.' => is_word(last),
            b'_' => is_word(last) || (last == b'_' && is_word(before)),
            b'-' => is_word(last) || last == b'-',
            _ => is_word(b),
        };
        if !fits {
            return false;
        }
        (before, last) = (last, b);
    }
    is_word(last)
}

fn read_digest(text: &str) -> Result<Digest, ReferenceError> {
    Digest::parse(text).ok_or_else(|| ReferenceError::Digest(excerpt(text)))
}

fn check_tag(tag: &str) -> Result<&str, ReferenceError> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let fits = tag.bytes().next().is_some_and(is_word)
        && tag.len() <= 128
        && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-');
    if fits {
        Ok(tag)
    } else {
        Err(ReferenceError::Tag(excerpt(tag)))
    }
}

fn is_lower_hex(b: u8) -> bool {
    b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
}

fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

/// How much of an image's name a prefix of the settings covers: `host`, `host/path`, `*.host` for the hosts below it, `*` for all.
#[must_use]
pub fn prefix_length(prefix: &str, name: &str) -> Option<usize> {
    if prefix == "*" {
        return Some(0);
    }
    let end = match prefix.strip_prefix('*') {
        Some(suffix) => {
            let at = name.find(suffix)?;
            (at > 0 && !name[..at].contains('/')).then_some(at + suffix.len())?
        }
        None => name.starts_with(prefix).then_some(prefix.len())?,
    };
    let rest = &name[end..];
    (rest.is_empty() || rest.starts_with('/')).then_some(end)
}

#[cfg(test)]
mod tests;
