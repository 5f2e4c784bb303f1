//! Makes images from a description: every way in which an image can name its platforms, with a real program inside.

use std::cell::Cell;

use anyhow::Result;
use serde_json::{Value, json};

use super::program::{Program, Programs};
use crate::registry::{Document, Registry};

/// What an image is made of. Platforms are written `os/architecture[/variant][:os.version][+os.feature]`; a part that is
/// left out is left out of the document too.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Image {
    /// A manifest whose config names this platform, with a program for it.
    Single(&'static str),
    /// A manifest whose config names this platform, with another program.
    Lying(&'static str, Program),
    /// A single manifest of Docker's media types.
    DockerSingle(&'static str),
    /// A single manifest as early Docker versions pushed it: the config's media type says nothing.
    OldDockerSingle(&'static str),
    Index(&'static [Entry]),
    /// A manifest list: an index of Docker's media types.
    DockerList(&'static [Entry]),
    /// An index that leaves its own media type out, as the OCI allows.
    UntypedIndex(&'static [Entry]),
    /// An index that says what a manifest says as well.
    IndexAndManifest(&'static [Entry]),
    /// A manifest of something that is no image.
    Artifact,
    /// Not made, but one of `tests/data/images`.
    Real,
}

/// A descriptor of an index.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entry {
    /// Names a platform and is for it.
    For(&'static str),
    /// Names a platform, whatever it points to.
    Says(&'static str, Image),
    /// Names no platform.
    Silent(Image),
    /// Names a platform and is for it, but leaves out the media type that the OCI demands.
    Untyped(&'static str),
}

struct MediaTypes {
    manifest: &'static str,
    config: &'static str,
    layer: &'static str,
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI: MediaTypes = MediaTypes {
    manifest: "application/vnd.oci.image.manifest.v1+json",
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.oci.image.layer.v1.tar",
};
const DOCKER: MediaTypes = MediaTypes {
    manifest: "application/vnd.docker.distribution.manifest.v2+json",
    config: "application/vnd.docker.container.image.v1+json",
    layer: "application/vnd.docker.image.rootfs.diff.tar",
};
const OLD_DOCKER: MediaTypes = MediaTypes {
    config: "application/octet-stream",
    ..DOCKER
};

/// Makes images into a repository of the registry.
pub(super) struct Maker<'a> {
    registry: &'a Registry,
    programs: &'a Programs,
    repository: String,
    /// How many configs were made: each has its number, so that no two images share a manifest and none finds on the
    /// node what was pulled for another.
    configs: Cell<usize>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(registry: &'a Registry, programs: &'a Programs, repository: &str) -> Self {
        Self {
            registry,
            programs,
            repository: repository.to_owned(),
            configs: Cell::new(0),
        }
    }

    /// Makes the image that the tag `1` names.
    pub(super) fn publish(&self, image: &Image) -> Result<()> {
        let Some((_, document)) = self.make(image)? else {
            return Ok(());
        };
        self.registry.tag(&self.repository, "1", &document)
    }

    /// Publishes a manifest or index with all that belongs to it. Gives its media type with it.
    fn make(&self, image: &Image) -> Result<Option<(&'static str, Document)>> {
        let (media_type, content) = match image {
            Image::Single(platform) => self.manifest(&OCI, platform, Program::of(platform))?,
            Image::Lying(platform, program) => self.manifest(&OCI, platform, *program)?,
            Image::DockerSingle(platform) => {
                self.manifest(&DOCKER, platform, Program::of(platform))?
            }
            Image::OldDockerSingle(platform) => {
                self.manifest(&OLD_DOCKER, platform, Program::of(platform))?
            }
            Image::Index(entries) => self.index(INDEX, entries)?,
            Image::DockerList(entries) => self.index(DOCKER_LIST, entries)?,
            Image::UntypedIndex(entries) => {
                let (media_type, mut content) = self.index(INDEX, entries)?;
                content
                    .as_object_mut()
                    .map(|fields| fields.remove("mediaType"));
                (media_type, content)
            }
            Image::IndexAndManifest(entries) => {
                let (media_type, mut content) = self.index(INDEX, entries)?;
                let (_, manifest) = self.manifest(&OCI, "linux/amd64", Program::Amd64)?;
                content["config"] = manifest["config"].clone();
                content["layers"] = manifest["layers"].clone();
                (media_type, content)
            }
            Image::Artifact => self.artifact()?,
            Image::Real => return Ok(None),
        };
        let document = document(&content);
        self.registry.add_manifest(&self.repository, &document)?;
        Ok(Some((media_type, document)))
    }

    fn index(&self, media_type: &'static str, entries: &[Entry]) -> Result<(&'static str, Value)> {
        let entries: Result<Vec<Value>> = entries.iter().map(|entry| self.entry(entry)).collect();
        let content = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries?});
        Ok((media_type, content))
    }

    fn entry(&self, entry: &Entry) -> Result<Value> {
        let (platform, image) = match entry {
            Entry::For(platform) | Entry::Untyped(platform) => {
                (Some(platform), Image::Single(platform))
            }
            Entry::Says(platform, image) => (Some(platform), *image),
            Entry::Silent(image) => (None, *image),
        };
        let Some((media_type, document)) = self.make(&image)? else {
            return Ok(Value::Null);
        };
        let mut descriptor = descriptor(media_type, &document);
        if let Some(platform) = platform {
            descriptor["platform"] = platform_fields(platform);
        }
        if platform == Some(&"unknown/unknown") {
            descriptor["annotations"] =
                json!({"vnd.docker.reference.type": "attestation-manifest"});
        }
        if let (Entry::Untyped(_), Some(fields)) = (entry, descriptor.as_object_mut()) {
            fields.remove("mediaType");
        }
        Ok(descriptor)
    }

    fn manifest(
        &self,
        types: &MediaTypes,
        platform: &str,
        program: Program,
    ) -> Result<(&'static str, Value)> {
        let number = self.configs.replace(self.configs.get() + 1);
        let layer = self.programs.layer(program);
        let mut config = platform_fields(platform);
        config["config"] = json!({
            "Entrypoint": ["/program"],
            "Labels": {"image": self.repository, "number": number.to_string()},
        });
        config["rootfs"] = json!({"type": "layers", "diff_ids": [layer.digest]});
        let content = json!({
            "schemaVersion": 2,
            "mediaType": types.manifest,
            "config": self.blob(types.config, &document(&config))?,
            "layers": [self.blob(types.layer, layer)?],
        });
        Ok((types.manifest, content))
    }

    fn artifact(&self) -> Result<(&'static str, Value)> {
        let nothing = Document::new(b"{}".to_vec());
        let content = json!({
            "schemaVersion": 2,
            "mediaType": OCI.manifest,
            "artifactType": "application/vnd.example.sbom",
            "annotations": {"image": self.repository},
            "config": self.blob("application/vnd.oci.empty.v1+json", &nothing)?,
            "layers": [self.blob("application/vnd.example.sbom+json", &nothing)?],
        });
        Ok((OCI.manifest, content))
    }

    fn blob(&self, media_type: &str, document: &Document) -> Result<Value> {
        self.registry.add_blob(&self.repository, document)?;
        Ok(descriptor(media_type, document))
    }
}

fn document(content: &Value) -> Document {
    Document::new(content.to_string().into_bytes())
}

fn descriptor(media_type: &str, document: &Document) -> Value {
    json!({"mediaType": media_type, "digest": document.digest, "size": document.bytes.len()})
}

/// The fields that index entries and configs share.
fn platform_fields(platform: &str) -> Value {
    let (platform, feature) = platform.split_once('+').unwrap_or((platform, ""));
    let (platform, version) = platform.split_once(':').unwrap_or((platform, ""));
    let mut words = platform.splitn(3, '/');
    let mut fields = json!({});
    for name in ["os", "architecture", "variant"] {
        if let Some(word) = words.next().filter(|word| !word.is_empty()) {
            fields[name] = json!(word);
        }
    }
    if !version.is_empty() {
        fields["os.version"] = json!(version);
    }
    if !feature.is_empty() {
        fields["os.features"] = json!([feature]);
    }
    fields
}
