//! Judging a single manifest by its config. No runtime compares anything when it pulls one (SEMANTICS section 3):
//! what decides is whether the container can start (rules 11 to 15).

use crate::domain::image::EntryPlatform;
use crate::domain::node::NodePlatform;
use crate::domain::windows::{Floor, WindowsVersion};

use super::accept::rank;
use super::{Cause, Doubt, Isolation, Verdict};

const RUNS: Verdict = Verdict::Runs { chosen: None };

/// Judges the platform of an image config on a node.
pub(super) fn judge(node: &NodePlatform, isolation: Isolation, config: &EntryPlatform) -> Verdict {
    let config_says = &config.normal;
    if node.os.is_empty() || node.architecture.is_empty() {
        return Verdict::Unknown(Doubt::Node);
    }
    if config_says.os.is_empty() || config_says.architecture.is_empty() {
        return Verdict::Unknown(Doubt::IncompleteConfig);
    }
    if config_says.os != node.os {
        return Verdict::CannotRun(Cause::Os);
    }
    match judge_architecture(node, config) {
        RUNS if node.is_windows() => judge_windows(node, isolation, config),
        other => other,
    }
}

/// Rules 12 and 15. The runtime checks nothing, so a fallback runs here.
fn judge_architecture(node: &NodePlatform, config: &EntryPlatform) -> Verdict {
    let own = (node.architecture.as_str(), node.variant.as_deref());
    let image = (
        config.normal.architecture.as_str(),
        config.normal.variant.as_deref(),
    );
    if own.0 != image.0 && node.emulates.iter().any(|emulated| emulated == image.0) {
        return RUNS;
    }
    match rank(own, image) {
        Some(1..) if own.0 == "arm64" && image.0 == "arm" => Verdict::Unknown(Doubt::Aarch32),
        Some(_) => RUNS,
        None if own.0 != image.0 => Verdict::CannotRun(Cause::Arch),
        None if own == ("arm", None) && image.1 == Some("v8") => {
            Verdict::Unknown(Doubt::ArmVariant)
        }
        None if matches!(own.0, "amd64" | "arm64") && own.1.is_none() => {
            Verdict::Unknown(Doubt::CpuLevel)
        }
        None => Verdict::CannotRun(Cause::Arch),
    }
}

/// Rules 13 and 14: what the Host Compute Service starts, by isolation.
fn judge_windows(node: &NodePlatform, isolation: Isolation, config: &EntryPlatform) -> Verdict {
    let Some(written) = config
        .written
        .os_version
        .as_deref()
        .filter(|version| !version.is_empty())
    else {
        return RUNS;
    };
    if isolation == Isolation::HostProcess {
        return RUNS;
    }
    let Some(host) = node.windows else {
        return Verdict::Unknown(Doubt::NodeVersion);
    };
    let Some(image) = WindowsVersion::parse(written) else {
        return Verdict::Unknown(Doubt::IncompleteConfig);
    };
    let starts = match isolation {
        Isolation::HyperV => host.takes_in_hyperv(image),
        Isolation::Process | Isolation::HostProcess => host.takes(image, Floor::Ltsc2022),
    };
    if !starts {
        return Verdict::CannotRun(Cause::WindowsBuild);
    }
    if isolation == Isolation::Process && host.differs_in_2016_revision(image) {
        return Verdict::Unknown(Doubt::Revision);
    }
    RUNS
}
