//! A real registry (distribution) over TLS, and publishing to it.
//!
//! Documents are written to its storage folder instead of being pushed: a registry refuses an index whose children it
//! does not have, and those of most real images are not in the tests' data. It serves what it finds byte for byte.
//! It cannot serve schema 1 manifests, which it no longer knows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use sha2::{Digest, Sha256};

use crate::cluster::layout::{Layout, REGISTRY_ADDRESS, write_file};
use crate::cluster::pki::Authority;
use crate::process::Process;
use crate::wait::until;

const PORT: u16 = 5000;

/// The running registry.
pub(crate) struct Registry {
    storage: PathBuf,
    ca: PathBuf,
    _process: Process,
}

impl Registry {
    /// Starts it, with an authority of its own.
    pub(crate) fn start(layout: &Layout) -> Result<Self> {
        let authority = Authority::create(layout, "registry-ca")?;
        let identity = authority.server(layout, "registry", &[REGISTRY_ADDRESS])?;
        let storage = layout.state_of("registry")?;
        let config = format!(
            "
version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: '{storage}'}}, delete: {{enabled: true}}}}
http:
  addr: {REGISTRY_ADDRESS}:{PORT}
  tls: {{certificate: '{certificate}', key: '{key}'}}
# An index may be pushed without its children.
validation: {{manifests: {{indexes: {{platforms: none}}}}}}
",
            storage = storage.display(),
            certificate = identity.certificate.display(),
            key = identity.key.display(),
        );
        let config = layout.write("registry.yaml", &config)?;
        let mut command = layout.command("registry");
        command.arg("serve").arg(config);
        let mut process = Process::start("registry", &layout.logs, &mut command)?;
        until("the registry answers", Duration::from_secs(30), || {
            process.check_running()?;
            Ok(std::net::TcpStream::connect((REGISTRY_ADDRESS, PORT))
                .is_ok()
                .then_some(()))
        })?;
        Ok(Self {
            storage,
            ca: authority.certificate,
            _process: process,
        })
    }

    /// `host:port`, as it stands in an image reference.
    pub(crate) fn host(&self) -> String {
        format!("{REGISTRY_ADDRESS}:{PORT}")
    }

    /// `https://host:port`, as it stands in a mirror's configuration.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.host())
    }

    /// The certificate of its authority.
    pub(crate) fn ca(&self) -> &Path {
        &self.ca
    }

    /// Publishes a manifest or an index under its digest, which is returned.
    pub(crate) fn add_manifest(&self, repository: &str, content: &[u8]) -> Result<String> {
        self.add(repository, "_manifests/revisions", content)
    }

    /// Publishes a config or a layer.
    pub(crate) fn add_blob(&self, repository: &str, content: &[u8]) -> Result<String> {
        self.add(repository, "_layers", content)
    }

    /// Lets a tag name a manifest, and no longer the one before.
    pub(crate) fn tag(&self, repository: &str, tag: &str, digest: &str) -> Result<()> {
        let tag = self
            .repository(repository)
            .join("_manifests/tags")
            .join(tag);
        write_file(&tag.join("current/link"), digest.as_bytes())?;
        write_file(
            &tag.join("index/sha256").join(hex_of(digest)).join("link"),
            digest.as_bytes(),
        )
    }

    fn add(&self, repository: &str, kind: &str, content: &[u8]) -> Result<String> {
        let digest = digest_of(content);
        let hex = hex_of(&digest);
        let data = self
            .storage
            .join("docker/registry/v2/blobs/sha256")
            .join(&hex[..2])
            .join(hex);
        write_file(&data.join("data"), content)?;
        let link = self
            .repository(repository)
            .join(kind)
            .join("sha256")
            .join(hex)
            .join("link");
        write_file(&link, digest.as_bytes())?;
        Ok(digest)
    }

    fn repository(&self, repository: &str) -> PathBuf {
        self.storage
            .join("docker/registry/v2/repositories")
            .join(repository)
    }
}

/// `sha256:<hex>` of a document.
pub(crate) fn digest_of(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn hex_of(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}
