//! Reads manifests, indexes and image configs as tolerantly as Go's decoder, and decides which of them a document is.
//!
//! Leaves out fetching what they point to: that is `pull`.

use std::fmt;
use std::marker::PhantomData;

use oci_distribution::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::domain::image::Digest;
use crate::domain::lookup::LookupFailure;
use crate::domain::platform::Platform;

/// Most entries of one index: an image of 1,000 platforms is an attack.
pub(super) const MAX_ENTRIES: usize = 1000;
/// Most `os.features` of one platform. Images have one, `win32k`.
const MAX_FEATURES: usize = 64;

const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
const SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// The artifact manifest that OCI 1.1 dropped before its release.
const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";

/// A document and the media type that it goes by.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) media_type: Box<str>,
    pub(super) body: Body,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    Index(Vec<Entry>),
    /// An image manifest, by the digest of its config.
    Manifest(Digest),
    Artifact,
    Schema1,
}

/// A descriptor of an index.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) kind: EntryKind,
    pub(super) platform: Option<Platform>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// An image manifest.
    Image,
    /// A nested index.
    Index,
    /// Something else, or a descriptor that does not say: containerd can take such an entry, and then fails on it.
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    media_type: Option<String>,
    #[serde(default, deserialize_with = "present")]
    manifests: Option<Option<Bounded<RawDescriptor, MAX_ENTRIES>>>,
    #[serde(default, deserialize_with = "present")]
    config: Option<Option<RawDescriptor>>,
    #[serde(default, deserialize_with = "present")]
    layers: Option<Option<IgnoredAny>>,
    #[serde(default, deserialize_with = "present")]
    fs_layers: Option<Option<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: Option<String>,
    digest: Option<String>,
    platform: Option<RawPlatform>,
}

#[derive(Deserialize)]
struct RawPlatform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    #[serde(rename = "os.version")]
    os_version: Option<String>,
    #[serde(rename = "os.features")]
    os_features: Option<Bounded<String, MAX_FEATURES>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Index,
    Manifest,
    Artifact,
    Schema1,
}

impl Kind {
    fn of(media_type: &str) -> Option<Self> {
        match media_type {
            OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE => Some(Self::Index),
            OCI_IMAGE_MEDIA_TYPE | IMAGE_MANIFEST_MEDIA_TYPE => Some(Self::Manifest),
            OCI_ARTIFACT => Some(Self::Artifact),
            SCHEMA1 | SCHEMA1_SIGNED => Some(Self::Schema1),
            _ => None,
        }
    }
}

/// Tells `null` from absent: containerd takes the mere presence of a field for its kind.
fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

/// A list, of which no more is kept than shows that it is too long: what a document of some megabytes says in two
/// bytes an entry would take a hundred times that in memory.
struct Bounded<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Bounded<T, MAX> {
    fn into_vec(self) -> Result<Vec<T>, LookupFailure> {
        match self.0.len() <= MAX {
            true => Ok(self.0),
            false => Err(LookupFailure::TooLarge),
        }
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BoundedVisitor::<T, MAX>(PhantomData))
    }
}

struct BoundedVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for BoundedVisitor<T, MAX> {
    type Value = Bounded<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while let Some(entry) = list.next_element()? {
            kept.push(entry);
            if kept.len() > MAX {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
        }
        Ok(Bounded(kept))
    }
}

/// Reads the answer of a manifest request, given its `Content-Type`.
///
/// A document that is two things at once, by its fields or by its media types, is nobody's to judge
/// (CVE-2021-41190; containerd's `validateMediaType`).
pub(super) fn parse_document(
    content_type: Option<&str>,
    bytes: &[u8],
) -> Result<Document, LookupFailure> {
    let raw: RawDocument = serde_json::from_slice(bytes).map_err(|_| LookupFailure::Malformed)?;
    let content_type = content_type.map(essence);
    let kind = decide_kind(content_type.as_deref(), &raw)?;
    let media_type = [content_type.as_deref(), raw.media_type.as_deref()]
        .into_iter()
        .flatten()
        .find(|media_type| Kind::of(media_type) == Some(kind))
        .unwrap_or(match kind {
            Kind::Index => OCI_IMAGE_INDEX_MEDIA_TYPE,
            Kind::Manifest => OCI_IMAGE_MEDIA_TYPE,
            Kind::Artifact => OCI_ARTIFACT,
            Kind::Schema1 => SCHEMA1,
        })
        .into();
    let body = match kind {
        Kind::Index => {
            let manifests = raw.manifests.flatten().map(Bounded::into_vec);
            let manifests = manifests.transpose()?;
            Body::Index(entries(manifests.unwrap_or_default())?)
        }
        Kind::Manifest => manifest_body(raw.config.flatten())?,
        Kind::Artifact => Body::Artifact,
        Kind::Schema1 => Body::Schema1,
    };
    Ok(Document { media_type, body })
}

/// A media type without its parameters.
fn essence(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn decide_kind(content_type: Option<&str>, raw: &RawDocument) -> Result<Kind, LookupFailure> {
    let is_manifest = raw.config.is_some() || raw.layers.is_some();
    let by_fields = match (
        raw.manifests.is_some(),
        is_manifest,
        raw.fs_layers.is_some(),
    ) {
        (true, false, false) => Some(Kind::Index),
        (false, true, false) => Some(Kind::Manifest),
        (false, false, true) => Some(Kind::Schema1),
        (false, false, false) => None,
        _ => return Err(LookupFailure::Malformed),
    };
    let stated = raw
        .media_type
        .as_deref()
        .filter(|stated| !stated.is_empty());
    // A proxy's own error under the Content-Type of the answer that it replaced is no empty index.
    if by_fields.is_none() && stated.is_none() {
        return Err(LookupFailure::Malformed);
    }
    let by_type = [content_type.and_then(Kind::of), stated.and_then(Kind::of)];
    let mut agreed = by_fields;
    for kind in by_type.into_iter().flatten() {
        if agreed.is_some_and(|agreed| agreed != kind) {
            return Err(LookupFailure::Malformed);
        }
        agreed = Some(kind);
    }
    // A document that names a type of its own, which no Content-Type explains, is something else.
    let is_foreign = stated.is_some() && by_type == [None, None];
    agreed
        .filter(|_| !is_foreign)
        .ok_or(LookupFailure::Malformed)
}

fn entries(descriptors: Vec<RawDescriptor>) -> Result<Vec<Entry>, LookupFailure> {
    let entry = |raw: RawDescriptor| {
        let kind = match raw.media_type.as_deref() {
            None | Some("") => EntryKind::Other,
            Some(media_type) => match Kind::of(media_type) {
                Some(Kind::Index) => EntryKind::Index,
                Some(Kind::Manifest) => EntryKind::Image,
                _ => EntryKind::Other,
            },
        };
        Ok(Entry {
            digest: digest_of(raw.digest.as_deref())?,
            kind,
            platform: raw.platform.map(platform_of).transpose()?,
        })
    };
    descriptors.into_iter().map(entry).collect()
}

fn digest_of(text: Option<&str>) -> Result<Digest, LookupFailure> {
    text.and_then(Digest::parse).ok_or(LookupFailure::Malformed)
}

/// An image by the media type of its config; early Docker versions wrote none of their own.
fn manifest_body(config: Option<RawDescriptor>) -> Result<Body, LookupFailure> {
    let config = config.ok_or(LookupFailure::Malformed)?;
    match config.media_type.as_deref().unwrap_or_default() {
        IMAGE_CONFIG_MEDIA_TYPE
        | IMAGE_DOCKER_CONFIG_MEDIA_TYPE
        | "application/octet-stream"
        | "" => Ok(Body::Manifest(digest_of(config.digest.as_deref())?)),
        _ => Ok(Body::Artifact),
    }
}

fn platform_of(raw: RawPlatform) -> Result<Platform, LookupFailure> {
    let non_empty = |text: Option<String>| text.filter(|text| !text.is_empty());
    let os_features = raw.os_features.map(Bounded::into_vec).transpose()?;
    Ok(Platform {
        os: raw.os.unwrap_or_default(),
        architecture: raw.architecture.unwrap_or_default(),
        variant: non_empty(raw.variant),
        os_version: non_empty(raw.os_version),
        os_features: os_features.unwrap_or_default(),
    })
}

/// The platform that an image config states.
pub(super) fn parse_config(bytes: &[u8]) -> Result<Platform, LookupFailure> {
    let raw: RawPlatform = serde_json::from_slice(bytes).map_err(|_| LookupFailure::Malformed)?;
    platform_of(raw)
}

#[cfg(test)]
mod tests;
