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
use crate::cluster::pki::{Authority, Identity};
use crate::process::Process;
use crate::wait::until;

const PORT: u16 = 5000;
/// Where the same images are served to whoever has the password.
const PRIVATE_PORT: u16 = 5001;
/// Who is let in there, and the password.
pub(crate) const LOGIN: [&str; 2] = ["good", "secret"];
/// The same, as `htpasswd -B` writes it.
const PASSWORDS: &str = "good:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// The running registry.
pub(crate) struct Registry {
    storage: PathBuf,
    ca: PathBuf,
    _processes: [Process; 2],
}

impl Registry {
    /// Starts it, with an authority of its own.
    pub(crate) fn start(layout: &Layout) -> Result<Self> {
        let authority = Authority::create(layout, "registry-ca")?;
        let identity = authority.server(layout, "registry", &[REGISTRY_ADDRESS])?;
        let storage = layout.state_of("registry")?;
        let passwords = layout.write("htpasswd", PASSWORDS)?;
        let login = format!(
            "auth: {{htpasswd: {{realm: tests, path: '{}'}}}}",
            passwords.display()
        );
        let serve = |name, port, auth: &str| {
            let config = config(&storage, &identity, port) + auth;
            serve(layout, name, port, &config)
        };
        Ok(Self {
            _processes: [
                serve("registry", PORT, "")?,
                serve("private-registry", PRIVATE_PORT, &login)?,
            ],
            storage,
            ca: authority.certificate,
        })
    }

    /// `host:port`, as it stands in an image reference.
    pub(crate) fn host(&self) -> String {
        format!("{REGISTRY_ADDRESS}:{PORT}")
    }

    /// The same, where a password is asked for.
    pub(crate) fn private_host(&self) -> String {
        format!("{REGISTRY_ADDRESS}:{PRIVATE_PORT}")
    }

    /// `https://host:port`, as it stands in a mirror's configuration.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.host())
    }

    /// The certificate of its authority.
    pub(crate) fn ca(&self) -> &Path {
        &self.ca
    }

    /// Publishes a manifest or an index under its digest.
    pub(crate) fn add_manifest(&self, repository: &str, document: &Document) -> Result<()> {
        self.add(repository, "_manifests/revisions", document)
    }

    /// Publishes a config or a layer.
    pub(crate) fn add_blob(&self, repository: &str, document: &Document) -> Result<()> {
        self.add(repository, "_layers", document)
    }

    /// Lets a tag name a manifest, and no longer the one before.
    pub(crate) fn tag(&self, repository: &str, tag: &str, manifest: &Document) -> Result<()> {
        let tag = self
            .repository(repository)
            .join("_manifests/tags")
            .join(tag);
        let entry = tag.join("index/sha256").join(manifest.hex()).join("link");
        write_file(&entry, manifest.digest.as_bytes())?;
        write_file(&tag.join("current/link"), manifest.digest.as_bytes())
    }

    fn add(&self, repository: &str, kind: &str, document: &Document) -> Result<()> {
        let hex = document.hex();
        let blobs = self.storage.join("docker/registry/v2/blobs/sha256");
        let data = blobs.join(&hex[..2]).join(hex).join("data");
        if !data.exists() {
            write_file(&data, &document.bytes)?;
        }
        let link = self
            .repository(repository)
            .join(kind)
            .join("sha256")
            .join(hex)
            .join("link");
        write_file(&link, document.digest.as_bytes())
    }

    fn repository(&self, repository: &str) -> PathBuf {
        self.storage
            .join("docker/registry/v2/repositories")
            .join(repository)
    }
}

fn config(storage: &Path, identity: &Identity, port: u16) -> String {
    format!(
        "
version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: '{storage}'}}, delete: {{enabled: true}}}}
http:
  addr: {REGISTRY_ADDRESS}:{port}
  tls: {{certificate: '{certificate}', key: '{key}'}}
# An index may be pushed without its children.
validation: {{manifests: {{indexes: {{platforms: none}}}}}}
",
        storage = storage.display(),
        certificate = identity.certificate.display(),
        key = identity.key.display(),
    )
}

fn serve(layout: &Layout, name: &str, port: u16, config: &str) -> Result<Process> {
    let config = layout.write(&format!("{name}.yaml"), config)?;
    let mut command = layout.command("registry");
    command.arg("serve").arg(config);
    let mut process = Process::start(name, &layout.logs, &mut command)?;
    until("the registry answers", Duration::from_secs(30), || {
        process.check_running()?;
        Ok(std::net::TcpStream::connect((REGISTRY_ADDRESS, port))
            .is_ok()
            .then_some(()))
    })?;
    Ok(process)
}

/// Bytes and the digest that names them.
pub(crate) struct Document {
    pub(crate) bytes: Vec<u8>,
    /// `sha256:<hex>`
    pub(crate) digest: String,
}

impl Document {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let hash = Sha256::digest(&bytes);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            bytes,
            digest: format!("sha256:{hex}"),
        }
    }

    fn hex(&self) -> &str {
        self.digest.trim_start_matches("sha256:")
    }
}
