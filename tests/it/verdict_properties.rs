//! What holds of verdicts whatever the image: they are always given, and they depend on no more than the runtimes'
//! choices do.

use platform_gate::domain::image::{Digest, EntryContent, ImageContent, ImageIndex, IndexEntry};
use platform_gate::domain::node::NodePlatform;
use platform_gate::domain::platform::Platform;
use platform_gate::domain::runtime::Runtime;
use platform_gate::domain::verdict::{ImageUse, Isolation, Verdict, judge};
use proptest::prelude::*;
use proptest::sample::select;

const RUNTIMES: [&str; 9] = [
    "containerd",
    "containerd@1.6.20",
    "containerd@1.7.27",
    "containerd@2.0.5",
    "containerd@2.1.5",
    "containerd@2.2.0",
    "containerd@2.3.4",
    "cri-o",
    "docker",
];

fn word(words: &'static str) -> impl Strategy<Value = String> {
    select(words.split(' ').collect::<Vec<_>>()).prop_map(str::to_owned)
}

/// A platform of known words, so that many match.
fn platform() -> impl Strategy<Value = Platform> {
    let features = prop::collection::vec(word("win32k sse4"), 0..2);
    (
        word("linux linux linux windows windows Linux unknown "),
        word("amd64 amd64 386 arm64 arm arm armhf x86_64 s390x unknown "),
        prop::option::of(word("v1 v2 v3 v5 v6 v7 v8 v8.1 v9 8 ")),
        prop::option::of(word(
            "10.0.14393.1 10.0.17763.2 10.0.20348.3 10.0.20348.999 10.0.26100 10.0.x 10 ",
        )),
        prop::option::weighted(0.1, features),
    )
        .prop_map(
            |(os, architecture, variant, os_version, features)| Platform {
                os,
                architecture,
                variant,
                os_version,
                os_features: features.unwrap_or_default(),
            },
        )
}

/// A platform of any text.
fn any_platform() -> impl Strategy<Value = Platform> {
    let text = || prop_oneof![".{0,12}", "[0-9v.]{0,12}"];
    let features = prop::collection::vec(text(), 0..3);
    (
        text(),
        text(),
        prop::option::of(text()),
        prop::option::of(text()),
        features,
    )
        .prop_map(
            |(os, architecture, variant, os_version, os_features)| Platform {
                os,
                architecture,
                variant,
                os_version,
                os_features,
            },
        )
}

fn host() -> impl Strategy<Value = Platform> {
    let hosts = "linux/amd64 linux/amd64 linux/arm64 linux/arm linux/arm/v6 linux/arm/v7 linux/s390x linux/amd64/v3 \
                 windows/amd64 windows/amd64:10.0.14393 windows/amd64:10.0.17763 windows/amd64:10.0.20348 \
                 windows/amd64:10.0.26100 windows/amd64:10.0.28000";
    select(hosts.split_whitespace().collect::<Vec<_>>()).prop_map(|text| text.parse().unwrap())
}

fn node(host: impl Strategy<Value = Platform>) -> impl Strategy<Value = NodePlatform> {
    (host, select(&RUNTIMES[..])).prop_map(|(host, runtime)| {
        NodePlatform::from_platform(&host, runtime.parse::<Runtime>().ok())
    })
}

fn usage() -> impl Strategy<Value = ImageUse> {
    let isolation = select(vec![
        Isolation::Process,
        Isolation::HyperV,
        Isolation::HostProcess,
    ]);
    (isolation, any::<[bool; 3]>()).prop_map(|(isolation, [volume, wasm, guest_pull])| ImageUse {
        isolation,
        volume,
        wasm,
        guest_pull,
    })
}

/// Entries are told apart by their digest.
fn entry(platform: Option<Platform>, content: EntryContent, number: u64) -> IndexEntry {
    IndexEntry::new(
        Digest::parse(&format!("sha256:{number:064x}")).unwrap(),
        platform,
        content,
    )
}

/// An entry that leads to an image.
fn plain_entry() -> impl Strategy<Value = IndexEntry> {
    (platform(), any::<u64>())
        .prop_map(|(platform, number)| entry(Some(platform), EntryContent::Unread, number))
}

/// Any entry: of any platform, with a config, without a platform, nested.
fn any_entry() -> impl Strategy<Value = IndexEntry> {
    let of_image = (
        prop::option::weighted(0.8, platform()),
        platform(),
        any::<u64>(),
    )
        .prop_map(|(platform, config, number)| {
            let content = match platform {
                Some(_) => EntryContent::Unread,
                None => EntryContent::Manifest(config.into()),
            };
            entry(platform, content, number)
        });
    of_image.prop_recursive(2, 12, 4, |inner| {
        let nested = prop::collection::vec(inner, 0..4);
        (prop::option::of(platform()), nested, any::<u64>()).prop_map(
            |(platform, manifests, number)| {
                entry(
                    platform,
                    EntryContent::Index(ImageIndex { manifests }),
                    number,
                )
            },
        )
    })
}

fn verdict(node: &NodePlatform, manifests: &[IndexEntry]) -> Verdict {
    let index = ImageIndex {
        manifests: manifests.to_vec(),
    };
    judge(node, ImageUse::default(), &ImageContent::Index(index))
}

/// A verdict, with the entry that is taken instead of its position.
fn outcome(node: &NodePlatform, manifests: &[IndexEntry]) -> (Verdict, Option<IndexEntry>) {
    match verdict(node, manifests) {
        Verdict::Runs { chosen } => {
            let taken = chosen.map(|position| manifests[position].clone());
            (Verdict::Runs { chosen: None }, taken)
        }
        other => (other, None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn judging_never_panics(
        node in node(prop_oneof![host(), any_platform()]),
        usage in usage(),
        platforms in prop::collection::vec(prop_oneof![platform(), any_platform()], 0..5),
        others in prop::collection::vec(any_entry(), 0..4),
    ) {
        for single in &platforms {
            let _ = judge(&node, usage, &ImageContent::Manifest(single.clone().into()));
        }
        let plain = platforms.into_iter().map(|platform| entry(Some(platform), EntryContent::Unread, 0));
        let index = ImageIndex { manifests: plain.chain(others).collect() };
        let _ = judge(&node, usage, &ImageContent::Index(index));
    }

    #[test]
    fn normalising_twice_is_normalising_once(platform in prop_oneof![platform(), any_platform()]) {
        let once = platform.normalized();
        prop_assert_eq!(once.normalized(), once);
    }

    #[test]
    fn one_more_image_never_turns_runs_into_cannot_run(
        node in node(host()),
        entries in prop::collection::vec(any_entry(), 1..6),
        added in plain_entry(),
        at in any::<prop::sample::Index>(),
    ) {
        let before = outcome(&node, &entries);
        let mut more = entries.clone();
        more.insert(at.index(entries.len() + 1), added.clone());
        let after = outcome(&node, &more);
        if matches!(before.0, Verdict::Runs { .. }) {
            prop_assert!(!matches!(after.0, Verdict::CannotRun(_)), "{:?} became {:?}", before, after);
        }
        // One that the node does not take changes nothing, unless an entry without a platform was taken: containerd looks
        // at one with a platform when it asks for the size of what it pulled.
        if !matches!(verdict(&node, &[added]), Verdict::CannotRun(_)) {
            return Ok(());
        }
        let was_named = before.1.as_ref().is_some_and(|taken| taken.platform.is_some());
        if was_named {
            prop_assert_eq!(before, after);
        } else if matches!(before.0, Verdict::Unknown(_)) {
            prop_assert!(matches!(after.0, Verdict::Unknown(_)), "{:?} became {:?}", before, after);
        }
    }

    #[test]
    fn an_entry_without_a_platform_is_not_preferred(
        node in node(host()),
        entries in prop::collection::vec(any_entry(), 1..6),
        config in platform(),
    ) {
        let before = outcome(&node, &entries);
        let mut more = entries.clone();
        more.push(entry(None, EntryContent::Manifest(config.into()), 0));
        if matches!(before.0, Verdict::Runs { .. }) {
            prop_assert_eq!(before, outcome(&node, &more));
        }
    }

    /// Equal ones are taken in index order, so which of them is taken may change, and nothing else.
    #[test]
    fn order_counts_among_equals_only(
        node in node(host()),
        (entries, shuffled) in prop::collection::vec(plain_entry(), 0..6)
            .prop_flat_map(|entries| (Just(entries.clone()), Just(entries).prop_shuffle())),
    ) {
        let (before, after) = (outcome(&node, &entries), outcome(&node, &shuffled));
        prop_assert_eq!(before.0, after.0);
        let platform = |taken: Option<IndexEntry>| taken.and_then(|entry| entry.platform);
        let kind = |taken: Option<IndexEntry>| {
            platform(taken).map(|platform| (platform.normal.architecture, platform.normal.variant))
        };
        prop_assert_eq!(kind(before.1), kind(after.1));
    }

    /// Entries without a platform come last wherever they stand; among them the first counts.
    #[test]
    fn where_entries_without_a_platform_stand_does_not_count(
        node in node(host()),
        entries in prop::collection::vec(any_entry(), 0..6),
    ) {
        let (stated, unstated): (Vec<_>, Vec<_>) =
            entries.iter().cloned().partition(|entry| entry.platform.is_some());
        for order in [[&stated[..], &unstated[..]].concat(), [&unstated[..], &stated[..]].concat()] {
            prop_assert_eq!(outcome(&node, &entries), outcome(&node, &order));
        }
    }
}
