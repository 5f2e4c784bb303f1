//! Images that contain a program which really runs, or really fails to, on the node: one for each way in which an image
//! can name its platforms.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::read;
use crate::registry::{Registry, digest_of};

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
    let amd64 = read(&bin.join("program-amd64"))?;
    let arm64 = read(&bin.join("program-arm64"))?;
    let program = |platform: &str| if platform == ARM64 { &arm64 } else { &amd64 };

    let indexes: &[(&str, &[&str])] = &[
        ("runs", &[AMD64, ARM64]),
        ("amd64-only", &[AMD64]),
        ("arm64-only", &[ARM64]),
        ("windows-only", &[WINDOWS_2019, WINDOWS_2022]),
        ("mixed", &[WINDOWS_2022, AMD64]),
    ];
    for (name, platforms) in indexes {
        let repository = Repository::new(registry, name);
        let children = platforms
            .iter()
            .map(|platform| repository.child(platform, program(platform)));
        repository.publish(&index(&children.collect::<Result<Vec<_>>>()?))?;
    }

    let singles = [
        // (name, what the config says, what the program is)
        ("single-amd64", AMD64, &amd64),
        ("single-arm64", ARM64, &arm64),
        ("says-arm64-is-amd64", ARM64, &amd64),
        ("says-amd64-is-arm64", AMD64, &arm64),
    ];
    for (name, platform, program) in singles {
        let repository = Repository::new(registry, name);
        repository.publish(&repository.manifest(platform, program)?)?;
    }

    // The outer index names no platform for the inner one: it has to be opened.
    let nested = Repository::new(registry, "nested");
    let inner = index(&[nested.child(AMD64, &amd64)?, nested.child(ARM64, &arm64)?]);
    let inner = nested.descriptor(INDEX, &inner)?;
    nested.publish(&index(&[inner]))
}

/// Where one image's documents go.
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

    fn publish(&self, document: &Value) -> Result<()> {
        let digest = self
            .registry
            .add_manifest(&self.name, document.to_string().as_bytes())?;
        self.registry.tag(&self.name, "1", &digest)
    }

    /// An index entry for a manifest that is made for it.
    fn child(&self, platform: &str, program: &[u8]) -> Result<Value> {
        let mut descriptor = self.descriptor(MANIFEST, &self.manifest(platform, program)?)?;
        descriptor["platform"] = platform_fields(platform);
        Ok(descriptor)
    }

    fn descriptor(&self, media_type: &str, document: &Value) -> Result<Value> {
        let bytes = document.to_string();
        let digest = self.registry.add_manifest(&self.name, bytes.as_bytes())?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    }

    /// A manifest of one layer, which holds nothing but the program, and of a config for the platform.
    fn manifest(&self, platform: &str, program: &[u8]) -> Result<Value> {
        let layer = tar_of_one_file("program", program);
        let mut config = platform_fields(platform);
        config["config"] = json!({"Entrypoint": ["/program"]});
        config["rootfs"] = json!({"type": "layers", "diff_ids": [digest_of(&layer)]});
        let config = config.to_string();
        Ok(json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(CONFIG, config.as_bytes())?,
            "layers": [self.blob(LAYER, &layer)?],
        }))
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let digest = self.registry.add_blob(&self.name, bytes)?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    }
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
