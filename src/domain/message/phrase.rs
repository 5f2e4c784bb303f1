//! Parts of sentences: an image, what it offers, nodes in condensed form, and the runtime's own words for a cause.

use crate::domain::decision::{GroupVerdict, ResolvedImage};
use crate::domain::inventory::NodeGroup;
use crate::domain::node::NodePlatform;
use crate::domain::placement::Exclusion;
use crate::domain::verdict::{Cause, Doubt, Verdict};
use crate::domain::windows::WindowsVersion;

/// Platforms listed before "and N more".
const LISTED: usize = 8;
/// Characters of an image reference shown; the API takes up to 4 KiB.
const SHOWN: usize = 160;
/// A longer reference would push the cure out of the message.
const SUGGESTED: usize = 100;

/// The decisive fact, in the words of the runtimes (SEMANTICS section 3).
pub(super) fn fact(node: &NodePlatform, verdict: Verdict, resolved: &ResolvedImage<'_>) -> String {
    let node = node.describe();
    let offered = offers(resolved);
    match verdict {
        Verdict::CannotRun(Cause::Os) => format!(
            "image operating system \"{}\" cannot be used on {node}",
            first_offer(resolved).map_or("unknown", |platform| platform.os.as_str())
        ),
        Verdict::CannotRun(Cause::Arch) => {
            format!("exec format error: an image for {offered} cannot run on {node}")
        }
        Verdict::CannotRun(Cause::WindowsBuild) => {
            format!(
                "the container operating system does not match the host operating system {node}"
            )
        }
        Verdict::CannotRun(Cause::Variant) => format!(
            "no matching manifest for {node} in the manifest list entries, which are for other CPU variants only"
        ),
        _ => format!("no matching manifest for {node} in the manifest list entries"),
    }
}

fn first_offer<'a>(
    resolved: &'a ResolvedImage<'_>,
) -> Option<&'a crate::domain::platform::Platform> {
    resolved.answer.as_ref().ok()?.offered().first().copied()
}

/// `container "web" (image nginx:1)`.
pub(super) fn image(resolved: &ResolvedImage<'_>) -> String {
    let image = &resolved.image;
    format!(
        "{} {:?} (image {})",
        image.noun(),
        image.name,
        shorten(image.image)
    )
}

/// A reference without control characters, cut where it is too long for a message.
pub(super) fn shorten(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(SHOWN)
        .collect();
    if text.chars().count() > SHOWN {
        shown.push_str("...");
    }
    shown
}

/// The platforms offered, as `inspect` prints them.
pub(super) fn offers(resolved: &ResolvedImage<'_>) -> String {
    let Ok(image) = &resolved.answer else {
        return "unknown platforms".to_owned();
    };
    let mut words: Vec<String> = image.offered().iter().map(ToString::to_string).collect();
    words.dedup();
    let more = words.len().saturating_sub(LISTED);
    words.truncate(LISTED);
    match (words.is_empty(), more) {
        (true, _) => "no platforms".to_owned(),
        (false, 0) => words.join(", "),
        (false, more) => format!("{} and {more} more", words.join(", ")),
    }
}

/// For a Windows node: whether every build offered is newer, or older, than its own.
pub(super) fn too_new(group: &GroupVerdict, resolved: &ResolvedImage<'_>) -> String {
    let (Some(host), Ok(image)) = (group.group.platform.windows, &resolved.answer) else {
        return String::new();
    };
    let offered = image.offered();
    let builds: Option<Vec<u16>> = offered
        .iter()
        .filter(|platform| platform.os == "windows")
        .map(|platform| Some(WindowsVersion::parse(platform.os_version.as_deref()?)?.build))
        .collect();
    match builds {
        Some(builds) if builds.is_empty() => String::new(),
        Some(builds) if builds.iter().all(|build| *build > host.build) => {
            ", all newer than the node".to_owned()
        }
        Some(builds) if builds.iter().all(|build| *build < host.build) => {
            ", all older than the node".to_owned()
        }
        _ => String::new(),
    }
}

/// `2 nodes linux/amd64`, `1 declared pool windows/amd64 10.0.20348`.
pub(super) fn count(nodes: u64, group: &NodeGroup) -> String {
    let are_open = group.open.is_some();
    let noun = match (group.are_pools, nodes) {
        (true, 1) if are_open => "pool of an autoscaler",
        (true, _) if are_open => "pools of an autoscaler",
        (false, 1) => "node",
        (false, _) => "nodes",
        (true, 1) => "declared pool",
        (true, _) => "declared pools",
    };
    format!("{nodes} {noun} {}", group.platform.describe())
}

/// `2 nodes linux/amd64, 1 node windows/amd64 10.0.14393 (Windows Server 2016)`.
pub(super) fn nodes<'a>(groups: impl Iterator<Item = &'a GroupVerdict>) -> String {
    let words = groups.map(|verdict| {
        let group = &verdict.group;
        let product = group.platform.windows.and_then(WindowsVersion::product);
        let product = product
            .map(|product| format!(" ({product})"))
            .unwrap_or_default();
        format!("{}{product}", count(group.candidates, group))
    });
    // The same platform under two runtimes reads alike; such groups are rare enough to stay apart.
    words.collect::<Vec<_>>().join(", ")
}

/// The cure that always works: another tag, or a build of one's own, and how to find one.
pub(super) fn other_tag(group: &GroupVerdict, resolved: &ResolvedImage<'_>) -> String {
    let platform = &group.group.platform;
    let image = resolved.image.image;
    let find = if image.len() > SUGGESTED || image.contains('@') {
        String::new()
    } else {
        let platform = platform.written();
        format!(" (to find one: platform-gate suggest {image} --platform {platform})")
    };
    format!(
        "use a tag of the image that is built for {}{find}",
        platform.describe()
    )
}

/// What a pod has to give up besides, to be let onto nodes that it is kept off.
pub(super) fn instead(in_the_way: &[&Exclusion]) -> String {
    let has = |exclusion: &Exclusion| in_the_way.contains(&exclusion);
    let mut words = String::new();
    if has(&Exclusion::NodeSelector) {
        words.push_str(" instead of the nodeSelector that it has");
    }
    let also = [
        (Exclusion::NodeName, "remove its nodeName"),
        (
            Exclusion::NodeAffinity,
            "change its nodeAffinity, which rules them out",
        ),
        (Exclusion::PodOs, "change its spec.os.name"),
    ];
    let taint = in_the_way.iter().find_map(|exclusion| match exclusion {
        Exclusion::Taint(taint) => Some(format!("tolerate their taint {taint}")),
        _ => None,
    });
    let also = also.iter().filter(|(exclusion, _)| has(exclusion));
    let also = also.map(|(_, cure)| (*cure).to_owned()).chain(taint);
    for cure in also {
        words.push_str(", and ");
        words.push_str(&cure);
    }
    words
}

/// A doubt about one image, called as given, on one platform.
pub(super) fn doubt(
    image: &str,
    resolved: &ResolvedImage<'_>,
    doubt: Doubt,
    node: &NodePlatform,
) -> String {
    let node = node.describe();
    match doubt {
        Doubt::Lookup(failure) => format!(
            "{image} {}; platform-gate did not check it",
            failure.explain()
        ),
        Doubt::Schema1 => format!("{image} is a Docker schema 1 manifest, which says no platform"),
        Doubt::Artifact => format!("{image} is an artifact, not a runnable image"),
        Doubt::PullNever => {
            format!("{image} is never pulled; platform-gate cannot know what the node has")
        }
        Doubt::Wasm => {
            format!("{image} runs under a WebAssembly handler, which platform-gate does not judge")
        }
        Doubt::FallbackOnly => format!(
            "{image} offers {node} only a fallback platform ({}), which containerd 2.1 and later fail to pull",
            offers(resolved)
        ),
        Doubt::Aarch32 => {
            format!("{image} is 32-bit Arm; whether the CPU of {node} runs it is not known")
        }
        Doubt::CpuLevel => format!(
            "{image} needs a CPU level ({}) that nodes do not report",
            offers(resolved)
        ),
        Doubt::PlatformlessEntry => {
            format!(
                "{image} offers {node} only an entry without a platform, which CRI-O takes unread and containerd fails \
                 to pull beside entries for other platforms"
            )
        }
        Doubt::IncompleteConfig => format!("{image} does not say which platform it is for"),
        Doubt::Revision => {
            format!("{image} has another revision than {node}; Windows Server 2016 may refuse it")
        }
        Doubt::NodeVersion => {
            format!("{image} is for certain Windows builds and the build of {node} is not known")
        }
        Doubt::ArmVariant => {
            format!("{image} is for arm/v8 and the CPU variant of {node} is not known")
        }
        Doubt::Node => {
            format!("{image} may land on {node} nodes whose container runtime is not known")
        }
        Doubt::RuntimeVersion => {
            format!("{image} runs on {node} with some releases of containerd only")
        }
    }
}
