//! What a scan of a cluster found: every workload against every group of nodes, as data. The JSON is an interface:
//! fields are added, never changed.
//!
//! Leaves out how it was found (`cli`). `text` and `html` are its other formats.

pub mod html;
pub mod text;

use serde::Serialize;

use super::Standing;
use crate::domain::decision::Outcome;

/// What was found of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scan {
    /// The changes that were asked about, in their order; the verdicts are those after all of them.
    pub what_if: Vec<String>,
    /// The groups of nodes; a workload has a cell for each, in this order.
    pub node_groups: Vec<Column>,
    /// Every workload, ordered by namespace, kind and name.
    pub workloads: Vec<Row>,
    /// Every image, ordered by name.
    pub images: Vec<ScannedImage>,
    /// How many of everything.
    pub summary: Summary,
}

/// A group of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Column {
    /// The group's name.
    pub name: String,
    /// Its platform.
    pub platform: String,
    /// How many nodes.
    pub nodes: u64,
    /// Whether it is what `--what-if` adds or changes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub what_if: bool,
}

/// A workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its namespace.
    pub namespace: String,
    /// Its kind, as in the owner reference.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its pods that have not ended.
    pub pods: usize,
    /// Whether its next pods will run.
    pub verdict: State,
    /// The code of the finding.
    pub code: &'static str,
    /// What the webhook would say of its next pods, in words; empty where they run.
    pub message: String,
    /// Without the changes that were asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<State>,
    /// What the changes do to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Its images, each once.
    pub images: Vec<String>,
    /// Operating systems on some nodes of which its images run, with or without the changes.
    #[serde(skip)]
    pub systems: Vec<String>,
    /// How each group of nodes stands to it.
    pub node_groups: Vec<Cell>,
}

/// Whether the next pods of a workload will run, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// On every node that they may land on.
    Runs,
    /// On some of them.
    MayLandWrong,
    /// Something decisive is unknown.
    Unknown,
    /// They may land on no node.
    NoNode,
    /// On none of the nodes that they may land on, on proof.
    CannotRun,
}

/// What other nodes do to a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It could run, and now cannot.
    Breaks,
    /// It is worse off, but not at an end.
    Worse,
    /// It is as it was.
    Same,
    /// It is better off.
    Better,
}

/// How a group of nodes stands to a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// Whether its pods may land there, and what becomes of them.
    pub verdict: Standing,
    /// What would become of its images there, wherever its pods may land.
    pub images: Standing,
    /// Why not; absent where they run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// An image, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScannedImage {
    /// As the pods name it.
    pub image: String,
    /// The platforms that it offers.
    pub platforms: Vec<String>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
}

/// How many of everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Workloads.
    pub workloads: usize,
    /// Their pods.
    pub pods: usize,
    /// Different images.
    pub images: usize,
    /// Workloads by what becomes of them.
    pub runs: usize,
    /// As above.
    pub may_land_wrong: usize,
    /// As above.
    pub unknown: usize,
    /// As above.
    pub no_node: usize,
    /// As above.
    pub cannot_run: usize,
    /// Workloads that the changes break.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaks: Option<usize>,
}

impl State {
    /// All of them, the worst first.
    pub const ALL: [Self; 5] = [
        Self::CannotRun,
        Self::NoNode,
        Self::Unknown,
        Self::MayLandWrong,
        Self::Runs,
    ];

    /// What an outcome comes to.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Runs => Self::Runs,
            Outcome::MayLandWrong(_) => Self::MayLandWrong,
            Outcome::Unknown(_) => Self::Unknown,
            Outcome::NoCandidate | Outcome::NoNodes => Self::NoNode,
            Outcome::Nowhere => Self::CannotRun,
        }
    }

    /// What people read.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::MayLandWrong => "may land wrong",
            Self::Unknown => "not known",
            Self::NoNode => "no node for it",
            Self::CannotRun => "cannot run",
        }
    }

    /// What the change from one to another is.
    #[must_use]
    pub fn change_to(self, after: Self) -> Change {
        let ends = |state: Self| matches!(state, Self::CannotRun | Self::NoNode);
        match (ends(self), ends(after)) {
            (false, true) => Change::Breaks,
            _ if after > self => Change::Worse,
            _ if after < self => Change::Better,
            _ => Change::Same,
        }
    }
}

impl Row {
    /// What to call it: `Deployment shop/web`.
    #[must_use]
    pub fn label(&self) -> String {
        match self.namespace.as_str() {
            "" => format!("{} {}", self.kind, self.name),
            namespace => format!("{} {namespace}/{}", self.kind, self.name),
        }
    }
}

impl Scan {
    /// Counts, once everything else is there.
    #[must_use]
    pub fn counted(mut self) -> Self {
        let count = |state: State| self.count(|row| row.verdict == state);
        self.summary = Summary {
            workloads: self.workloads.len(),
            pods: self.workloads.iter().map(|row| row.pods).sum(),
            images: self.images.len(),
            runs: count(State::Runs),
            may_land_wrong: count(State::MayLandWrong),
            unknown: count(State::Unknown),
            no_node: count(State::NoNode),
            cannot_run: count(State::CannotRun),
            breaks: (!self.what_if.is_empty())
                .then(|| self.count(|row| row.change == Some(Change::Breaks))),
        };
        self
    }

    fn count(&self, is_one: impl Fn(&Row) -> bool) -> usize {
        self.workloads.iter().filter(|row| is_one(row)).count()
    }

    /// Of the workloads whose images run on some nodes of the same operating system, with or without the changes, those
    /// whose images run on a group of nodes too, and those whose images do not.
    #[must_use]
    pub fn readiness(&self, column: usize) -> (Vec<&Row>, Vec<&Row>) {
        let platform = self.node_groups.get(column);
        let os = platform.and_then(|column| column.platform.split('/').next());
        let runs = |row: &Row, at: usize| {
            let cell = row.node_groups.get(at);
            cell.is_some_and(|cell| cell.images == Standing::Runs)
        };
        let is_of_os = |row: &&Row| row.systems.iter().any(|system| os == Some(system));
        let concerned = self.workloads.iter().filter(is_of_os);
        concerned.partition(|row| runs(row, column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_workload_breaks_it() {
        for (before, after, want) in [
            (State::Runs, State::CannotRun, Change::Breaks),
            (State::MayLandWrong, State::NoNode, Change::Breaks),
            (State::Runs, State::MayLandWrong, Change::Worse),
            (State::NoNode, State::CannotRun, Change::Worse),
            (State::CannotRun, State::Runs, Change::Better),
            (State::Runs, State::Runs, Change::Same),
        ] {
            assert_eq!(before.change_to(after), want, "{before:?} {after:?}");
        }
    }
}
