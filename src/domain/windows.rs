//! Windows versions and the rule that says which container build a Windows host's runtime takes (SEMANTICS 2.1).
//!
//! Leaves out isolation: who asks for Hyper-V or HostProcess is told apart in `verdict`.

use std::fmt;

/// Windows Server 2016: the one build whose containers must also share the host's revision.
pub const SERVER_2016: u16 = 14393;
const LTSC_2022: u16 = 20348;
const LTSC_2025: u16 = 26100;

/// A Windows version, `major.minor.build[.revision]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowsVersion {
    /// First number; 10 on every Windows that runs containers.
    pub major: u8,
    /// Second number.
    pub minor: u8,
    /// Third number, the build: 14393 is Windows Server 2016, 17763 is 2019, 20348 is 2022, 26100 is 2025.
    pub build: u16,
    /// Fourth number, the update build revision, where it is stated and a number.
    pub revision: Option<u32>,
}

/// The oldest container build that a host of the stable ABI (build 20348 and later) takes. It depends on the
/// containerd release, by the table of SEMANTICS 2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Floor {
    /// Only the host's own build.
    OwnBuild,
    /// Always 20348.
    Ltsc2022,
    /// The newest LTSC below a host above it: 26100 for builds above 26100, else 20348.
    NewestLtscBelow,
}

impl WindowsVersion {
    /// Reads a version as containerd does: at least three numbers of 8, 8 and 16 bits; what follows the third may be
    /// anything. `None` is an unreadable version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let major = parse_number(parts.next()?)?;
        let minor = parse_number(parts.next()?)?;
        let build = parse_number(parts.next()?)?;
        let revision = parts.next().and_then(parse_number);
        Some(Self {
            major,
            minor,
            build,
            revision,
        })
    }

    /// Whether a runtime on this host takes a container of that version, by build and floor. Revisions are not
    /// compared.
    #[must_use]
    pub fn takes(self, container: Self, floor: Floor) -> bool {
        if (self.major, self.minor) != (container.major, container.minor) {
            return false;
        }
        if self.build < LTSC_2022 {
            return self.build == container.build;
        }
        let oldest = match floor {
            Floor::OwnBuild => self.build,
            Floor::NewestLtscBelow if self.build > LTSC_2025 => LTSC_2025,
            Floor::Ltsc2022 | Floor::NewestLtscBelow => LTSC_2022,
        };
        (oldest..=self.build).contains(&container.build)
    }

    /// Whether Hyper-V isolation on this host can start a container of that version: any that is not newer
    /// (SEMANTICS 2.4).
    #[must_use]
    pub fn takes_in_hyperv(self, container: Self) -> bool {
        (self.major, self.minor) == (container.major, container.minor)
            && container.build <= self.build
    }

    /// Whether both are Windows Server 2016 with known and different revisions, which that build alone cares about
    /// (SEMANTICS 2.2).
    #[must_use]
    pub fn differs_in_2016_revision(self, container: Self) -> bool {
        let differ = matches!((self.revision, container.revision), (Some(host), Some(other)) if host != other);
        self.build == SERVER_2016 && container.build == SERVER_2016 && differ
    }

    /// The product that people know the build by.
    #[must_use]
    pub fn product(self) -> Option<&'static str> {
        Some(match self.build {
            SERVER_2016 => "Windows Server 2016",
            16299 => "Windows Server 1709",
            17134 => "Windows Server 1803",
            17763 => "Windows Server 2019",
            18362 => "Windows Server 1903",
            18363 => "Windows Server 1909",
            19041 => "Windows Server 2004",
            19042 => "Windows Server 20H2",
            LTSC_2022 => "Windows Server 2022",
            25398 => "Windows Server 23H2",
            LTSC_2025 => "Windows Server 2025",
            _ => return None,
        })
    }
}

/// `strconv.ParseUint` in base 10: digits only, no sign.
fn parse_number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// `major.minor.build`, as `kubectl` users know it from the node label `node.kubernetes.io/windows-build`.
impl fmt::Display for WindowsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.build)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> WindowsVersion {
        WindowsVersion::parse(text).unwrap()
    }

    #[test]
    fn versions_are_read_as_containerd_reads_them() {
        for (text, want) in [
            ("10.0.17763", Some("10.0.17763")),
            ("10.0.17763.615", Some("10.0.17763")),
            ("10.0.17763.615.7", Some("10.0.17763")),
            ("10.0.17763.x", Some("10.0.17763")),
            ("10.0.17763-rc.1", None),
            ("10.0", None),
            ("10.0.x.1", None),
            ("10.0.65536", None),
            ("256.0.1", None),
            ("+10.0.1", None),
            ("10..1", None),
            ("", None),
        ] {
            assert_eq!(
                WindowsVersion::parse(text)
                    .map(|v| v.to_string())
                    .as_deref(),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn which_build_runs_on_which() {
        use Floor::{Ltsc2022, NewestLtscBelow, OwnBuild};
        for (host, container, floor, want) in [
            ("10.0.14393", "10.0.14393.2551", Ltsc2022, true),
            ("10.0.14393", "10.0.17134.885", Ltsc2022, false),
            ("10.0.17763", "10.0.14393", Ltsc2022, false),
            ("10.0.17763", "10.0.17763.9999", Ltsc2022, true),
            ("10.0.20348", "10.0.17763", Ltsc2022, false),
            ("10.0.20348", "10.0.26100", Ltsc2022, false),
            ("10.0.25398", "10.0.20348", Ltsc2022, true),
            ("10.0.26100", "10.0.20348", Ltsc2022, true),
            ("10.0.26100", "10.0.20348", NewestLtscBelow, true),
            ("10.0.26100", "10.0.20348", OwnBuild, false),
            ("10.0.28000", "10.0.20348", Ltsc2022, true),
            ("10.0.28000", "10.0.20348", NewestLtscBelow, false),
            ("10.0.28000", "10.0.26100", NewestLtscBelow, true),
            ("10.0.20348", "10.1.20348", Ltsc2022, false),
        ] {
            assert_eq!(
                version(host).takes(version(container), floor),
                want,
                "{container} on {host}, {floor:?}"
            );
        }
    }

    #[test]
    fn hyperv_takes_what_is_not_newer() {
        for (host, container, want) in [
            ("10.0.20348", "10.0.14393", true),
            ("10.0.20348", "10.0.20348", true),
            ("10.0.20348", "10.0.26100", false),
        ] {
            assert_eq!(
                version(host).takes_in_hyperv(version(container)),
                want,
                "{container} on {host}"
            );
        }
    }

    #[test]
    fn only_2016_cares_for_revisions() {
        for (host, container, want) in [
            ("10.0.14393.2551", "10.0.14393.2551", false),
            ("10.0.14393.2551", "10.0.14393.3000", true),
            ("10.0.14393", "10.0.14393.3000", false),
            ("10.0.14393.2551", "10.0.14393", false),
            ("10.0.17763.1", "10.0.17763.2", false),
        ] {
            assert_eq!(
                version(host).differs_in_2016_revision(version(container)),
                want,
                "{container} on {host}"
            );
        }
    }
}
