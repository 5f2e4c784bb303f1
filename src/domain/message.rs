//! Wording: what a denial, a warning and the audit log say. The decisive fact comes first, in the words that people
//! search for; the same facts always give the same text.
//!
//! Leaves out the decision itself (`decision`) and the bounds that the API sets on warnings (`admission`).

mod denial;
mod phrase;
#[cfg(test)]
mod tests;

use super::decision::{
    Assessment, Decision, GroupVerdict, Joint, Outcome, ResolvedImage, Softened,
};
use super::node::NodePlatform;
use super::pin::{Pin, pin};
use super::placement::Exclusion;
use super::policy::Action;
use super::verdict::{Doubt, Verdict};

/// What is said about a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The whole story: the text of a denial.
    pub text: String,
    /// Short sentences for the person who applies the pod, the most important first.
    pub warnings: Vec<String>,
    /// One cause per image that stands in the way: the field and what is wrong with it.
    pub causes: Vec<ImageCause>,
}

/// What is wrong with one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageCause {
    /// The field that names it, such as `spec.containers[0].image`.
    pub field: String,
    /// The code of the finding.
    pub code: &'static str,
    /// What is wrong with it.
    pub text: String,
}

/// Puts a decision into words.
#[must_use]
pub fn describe(assessment: &Assessment<'_>, decision: &Decision) -> Message {
    let mut sentences = match &decision.outcome {
        Outcome::Runs => return Message::default(),
        Outcome::Nowhere => denial::describe_nowhere(assessment, decision.softened),
        Outcome::MayLandWrong(_) => may_land_wrong(assessment),
        Outcome::Unknown(_) => vec![unknown(assessment)],
        Outcome::NoCandidate => no_candidate(assessment),
        Outcome::NoNodes => vec![NO_NODES.to_owned()],
    };
    sentences.extend(why_so(assessment, decision));
    if decision.outcome == Outcome::Nowhere && decision.softened != Some(Softened::DaemonSet) {
        sentences.extend(left_out(assessment));
    }
    let mut text = sentences.join(" ");
    // Where some nodes run the pod, or may, the others are no news to the person who applies it.
    if !matches!(decision.outcome, Outcome::Nowhere | Outcome::NoCandidate) {
        text.extend(left_out(assessment).map(|sentence| format!(" {sentence}")));
    }
    let more = unknown_images(assessment);
    sentences.extend(
        more.into_iter()
            .filter(|warning| !text.contains(warning.as_str())),
    );
    Message {
        text,
        warnings: sentences,
        causes: causes(assessment),
    }
}

/// Why a pod that would be denied is admitted, or one that would be warned is denied.
fn why_so(assessment: &Assessment<'_>, decision: &Decision) -> Option<String> {
    let code = decision.outcome.code();
    match (decision.softened, decision.action) {
        (Some(Softened::DaemonSet), _) => Some(of_daemon_set(assessment)),
        (Some(softened), _) => why_softened(softened).map(str::to_owned),
        (None, Action::Deny) if decision.outcome != Outcome::Nowhere => Some(format!(
            "It is rejected, as platform-gate's settings ask for [{code}]."
        )),
        _ => None,
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

/// The nodes left out, by the most frequent reason of each group.
fn left_out(assessment: &Assessment<'_>) -> Option<String> {
    let mut reasons: Vec<(&Exclusion, Vec<String>)> = Vec::new();
    let mut left_out = assessment.groups.iter().filter(|verdict| {
        // Where a node is named, it says nothing that the others are not it.
        let first = verdict.excluded.first();
        first.is_some_and(|(exclusion, _)| *exclusion != Exclusion::NodeName)
    });
    for verdict in left_out.by_ref().take(MAX_LEFT_OUT) {
        let nodes = phrase::count(
            verdict.group.nodes - verdict.group.candidates,
            &verdict.group,
        );
        let reason = &verdict.excluded[0].0;
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, groups)) => groups.push(nodes),
            None => reasons.push((reason, vec![nodes])),
        }
    }
    let words = reasons
        .iter()
        .map(|(reason, groups)| format!("{} (by {reason})", groups.join(", ")));
    let mut words: Vec<String> = words.collect();
    let others = left_out.map(|verdict| verdict.group.nodes - verdict.group.candidates);
    let others: u64 = others.sum();
    if others > 0 {
        words.push(format!("{others} other nodes"));
    }
    (!words.is_empty()).then(|| format!("Left out: {}.", words.join("; ")))
}

/// Groups named among those left out; there may be dozens.
const MAX_LEFT_OUT: usize = 4;

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

/// Some candidates run the pod and some do not: the cure first, since a warning may be cut.
fn may_land_wrong(assessment: &Assessment<'_>) -> Vec<String> {
    let wrong = assessment
        .candidates()
        .filter(|group| group.joint == Joint::CannotRun);
    let count = |groups: &mut dyn Iterator<Item = &GroupVerdict>| -> u64 {
        groups.map(|group| group.group.candidates).sum()
    };
    let (wrong_nodes, all_nodes) = (
        count(&mut wrong.clone()),
        count(&mut assessment.candidates()),
    );
    let Some(group) = wrong.clone().max_by_key(|group| group.group.candidates) else {
        return vec![refused_by_os(assessment)];
    };
    let at = (0..assessment.images.len())
        .find(|at| is_in_the_way(group, *at))
        .unwrap_or_default();
    let image = phrase::image(&assessment.images[at]);
    let fact =
        format!("{wrong_nodes} of the {all_nodes} nodes this pod may land on cannot run {image}");
    let cure = selector_for(assessment.candidates(), |group| group.group.candidates);
    let cure = cure
        .map(|(selector, _)| format!(": add {selector}"))
        .unwrap_or_default();
    vec![
        format!("{fact}{cure}."),
        format!("They are {}.", phrase::nodes(wrong)),
    ]
}

/// The pod says `spec.os`, which the scheduler does not read.
fn refused_by_os(assessment: &Assessment<'_>) -> String {
    let refused = assessment.refused_by_os();
    let label = |group: &GroupVerdict| group.group.platform.os.clone();
    let os = assessment
        .candidates()
        .map(label)
        .next()
        .unwrap_or_default();
    format!(
        "spec.os does not steer the scheduler: it may bind this pod to {refused} nodes whose kubelets refuse it; add \
         nodeSelector: {{kubernetes.io/os: {os}}}."
    )
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
            "{} {}; platform-gate did not check it [{}].",
            phrase::image(resolved),
            failure.explain(),
            failure.code()
        )),
        _ => None,
    };
    assessment.images.iter().filter_map(sentence).collect()
}

/// No node is a candidate now; one may join later. What it would have to be may be known from what the pod asks for.
fn no_candidate(assessment: &Assessment<'_>) -> Vec<String> {
    let implied = assessment.implied.iter();
    let right = implied
        .clone()
        .find(|verdict| verdict.joint == Joint::Runs)
        .map(|verdict| format!("its images run on {}", verdict.group.platform.describe()));
    let unknown = || "platform-gate did not check its images".to_owned();
    let first = match assessment.asks_in_vain() {
        true => format!("{NO_CANDIDATE}."),
        false => format!("{NO_CANDIDATE}; {}.", right.unwrap_or_else(unknown)),
    };
    let in_vain = implied.filter(|_| assessment.asks_in_vain()).take(1);
    let sentence = |verdict: &GroupVerdict| {
        let at = (0..assessment.images.len())
            .find(|at| is_in_the_way(verdict, *at))
            .unwrap_or_default();
        let fact = culprit_fact(assessment, at, verdict);
        format!("A node that it asks for could not run it: {fact}")
    };
    [first]
        .into_iter()
        .chain(in_vain.map(sentence))
        .chain(left_out(assessment))
        .collect()
}

const NO_CANDIDATE: &str =
    "no node satisfies this pod's nodeName, nodeSelector, affinity and tolerations now";
const NO_NODES: &str = "platform-gate knows no nodes yet; it did not check this pod's images.";

/// Why a pod that would be denied is admitted.
fn why_softened(softened: Softened) -> Option<&'static str> {
    match softened {
        Softened::EnforcementAction | Softened::DaemonSet => None,
        Softened::StaleNodes => {
            Some("It is admitted all the same, since platform-gate's list of nodes is out of date.")
        }
        Softened::UnknownPools => Some(
            "It is admitted all the same, since the pools that autoscalers may grow could not be read lately.",
        ),
        Softened::RuntimeClass => Some(
            "It is admitted all the same, since its RuntimeClass is not known, which may tolerate other nodes.",
        ),
        Softened::Template => Some("The object is stored, but its pods will be rejected."),
    }
}

fn of_daemon_set(assessment: &Assessment<'_>) -> String {
    let selector = selector_for(assessment.groups.iter(), |group| group.group.nodes);
    let selector = selector.map_or("a nodeSelector".to_owned(), |(pin, _)| pin.to_string());
    format!(
        "It is admitted all the same, since other pods of its DaemonSet can run; give the DaemonSet {selector}."
    )
}

fn causes(assessment: &Assessment<'_>) -> Vec<ImageCause> {
    let cause = |(at, resolved): (usize, &ResolvedImage<'_>)| {
        let on = |kind: &str| {
            assessment
                .candidates()
                .find(|group| group.images[at].kind() == kind)
        };
        let group = on("cannot-run").or_else(|| on("unknown"))?;
        let verdict = group.images[at];
        Some(ImageCause {
            field: resolved.image.field(),
            code: verdict.code()?,
            text: match verdict {
                Verdict::Unknown(doubt) => doubt_on(resolved, doubt, group),
                _ => format!(
                    "{}: {} offers {}",
                    phrase::fact(&group.group.platform, verdict, resolved),
                    phrase::shorten(resolved.image.image),
                    phrase::offers(resolved)
                ),
            },
        })
    };
    assessment
        .images
        .iter()
        .enumerate()
        .filter_map(cause)
        .collect()
}

fn doubt_on(resolved: &ResolvedImage<'_>, doubt: Doubt, group: &GroupVerdict) -> String {
    let image = phrase::image(resolved);
    let words = phrase::doubt(&image, resolved, doubt, &group.group.platform);
    format!("{words} [{}].", doubt.code())
}
