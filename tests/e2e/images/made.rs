//! Images that contain a program which really runs, or really fails to, on the node: one for each way in which an image
//! can name its platforms.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::read;
use crate::registry::{Document, Registry};

/// The image of the pods' sandboxes.
pub(crate) const PAUSE: &str = "docker.io/test/runs:1";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

const AMD64: &str = "linux/amd64";
const ARM64: &str = "linux/arm64";
const WINDOWS_2019: &str = "windows/amd64:10.0.17763.5458";
const WINDOWS_2022: &str = "windows/amd64:10.0.20348.2402";

/// Publishes all of them, as `test/<name>:1`.
pub(super) fn publish(registry: &Registry, bin: &Path) -> Result<()> {
    let amd64 = layer(&bin.join("program-amd64"))?;
    let arm64 = layer(&bin.join("program-arm64"))?;

    let indexes: &[(&str, &[&str])] = &[
        ("runs", &[AMD64, ARM64]),
        ("amd64-only", &[AMD64]),
        ("arm64-only", &[ARM64]),
        ("windows-only", &[WINDOWS_2019, WINDOWS_2022]),
        ("mixed", &[WINDOWS_2022, AMD64]),
    ];
    for (name, platforms) in indexes {
        let repository = Repository::new(registry, name);
        let layer = |platform: &str| if platform == ARM64 { &arm64 } else { &amd64 };
        let children = platforms
            .iter()
            .map(|platform| repository.child(platform, layer(platform)));
        repository.publish(&index(&children.collect::<Result<Vec<_>>>()?))?;
    }

    let singles = [
        // (name, what the config says, what the program is)
        ("single-amd64", AMD64, &amd64),
        ("single-arm64", ARM64, &arm64),
        ("says-arm64-is-amd64", ARM64, &amd64),
        ("says-amd64-is-arm64", AMD64, &arm64),
    ];
    for (name, platform, layer) in singles {
        let repository = Repository::new(registry, name);
        repository.publish(&repository.manifest(platform, layer)?)?;
    }

    // The outer index names no platform for the inner one: it has to be opened.
    let nested = Repository::new(registry, "nested");
    let inner = index(&[nested.child(AMD64, &amd64)?, nested.child(ARM64, &arm64)?]);
    let inner = nested.add_manifest(INDEX, &inner)?;
    nested.publish(&index(&[inner]))
}

/// A layer that holds nothing but the program.
fn layer(program: &Path) -> Result<Document> {
    Ok(Document::new(tar_of_one_file("program", &read(program)?)))
}

fn document(content: &Value) -> Document {
    Document::new(content.to_string().into_bytes())
}

/// Where one image's documents go. What is added is described by the returned descriptor.
struct Repository<'a> {
    registry: &'a Registry,
    name: String,
}

impl<'a> Repository<'a> {
    fn new(registry: &'a Registry, name: &str) -> Self {
        Self {
            registry,
            name: format!("test/{name}"),
        }
    }

    fn publish(&self, content: &Value) -> Result<()> {
        let document = document(content);
        self.registry.add_manifest(&self.name, &document)?;
        self.registry.tag(&self.name, "1", &document)
    }

    /// An index entry for a manifest that is made for it.
    fn child(&self, platform: &str, layer: &Document) -> Result<Value> {
        let mut descriptor = self.add_manifest(MANIFEST, &self.manifest(platform, layer)?)?;
        descriptor["platform"] = platform_fields(platform);
        Ok(descriptor)
    }

    fn manifest(&self, platform: &str, layer: &Document) -> Result<Value> {
        let mut config = platform_fields(platform);
        config["config"] = json!({"Entrypoint": ["/program"]});
        config["rootfs"] = json!({"type": "layers", "diff_ids": [layer.digest]});
        Ok(json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.add_blob(CONFIG, &document(&config))?,
            "layers": [self.add_blob(LAYER, layer)?],
        }))
    }

    fn add_manifest(&self, media_type: &str, content: &Value) -> Result<Value> {
        let document = document(content);
        self.registry.add_manifest(&self.name, &document)?;
        Ok(descriptor(media_type, &document))
    }

    fn add_blob(&self, media_type: &str, document: &Document) -> Result<Value> {
        self.registry.add_blob(&self.name, document)?;
        Ok(descriptor(media_type, document))
    }
}

fn descriptor(media_type: &str, document: &Document) -> Value {
    json!({"mediaType": media_type, "digest": document.digest, "size": document.bytes.len()})
}

fn index(children: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children})
}

/// The fields that index entries and configs share, from `os/architecture[:os.version]`.
fn platform_fields(platform: &str) -> Value {
    let (platform, version) = platform
        .split_once(':')
        .map_or((platform, None), |(p, v)| (p, Some(v)));
    let (os, architecture) = platform.split_once('/').unwrap_or((platform, ""));
    let mut fields = json!({"os": os, "architecture": architecture});
    if let Some(version) = version {
        fields["os.version"] = json!(version);
    }
    fields
}

/// A tar archive (ustar) of one executable file, the same bytes for the same content.
fn tar_of_one_file(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0u8; 512];
    let mut put = |offset: usize, text: &str| {
        header[offset..offset + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, name);
    put(100, "0000755\0"); // mode
    put(108, "0000000\0"); // user
    put(116, "0000000\0"); // group
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0"); // time
    put(148, "        "); // the checksum counts as spaces
    put(156, "0"); // a file
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());

    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    // The file fills its last block, then two empty blocks end the archive.
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}
