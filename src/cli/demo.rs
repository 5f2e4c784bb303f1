//! `demo`: the whole story in one process. A registry on loopback serves four real images, the real webhook answers
//! over TLS, and reviews are posted to it as the API server posts them. No cluster, and nothing leaves the machine.

mod registry;
mod story;

use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::Args as ClapArgs;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::{Exit, logging};
use crate::config::parse_nodes;
use crate::domain::pod::PodSpec;
use crate::domain::rules::Rules;
use crate::gate::Gate;
use crate::registry::{EgressPolicy, HostSettings, Registry, RegistrySettings};
use crate::webhook::{Deadline, Options, ReviewPath, Server, Shared};

use story::{Case, Expected};

/// Show what platform-gate does, in one process: no cluster, no network
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  platform-gate demo
  platform-gate demo --json | jq .response.status.message")]
pub(super) struct Args {
    /// Print each answer of the webhook as JSON, as the API server receives it
    #[arg(long)]
    json: bool,
}

/// The nodes of the demo, as `kubectl get nodes -o yaml` prints them.
const NODES: &str = include_str!("demo/nodes.yaml");
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    logging::start("off");
    let registry_address = registry::start().await?;
    let gate = Arc::new(gate(registry_address)?);
    let webhook = Webhook::start(Arc::clone(&gate)).await?;
    let mut screen = Screen::new();
    if !args.json {
        screen.introduce(&gate, registry_address, webhook.address)?;
    }
    let mut told = true;
    for (number, case) in story::CASES.iter().enumerate() {
        let answer = webhook.post(&case.review(number, registry_address)).await?;
        told &= answer.verdict() == case.expected;
        if args.json {
            writeln!(screen.out, "{}", answer.json)?;
        } else {
            screen.show(number + 1, case, &answer)?;
        }
    }
    webhook.stop().await?;
    anyhow::ensure!(
        told,
        "the webhook's answers are not those of the story: please report this"
    );
    Ok(Exit::Fine)
}

/// The gate of the demo: `docker.io` is mirrored by the registry on loopback.
fn gate(registry: SocketAddr) -> anyhow::Result<Gate> {
    let mirror: url::Url = format!("http://{registry}")
        .parse()
        .context("the registry's address")?;
    let mut settings = RegistrySettings::new(EgressPolicy::Cli);
    settings.hosts.insert(
        "docker.io".to_owned(),
        HostSettings {
            mirrors: vec![mirror.into()],
            ..HostSettings::default()
        },
    );
    let gate = Gate::new(Rules::default(), Registry::new(settings)?, None);
    let nodes = parse_nodes("nodes.yaml".as_ref(), NODES)?;
    gate.update(|inventory| inventory.replace_all(nodes));
    Ok(gate)
}

/// The running webhook, and a client that trusts its CA as the API server does.
struct Webhook {
    address: SocketAddr,
    client: reqwest::Client,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<Result<(), crate::webhook::ServeError>>,
}

impl Webhook {
    async fn start(gate: Arc<Gate>) -> anyhow::Result<Self> {
        let options = Options {
            listen: LOOPBACK,
            metrics_listen: LOOPBACK,
            drain_delay: Duration::ZERO,
            ..Options::default()
        };
        let shared = Shared::default();
        let issued = crate::certificate::issue(&["127.0.0.1".to_owned()], SystemTime::now())?;
        shared.certificate.replace(&issued.leaf)?;
        let server = Server::bind(options).await?;
        let address = server.addresses().webhook;
        let (stop, stopped) = oneshot::channel();
        let metrics = Arc::clone(&shared.metrics);
        let review = move |_: ReviewPath, body: axum::body::Bytes, deadline: Deadline| {
            let (gate, metrics) = (Arc::clone(&gate), Arc::clone(&metrics));
            async move { gate.review(&body, deadline.for_lookups(), &metrics).await }
        };
        let shutdown = async {
            let _ = stopped.await;
        };
        let served = tokio::spawn(server.run(review, shared, shutdown));
        let ca = reqwest::Certificate::from_pem(issued.ca.certificate.as_bytes())?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([ca])
            .build()?;
        Ok(Self {
            address,
            client,
            stop,
            served,
        })
    }

    async fn post(&self, review: &str) -> anyhow::Result<Answer> {
        let url = format!("https://{}/validate?timeout=5s", self.address);
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .body(review.to_owned());
        let json = request.send().await?.error_for_status()?.text().await?;
        let review: ReviewResponse = serde_json::from_str(&json).context("the webhook's answer")?;
        Ok(Answer {
            response: review.response,
            json,
        })
    }

    async fn stop(self) -> anyhow::Result<()> {
        drop(self.client);
        let _ = self.stop.send(());
        Ok(self.served.await??)
    }
}

/// The API server's view of an answer.
struct Answer {
    response: Response,
    json: String,
}

#[derive(Deserialize)]
struct ReviewResponse {
    response: Response,
}

#[derive(Deserialize)]
struct Response {
    allowed: bool,
    status: Option<Status>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Status {
    message: String,
}

impl Answer {
    fn verdict(&self) -> Expected {
        match (self.response.allowed, self.response.warnings.is_empty()) {
            (false, _) => Expected::Denied,
            (true, true) => Expected::Admitted,
            (true, false) => Expected::Warned,
        }
    }

    fn words(&self) -> Vec<&str> {
        let denial = self
            .response
            .status
            .iter()
            .map(|status| status.message.as_str());
        denial
            .chain(self.response.warnings.iter().map(String::as_str))
            .collect()
    }
}

/// What a person sees; colours only on a terminal.
struct Screen {
    out: std::io::Stdout,
    colours: bool,
}

impl Screen {
    fn new() -> Self {
        let out = std::io::stdout();
        let colours = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { out, colours }
    }

    fn introduce(
        &mut self,
        gate: &Gate,
        registry: SocketAddr,
        webhook: SocketAddr,
    ) -> std::io::Result<()> {
        writeln!(
            self.out,
            "A registry with four images listens on http://{registry}, the webhook on https://{webhook}."
        )?;
        writeln!(self.out, "\nThe cluster has these nodes:")?;
        for group in gate.inventory().groups(&PodSpec::default()) {
            let product = group
                .platform
                .windows
                .and_then(crate::domain::windows::WindowsVersion::product);
            let product = product
                .map(|product| format!(" ({product})"))
                .unwrap_or_default();
            writeln!(self.out, "  {}{product}", group.platform.describe())?;
        }
        writeln!(self.out, "\nPods are created:")
    }

    fn show(&mut self, number: usize, case: &Case, answer: &Answer) -> std::io::Result<()> {
        let (word, colour) = match answer.verdict() {
            Expected::Admitted => ("ADMITTED", "32"),
            Expected::Warned => ("ADMITTED WITH A WARNING", "33"),
            Expected::Denied => ("DENIED", "31"),
        };
        let word = if self.colours {
            format!("\x1b[1;{colour}m{word}\x1b[0m")
        } else {
            word.to_owned()
        };
        writeln!(self.out, "\n{number}. {}\n   {word}", case.title)?;
        for words in answer.words() {
            for line in wrap(words, 96) {
                writeln!(self.out, "     {line}")?;
            }
        }
        self.out.flush()
    }
}

/// Breaks text into lines of at most `width` characters where words allow it.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines
            .last_mut()
            .filter(|line| line.is_empty() || line.len() + 1 + word.len() <= width);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}
