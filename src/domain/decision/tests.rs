//! From verdicts to what happens to the pod, by policy.

use super::*;
use crate::domain::node::NodePlatform;
use crate::domain::verdict::Cause;

const RUNS: Verdict = Verdict::Runs { chosen: None };
const NO_MATCH: Verdict = Verdict::CannotRun(Cause::NoMatch);
const ARCH: Verdict = Verdict::CannotRun(Cause::Arch);
const SCHEMA1: Verdict = Verdict::Unknown(Doubt::Schema1);

/// Groups of one node each: its platform and the verdicts on the pod's images there.
fn assessment(groups: &[(&str, &[Verdict])]) -> Assessment<'static> {
    let group = |(platform, verdicts): &(&str, &[Verdict])| {
        let platform = Arc::new(NodePlatform::from_platform(
            &platform.parse().unwrap(),
            None,
        ));
        let group = NodeGroup {
            platform,
            candidates: 1,
            nodes: 1,
            refused_by_os: 0,
            open: None,
            are_pools: false,
        };
        GroupVerdict {
            joint: join(verdicts),
            images: verdicts.to_vec(),
            group,
            excluded: Vec::new(),
        }
    };
    let image = |position| ResolvedImage {
        image: PodImage {
            name: "app",
            kind: ImageField::Container,
            position,
            image: "app",
            never_pulled: false,
            host_process: false,
        },
        answer: Err(Doubt::Schema1),
    };
    let images = groups.iter().map(|(_, verdicts)| verdicts.len()).max();
    Assessment {
        images: (0..images.unwrap_or_default()).map(image).collect(),
        groups: groups.iter().map(group).collect(),
        implied: Vec::new(),
    }
}

#[test]
fn what_verdicts_come_to() {
    let (linux, arm64, windows) = ("linux/amd64", "linux/arm64", "windows/amd64:10.0.17763");
    for (groups, want) in [
        (vec![(linux, &[RUNS][..])], Outcome::Runs),
        (vec![(linux, &[NO_MATCH])], Outcome::Nowhere),
        (
            vec![(linux, &[RUNS, NO_MATCH]), (windows, &[NO_MATCH, RUNS])],
            Outcome::Nowhere,
        ),
        (
            vec![(linux, &[RUNS]), (windows, &[NO_MATCH])],
            Outcome::MayLandWrong(vec![Axis::Os]),
        ),
        (
            vec![(linux, &[RUNS]), (arm64, &[NO_MATCH])],
            Outcome::MayLandWrong(vec![Axis::Arch]),
        ),
        (vec![(linux, &[SCHEMA1])], Outcome::Unknown(Doubt::Schema1)),
        (
            vec![(linux, &[SCHEMA1]), (windows, &[NO_MATCH])],
            Outcome::Unknown(Doubt::Schema1),
        ),
        (vec![(linux, &[SCHEMA1, NO_MATCH])], Outcome::Nowhere),
        (
            vec![(linux, &[RUNS]), (arm64, &[SCHEMA1])],
            Outcome::Unknown(Doubt::Schema1),
        ),
        (vec![], Outcome::NoNodes),
    ] {
        assert_eq!(assessment(&groups).outcome(), want, "{groups:?}");
    }
}

#[test]
fn what_the_policy_makes_of_it() {
    let nowhere = assessment(&[("linux/amd64", &[NO_MATCH])]);
    let wrong = assessment(&[("linux/amd64", &[RUNS]), ("windows/amd64", &[NO_MATCH])]);
    let unknown = assessment(&[("linux/amd64", &[SCHEMA1])]);
    let (deny, warn, audit) = (
        EnforcementAction::Deny,
        EnforcementAction::Warn,
        EnforcementAction::Audit,
    );
    let (daemon_set, stale) = (Some(Softened::DaemonSet), Some(Softened::StaleNodes));
    let by_mode = Some(Softened::EnforcementAction);
    for (assessment, enforcement_action, spared, want) in [
        (&nowhere, deny, None, (Action::Deny, None)),
        (&nowhere, deny, daemon_set, (Action::Warn, daemon_set)),
        (&nowhere, deny, stale, (Action::Warn, stale)),
        (&nowhere, warn, None, (Action::Warn, by_mode)),
        (&nowhere, audit, None, (Action::Allow, by_mode)),
        (&wrong, deny, None, (Action::Warn, None)),
        (&wrong, audit, None, (Action::Allow, None)),
        (&unknown, deny, None, (Action::Warn, None)),
    ] {
        let policy = Policy {
            enforcement_action,
            ..Policy::default()
        };
        let decision = decide(&policy, assessment, spared);
        assert_eq!(
            (decision.action, decision.softened),
            want,
            "{assessment:?} {enforcement_action:?}"
        );
    }
}

#[test]
fn single_findings_have_actions_of_their_own() {
    let action = |findings: &[(&'static str, Action)], groups: &[(&str, &[Verdict])]| {
        let policy = Policy {
            findings: findings.iter().copied().collect(),
            ..Policy::default()
        };
        decide(&policy, &assessment(groups), None).action
    };
    let (linux, arm64) = ("linux/amd64", "linux/arm64");
    assert_eq!(
        action(&[("arch", Action::Warn)], &[(linux, &[ARCH])]),
        Action::Warn
    );
    assert_eq!(
        action(&[("arch", Action::Warn)], &[(linux, &[ARCH, NO_MATCH])]),
        Action::Deny
    );
    assert_eq!(
        action(
            &[("arch", Action::Warn)],
            &[(linux, &[ARCH]), (arm64, &[NO_MATCH])]
        ),
        Action::Warn
    );
    assert_eq!(
        action(&[("schema1", Action::Deny)], &[(linux, &[SCHEMA1])]),
        Action::Deny
    );
    assert_eq!(
        action(&[("schema1", Action::Allow)], &[(linux, &[SCHEMA1])]),
        Action::Allow
    );
}

#[test]
fn axes_have_actions_of_their_own() {
    let mut policy = Policy::default();
    policy.may_land_wrong.windows_build = Action::Deny;
    let action = |right: &str, wrong: &str| {
        decide(
            &policy,
            &assessment(&[(right, &[RUNS]), (wrong, &[NO_MATCH])]),
            None,
        )
        .action
    };
    assert_eq!(
        action("linux/amd64", "windows/amd64:10.0.17763"),
        Action::Warn
    );
    assert_eq!(
        action("windows/amd64:10.0.20348", "windows/amd64:10.0.17763"),
        Action::Deny
    );
}

#[test]
fn no_policy_denies_without_knowing_nodes() {
    let policy = Policy {
        no_candidate: Action::Deny,
        ..Policy::default()
    };
    assert_eq!(decide(&policy, &assessment(&[]), None).action, Action::Warn);
    let mut nowhere_to_go = assessment(&[("linux/amd64", &[RUNS])]);
    nowhere_to_go.groups[0].group.candidates = 0;
    assert_eq!(decide(&policy, &nowhere_to_go, None).action, Action::Deny);
}

mod left_out {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::autoscaler::Fits;
    use crate::domain::image::{Digest, ImageContent};
    use crate::domain::platform::Platform;

    const PLATFORMS: [&str; 4] = [
        "linux/amd64",
        "linux/arm64",
        "windows/amd64:10.0.14393",
        "windows/amd64:10.0.17763",
    ];

    fn group(at: usize, (candidates, refused, open): (u64, u64, Option<(u64, u64)>)) -> NodeGroup {
        let platform = PLATFORMS[at].parse().unwrap();
        NodeGroup {
            platform: Arc::new(NodePlatform::from_platform(&platform, None)),
            candidates: if open.is_some() { 0 } else { candidates },
            nodes: 3,
            refused_by_os: refused,
            open: open.map(|(surely, perhaps)| Fits { surely, perhaps }),
            are_pools: open.is_some(),
        }
    }

    fn image(platform: &str) -> ResolvedImage<'static> {
        let platform = platform.parse::<Platform>();
        ResolvedImage {
            image: PodImage {
                name: "app",
                kind: ImageField::Container,
                position: 0,
                image: "app",
                never_pulled: false,
                host_process: false,
            },
            answer: Ok(Arc::new(Image {
                digest: Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap(),
                media_type: "".into(),
                content: ImageContent::Manifest(Box::new(platform.unwrap().into())),
            })),
        }
    }

    proptest! {
        /// What the gate leaves out of reviews may not change what they come to.
        #[test]
        fn groups_that_do_not_count_change_nothing(
            of in proptest::sample::select(&PLATFORMS[..]),
            counts in proptest::collection::vec(
                (0u64..2, 0u64..2, proptest::option::of((0u64..2, 0u64..2))), 0..4,
            ),
        ) {
            let mut groups: Vec<NodeGroup> =
                counts.into_iter().enumerate().map(|(at, counts)| group(at, counts)).collect();
            groups.sort_by(|a, b| a.order().cmp(&b.order()));
            let handler = Handler::default();
            let whole = Assessment::new(vec![image(of)], groups.clone(), handler);
            let (counting, others) = groups.into_iter().partition(NodeGroup::counts);
            let mut part = Assessment::new(vec![image(of)], counting, handler);
            let runs = |assessment: &Assessment<'_>| assessment.outcome() == Outcome::Runs;
            prop_assert_eq!(runs(&part), runs(&whole));
            part.add_groups(others, handler);
            prop_assert_eq!(format!("{part:?}"), format!("{whole:?}"));
        }
    }
}
