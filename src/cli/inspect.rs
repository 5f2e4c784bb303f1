//! `inspect`: what an image offers, and what the runtime of a platform would make of it.

mod output;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use futures::StreamExt;
use tokio::time::Instant;

use super::registry_args::RegistryArgs;
use super::target::TargetArgs;
use super::{Exit, logging, logins};
use crate::config::Settings;
use crate::domain::image::Image;
use crate::domain::lookup::LookupFailure;
use crate::domain::node::NodePlatform;
use crate::domain::platform::Platform;
use crate::domain::reference::Reference;
use crate::domain::verdict::{Verdict, judge};
use crate::registry::{EgressPolicy, Registry};

/// Print which platforms images offer, and whether they run on given ones
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  platform-gate inspect centos:7
  platform-gate inspect --platform windows/amd64:10.0.14393 hello-world:nanoserver
  platform-gate inspect --platform linux/arm64 --runtime containerd@2.2.0 -o json nginx redis")]
pub(super) struct Args {
    /// Images, as in a pod
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Say whether the image runs there: `os/arch`, `os/arch/variant` or `os/arch:osversion`
    #[arg(long = "platform", value_name = "PLATFORM")]
    platforms: Vec<Platform>,
    #[command(flatten)]
    target: TargetArgs,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// Settings file (YAML), for registries: mirrors, CAs, plain HTTP
    #[arg(long, value_name = "FILE")]
    registry_config: Option<PathBuf>,
    /// Longest wait for an image, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    timeout: u64,
    #[command(flatten)]
    registries: RegistryArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Images looked up at once.
const AT_ONCE: usize = 8;

/// An image and what became of looking it up.
struct Inspected {
    image: String,
    answer: Result<Arc<Image>, LookupFailure>,
    matches: Vec<Match>,
}

/// A verdict on one platform.
struct Match {
    platform: Platform,
    node: NodePlatform,
    verdict: Verdict,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    logging::start("warn");
    let settings = Settings::load_or_default(args.registry_config.as_deref())?;
    let registry = Registry::new(args.registries.settings(&settings, EgressPolicy::Cli)?)?;
    let references = parse_references(&args.images)?;
    let keychain = logins::keychain(args.images.iter().map(String::as_str)).await;
    let inspect = |(image, reference): (String, Reference)| {
        let (registry, keychain, args) = (&registry, &keychain, &args);
        async move {
            let deadline = Instant::now() + Duration::from_secs(args.timeout);
            let answer = registry.fetch_image(&reference, keychain, deadline).await;
            args.judge(image, answer)
        }
    };
    // Answers are printed in the order of the arguments, each as soon as it is its turn.
    let mut inspected = futures::stream::iter(references)
        .map(inspect)
        .buffered(AT_ONCE);
    let mut worst = Exit::Fine;
    while let Some(inspected) = inspected.next().await {
        worst = worst.max(inspected.exit());
        let mut stdout = std::io::stdout().lock();
        match args.output {
            Output::Text => output::write_text(&mut stdout, &inspected)?,
            Output::Json => output::write_json(&mut stdout, &inspected, &args.target.runtime.text)?,
        }
        stdout.flush()?;
    }
    Ok(worst)
}

/// All of them, or everything that is wrong.
fn parse_references(images: &[String]) -> anyhow::Result<Vec<(String, Reference)>> {
    let mut mistakes = Vec::new();
    let mut references = Vec::new();
    for image in images {
        match Reference::parse(image) {
            Ok(reference) => references.push((image.clone(), reference)),
            Err(error) => mistakes.push(error.to_string()),
        }
    }
    anyhow::ensure!(
        mistakes.is_empty(),
        "{}",
        mistakes.join("\nplatform-gate: ")
    );
    Ok(references)
}

impl Args {
    fn judge(&self, image: String, answer: Result<Arc<Image>, LookupFailure>) -> Inspected {
        let judge_on = |platform: &Platform| {
            let node = self.target.node(platform);
            let verdict = match &answer {
                Ok(image) => judge(&node, self.target.usage(), &image.content),
                Err(failure) => Verdict::Unknown(crate::domain::verdict::Doubt::Lookup(*failure)),
            };
            Match {
                platform: platform.clone(),
                node,
                verdict,
            }
        };
        let matches = self.platforms.iter().map(judge_on).collect();
        Inspected {
            image,
            answer,
            matches,
        }
    }
}

impl Inspected {
    fn exit(&self) -> Exit {
        let cannot = self
            .matches
            .iter()
            .any(|found| matches!(found.verdict, Verdict::CannotRun(_)));
        match (cannot, &self.answer) {
            (true, _) => Exit::Denied,
            (false, Err(_)) => Exit::Undecided,
            (false, Ok(_)) => Exit::Fine,
        }
    }
}
