//! `scan`: every workload that runs in a cluster against its nodes, as they are or as they would be.

mod images;
mod matrix;
mod source;
mod what_if;
mod workloads;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use self::images::{Images, Source};
use self::what_if::WhatIf;
use self::workloads::Workload;
use super::nodes::{self, Cluster, ClusterArgs};
use super::registry_args::RegistryArgs;
use super::{Exit, logging, logins, wants_colours};
use crate::cluster::pull_secrets::PullSecrets;
use crate::config::Settings;
use crate::gate::Gate;
use crate::registry::{EgressPolicy, Registry};
use crate::report::scan::{Change, Scan, State, html, text};

/// Say which workloads of the cluster run on its nodes, as they are or as they would be
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Pods are told by what made them: a Deployment, not its pods. Each image is looked up once. Nothing is changed.

Changes, which may be repeated and are made in their order:
  --what-if add=linux/arm64                  a node of that platform joins, without taints
  --what-if add=windows/amd64:10.0.26100
  --what-if windows=10.0.26100               all Windows nodes become that build
  --what-if remove=kubernetes.io/arch=amd64  the nodes with these labels go

Examples:
  platform-gate scan
  platform-gate scan --what-if add=linux/arm64 -o html > scan.html
  platform-gate scan --what-if windows=10.0.26100 -o json | jq '.workloads[] | select(.change == \"breaks\")'
  kubectl get pods,replicasets,jobs -A -o yaml > pods.yaml && platform-gate scan -f pods.yaml --nodes nodes.yaml

Exit codes:
  0  all well (warnings too)
  1  a workload cannot run, or would break
  2  usage or input error
  3  none is known to break, but the cluster did not answer or a registry did not say what an image is")]
pub(super) struct Args {
    /// Other nodes than there are: `add=PLATFORM`, `windows=BUILD` or `remove=SELECTOR`
    #[arg(long, value_name = "CHANGE")]
    what_if: Vec<WhatIf>,
    /// Take pods and workloads from these files instead of the kubeconfig's cluster; - for stdin
    #[arg(short, long = "filename", num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Settings file (YAML), the webhook's own
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read the pull secrets of pods, which takes the right to get Secrets and ServiceAccounts
    #[arg(long, conflicts_with = "files")]
    pull_secrets: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
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
    Html,
}

/// Answers count as new for as long as a scan may take.
const TAG_LIFETIME: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    logging::start(nodes::LOG_FILTER);
    let settings = Settings::load_or_default(args.config.as_deref())?;
    let mut registries = args.registries.settings(&settings, EgressPolicy::Cli)?;
    registries.tag_ttl = TAG_LIFETIME;
    let registry = Registry::new(registries)?;
    let needs_cluster = !args.cluster.has_file() || args.files.is_empty();
    let client = match needs_cluster {
        true => Some(args.cluster.connect().await?),
        false => None,
    };
    let mut cluster = args
        .cluster
        .load_with(client.as_ref(), &settings.rules.nodes)
        .await?;
    let (found, has_mistakes) = match (&client, args.files.is_empty()) {
        (Some(client), true) => (source::from_cluster(client.clone()).await?, false),
        _ => source::from_files(&args.files, &mut cluster),
    };
    let after = changed(&cluster, &args.what_if)?;
    let now = gate(&settings, &registry, &cluster);
    let workloads = workloads::group(found);
    let source = Source {
        registry: &registry,
        keychain: logins::keychain(names(&workloads)).await,
        secrets: client.filter(|_| args.pull_secrets).map(PullSecrets::new),
        timeout: Duration::from_secs(args.timeout),
    };
    let images = source.resolve(&workloads).await;
    let after = after.map(|cluster| gate(&settings, &registry, &cluster));
    let (gate, before) = match &after {
        Some(after) => (after, Some(&now)),
        None => (&now, None),
    };
    let scan = judge(gate, before, &workloads, &images, &args.what_if);
    print(args.output, &scan)?;
    Ok(match has_mistakes {
        true => Exit::Misused,
        false => exit(&scan, images.any_unknown()),
    })
}

/// The images of all workloads.
fn names(workloads: &[Workload]) -> Vec<&str> {
    let all = workloads.iter().flat_map(|workload| &workload.variants);
    let images = all.flat_map(|spec| spec.images());
    images.map(|image| image.image).collect()
}

/// Judges every workload on the nodes of a gate.
fn judge(
    gate: &Gate,
    before: Option<&Gate>,
    workloads: &[Workload],
    images: &Images,
    what_ifs: &[WhatIf],
) -> Scan {
    let targets: Vec<String> = what_ifs.iter().filter_map(WhatIf::target).collect();
    let row = |workload| matrix::row(gate, before, workload, images);
    let scan = Scan {
        what_if: what_ifs
            .iter()
            .map(|what_if| what_if.text.clone())
            .collect(),
        node_groups: matrix::columns(gate, before, &targets),
        workloads: workloads.iter().map(row).collect(),
        images: images.report(),
        ..Scan::default()
    };
    scan.counted()
}

/// The nodes after all changes; `None` if there are none.
fn changed(cluster: &Cluster, what_ifs: &[WhatIf]) -> anyhow::Result<Option<Cluster>> {
    if what_ifs.is_empty() {
        return Ok(None);
    }
    let mut cluster = cluster.clone();
    let mut mistakes = Vec::new();
    for what_if in what_ifs {
        mistakes.extend(what_if.apply(&mut cluster.nodes).err());
    }
    anyhow::ensure!(
        mistakes.is_empty(),
        "--what-if {}",
        mistakes.join("\nplatform-gate: --what-if ")
    );
    Ok(Some(cluster))
}

fn gate(settings: &Settings, registry: &Registry, cluster: &Cluster) -> Gate {
    let gate = Gate::new(settings.rules.clone(), registry.clone(), None);
    cluster.tell(&gate);
    gate
}

/// In one piece: a reader never sees half an answer.
fn print(format: Output, scan: &Scan) -> anyhow::Result<()> {
    let mut out = Vec::new();
    match format {
        Output::Text => text::write(&mut out, scan, wants_colours())?,
        Output::Html => html::write(&mut out, scan)?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut out, scan)?;
            out.push(b'\n');
        }
    }
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&out)?;
    stdout.flush()?;
    Ok(())
}

fn exit(scan: &Scan, any_unknown: bool) -> Exit {
    let is_bad = |row: &crate::report::scan::Row| {
        row.verdict == State::CannotRun || row.change == Some(Change::Breaks)
    };
    match (scan.workloads.iter().any(is_bad), any_unknown) {
        (true, _) => Exit::Denied,
        (false, true) => Exit::Undecided,
        (false, false) => Exit::Fine,
    }
}
