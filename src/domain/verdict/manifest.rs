//! Judging a single manifest by its config. No runtime compares anything when it pulls one (SEMANTICS section 3):
//! what decides is whether the container can start (rules 11 to 15).

use crate::domain::image::EntryPlatform;
use crate::domain::node::NodePlatform;
use crate::domain::platform::ArchitectureFamily as Family;
use crate::domain::windows::{Floor, WindowsVersion};

use super::accept::{Cpu, rank};
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
    let architecture = judge_architecture(node, config);
    if !node.is_windows() {
        return architecture;
    }
    // Proof counts more than doubt.
    match (architecture, judge_windows(node, isolation, config)) {
        (RUNS, version) | (Verdict::Unknown(_), version @ Verdict::CannotRun(_)) => version,
        _ => architecture,
    }
}

/// Rule 12. The runtime checks nothing, so a fallback runs here; Windows has none (rule 5).
fn judge_architecture(node: &NodePlatform, config: &EntryPlatform) -> Verdict {
    let own = Cpu::new(&node.architecture, node.variant.as_deref());
    let image = Cpu::of_entry(config);
    let same = own.architecture == image.architecture;
    if !same && node.emulates.iter().any(|name| name == image.architecture) {
        return RUNS;
    }
    let rank = if node.is_windows() {
        (own == image).then_some(0)
    } else {
        rank(own, image)
    };
    match rank {
        Some(1..) if (own.family, image.family) == (Family::Arm64, Family::Arm) => {
            Verdict::Unknown(Doubt::Aarch32)
        }
        Some(_) => RUNS,
        None if !same => Verdict::CannotRun(Cause::Arch),
        None if matches!(own.family, Family::Amd64 | Family::Arm64) && own.variant.is_none() => {
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
