//! Wording: what a denial, a warning and the audit log say. The decisive fact comes first, in the words that people
//! search for; the same facts always give the same text.
//!
//! Leaves out the decision itself (`decision`) and the bounds that the API sets on warnings (`admission`).

mod phrase;
#[cfg(test)]
mod tests;

use super::decision::{Assessment, Decision, GroupVerdict, Joint, Outcome, ResolvedImage};
use super::node::NodePlatform;
use super::pin::{Pin, pin};
use super::verdict::{Doubt, Verdict};

/// What is said about a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The whole story: the text of a denial.
    pub text: String,
    /// Short sentences for the person who applies the pod, the most important first.
    pub warnings: Vec<String>,
    /// One cause per image that stands in the way: the field and what is wrong with it.
    pub causes: Vec<(String, String)>,
}

/// Puts a decision into words.
#[must_use]
pub fn describe(assessment: &Assessment<'_>, decision: &Decision) -> Message {
    let text = match &decision.outcome {
        Outcome::Runs => return Message::default(),
        Outcome::Nowhere => nowhere(assessment),
        Outcome::MayLandWrong(_) => may_land_wrong(assessment),
        Outcome::Unknown(_) => unknown(assessment),
        Outcome::NoCandidate => no_candidate(assessment),
    };
    let mut warnings = vec![text.clone()];
    if decision.outcome != Outcome::Nowhere {
        warnings.extend(
            unknown_images(assessment)
                .into_iter()
                .filter(|warning| *warning != text),
        );
    }
    Message {
        text,
        warnings,
        causes: causes(assessment),
    }
}

/// Why an image does not run on one platform, or may not; `None` where it runs.
#[must_use]
pub fn explain_on(
    node: &NodePlatform,
    verdict: Verdict,
    resolved: &ResolvedImage<'_>,
) -> Option<String> {
    match verdict {
        Verdict::Runs { .. } => None,
        Verdict::CannotRun(_) => Some(phrase::fact(node, verdict, resolved)),
        Verdict::Unknown(doubt) => Some(phrase::doubt(
            &format!("image {}", phrase::shorten(resolved.image.image)),
            resolved,
            doubt,
            node,
        )),
    }
}

/// The denial: no candidate node can run the pod.
fn nowhere(assessment: &Assessment<'_>) -> String {
    let culprit = (0..assessment.images.len()).find(|at| {
        assessment
            .candidates()
            .all(|group| is_in_the_way(group, *at))
    });
    let (fact, other_cure) = match (culprit, largest(assessment)) {
        (Some(at), Some(group)) => (
            culprit_fact(assessment, at, group),
            phrase::other_tag(group),
        ),
        _ => (
            mixed_fact(assessment),
            "split the pod, one platform each".to_owned(),
        ),
    };
    let nodes = phrase::nodes(assessment.candidates());
    let cures: Vec<String> = cure_by_selector(assessment)
        .into_iter()
        .chain([other_cure])
        .collect();
    format!(
        "{fact} The pod can only land on {nodes}. To fix it, {}.",
        cures.join(", or ")
    )
}

fn is_in_the_way(group: &GroupVerdict, image: usize) -> bool {
    matches!(group.images[image], Verdict::CannotRun(_))
}

/// The candidate group with the most nodes, which a message speaks of.
fn largest<'a>(assessment: &'a Assessment<'_>) -> Option<&'a GroupVerdict> {
    assessment.candidates().max_by_key(|verdict| {
        (
            verdict.group.candidates,
            std::cmp::Reverse(&verdict.group.platform),
        )
    })
}

/// One image runs on no candidate.
fn culprit_fact(assessment: &Assessment<'_>, at: usize, group: &GroupVerdict) -> String {
    let resolved = &assessment.images[at];
    let fact = phrase::fact(&group.group.platform, group.images[at], resolved);
    format!(
        "{fact}: {} offers {}{}.",
        phrase::image(resolved),
        phrase::offers(resolved),
        phrase::too_new(group, resolved)
    )
}

/// Every image runs somewhere, but no node runs all of them.
fn mixed_fact(assessment: &Assessment<'_>) -> String {
    let per_group = assessment.candidates().filter_map(|group| {
        let at = (0..assessment.images.len()).find(|at| is_in_the_way(group, *at))?;
        let resolved = &assessment.images[at];
        let offers = phrase::offers(resolved);
        Some(format!(
            "{} cannot run {}, which offers {offers}",
            group.group.platform.describe(),
            phrase::image(resolved)
        ))
    });
    format!(
        "no node can run all images of this pod: {}.",
        per_group.collect::<Vec<_>>().join("; ")
    )
}

/// Nodes of the cluster that do run the pod, as a selector to paste.
fn cure_by_selector(assessment: &Assessment<'_>) -> Option<String> {
    let (selector, nodes) = selector_for(assessment.groups.iter(), |group| group.group.nodes)?;
    let plural = if nodes == 1 { "node" } else { "nodes" };
    Some(format!(
        "schedule it on the {nodes} {plural} that can run it ({selector})"
    ))
}

/// The selector that leads to groups that run the pod and to no other, with the number of nodes that run it.
fn selector_for<'a>(
    groups: impl Iterator<Item = &'a GroupVerdict>,
    count: impl Fn(&GroupVerdict) -> u64,
) -> Option<(Pin, u64)> {
    let (right, wrong): (Vec<_>, Vec<_>) = groups.partition(|group| group.joint == Joint::Runs);
    let right: Vec<_> = right
        .iter()
        .map(|group| (&*group.group.platform, count(group)))
        .collect();
    let wrong: Vec<_> = wrong.iter().map(|group| &*group.group.platform).collect();
    let selector = pin(&right, &wrong)?;
    let fits = |platform: &NodePlatform| selector.fits(platform);
    let nodes = right
        .iter()
        .filter(|(platform, _)| fits(platform))
        .map(|(_, nodes)| nodes)
        .sum();
    Some((selector, nodes))
}

/// Some candidates run the pod and some do not.
fn may_land_wrong(assessment: &Assessment<'_>) -> String {
    let wrong = assessment
        .candidates()
        .filter(|group| group.joint == Joint::CannotRun);
    let Some(group) = wrong.clone().max_by_key(|group| group.group.candidates) else {
        return String::new();
    };
    let at = (0..assessment.images.len())
        .find(|at| is_in_the_way(group, *at))
        .unwrap_or_default();
    let image = phrase::image(&assessment.images[at]);
    let fact = format!(
        "this pod may land on {} that cannot run {image}",
        phrase::nodes(wrong)
    );
    match selector_for(assessment.candidates(), |group| group.group.candidates) {
        Some((selector, _)) => format!("{fact}: add {selector}"),
        None => fact,
    }
}

/// Nothing proves that the pod cannot run, and something is not known.
fn unknown(assessment: &Assessment<'_>) -> String {
    let per_image = unknown_images(assessment);
    per_image.into_iter().next().unwrap_or_else(|| {
        let doubtful = assessment.candidates().find_map(|group| {
            let (at, doubt) =
                group
                    .images
                    .iter()
                    .enumerate()
                    .find_map(|(at, verdict)| match verdict {
                        Verdict::Unknown(doubt) => Some((at, *doubt)),
                        _ => None,
                    })?;
            Some(doubt_on(&assessment.images[at], doubt, group))
        });
        doubtful.unwrap_or_default()
    })
}

/// A sentence for each image that no registry told us of.
fn unknown_images(assessment: &Assessment<'_>) -> Vec<String> {
    let sentence = |resolved: &ResolvedImage<'_>| match resolved.answer {
        Err(Doubt::Lookup(failure)) => Some(format!(
            "{} {}; platform-gate did not check it",
            phrase::image(resolved),
            failure.explain()
        )),
        _ => None,
    };
    assessment.images.iter().filter_map(sentence).collect()
}

/// No node is a candidate now; one may join later.
fn no_candidate(assessment: &Assessment<'_>) -> String {
    if assessment.groups.is_empty() {
        return "platform-gate knows no nodes yet; it did not check this pod's images".to_owned();
    }
    "no node satisfies this pod's nodeName, nodeSelector, affinity and tolerations now; platform-gate did not check its \
     images"
        .to_owned()
}

fn causes(assessment: &Assessment<'_>) -> Vec<(String, String)> {
    let cause = |(at, resolved): (usize, &ResolvedImage<'_>)| {
        let group = assessment
            .candidates()
            .find(|group| is_in_the_way(group, at))?;
        let offers = phrase::offers(resolved);
        Some((
            resolved.image.field(),
            format!(
                "{}: offers {offers}",
                phrase::fact(&group.group.platform, group.images[at], resolved)
            ),
        ))
    };
    assessment
        .images
        .iter()
        .enumerate()
        .filter_map(cause)
        .collect()
}

fn doubt_on(resolved: &ResolvedImage<'_>, doubt: Doubt, group: &GroupVerdict) -> String {
    phrase::doubt(
        &phrase::image(resolved),
        resolved,
        doubt,
        &group.group.platform,
    )
}
