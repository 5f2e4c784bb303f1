//! The denial: no candidate node can run the pod. What stands in the way, of which nodes, and the two cures.

use super::super::decision::{Assessment, GroupVerdict, ResolvedImage, Softened};
use super::super::placement::Exclusion;
use super::super::pod::ImageField;
use super::{culprit_fact, is_in_the_way, largest, phrase, selector_for};

/// The sentences of the denial, but for the nodes that are left out.
pub(super) fn describe_nowhere(
    assessment: &Assessment<'_>,
    softened: Option<Softened>,
) -> Vec<String> {
    let culprits: Vec<usize> = (0..assessment.images.len())
        .filter(|at| {
            assessment
                .candidates()
                .all(|group| is_in_the_way(group, *at))
        })
        .collect();
    let nodes = phrase::nodes(assessment.candidates());
    let (Some((at, others)), Some(group)) = (culprits.split_first(), largest(assessment)) else {
        return vec![
            mixed_fact(assessment),
            format!("The pod can only land on {nodes}."),
            "To fix it, split the pod, one platform each.".to_owned(),
        ];
    };
    let culprit = &assessment.images[*at];
    let is_bound = culprit.image.kind == ImageField::EphemeralContainer;
    let where_to = if is_bound {
        "is bound to"
    } else {
        "can only land on"
    };
    let mut sentences = vec![culprit_fact(assessment, *at, group)];
    sentences.extend(others.iter().take(MAX_OTHERS).map(|at| {
        let other = &assessment.images[*at];
        let (image, offers) = (phrase::image(other), phrase::offers(other));
        format!("{image} cannot run there either: it offers {offers}.")
    }));
    sentences.push(format!("The pod {where_to} {nodes}."));
    let selector = (!is_bound && softened != Some(Softened::DaemonSet))
        .then(|| cure_by_selector(assessment))
        .flatten();
    let other_tag = phrase::other_tag(group, culprit);
    sentences.extend(match selector {
        Some(selector) => [
            format!("To fix it, {selector}."),
            format!("Or {other_tag}."),
        ]
        .into(),
        None => vec![format!("To fix it, {other_tag}.")],
    });
    sentences
}

/// Further images named that run nowhere either.
const MAX_OTHERS: usize = 2;

/// Every image runs somewhere, but no node runs all of them: which nodes each image keeps away.
fn mixed_fact(assessment: &Assessment<'_>) -> String {
    let first_in_the_way =
        |group: &GroupVerdict| (0..assessment.images.len()).find(|at| is_in_the_way(group, *at));
    let sentence = |(at, resolved): (usize, &ResolvedImage<'_>)| {
        let kept_away = assessment
            .candidates()
            .filter(|group| first_in_the_way(group) == Some(at));
        let nodes: Vec<String> = kept_away
            .map(|group| group.group.platform.describe())
            .collect();
        let (image, offers) = (phrase::image(resolved), phrase::offers(resolved));
        (!nodes.is_empty()).then(|| {
            format!(
                "{} cannot run {image}, which offers {offers}",
                nodes.join(", ")
            )
        })
    };
    let sentences: Vec<String> = assessment
        .images
        .iter()
        .enumerate()
        .filter_map(sentence)
        .collect();
    format!(
        "no node can run all images of this pod: {}.",
        sentences.join("; ")
    )
}

/// Nodes of the cluster that do run the pod, as a selector to paste, and the taint in its way if there is one.
fn cure_by_selector(assessment: &Assessment<'_>) -> Option<String> {
    let (selector, nodes) = selector_for(assessment.groups.iter(), |group| group.group.nodes)?;
    let reached = || {
        assessment
            .groups
            .iter()
            .filter(|group| selector.fits(&group.group.platform))
    };
    // Where one of them is a candidate already, the selector is all that is missing.
    let in_the_way: Vec<&Exclusion> = if reached().any(|group| group.group.candidates > 0) {
        Vec::new()
    } else {
        let excluded = reached().flat_map(|group| &group.excluded);
        excluded.map(|(exclusion, _)| exclusion).collect()
    };
    let plural = if nodes == 1 { "node" } else { "nodes" };
    Some(format!(
        "schedule it on the {nodes} {plural} that can run it: {selector}{}",
        phrase::instead(&in_the_way)
    ))
}
