//! `Platform`: the five fields of the OCI image-spec, their written form and their normal form.
//!
//! Leaves out whether two platforms go together: that is [`crate::domain`]'s runtime and windows rules.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A platform as an image index, an image config or a node states it (OCI image-spec, image index, `platform`).
///
/// Fields hold what was written; [`Platform::normalized`] gives the form that runtimes compare.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// Operating system, as Go's `GOOS` names it: `linux`, `windows`.
    #[serde(default)]
    pub os: String,
    /// CPU architecture, as Go's `GOARCH` names it: `amd64`, `arm64`.
    #[serde(default)]
    pub architecture: String,
    /// Variant of the CPU: `v7` of `arm`, `v3` of `amd64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Version of the operating system; `major.minor.build[.revision]` on Windows.
    #[serde(
        rename = "os.version",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Features of the operating system that the image needs, such as `win32k`.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

/// Architectures that a runtime takes one for the other, and all others together: what tells most entries of an index
/// apart at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchitectureFamily {
    /// `amd64`, in every variant.
    Amd64,
    /// `386`.
    I386,
    /// `arm64`, in every variant.
    Arm64,
    /// `arm`, in every variant.
    Arm,
    /// Any other one.
    Other,
}

impl ArchitectureFamily {
    /// That of a normalised architecture.
    #[must_use]
    pub fn of(architecture: &str) -> Self {
        match architecture {
            "amd64" => Self::Amd64,
            "386" => Self::I386,
            "arm64" => Self::Arm64,
            "arm" => Self::Arm,
            _ => Self::Other,
        }
    }
}

/// A platform that does not read as `os/arch[/variant][:osversion]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a platform: write os/arch, os/arch/variant or windows/amd64:10.0.17763.615"
)]
pub struct PlatformError {
    text: String,
}

impl Platform {
    /// A platform of an operating system and an architecture, nothing else said.
    #[must_use]
    pub fn new(os: &str, architecture: &str) -> Self {
        Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            ..Self::default()
        }
    }

    /// The form that containerd compares (`platforms.Normalize`; SEMANTICS 1.1). An empty `os` stays empty: what it
    /// means depends on the node.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let (architecture, variant) =
            normalize_architecture(&self.architecture, self.variant.as_deref());
        let mut os_features = self.os_features.clone();
        os_features.sort();
        os_features.dedup();
        Self {
            os: normalize_os(&self.os),
            architecture,
            variant,
            os_version: self.os_version.clone(),
            os_features,
        }
    }

    /// Whether this is the `unknown/unknown` that build tools write on attestations (SEMANTICS 8, rule 4).
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" || self.architecture == "unknown"
    }
}

fn normalize_os(os: &str) -> String {
    let os = os.to_ascii_lowercase();
    if os == "macos" {
        "darwin".to_owned()
    } else {
        os
    }
}

/// `normalizeArch` of containerd/platforms, whose table SEMANTICS 1.1 gives.
fn normalize_architecture(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.unwrap_or_default().to_ascii_lowercase();
    let (architecture, variant) = match architecture.as_str() {
        "i386" => ("386", ""),
        "x86_64" | "x86-64" | "amd64" => (
            "amd64",
            if variant == "v1" {
                ""
            } else {
                variant.as_str()
            },
        ),
        "aarch64" | "arm64" => (
            "arm64",
            match variant.as_str() {
                "8" | "v8" | "v8.0" => "",
                "9" | "9.0" | "v9.0" => "v9",
                other => other,
            },
        ),
        "armhf" => ("arm", "v7"),
        "armel" => ("arm", "v6"),
        "arm" => (
            "arm",
            match variant.as_str() {
                "" | "7" => "v7",
                "5" => "v5",
                "6" => "v6",
                "8" => "v8",
                other => other,
            },
        ),
        other => (other, variant.as_str()),
    };
    (
        architecture.to_owned(),
        (!variant.is_empty()).then(|| variant.to_owned()),
    )
}

/// `os/arch[/variant][:osversion]`, of the normal form: `arm64/v8` prints as `linux/arm64`.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let normal = self.normalized();
        let or_unknown = |text: String| {
            if text.is_empty() {
                "unknown".to_owned()
            } else {
                text
            }
        };
        write!(
            f,
            "{}/{}",
            or_unknown(normal.os),
            or_unknown(normal.architecture)
        )?;
        if let Some(variant) = &normal.variant {
            write!(f, "/{variant}")?;
        }
        if let Some(version) = &self.os_version {
            write!(f, ":{version}")?;
        }
        Ok(())
    }
}

/// Reads `os/arch[/variant][:osversion]` and containerd's `os(osversion)/arch[/variant]`.
impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_platform(text).ok_or_else(|| PlatformError {
            text: text.to_owned(),
        })
    }
}

fn parse_platform(text: &str) -> Option<Platform> {
    let (body, colon_version) = match text.split_once(':') {
        Some((body, version)) => (body, Some(version)),
        None => (text, None),
    };
    let mut parts = body.split('/');
    let (os, bracket_version) = parse_os(parts.next()?)?;
    let architecture = parts.next()?;
    let variant = parts.next();
    if parts.next().is_some() || (colon_version.is_some() && bracket_version.is_some()) {
        return None;
    }
    let version = colon_version.or(bracket_version);
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    };
    let words = [Some(os), Some(architecture), variant, version];
    words
        .iter()
        .flatten()
        .all(|word| is_word(word))
        .then(|| Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
            os_version: version.map(str::to_owned),
            os_features: Vec::new(),
        })
}

fn parse_os(text: &str) -> Option<(&str, Option<&str>)> {
    match text.split_once('(') {
        None => Some((text, None)),
        Some((os, version)) => Some((os, Some(version.strip_suffix(')')?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(os: &str, architecture: &str, variant: &str) -> Platform {
        let variant = (!variant.is_empty()).then(|| variant.to_owned());
        Platform {
            variant,
            ..Platform::new(os, architecture)
        }
    }

    #[test]
    fn normal_forms() {
        for (os, arch, variant, want) in [
            ("Linux", "x86_64", "", "linux/amd64"),
            ("linux", "x86-64", "v1", "linux/amd64"),
            ("linux", "amd64", "1", "linux/amd64/1"),
            ("linux", "amd64", "V3", "linux/amd64/v3"),
            ("macOS", "aarch64", "v8", "darwin/arm64"),
            ("linux", "i386", "v9", "linux/386"),
            ("linux", "386", "v9", "linux/386/v9"),
            ("linux", "arm64", "8", "linux/arm64"),
            ("linux", "arm64", "v8.0", "linux/arm64"),
            ("linux", "arm64", "9.0", "linux/arm64/v9"),
            ("linux", "arm64", "v8.1", "linux/arm64/v8.1"),
            ("linux", "armhf", "v5", "linux/arm/v7"),
            ("linux", "armel", "", "linux/arm/v6"),
            ("linux", "arm", "", "linux/arm/v7"),
            ("linux", "arm", "5", "linux/arm/v5"),
            ("linux", "i686", "", "linux/i686"),
            ("", "", "", "unknown/unknown"),
        ] {
            assert_eq!(
                platform(os, arch, variant).to_string(),
                want,
                "{os} {arch} {variant}"
            );
        }
    }

    #[test]
    fn written_forms_are_read() {
        for (text, os, arch, variant, version) in [
            ("linux/amd64", "linux", "amd64", None, None),
            ("linux/arm/v7", "linux", "arm", Some("v7"), None),
            (
                "windows/amd64:10.0.17763.615",
                "windows",
                "amd64",
                None,
                Some("10.0.17763.615"),
            ),
            (
                "windows(10.0.17763)/amd64",
                "windows",
                "amd64",
                None,
                Some("10.0.17763"),
            ),
        ] {
            let read: Platform = text.parse().unwrap();
            let fields = (
                read.os.as_str(),
                read.architecture.as_str(),
                read.variant.as_deref(),
            );
            assert_eq!(fields, (os, arch, variant), "{text}");
            assert_eq!(read.os_version.as_deref(), version, "{text}");
        }
        for text in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux/arm/v7/x",
            "windows(1/amd64",
            "a b/c",
            "windows(1)/amd64:2",
        ] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn normalizing_twice_is_normalizing_once() {
        for (arch, variant) in [
            ("armhf", "v5"),
            ("aarch64", "9"),
            ("i386", "x"),
            ("x86_64", "v1"),
            ("ARM", ""),
        ] {
            let once = platform("LINUX", arch, variant).normalized();
            assert_eq!(once.normalized(), once);
        }
    }
}
