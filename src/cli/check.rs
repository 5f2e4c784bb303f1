//! `check`: what the webhook would say of manifests in files, before they are applied.

mod documents;
mod files;
mod judged;
mod located;
mod objects;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use futures::StreamExt;
use tokio::time::Instant;

use super::nodes::{self, ClusterArgs};
use super::registry_args::RegistryArgs;
use super::{Exit, logging, logins, wants_colours};
use crate::config::Settings;
use crate::domain::policy::Action;
use crate::domain::workload::{Workload, WorkloadKind};
use crate::gate::{Gate, Judgement};
use crate::registry::{EgressPolicy, Keychain, Registry};
use crate::report::{self, Fix, Mistake, ObjectReport, Report};

use files::Source;
use objects::{Object, Objects};

/// Say what the webhook would do with the pods and workloads in files
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets, ReplicationControllers, Jobs, CronJobs and Lists of them \
are checked; other objects are passed over, but for RuntimeClasses, whose scheduling rules count for the pods that name \
them.

Examples:
  kubectl get nodes -o yaml > nodes.yaml
  platform-gate check -f deploy/ --nodes nodes.yaml
  helm template shop ./chart | platform-gate check -f - --nodes nodes.yaml
  platform-gate check -f deploy/ -o sarif > platform-gate.sarif
  platform-gate check -f web.yaml --fix > fix.yaml && kubectl patch -f web.yaml --patch-file fix.yaml

Exit codes:
  0  all well (warnings too)
  1  something is denied
  2  usage or input error: what could be read is checked all the same
  3  nothing is denied, but the cluster did not answer or a registry did not say what an image is
Of 1, 2 and 3 together it is 2, of 1 and 3 it is 1.")]
pub(super) struct Args {
    /// Files, folders with *.yaml, *.yml and *.json below them, or - for stdin
    #[arg(short, long = "filename", required = true, num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Settings file (YAML), the webhook's own
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// Print what the pinning webhook would add, as a strategic merge patch for each object whose pods may land wrong,
    /// and the verdicts on stderr; with `-o json` each object has it as a JSON patch. No file is changed
    #[arg(long)]
    fix: bool,
    /// Longest wait for the images of an object, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    timeout: u64,
    #[command(flatten)]
    registries: RegistryArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Sarif,
}

/// Objects judged at once.
const AT_ONCE: usize = 16;

/// How objects are judged.
#[derive(Clone, Copy)]
struct How {
    timeout: Duration,
    /// Whether it is told what would pin their pods.
    fix: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    anyhow::ensure!(
        !(args.fix && args.output == Output::Sarif),
        "--fix has no form in SARIF: leave -o out for YAML patches, or use -o json for JSON patches"
    );
    logging::start(nodes::LOG_FILTER);
    let settings = Settings::load_or_default(args.config.as_deref())?;
    let registry = Registry::new(args.registries.settings(&settings, EgressPolicy::Cli)?)?;
    let mut cluster = args.cluster.load(&settings.rules.nodes).await?;
    let gate = Gate::new(settings.rules, registry, None);
    let mut objects = read(&args.files);
    let classes = objects.runtime_classes.drain();
    cluster.runtime_classes.extend(classes);
    cluster.tell(&gate);
    let how = How {
        timeout: Duration::from_secs(args.timeout),
        fix: args.fix,
    };
    let report = check(&gate, objects, how).await;
    for mistake in &report.mistakes {
        logging::complain(&mistake.to_string());
    }
    let mut stdout = std::io::stdout().lock();
    match args.output {
        Output::Text if args.fix => {
            report::text::write(&mut std::io::stderr().lock(), &report, false)?;
            report::fix::write(&mut stdout, &report)?;
        }
        Output::Text => report::text::write(&mut stdout, &report, wants_colours())?,
        Output::Json => report::json::write(&mut stdout, &report)?,
        Output::Sarif => report::sarif::write(&mut stdout, &report)?,
    }
    stdout.flush()?;
    Ok(exit(&report))
}

/// Reads everything that the arguments name.
pub(super) fn read(arguments: &[PathBuf]) -> Objects {
    let mut objects = Objects::default();
    for source in files::find(arguments) {
        let unreadable = match source {
            Ok(source) => match source.read() {
                Ok(text) => {
                    add(&mut objects, &source, &text);
                    continue;
                }
                Err(error) => (source.name(), format!("{error:#}")),
            },
            Err((path, error)) => (path.display().to_string(), error.to_string()),
        };
        objects.mistakes.push(Mistake {
            file: unreadable.0,
            at: None,
            message: format!("cannot be read: {}", unreadable.1),
        });
    }
    objects
}

fn add(objects: &mut Objects, source: &Source, text: &str) {
    let file: Arc<str> = source.name().into();
    for document in documents::read(text) {
        match document {
            Ok(document) => objects.add(&file, &document, source.named),
            Err(error) => objects.mistakes.push(Mistake {
                file: file.to_string(),
                at: Some(error.at),
                message: error.message,
            }),
        }
    }
}

/// Judges all objects, some of them at once, and reports them in their order.
async fn check(gate: &Gate, objects: Objects, how: How) -> Report {
    let images: Vec<String> = objects.found.iter().flat_map(Object::images).collect();
    let keychain = logins::keychain(images.iter().map(String::as_str)).await;
    let mut report = Report {
        skipped: objects.skipped,
        mistakes: objects.mistakes,
        ..Report::default()
    };
    let mut judged = futures::stream::iter(&objects.found)
        .map(|object| judge(gate, object, &keychain, how))
        .buffered(AT_ONCE);
    while let Some(judged) = judged.next().await {
        match judged {
            Ok(object) => report.objects.push(object),
            Err(mistake) => report.mistakes.push(mistake),
        }
    }
    report
}

/// Judges one object as the webhook judges the pods that it makes.
async fn judge(
    gate: &Gate,
    object: &Object,
    keychain: &Keychain,
    how: How,
) -> Result<ObjectReport, Mistake> {
    let workload = object.workload()?;
    let deadline = Instant::now() + how.timeout;
    let pod = &workload.pod;
    let judgement = if workload.kind == WorkloadKind::Pod && pod.is_of_daemon_set() {
        gate.judge(pod, keychain.into(), deadline).await
    } else {
        gate.judge_template(&pod.spec, workload.kind, keychain.into(), deadline)
            .await
    };
    let fix = match how.fix {
        true => fix(gate, object, &workload, &judgement),
        false => None,
    };
    let inventory = gate.inventory();
    let placed = gate.admitted(&pod.spec);
    let report = judged::report(object, &workload, &placed, judgement, &inventory);
    Ok(ObjectReport { fix, ..report })
}

/// What the pinning webhook would add to its pods.
fn fix(
    gate: &Gate,
    object: &Object,
    workload: &Workload<'_>,
    judgement: &Judgement<'_>,
) -> Option<Fix> {
    let pinned = gate.fix(object.json(), workload, &judgement.assessment)?;
    Some(Fix {
        patch: serde_json::from_str(&pinned.patch()?).ok()?,
        merge: pinned.merge_patch()?,
    })
}

fn exit(report: &Report) -> Exit {
    if !report.mistakes.is_empty() {
        return Exit::Misused;
    }
    let exit = |object: &ObjectReport| match (object.verdict, object.undecided) {
        (Action::Deny, _) => Exit::Denied,
        (_, true) => Exit::Undecided,
        (_, false) => Exit::Fine,
    };
    report.objects.iter().map(exit).max().unwrap_or(Exit::Fine)
}
