//! Starts one of the registries on a free port, with its log in a file.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use super::token_server::TokenServer;
use crate::support::certificates::TestCa;

/// `good:secret`, as `htpasswd -B` writes it.
const PASSWORDS: &str = "good:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// distribution 2.8, as Debian packages it.
    Debian,
    /// distribution 3.
    Distribution,
    /// go-containerregistry's, which lets everyone in.
    Crane,
}

/// Who is let in. Registries with passwords or tokens speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Auth {
    None,
    /// Basic; nothing is open.
    Passwords,
    /// A token server of the tests'; what is below `open/` is everyone's.
    Tokens,
}

/// Runs until it is dropped.
pub(super) struct RealRegistry {
    pub(super) host: String,
    pub(super) auth: Auth,
    pub(super) tokens: Option<TokenServer>,
    folder: TempDir,
    child: Mutex<Child>,
}

impl RealRegistry {
    /// A mirror of `upstream`, if there is one.
    pub(super) async fn start(
        program: Program,
        auth: Auth,
        ca: &TestCa,
        upstream: Option<&Self>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host = free.local_addr().unwrap().to_string();
        drop(free);
        let tokens = match auth {
            Auth::Tokens => Some(TokenServer::start(ca).await),
            _ => None,
        };
        let mut config = format!(
            "version: 0.1\nlog: {{level: info}}\n\
             storage: {{filesystem: {{rootdirectory: '{0}/data'}}, delete: {{enabled: true}}}}\n\
             http:\n  addr: {host}\n  secret: shared\n",
            folder.path().display()
        );
        let mut add = |line: std::fmt::Arguments<'_>| writeln!(config, "{line}").unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        if auth != Auth::None {
            let identity = write("identity.pem", &ca.identity);
            add(format_args!(
                "  tls: {{certificate: '{identity}', key: '{identity}'}}"
            ));
        }
        if auth == Auth::Passwords {
            let passwords = write("htpasswd", PASSWORDS);
            add(format_args!(
                "auth: {{htpasswd: {{realm: tests, path: '{passwords}'}}}}"
            ));
        }
        if let Some(tokens) = &tokens {
            let bundle = write("tokens.pem", &tokens.certificate);
            let realm = tokens.realm();
            add(format_args!(
                "auth: {{token: {{realm: '{realm}', service: tests, issuer: tests, rootcertbundle: '{bundle}'}}}}"
            ));
        }
        if let Some(upstream) = upstream {
            add(format_args!("proxy: {{remoteurl: '{}'}}", upstream.url()));
        }
        let config = write("config.yaml", &config);
        let mut command = match program {
            Program::Debian => Command::new("docker-registry"),
            Program::Distribution => Command::new(tool("registry")),
            Program::Crane => Command::new(tool("crane")),
        };
        match program {
            Program::Crane => command.args(["registry", "serve", "--address", &host]),
            _ => command.args(["serve", &config]),
        };
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("{program:?} cannot be started: {error}"));
        let this = Self {
            host,
            auth,
            tokens,
            folder,
            child: Mutex::new(child),
        };
        this.answers(program).await;
        this
    }

    async fn answers(&self, program: Program) {
        let wait = async {
            while tokio::net::TcpStream::connect(&self.host).await.is_err() {
                let ended = self.child.lock().unwrap().try_wait().unwrap();
                assert!(ended.is_none(), "{program:?} ended: {}", self.log());
                #[allow(clippy::disallowed_methods, reason = "polls another process's port")]
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
        assert!(
            waited.is_ok(),
            "{program:?} does not answer: {}",
            self.log()
        );
    }

    pub(super) fn url(&self) -> String {
        let scheme = if self.auth == Auth::None {
            "http"
        } else {
            "https"
        };
        format!("{scheme}://{}", self.host)
    }

    /// How many requests of this method had this in their path, by the registry's own log.
    pub(super) fn count(&self, method: &str, path: &str) -> usize {
        let start = format!("\"{method} ");
        let is_one = |line: &&str| line.contains(&start) && line.contains(path);
        self.log().lines().filter(is_one).count()
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// No connection is made to it any more.
    pub(super) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        // It may have been killed before.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn tool(name: &str) -> PathBuf {
    let folder = std::env::var_os("PLATFORM_GATE_TOOLS")
        .expect("PLATFORM_GATE_TOOLS must be the folder that tests/e2e/tools/build prints");
    PathBuf::from(folder).join(name)
}
