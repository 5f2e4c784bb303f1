//! `nodes`: the groups of nodes that verdicts are made for. Also how every command that needs nodes comes by them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args as ClapArgs, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::{Exit, logging};
use crate::cluster::{Freshness, ListError, autoscalers, client, nodes, runtime_classes};
use crate::config::{self, Settings};
use crate::domain::autoscaler::OpenPool;
use crate::domain::inventory::NodeRules;
use crate::domain::node::{Node, NodePlatform, Taint};
use crate::domain::runtime_class::RuntimeClasses;
use crate::domain::windows::WindowsVersion;
use crate::gate::{Gate, unix_now};

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
    /// What autoscalers may add, where the settings ask for it; a file has none.
    open_pools: Vec<OpenPool>,
    /// When this was so, in seconds since 1970; absent for a file, which may be of any time.
    now: Option<i64>,
}

impl Cluster {
    /// Lets a gate judge by what there is.
    pub(super) fn tell(&self, gate: &Gate) {
        gate.set_runtime_classes(self.runtime_classes.clone());
        gate.update(|inventory| {
            if let Some(now) = self.now {
                inventory.advance(now);
            }
            inventory.replace_all(self.nodes.clone());
            inventory.set_open_pools(Some(self.open_pools.clone()));
        });
    }
}

/// What commands log that may speak to a cluster: its errors are told by the command itself.
pub(super) const LOG_FILTER: &str = "warn,kube_client=off";

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    logging::start(LOG_FILTER);
    let settings = Settings::load_or_default(args.config.as_deref())?;
    let cluster = args.cluster.load(&settings.rules.nodes).await?;
    let groups = group(&cluster, &settings.rules.nodes);
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
    pub(super) async fn load(&self, rules: &NodeRules) -> anyhow::Result<Cluster> {
        let client = match self.has_file() {
            true => None,
            false => Some(self.connect().await?),
        };
        self.load_with(client.as_ref(), rules).await
    }

    /// A client for the kubeconfig's cluster; nothing is asked yet.
    pub(super) async fn connect(&self) -> anyhow::Result<kube::Client> {
        let client = client::connect_to(self.context.as_deref(), &Freshness::default()).await;
        // The message tells its causes itself.
        client.map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// As [`ClusterArgs::load`], by a client that is there already.
    pub(super) async fn load_with(
        &self,
        client: Option<&kube::Client>,
        rules: &NodeRules,
    ) -> anyhow::Result<Cluster> {
        let (Some(client), None) = (client, &self.nodes) else {
            let path = self.nodes.as_deref();
            let path = path.context("there is neither a file of nodes nor a cluster")?;
            return Ok(Cluster {
                nodes: config::parse_nodes(path, &config::read(path)?)?,
                runtime_classes: RuntimeClasses::new(),
                open_pools: Vec::new(),
                now: None,
            });
        };
        let told = |error| Unanswered::of("nodes", error);
        let nodes = nodes::list_nodes(client.clone()).await.map_err(told)?;
        let runtime_classes = runtime_classes::list_runtime_classes(client.clone()).await;
        let open_pools = autoscalers::list_pools(client.clone(), rules.autoscalers).await;
        Ok(Cluster {
            nodes,
            runtime_classes: runtime_classes.map_err(told)?,
            open_pools: open_pools.map_err(told)?,
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
    /// Whether these are pools of an autoscaler instead of nodes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    may_grow: bool,
    nodes: usize,
}

fn group(cluster: &Cluster, rules: &NodeRules) -> Vec<Group> {
    let mut groups = BTreeMap::new();
    let nodes = cluster.nodes.iter().map(|node| (node, Kind::Joined));
    let pools = rules.pools.iter().map(|pool| (pool, Kind::Declared));
    for (node, kind) in nodes.chain(pools) {
        let platform = NodePlatform::with_overrides(node, &rules.overrides);
        let group = add(&mut groups, &platform, kind, &node.spec.taints);
        let runtime = &node.status.node_info.container_runtime_version;
        let runtime = runtime.trim_end_matches("://unknown");
        group.runtimes.insert(runtime.replacen("://", " ", 1));
    }
    for pool in &cluster.open_pools {
        add(&mut groups, &pool.platform, Kind::MayGrow, &pool.taints);
    }
    groups.into_values().collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Joined,
    Declared,
    MayGrow,
}

type Groups<'a> = BTreeMap<(NodePlatform, Kind, Vec<&'a Taint>), Group>;

/// Counts one node or pool.
fn add<'a, 'b>(
    groups: &'b mut Groups<'a>,
    platform: &NodePlatform,
    kind: Kind,
    taints: &'a [Taint],
) -> &'b mut Group {
    let mut taints: Vec<&Taint> = taints.iter().collect();
    taints.sort();
    let group = || Group {
        name: platform.group_name(),
        platform: platform.written(),
        product: platform.windows.and_then(WindowsVersion::product),
        runtimes: BTreeSet::new(),
        taints: taints.iter().map(ToString::to_string).collect(),
        declared: kind == Kind::Declared,
        may_grow: kind == Kind::MayGrow,
        nodes: 0,
    };
    let group = groups
        .entry((platform.clone(), kind, taints.clone()))
        .or_insert_with(group);
    group.nodes += 1;
    group
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
        let nodes = match (group.declared, group.may_grow) {
            (true, _) => format!("{} (declared)", group.nodes),
            (_, true) => format!("{} (may grow)", group.nodes),
            _ => group.nodes.to_string(),
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
