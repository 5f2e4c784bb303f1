//! From a judgement to the report of an object: its verdict, what stands in the way of each image and where that
//! image stands in the file, and every group of nodes.

use super::located::steps;
use super::objects::Object;
use crate::domain::decision::{GroupVerdict, Joint, ResolvedImage};
use crate::domain::inventory::{Inventory, NodeGroup};
use crate::domain::message::explain_on;
use crate::domain::placement::Exclusion;
use crate::domain::pod::PodSpec;
use crate::domain::policy::Action;
use crate::domain::verdict::{Doubt, Verdict};
use crate::domain::workload::Workload;
use crate::gate::Judgement;
use crate::report::{Finding, GroupReport, ObjectReport, Standing};

/// Reports what a judgement says of an object.
pub(super) fn report(
    object: &Object,
    workload: &Workload<'_>,
    placed: &PodSpec<'_>,
    judgement: Judgement<'_>,
    inventory: &Inventory,
) -> ObjectReport {
    let findings = findings(object, &judgement);
    let node_groups = node_groups(placed, &judgement, inventory);
    let undecided = judgement.decision.action != Action::Deny && is_undecided(&judgement);
    let verdict = judgement.decision.action;
    let sentences = judgement.message.warnings.clone();
    let answer = judgement.into_answer().bounded();
    ObjectReport {
        api_version: object.api_version.clone(),
        kind: object.kind.name().to_owned(),
        namespace: workload.namespace.to_string(),
        name: workload.name.to_string(),
        verdict,
        message: answer.message,
        warnings: answer.warnings,
        findings,
        node_groups,
        fix: None,
        sentences,
        file: object.file.to_string(),
        at: object.tree.at,
        undecided,
    }
}

/// Whether a registry did not tell what an image is that could land somewhere.
fn is_undecided(judgement: &Judgement<'_>) -> bool {
    let assessment = &judgement.assessment;
    let unanswered =
        |image: &ResolvedImage<'_>| matches!(image.answer, Err(Doubt::Lookup(_failure)));
    assessment.candidates().next().is_some() && assessment.images.iter().any(unanswered)
}

fn findings(object: &Object, judgement: &Judgement<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if judgement.assessment.candidates().next().is_none() {
        findings.push(Finding {
            code: judgement.decision.outcome.code(),
            container: None,
            image: None,
            node_group: None,
            message: judgement.message.text.clone(),
            label: String::new(),
            at: object.tree.at,
        });
    }
    let images = judgement.assessment.images.iter().enumerate();
    findings.extend(images.flat_map(|(at, resolved)| findings_on(object, judgement, at, resolved)));
    findings
}

/// What stands in the way of one image: once if nothing is known of it, else by group of nodes.
fn findings_on(
    object: &Object,
    judgement: &Judgement<'_>,
    at: usize,
    resolved: &ResolvedImage<'_>,
) -> Vec<Finding> {
    let field = object.kind.field(&resolved.image.field());
    let place = object.tree.follow(steps(&field));
    let on_group = |group: &GroupVerdict| {
        let verdict = group.images[at];
        Some(Finding {
            code: verdict.code()?,
            container: Some(resolved.image.name.to_owned()),
            image: Some(resolved.image.image.to_owned()),
            node_group: resolved.answer.is_ok().then(|| name(&group.group)),
            message: explain_on(&group.group.platform, verdict, resolved)?,
            label: format!("{} {:?}", resolved.image.noun(), resolved.image.name),
            at: place,
        })
    };
    let assessment = &judgement.assessment;
    let groups = assessment.candidates().chain(&assessment.implied);
    let findings = groups.filter_map(on_group);
    match resolved.answer {
        Ok(_) => findings.collect(),
        Err(_) => findings.take(1).collect(),
    }
}

fn node_groups(
    spec: &PodSpec<'_>,
    judgement: &Judgement<'_>,
    inventory: &Inventory,
) -> Vec<GroupReport> {
    let assessment = &judgement.assessment;
    let mut reports = Vec::new();
    for verdict in &assessment.implied {
        let (standing, why) = standing(verdict, &assessment.images);
        reports.push(GroupReport {
            name: name(&verdict.group),
            platform: verdict.group.platform.written(),
            nodes: 0,
            verdict: standing,
            why,
        });
    }
    for verdict in &assessment.groups {
        let group = &verdict.group;
        let report = |nodes: u64, standing: Standing, why: Option<String>| GroupReport {
            name: name(group),
            platform: group.platform.written(),
            nodes,
            verdict: standing,
            why,
        };
        if group.candidates > 0 {
            let (standing, why) = standing(verdict, &assessment.images);
            reports.push(report(group.candidates, standing, why));
        }
        if group.candidates < group.nodes {
            let why = exclusions(&inventory.exclusions(spec, group));
            let others = group.nodes - group.candidates;
            reports.push(report(others, Standing::Excluded, Some(why)));
        }
    }
    reports
}

/// The name of a group, which tells a declared pool from nodes of the same platform.
fn name(group: &NodeGroup) -> String {
    let name = group.platform.group_name();
    match (group.are_pools, group.nodes) {
        (true, _) if group.open.is_some() => format!("{name}, pools of an autoscaler"),
        (true, _) => format!("{name}, declared pools"),
        (false, 0) => format!("{}, no node yet", group.platform.written()),
        (false, _) => name,
    }
}

/// How candidates stand to the pod, and by which image.
fn standing(group: &GroupVerdict, images: &[ResolvedImage<'_>]) -> (Standing, Option<String>) {
    let is_decisive = |verdict: Verdict| match group.joint {
        Joint::Runs => false,
        Joint::CannotRun => matches!(verdict, Verdict::CannotRun(_)),
        Joint::Unknown => matches!(verdict, Verdict::Unknown(_)),
    };
    let standing = match group.joint {
        Joint::Runs => Standing::Runs,
        Joint::CannotRun => Standing::CannotRun,
        Joint::Unknown => Standing::Unknown,
    };
    let mut verdicts = group.images.iter().zip(images);
    let why = verdicts
        .find(|(verdict, _)| is_decisive(**verdict))
        .and_then(|(verdict, image)| explain_on(&group.group.platform, *verdict, image));
    (standing, why)
}

/// Why nodes are left out, the most frequent reason first: `nodeSelector, taint a:NoSchedule`.
fn exclusions(found: &[(Exclusion, u64)]) -> String {
    let words: Vec<String> = found.iter().map(|(reason, _)| reason.to_string()).collect();
    words.join(", ")
}
