//! Which images the registry serves: the real ones of `tests/data/images`, of which only the manifests exist, and made
//! ones that contain a real program.

pub(crate) mod cases;
mod made;
mod program;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::registry::{Document, Registry};
pub(crate) use made::Image;
use made::Maker;
use program::Programs;

/// The image of the pods' sandboxes.
pub(crate) const PAUSE: &str = "docker.io/test/runs:1";

/// Publishes all images. `bin` is the folder of the programs for the made ones.
pub(crate) fn publish(registry: &Registry, bin: &Path) -> Result<()> {
    for image in real_images()? {
        image.publish(registry)?;
    }
    let programs = Programs::read(bin)?;
    for case in cases::all() {
        Maker::new(registry, &programs, &case.repository()).publish(&case.image)?;
    }
    Ok(())
}

/// A row of the catalog.
pub(crate) struct RealImage {
    /// `repository:tag`.
    pub(crate) name: String,
    /// The document that the registry must serve for it.
    pub(crate) document: Document,
    blobs: Vec<Document>,
}

/// The real images that a present-day registry can serve.
pub(crate) fn real_images() -> Result<Vec<RealImage>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/images");
    let catalog: Value = serde_json::from_slice(&read(&folder.join("catalog.json"))?)
        .context("tests/data/images/catalog.json is no JSON")?;
    let rows = catalog["images"]
        .as_array()
        .context("the catalog has no images")?;
    let servable = rows.iter().filter(|row| row["kind"] != "schema1");
    servable.map(|row| RealImage::read(&folder, row)).collect()
}

impl RealImage {
    fn read(folder: &Path, row: &Value) -> Result<Self> {
        let field = |name: &str| {
            row[name]
                .as_str()
                .with_context(|| format!("no {name} in {row}"))
        };
        let digests = row["blobs"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let blobs = digests.map(|digest| {
            let file = folder.join("blobs").join(digest.replace(':', "/"));
            read(&file).map(Document::new)
        });
        Ok(Self {
            name: field("serveAs")?.to_owned(),
            document: Document::new(read(&folder.join(field("file")?))?),
            blobs: blobs.collect::<Result<_>>()?,
        })
    }

    fn publish(&self, registry: &Registry) -> Result<()> {
        let (repository, tag) = self
            .name
            .rsplit_once(':')
            .with_context(|| format!("no tag in {}", self.name))?;
        for blob in &self.blobs {
            // A child manifest or a config: the catalog does not tell, and a link too many does no harm.
            registry.add_manifest(repository, blob)?;
            registry.add_blob(repository, blob)?;
        }
        registry.add_manifest(repository, &self.document)?;
        registry.tag(repository, tag, &self.document)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
