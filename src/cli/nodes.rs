//! `nodes`: the groups of nodes that verdicts are made for. Also how every command that needs nodes comes by them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::{Exit, logging};
use crate::cluster::{Freshness, client, nodes};
use crate::config;
use crate::domain::node::{Node, NodePlatform, Taint};
use crate::domain::windows::WindowsVersion;

/// Print the groups of nodes: platform, runtime, taints and how many there are
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  platform-gate nodes
  kubectl get nodes -o yaml > nodes.yaml && platform-gate nodes --nodes nodes.yaml -o json")]
pub(super) struct Args {
    /// Take the nodes from this file instead of the kubeconfig's cluster: what `kubectl get nodes -o yaml` or `-o
    /// json` prints
    #[arg(long, value_name = "FILE")]
    nodes: Option<PathBuf>,
    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// The cluster did not answer.
#[derive(Debug, thiserror::Error)]
#[error(
    "the cluster does not answer: {0}; check the kubeconfig, or give --nodes FILE to do without a cluster"
)]
pub(super) struct Unanswered(#[from] nodes::ListError);

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    logging::start("warn");
    let groups = group(&load(args.nodes.as_deref()).await?);
    let mut stdout = std::io::stdout().lock();
    match args.output {
        Output::Text => writeln!(stdout, "{}", table(&groups).trim_fmt())?,
        Output::Json => {
            let json = serde_json::json!({ "nodeGroups": groups });
            serde_json::to_writer_pretty(&mut stdout, &json)?;
            writeln!(stdout)?;
        }
    }
    Ok(Exit::Fine)
}

/// The nodes of a file, or of the kubeconfig's cluster.
pub(super) async fn load(file: Option<&Path>) -> anyhow::Result<Vec<Node>> {
    if let Some(path) = file {
        return Ok(config::parse_nodes(path, &config::read(path)?)?);
    }
    let client = client::connect(&Freshness::default()).await?;
    Ok(nodes::list_nodes(client).await.map_err(Unanswered::from)?)
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
    nodes: usize,
}

fn group(nodes: &[Node]) -> Vec<Group> {
    let mut groups: BTreeMap<(NodePlatform, Vec<&Taint>), Group> = BTreeMap::new();
    for node in nodes {
        let platform = NodePlatform::of(node);
        let mut taints: Vec<&Taint> = node.spec.taints.iter().collect();
        taints.sort();
        let group = || Group {
            name: platform.group_name(),
            platform: platform.written(),
            product: platform.windows.and_then(WindowsVersion::product),
            runtimes: BTreeSet::new(),
            taints: taints.iter().map(ToString::to_string).collect(),
            nodes: 0,
        };
        let group = groups
            .entry((platform.clone(), taints.clone()))
            .or_insert_with(group);
        group.nodes += 1;
        let runtime = &node.status.node_info.container_runtime_version;
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
        table.add_row([
            group.nodes.to_string(),
            format!("{}{}", group.platform, product.unwrap_or_default()),
            runtimes.join(", "),
            group.taints.join(", "),
        ]);
    }
    table
}
