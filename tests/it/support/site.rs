//! Documents for a scripted registry: made up by the test, or those of `tests/data/images`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use platform_gate::domain::image::Digest;
use serde::Deserialize;
use sha2::Digest as _;

use super::registry::{Answer, Received};

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Manifests and blobs by path.
#[derive(Debug, Default)]
pub(crate) struct Site {
    answers: HashMap<String, Answer>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Serves a document by a tag and by its digest.
    pub(crate) fn manifest(
        mut self,
        repository: &str,
        tag: &str,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        let body = body.into();
        let digest = digest_of(&body).to_string();
        let answer = Answer::new(200)
            .header("content-type", content_type)
            .header("docker-content-digest", digest.as_str())
            .body(body);
        for version in [tag, &digest] {
            let path = format!("/v2/{repository}/manifests/{version}");
            self.answers.insert(path, answer.clone());
        }
        self
    }

    /// Serves a blob by its digest.
    pub(crate) fn blob(mut self, repository: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let path = format!("/v2/{repository}/blobs/{}", digest_of(&body));
        self.answers.insert(path, Answer::new(200).body(body));
        self
    }

    /// An image of one platform: its manifest by tag and its config.
    pub(crate) fn image(self, repository: &str, tag: &str, config: &str) -> Self {
        let manifest = manifest_of(config);
        self.manifest(repository, tag, MANIFEST, manifest)
            .blob(repository, config)
    }

    /// Serves all of `tests/data/images`, each under its `serveAs`, its known children and configs too.
    pub(crate) fn of_fixtures() -> Self {
        let folder = fixtures();
        let mut site = Self::new();
        for image in catalog() {
            let (repository, tag) = image.serve_as.rsplit_once(':').unwrap();
            let body = std::fs::read(folder.join(&image.file)).unwrap();
            site = site.manifest(repository, tag, &image.content_type, body);
            for digest in image.blobs.unwrap_or_default() {
                let hex = digest.trim_start_matches("sha256:");
                let body = std::fs::read(folder.join("blobs/sha256").join(hex)).unwrap();
                site = site.child(repository, &digest, &body);
            }
        }
        site
    }

    /// Serves a child as a manifest where it says that it is one, and as a blob in any case.
    fn child(mut self, repository: &str, digest: &str, body: &[u8]) -> Self {
        let stated: Option<Stated> = serde_json::from_slice(body).ok();
        if let Some(content_type) = stated.and_then(|stated| stated.media_type) {
            self = self.manifest(repository, digest, &content_type, body);
        }
        self.blob(repository, body)
    }

    /// The answer to a request: 404 where nothing is there.
    pub(crate) fn answer(&self, request: &Received) -> Answer {
        let found = self.answers.get(&request.path).cloned();
        found.unwrap_or_else(|| Answer::new(404))
    }
}

#[derive(Deserialize)]
struct Catalog {
    images: Vec<CatalogImage>,
}

/// What `catalog.json` says of one recorded image, as far as tests use it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CatalogImage {
    pub(crate) file: String,
    pub(crate) serve_as: String,
    pub(crate) kind: String,
    pub(crate) digest: String,
    pub(crate) platforms: Vec<String>,
    content_type: String,
    blobs: Option<Vec<String>>,
}

/// The rows of `catalog.json`.
pub(crate) fn catalog() -> Vec<CatalogImage> {
    let text = std::fs::read_to_string(fixtures().join("catalog.json")).unwrap();
    serde_json::from_str::<Catalog>(&text).unwrap().images
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stated {
    media_type: Option<String>,
}

/// The folder of recorded images.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/images")
}

/// The manifest of an image with this config.
pub(crate) fn manifest_of(config: &str) -> String {
    let digest = digest_of(config.as_bytes());
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"{CONFIG}","digest":"{digest}","size":{}}},"layers":[]}}"#,
        config.len()
    )
}

/// An index of these descriptors.
pub(crate) fn index_of(descriptors: &[String]) -> String {
    let descriptors = descriptors.join(",");
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{descriptors}]}}"#)
}

/// A descriptor of a document, with a platform `os/architecture` or none.
pub(crate) fn descriptor(media_type: &str, document: &str, platform: Option<&str>) -> String {
    let platform = platform.and_then(|platform| platform.split_once('/'));
    let platform = platform.map_or(String::new(), |(os, architecture)| {
        format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"}}"#)
    });
    let digest = digest_of(document.as_bytes());
    format!(
        r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}{platform}}}"#,
        document.len()
    )
}

pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    let hash = sha2::Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Digest::parse(&format!("sha256:{hex}")).unwrap()
}
