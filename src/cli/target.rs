//! What an image is to run on, as flags say it: the runtime of a platform, and how it isolates.

use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::domain::node::NodePlatform;
use crate::domain::platform::Platform;
use crate::domain::runtime::{Runtime, RuntimeError};
use crate::domain::verdict::{ImageUse, Isolation};

/// The runtime of the platforms that are asked about.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// The container runtime there: `containerd`, `containerd@VERSION`, `cri-o` or `docker`
    #[arg(long, value_name = "RUNTIME", default_value = "containerd")]
    pub(super) runtime: RuntimeArg,
    /// How Windows containers are isolated
    #[arg(long, value_enum, default_value = "process")]
    isolation: IsolationArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum IsolationArg {
    Process,
    Hyperv,
    Hostprocess,
}

/// A runtime, and how it was asked for.
#[derive(Debug, Clone)]
pub(super) struct RuntimeArg {
    pub(super) text: String,
    rules: Runtime,
}

impl FromStr for RuntimeArg {
    type Err = RuntimeError;

    fn from_str(text: &str) -> Result<Self, RuntimeError> {
        Ok(Self {
            text: text.to_owned(),
            rules: text.parse()?,
        })
    }
}

impl TargetArgs {
    /// A node of that platform.
    pub(super) fn node(&self, platform: &Platform) -> NodePlatform {
        NodePlatform::from_platform(platform, Some(self.runtime.rules))
    }

    /// How a container uses its image there.
    pub(super) fn usage(&self) -> ImageUse {
        let isolation = match self.isolation {
            IsolationArg::Process => Isolation::Process,
            IsolationArg::Hyperv => Isolation::HyperV,
            IsolationArg::Hostprocess => Isolation::HostProcess,
        };
        ImageUse {
            isolation,
            ..ImageUse::default()
        }
    }
}

/// A platform in our own spelling, as the user wrote it: `windows/amd64:10.0.14393`.
pub(super) fn written(platform: &Platform) -> String {
    let mut text = format!("{}/{}", platform.os, platform.architecture);
    if let Some(variant) = &platform.variant {
        text = format!("{text}/{variant}");
    }
    if let Some(version) = &platform.os_version {
        text = format!("{text}:{version}");
    }
    text
}
