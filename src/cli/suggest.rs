//! `suggest`: tags of an image's repository that run on a platform, the nearest name first.

mod nearness;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use futures::StreamExt;
use serde::Serialize;
use tokio::time::Instant;

use self::nearness::{distance, is_of_a_digest};
use super::progress::Progress;
use super::registry_args::RegistryArgs;
use super::target::{TargetArgs, written};
use super::{Exit, logging, logins};
use crate::config::Settings;
use crate::domain::image::{Image, ImageContent};
use crate::domain::lookup::LookupFailure;
use crate::domain::node::NodePlatform;
use crate::domain::platform::Platform;
use crate::domain::reference::Reference;
use crate::domain::verdict::{Verdict, judge};
use crate::registry::{EgressPolicy, Registry, Tags};

/// Print tags of the same repository that do run on a platform, the nearest name first
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The tags are looked at in the order of their names: those that share most words with the given tag first, of equals the
higher version. So not all of a large repository is asked for; --lookups sets how many tags are.

Examples:
  platform-gate suggest hello-world:nanoserver --platform windows/amd64:10.0.14393
  platform-gate suggest golang:1.22-alpine --platform linux/arm64 --limit 1 -o json

Exit codes:
  0  at least one tag runs there
  1  none of those looked at does
  2  usage or input error
  3  none does as far as is known: the registry did not tell what tags there are, or what some of them are")]
pub(super) struct Args {
    /// The image, as in a pod
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Where it should run: `os/arch`, `os/arch/variant` or `os/arch:osversion`
    #[arg(long, value_name = "PLATFORM")]
    platform: Platform,
    #[command(flatten)]
    target: TargetArgs,
    /// Most tags to print
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Most tags to ask the registry about
    #[arg(long, value_name = "COUNT", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..))]
    lookups: u16,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// Settings file (YAML), for registries: mirrors, CAs, plain HTTP
    #[arg(long, value_name = "FILE")]
    registry_config: Option<PathBuf>,
    /// Longest wait for the list of tags, and for each image, in seconds
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

/// Tags looked up at once.
const AT_ONCE: usize = 8;

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    image: String,
    platform: String,
    runtime: String,
    suggestions: Vec<Suggestion>,
    tags: Counts,
}

/// A tag that runs there.
#[derive(Debug, Serialize)]
struct Suggestion {
    image: String,
    /// Of the document that the tag stands for.
    digest: String,
    /// What the runtime would take of it.
    platform: String,
}

/// How much of the repository was looked at.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    /// Tags that the registry told of.
    listed: usize,
    /// Whether it told of all.
    complete: bool,
    /// Tags that were asked about.
    looked_at: usize,
    /// Those of which it is not known whether they run.
    undecided: usize,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    logging::start("warn");
    let settings = Settings::load_or_default(args.registry_config.as_deref())?;
    let registry = Registry::new(args.registries.settings(&settings, EgressPolicy::Cli)?)?;
    let reference = Reference::parse(&args.image)?;
    let keychain = logins::keychain([args.image.as_str()]).await;
    let timeout = || Instant::now() + Duration::from_secs(args.timeout);
    let tags = match registry.fetch_tags(&reference, &keychain, timeout()).await {
        Ok(tags) => tags,
        Err(failure) => {
            logging::complain(&no_tags(&reference, failure));
            return Ok(Exit::Undecided);
        }
    };
    let node = args.target.node(&args.platform);
    let mut report = Report::new(&args, &tags);
    let nearest = nearest(&reference, tags, &node, args.lookups.into());
    let progress = Progress::new("tags looked at", nearest.len());
    let fetch = |reference: Reference| {
        let (registry, keychain) = (&registry, &keychain);
        async move {
            let answer = registry.fetch_image(&reference, keychain, timeout()).await;
            (reference, answer)
        }
    };
    let mut answers = futures::stream::iter(nearest).map(fetch).buffered(AT_ONCE);
    while let Some((reference, answer)) = answers.next().await {
        report.add(&args, &node, &reference, answer.as_ref());
        progress.show(report.tags.looked_at);
        if report.suggestions.len() >= args.limit.into() {
            break;
        }
    }
    drop(progress);
    let mut out = Vec::new();
    match args.output {
        Output::Text => report.write_text(&mut out)?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut out, &report)?;
            out.push(b'\n');
        }
    }
    std::io::stdout().lock().write_all(&out)?;
    Ok(report.exit())
}

/// The tags to look at, in the order to do so: the nearest first.
fn nearest(
    reference: &Reference,
    tags: Tags,
    node: &NodePlatform,
    lookups: usize,
) -> Vec<Reference> {
    let wanted = reference.tag().unwrap_or("latest");
    let mut tags = tags.references;
    tags.retain(|tag| !is_of_a_digest(tag.tag().unwrap_or_default()));
    tags.sort_by_cached_key(|tag| distance(wanted, tag.tag().unwrap_or_default(), node));
    tags.dedup();
    tags.truncate(lookups);
    tags
}

fn no_tags(reference: &Reference, failure: LookupFailure) -> String {
    format!(
        "the tags of {} are not known: the repository {}",
        reference.name(),
        failure.explain()
    )
}

/// The image as the user wrote it, without tag and digest.
fn name_of(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    }
}

impl Report {
    fn new(args: &Args, tags: &Tags) -> Self {
        Self {
            image: args.image.clone(),
            platform: written(&args.platform),
            runtime: args.target.runtime.text.clone(),
            suggestions: Vec::new(),
            tags: Counts {
                listed: tags.references.len(),
                complete: tags.is_complete,
                ..Counts::default()
            },
        }
    }

    fn add(
        &mut self,
        args: &Args,
        node: &NodePlatform,
        reference: &Reference,
        answer: Result<&Arc<Image>, &LookupFailure>,
    ) {
        self.tags.looked_at += 1;
        let Ok(image) = answer else {
            self.tags.undecided += 1;
            return;
        };
        match judge(node, args.target.usage(), &image.content) {
            Verdict::Unknown(_) => self.tags.undecided += 1,
            Verdict::CannotRun(_) => {}
            Verdict::Runs { chosen } => self.suggestions.push(Suggestion {
                image: format!(
                    "{}:{}",
                    name_of(&args.image),
                    reference.tag().unwrap_or_default()
                ),
                digest: image.digest.to_string(),
                platform: taken(image, chosen),
            }),
        }
    }

    fn write_text(&self, out: &mut impl Write) -> std::io::Result<()> {
        let longest = |text: fn(&Suggestion) -> &str| {
            let lengths = self.suggestions.iter().map(|found| text(found).len());
            lengths.max().unwrap_or_default()
        };
        let (image, platform) = (
            longest(|found| &found.image),
            longest(|found| &found.platform),
        );
        for found in &self.suggestions {
            let (name, on, digest) = (&found.image, &found.platform, &found.digest);
            writeln!(out, "{name:image$}  {on:platform$}  {digest}")?;
        }
        if self.suggestions.is_empty() {
            let Counts {
                listed,
                looked_at,
                undecided,
                complete,
            } = self.tags;
            let more = if complete { "" } else { " or more" };
            let open = match undecided {
                0 => String::new(),
                undecided => format!("; {undecided} of them could not be judged"),
            };
            let platform = &self.platform;
            writeln!(
                out,
                "no tag found that runs on {platform}: looked at {looked_at} of {listed}{more} tags{open}"
            )?;
        }
        Ok(())
    }

    fn exit(&self) -> Exit {
        match (self.suggestions.is_empty(), self.tags.undecided) {
            (false, _) => Exit::Fine,
            (true, 0) => Exit::Denied,
            (true, _) => Exit::Undecided,
        }
    }
}

/// The platform of what a runtime takes of an image.
fn taken(image: &Image, chosen: Option<usize>) -> String {
    let platform = match (&image.content, chosen) {
        (ImageContent::Index(index), Some(at)) => {
            let entry = index.manifests.get(at);
            entry.and_then(|entry| entry.platform.as_ref())
        }
        (ImageContent::Manifest(platform), _) => Some(&**platform),
        _ => None,
    };
    platform.map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn names_lose_tag_and_digest() {
        for (image, want) in [
            ("hello-world:nanoserver", "hello-world"),
            ("localhost:5000/a", "localhost:5000/a"),
            ("localhost:5000/a:1@sha256:0", "localhost:5000/a"),
            ("a", "a"),
        ] {
            assert_eq!(name_of(image), want);
        }
    }
}
