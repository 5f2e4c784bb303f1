//! `nodes`: the groups of nodes that verdicts are made for. Also how every command that needs nodes comes by them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args as ClapArgs, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::{Exit, logging};
use crate::cluster::{Freshness, ListError, client, nodes, runtime_classes};
use crate::config::{self, Settings};
use crate::domain::inventory::NodeRules;
use crate::domain::node::{Node, NodePlatform, Taint};
use crate::domain::runtime_class::RuntimeClasses;
use crate::domain::windows::WindowsVersion;
use crate::gate::unix_now;

/// Print the groups of nodes: platform, runtime, taints and how many there are
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  platform-gate nodes
  platform-gate nodes --config settings.yaml
  kubectl get nodes -o yaml > nodes.yaml && platform-gate nodes --nodes nodes.yaml -o json")]
pub(super) struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Settings file (YAML), the webhook's own, for declared pools and what it says of nodes
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Where the nodes come from.
#[derive(Debug, ClapArgs)]
pub(super) struct ClusterArgs {
    /// Take the nodes from this file instead of the kubeconfig's cluster: what `kubectl get nodes -o yaml` or `-o
    /// json` prints
    #[arg(long, value_name = "FILE")]
    nodes: Option<PathBuf>,
    /// The context of the kubeconfig to use instead of the current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// The kubeconfig's cluster did not say what it has.
#[derive(Debug, thiserror::Error)]
#[error(
    "the cluster gives no {what}: {error}; check the kubeconfig, or give --nodes FILE to do without a cluster"
)]
pub(super) struct Unanswered {
    what: &'static str,
    error: String,
}

impl Unanswered {
    pub(super) fn of(what: &'static str, error: ListError) -> Self {
        let error = format!("{:#}", anyhow::Error::from(error));
        Self { what, error }
    }
}

/// What decides, of a cluster or a file.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    /// RuntimeClasses; a file has none.
    pub(super) runtime_classes: RuntimeClasses,
    /// When this was so, in seconds since 1970; absent for a file, which may be of any time.
    pub(super) now: Option<i64>,
}

/// What commands log that may speak to a cluster: its errors are told by the command itself.
pub(super) const LOG_FILTER: &str = "warn,kube_client=off";

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    logging::start(LOG_FILTER);
    let settings = Settings::load_or_default(args.config.as_deref())?;
    let cluster = args.cluster.load().await?;
    let groups = group(&cluster.nodes, &settings.rules.nodes);
    let mut stdout = std::io::stdout().lock();
    match args.output {
        Output::Text => writeln!(stdout, "{}", table(&groups).trim_fmt())?,
        Output::Json => {
            let json = serde_json::json!({ "nodeGroups": groups });
            writeln!(stdout, "{json:#}")?;
        }
    }
    Ok(Exit::Fine)
}

impl ClusterArgs {
    pub(super) fn has_file(&self) -> bool {
        self.nodes.is_some()
    }

    /// The nodes of a file, or of the kubeconfig's cluster.
    pub(super) async fn load(&self) -> anyhow::Result<Cluster> {
        let client = match self.has_file() {
            true => None,
            false => Some(self.connect().await?),
        };
        self.load_with(client.as_ref()).await
    }

    /// A client for the kubeconfig's cluster; nothing is asked yet.
    pub(super) async fn connect(&self) -> anyhow::Result<kube::Client> {
        let client = client::connect_to(self.context.as_deref(), &Freshness::default()).await;
        // The message tells its causes itself.
        client.map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// As [`ClusterArgs::load`], by a client that is there already.
    pub(super) async fn load_with(&self, client: Option<&kube::Client>) -> anyhow::Result<Cluster> {
        let (Some(client), None) = (client, &self.nodes) else {
            let path = self.nodes.as_deref();
            let path = path.context("there is neither a file of nodes nor a cluster")?;
            return Ok(Cluster {
                nodes: config::parse_nodes(path, &config::read(path)?)?,
                runtime_classes: RuntimeClasses::new(),
                now: None,
            });
        };
        let told = |error| Unanswered::of("nodes", error);
        let nodes = nodes::list_nodes(client.clone()).await.map_err(told)?;
        let runtime_classes = runtime_classes::list_runtime_classes(client.clone()).await;
        Ok(Cluster {
            nodes,
            runtime_classes: runtime_classes.map_err(told)?,
            now: Some(unix_now()),
        })
    }
}

/// Nodes of one platform and one set of taints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    platform: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<&'static str>,
    /// What the nodes report, each release once.
    runtimes: BTreeSet<String>,
    taints: Vec<String>,
    /// Whether these are pools of the settings instead of nodes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    declared: bool,
    nodes: usize,
}

fn group(nodes: &[Node], rules: &NodeRules) -> Vec<Group> {
    let nodes = nodes.iter().map(|node| (node, false));
    let pools = rules.pools.iter().map(|pool| (pool, true));
    let mut groups: BTreeMap<(NodePlatform, bool, Vec<&Taint>), Group> = BTreeMap::new();
    for (node, declared) in nodes.chain(pools) {
        let platform = NodePlatform::with_overrides(node, &rules.overrides);
        let mut taints: Vec<&Taint> = node.spec.taints.iter().collect();
        taints.sort();
        let group = || Group {
            name: platform.group_name(),
            platform: platform.written(),
            product: platform.windows.and_then(WindowsVersion::product),
            runtimes: BTreeSet::new(),
            taints: taints.iter().map(ToString::to_string).collect(),
            declared,
            nodes: 0,
        };
        let group = groups
            .entry((platform.clone(), declared, taints.clone()))
            .or_insert_with(group);
        group.nodes += 1;
        let runtime = &node.status.node_info.container_runtime_version;
        let runtime = runtime.trim_end_matches("://unknown");
        group.runtimes.insert(runtime.replacen("://", " ", 1));
    }
    groups.into_values().collect()
}

fn table(groups: &[Group]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["NODES", "PLATFORM", "RUNTIME", "TAINTS"]);
    for group in groups {
        let product = group.product.map(|product| format!(" ({product})"));
        let runtimes: Vec<&str> = group.runtimes.iter().map(String::as_str).collect();
        let nodes = match group.declared {
            true => format!("{} (declared)", group.nodes),
            false => group.nodes.to_string(),
        };
        table.add_row([
            nodes,
            format!("{}{}", group.platform, product.unwrap_or_default()),
            runtimes.join(", "),
            group.taints.join(", "),
        ]);
    }
    table
}
