//! Puts an `Image` together: the document that a reference resolves to, the nested indexes and the configs that a
//! verdict needs, each checked against its digest.
//!
//! Leaves out which endpoint is asked and what is kept: that is `registry` and `cache`.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::digest::verify;
use super::endpoint::Content;
use super::manifest::{Body, Document, Entry, EntryKind, parse_config, parse_document};
use super::session::{Call, Session};
use crate::domain::image::{Digest, EntryContent, Image, ImageContent, ImageIndex, IndexEntry};
use crate::domain::lookup::LookupFailure;
use crate::domain::platform::Platform;

/// Most bytes of a manifest or index (what containerd and the distribution-spec take) and of an image config.
const MAX_MANIFEST: usize = 4 << 20;
const MAX_CONFIG: usize = 8 << 20;
/// Most levels of indexes inside the first, and most documents read for one image besides it.
const MAX_DEPTH: usize = 2;
const MAX_CHILDREN: usize = 16;
/// How many of them are read at the same time.
const CHILDREN_AT_ONCE: usize = 4;

/// The types that can be judged, then any, since a registry may have no other.
const ACCEPT_MANIFEST: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, */*";

/// Reads the image of a tag or digest from one repository.
pub(super) async fn pull(
    session: &Session<'_>,
    version: &str,
    requested: Option<&Digest>,
) -> Result<Image, LookupFailure> {
    let (digest, document) = manifest(session, version, requested).await?;
    let content = match document.body {
        Body::Index(entries) => {
            let children = Children {
                session,
                left: AtomicUsize::new(MAX_CHILDREN),
            };
            ImageContent::Index(children.index(entries, MAX_DEPTH).await)
        }
        Body::Manifest(config) => {
            ImageContent::Manifest(config_platform(session, &config).await?.into())
        }
        Body::Artifact => ImageContent::Artifact,
        Body::Schema1 => ImageContent::Schema1,
    };
    Ok(Image {
        digest,
        media_type: document.media_type,
        content,
    })
}

/// The digest that a tag has now, by HEAD. `None` where the registry does not say.
pub(super) async fn resolve_tag(
    session: &Session<'_>,
    tag: &str,
) -> Result<Option<Digest>, LookupFailure> {
    let answer = session
        .request(&manifest_call(session, Method::HEAD, tag))
        .await?;
    announced_digest(answer.headers())
}

fn manifest_call(session: &Session<'_>, method: Method, version: &str) -> Call {
    Call {
        method,
        url: session.endpoint.url(Content::Manifest, version),
        accept: ACCEPT_MANIFEST,
    }
}

async fn manifest(
    session: &Session<'_>,
    version: &str,
    requested: Option<&Digest>,
) -> Result<(Digest, Document), LookupFailure> {
    let answer = session
        .request(&manifest_call(session, Method::GET, version))
        .await?;
    let announced = announced_digest(answer.headers())?;
    let content_type = answer.headers().get(CONTENT_TYPE).cloned();
    let bytes = session.read_body(answer, MAX_MANIFEST).await?;
    let content_type = content_type.as_ref().and_then(|value| value.to_str().ok());
    let document = parse_document(content_type, &bytes);
    // The digest of a signed schema 1 manifest is that of the payload without its signatures.
    let is_schema1 = document
        .as_ref()
        .is_ok_and(|document| document.body == Body::Schema1);
    let digest = match requested.or(announced.as_ref()) {
        Some(digest) if is_schema1 => digest.clone(),
        _ => verify(&bytes, requested, announced.as_ref())?,
    };
    Ok((digest, document?))
}

fn announced_digest(headers: &HeaderMap) -> Result<Option<Digest>, LookupFailure> {
    let Some(value) = headers.get("docker-content-digest") else {
        return Ok(None);
    };
    let digest = value.to_str().ok().and_then(Digest::parse);
    digest.map(Some).ok_or(LookupFailure::Malformed)
}

async fn config_platform(
    session: &Session<'_>,
    digest: &Digest,
) -> Result<Platform, LookupFailure> {
    let call = Call {
        method: Method::GET,
        url: session.endpoint.url(Content::Blob, digest.as_str()),
        accept: "*/*",
    };
    let answer = session.request(&call).await?;
    let bytes = session.read_body(answer, MAX_CONFIG).await?;
    verify(&bytes, Some(digest), None)?;
    parse_config(&bytes)
}

/// The documents that an index points to, up to a number.
struct Children<'a> {
    session: &'a Session<'a>,
    left: AtomicUsize,
}

impl Children<'_> {
    /// Reads what must be read of an index: every nested index, down to a depth, and the first entry without a
    /// platform, since runtimes look at no other (SEMANTICS 1.4).
    fn index(&self, entries: Vec<Entry>, depth: usize) -> BoxFuture<'_, ImageIndex> {
        let first_without = entries.iter().position(|entry| entry.platform.is_none());
        let read = entries
            .into_iter()
            .enumerate()
            .map(move |(i, entry)| async move {
                let is_wanted = Some(i) == first_without;
                let content = match entry.kind {
                    EntryKind::Index => self.nested(&entry.digest, depth).await,
                    EntryKind::Image if is_wanted => self.image(&entry.digest).await,
                    EntryKind::Image => Ok(EntryContent::Unread),
                    EntryKind::Other => Err(LookupFailure::Malformed),
                };
                let content = content.unwrap_or_else(EntryContent::Failed);
                IndexEntry::new(entry.digest, entry.platform, content)
            });
        async move {
            ImageIndex {
                manifests: stream::iter(read)
                    .buffered(CHILDREN_AT_ONCE)
                    .collect()
                    .await,
            }
        }
        .boxed()
    }

    async fn nested(&self, digest: &Digest, depth: usize) -> Result<EntryContent, LookupFailure> {
        let depth = depth.checked_sub(1).ok_or(LookupFailure::TooLarge)?;
        match self.child(digest).await?.body {
            Body::Index(entries) => Ok(EntryContent::Index(self.index(entries, depth).await)),
            _ => Err(LookupFailure::Malformed),
        }
    }

    /// An artifact has the platform that runtimes read from its config: none.
    async fn image(&self, digest: &Digest) -> Result<EntryContent, LookupFailure> {
        let platform = match self.child(digest).await?.body {
            Body::Manifest(config) => config_platform(self.session, &config).await?,
            Body::Artifact => Platform::default(),
            Body::Index(_) | Body::Schema1 => return Err(LookupFailure::Malformed),
        };
        Ok(EntryContent::Manifest(platform.into()))
    }

    async fn child(&self, digest: &Digest) -> Result<Document, LookupFailure> {
        let take = |left: usize| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .map_err(|_| LookupFailure::TooLarge)?;
        let (_, document) = manifest(self.session, digest.as_str(), Some(digest)).await?;
        Ok(document)
    }
}
