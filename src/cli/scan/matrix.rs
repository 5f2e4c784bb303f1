//! Judging workloads on nodes: a row each, with a cell for every group of nodes.

use super::images::Images;
use super::workloads::Workload;
use crate::domain::decision::{GroupVerdict, Joint, ResolvedImage};
use crate::domain::inventory::NodeGroup;
use crate::domain::message::explain_on;
use crate::domain::pod::PodSpec;
use crate::domain::verdict::Verdict;
use crate::gate::{Gate, Judgement};
use crate::report::Standing;
use crate::report::scan::{Cell, Column, Row, State};

/// The groups of nodes that a gate knows. `targets` are platforms that were asked about.
pub(super) fn columns(gate: &Gate, before: Option<&Gate>, targets: &[String]) -> Vec<Column> {
    let groups = |gate: &Gate| gate.inventory().groups(&PodSpec::default());
    let known = before.map(groups);
    let is_new = |group: &NodeGroup| {
        let same = |known: &NodeGroup| known.platform == group.platform;
        known.as_ref().is_some_and(|known| !known.iter().any(same))
    };
    let column = |group: NodeGroup| Column {
        what_if: is_new(&group) || targets.contains(&group.platform.written()),
        name: match group.are_pools {
            true => format!("{}, declared pools", group.platform.group_name()),
            false => group.platform.group_name(),
        },
        platform: group.platform.written(),
        nodes: group.nodes,
    };
    groups(gate).into_iter().map(column).collect()
}

/// What becomes of a workload. Of several variants the worst counts.
pub(super) fn row(gate: &Gate, before: Option<&Gate>, workload: &Workload, images: &Images) -> Row {
    let judged = |gate: &'_ Gate, spec| {
        let known = |reference: &_| images.known(&workload.namespace, spec, reference);
        row_of(workload, &gate.judge_known(spec, workload.rules(), known))
    };
    let worst = |gate: &Gate| {
        let rows = workload.variants.iter().map(|spec| judged(gate, spec));
        // Of equals the first, so that what is told is stable.
        rows.reduce(|worst, row| {
            if row.verdict > worst.verdict {
                row
            } else {
                worst
            }
        })
    };
    let empty = || row_of_nothing(workload);
    let mut row = worst(gate).unwrap_or_else(empty);
    let former = before.and_then(worst);
    row.systems.extend(
        former
            .iter()
            .flat_map(|former| former.systems.iter().cloned()),
    );
    let former = former.map(|former| former.verdict);
    row.before = former;
    row.change = former.map(|former| former.change_to(row.verdict));
    row.images = names(workload);
    row
}

/// The images of all variants, each once.
fn names(workload: &Workload) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let images = workload.variants.iter().flat_map(PodSpec::images);
    for image in images {
        if !names.iter().any(|known| known == image.image) {
            names.push(image.image.to_owned());
        }
    }
    names
}

fn row_of_nothing(workload: &Workload) -> Row {
    Row {
        namespace: workload.namespace.clone(),
        kind: workload.kind.clone(),
        name: workload.name.clone(),
        pods: workload.pods,
        verdict: State::Runs,
        code: "runs",
        message: String::new(),
        before: None,
        change: None,
        images: Vec::new(),
        systems: Vec::new(),
        node_groups: Vec::new(),
    }
}

/// What the webhook says of a pod that may land nowhere.
const NOT_CHECKED: &str = "; platform-gate did not check its images";

fn row_of(workload: &Workload, judgement: &Judgement<'_>) -> Row {
    let assessment = &judgement.assessment;
    let cell = |verdict| cell(verdict, &assessment.images);
    Row {
        verdict: State::of(&judgement.decision.outcome),
        code: judgement.decision.outcome.code(),
        // Here the images are checked all the same.
        message: judgement.message.text.replacen(NOT_CHECKED, "", 1),
        systems: assessment
            .groups
            .iter()
            .filter(|verdict| verdict.joint == Joint::Runs)
            .map(|verdict| verdict.group.platform.os.clone())
            .collect(),
        node_groups: assessment.groups.iter().map(cell).collect(),
        ..row_of_nothing(workload)
    }
}

fn cell(verdict: &GroupVerdict, images: &[ResolvedImage<'_>]) -> Cell {
    let standing = match verdict.joint {
        Joint::Runs => Standing::Runs,
        Joint::Unknown => Standing::Unknown,
        Joint::CannotRun => Standing::CannotRun,
    };
    let is_decisive = |found: &Verdict| match verdict.joint {
        Joint::Runs => false,
        Joint::CannotRun => matches!(found, Verdict::CannotRun(_)),
        Joint::Unknown => matches!(found, Verdict::Unknown(_)),
    };
    let mut decisive = verdict
        .images
        .iter()
        .zip(images)
        .filter(|(found, _)| is_decisive(found));
    let why = decisive.next().and_then(|(found, image)| {
        let why = explain_on(&verdict.group.platform, *found, image)?;
        Some(why)
    });
    Cell {
        verdict: if verdict.group.candidates > 0 {
            standing
        } else {
            Standing::Excluded
        },
        images: standing,
        why,
    }
}
