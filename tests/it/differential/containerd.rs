//! Indexes on containerd, on every release of its matching code and by both of its pull paths.

use platform_gate::domain::image::ImageContent;
use platform_gate::domain::node::NodePlatform;
use platform_gate::domain::platform::Platform;
use platform_gate::domain::runtime::{Containerd, Library, Runtime};
use platform_gate::domain::verdict::{ImageUse, Isolation, Verdict, judge};
use serde::Deserialize;
use serde_json::{Value, json};

use super::images::{Entry, index, read_all, show_all, smaller_index, smaller_platform};
use super::random::Random;
use super::said::Said;
use super::trial::{Trial, run};

const LIBRARIES: [(Library, &str); 5] = [
    (Library::V0_2_1, "v0.2.1"),
    (Library::Rc1, "rc.1"),
    (Library::Rc2, "rc.2"),
    (Library::Rc4, "rc.4"),
    (Library::Rc5, "rc.5"),
];

/// Before 2.1 and 2.1 or later: how a containerd of unknown release is judged.
pub(super) const OLD: Containerd = Containerd {
    library: Library::Rc1,
    transfer: false,
};
pub(super) const NEW: Containerd = Containerd {
    library: Library::Rc5,
    transfer: true,
};

/// The list of containerd, and no transfer service.
const DOCKER: Containerd = Containerd {
    library: Library::Rc5,
    transfer: false,
};

/// An index on a node with containerd, or with Docker, that matches with the same code.
#[derive(Debug, Clone)]
pub(super) struct OnContainerd {
    pub(super) host: Platform,
    pub(super) runtime: Runtime,
    pub(super) isolation: Isolation,
    pub(super) index: Vec<Entry>,
}

/// What the oracle says of an index.
#[derive(Debug, Deserialize)]
pub(super) struct Picked {
    #[serde(rename = "match")]
    pub(super) matches: bool,
    #[serde(default)]
    pub(super) chosen: Vec<usize>,
    #[serde(default)]
    pub(super) error: String,
}

#[test]
#[ignore = "needs the oracle: tests/differential/build"]
fn indexes_on_containerd() {
    let counts = run("indexes on containerd", 30_000, draw);
    counts.have(&[
        ("runs", 8_000),
        ("cannot-run", 6_000),
        ("unknown fallback-only", 300),
        ("unknown aarch32", 50),
        ("unknown arm-variant", 5),
        ("unknown node-version", 100),
        ("unknown revision", 10),
        ("unknown runtime-version", 20),
        ("unknown cpu-level", 5),
        ("unknown platformless-entry", 100),
    ]);
}

fn draw(random: &mut Random) -> OnContainerd {
    let host = host(random);
    let of_windows = host.os == "windows";
    let library = LIBRARIES[random.below(5)].0;
    let runtime = match library {
        _ if random.percent(10) => Runtime::ContainerdAnyVersion,
        _ if random.percent(10) => Runtime::Docker,
        // The oracle cannot match Windows versions with the oldest release.
        Library::V0_2_1 if of_windows => Runtime::Containerd(OLD),
        Library::V0_2_1 => Runtime::Containerd(Containerd {
            library,
            transfer: false,
        }),
        library => Runtime::Containerd(Containerd {
            library,
            transfer: random.percent(50),
        }),
    };
    // Only what is started differs by isolation, so all of them pull the same.
    let isolation = match random.below(10) {
        0 if of_windows => Isolation::HyperV,
        1 if of_windows => Isolation::HostProcess,
        _ => Isolation::Process,
    };
    let index = index(random, &host, 2);
    OnContainerd {
        host,
        runtime,
        isolation,
        index,
    }
}

/// A host as containerd sees it, or as much as is known of it.
pub(super) fn host(random: &mut Random) -> Platform {
    let mut host: Platform = random
        .word(
            "linux/amd64 linux/amd64 linux/amd64 linux/amd64 linux/arm64 linux/arm64 linux/arm64 linux/arm/v7 \
             linux/arm/v6 linux/arm/v5 linux/arm/v8 linux/arm linux/arm linux/386 linux/ppc64le linux/s390x \
             linux/riscv64 linux/loong64 linux/amd64/v2 linux/amd64/v3 linux/amd64/v4 linux/arm64/v8 linux/arm64/v8.1 \
             linux/arm64/v8.5 linux/arm64/v9 linux/arm64/v9.1 linux/x86_64 linux/aarch64 linux/armhf windows/amd64 \
             windows/amd64 windows/amd64 windows/amd64 windows/amd64 windows/amd64 windows/amd64 windows/arm64",
        )
        .parse()
        .unwrap();
    if host.os == "windows" && random.percent(90) {
        let version = random.word(
            "10.0.14393 10.0.14393.2551 10.0.17763 10.0.17763 10.0.17763.5458 10.0.18363 10.0.19042 10.0.20348 \
             10.0.20348 10.0.20348 10.0.20349 10.0.22621 10.0.25398 10.0.26100 10.0.26100 10.0.26100.1 10.0.26200 \
             10.0.28000 10.0",
        );
        host.os_version = Some(version);
    }
    host
}

/// A question to the oracle.
pub(super) struct Asked {
    host: Platform,
    pub(super) rules: Containerd,
}

impl OnContainerd {
    pub(super) fn node(&self) -> NodePlatform {
        NodePlatform::from_platform(&self.host, Some(self.runtime))
    }

    /// The hosts that the node may be, the one that it is taken for first.
    fn hosts(&self) -> Vec<Platform> {
        let variant = |variant: &str| Platform {
            variant: Some(variant.to_owned()),
            ..self.host.clone()
        };
        let node = self.node();
        if is_unversioned(&node) {
            let version = |version: &str| Platform {
                os_version: Some(version.to_owned()),
                ..self.host.clone()
            };
            let known = [
                "10.0.15063",
                "10.0.14393",
                "10.0.17763",
                "10.0.20348",
                "10.0.26100",
            ]
            .map(version);
            return [vec![self.host.clone()], known.to_vec()].concat();
        }
        if is_some_arm(&node) {
            return vec![variant("v7"), variant("v8")];
        }
        // Docker asks for the CPU's own level.
        let best = match (self.runtime, &*node.architecture) {
            (Runtime::Docker, "amd64") => Some("v4"),
            (Runtime::Docker, "arm64") => Some("v9.7"),
            _ => None,
        };
        let best = best.filter(|_| node.variant.is_none());
        [Some(self.host.clone()), best.map(variant)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The rules that the runtime may have.
    pub(super) fn rules(&self) -> Vec<Containerd> {
        match self.runtime {
            Runtime::Containerd(rules) => vec![rules],
            Runtime::Docker => vec![DOCKER],
            _ => vec![OLD, NEW],
        }
    }

    /// Every host by every rule, and the way of the client beside that of the transfer service.
    fn asked(&self) -> Vec<Asked> {
        let mut asked = Vec::new();
        for rules in self.rules() {
            for transfer in if rules.transfer {
                vec![true, false]
            } else {
                vec![false]
            } {
                let rules = Containerd { transfer, ..rules };
                asked.extend(self.hosts().into_iter().map(|host| Asked { host, rules }));
            }
        }
        asked
    }
}

pub(super) fn is_unversioned(node: &NodePlatform) -> bool {
    node.is_windows() && node.windows.is_none()
}

pub(super) fn is_some_arm(node: &NodePlatform) -> bool {
    node.architecture == "arm" && node.variant.is_none()
}

impl Trial for OnContainerd {
    const MODE: &'static str = "containerd";

    fn questions(&self) -> Vec<Value> {
        let index = show_all(&self.index);
        let question = |asked: Asked| {
            let name = LIBRARIES
                .iter()
                .find(|(library, _)| *library == asked.rules.library);
            json!({
                "library": name.unwrap().1,
                "transfer": asked.rules.transfer,
                "host": asked.host,
                "index": index,
            })
        };
        self.asked().into_iter().map(question).collect()
    }

    fn compare(&self, answers: &[Value]) -> Result<String, String> {
        let answers: Vec<Picked> = answers
            .iter()
            .map(|answer| Picked::deserialize(answer).unwrap())
            .collect();
        let said = Said {
            case: self,
            asked: self.asked(),
            answers: &answers,
        };
        let usage = ImageUse {
            isolation: self.isolation,
            ..ImageUse::default()
        };
        let verdict = judge(
            &self.node(),
            usage,
            &ImageContent::Index(read_all(&self.index)),
        );
        let agrees = match verdict {
            Verdict::Runs { chosen } => said.runs(chosen),
            Verdict::CannotRun(_) => said.cannot_run(),
            Verdict::Unknown(doubt) => said.justifies(doubt),
        };
        match (agrees, verdict) {
            (false, _) => Err(format!("we say {verdict:?}, the oracle {answers:?}")),
            (true, Verdict::Unknown(doubt)) => Ok(format!("unknown {}", doubt.code())),
            (true, _) => Ok(verdict.kind().to_owned()),
        }
    }

    fn smaller(&self) -> Vec<Self> {
        let with_index = |index| Self {
            index,
            ..self.clone()
        };
        let with_host = |host| Self {
            host,
            ..self.clone()
        };
        let mut all: Vec<Self> = smaller_index(&self.index)
            .into_iter()
            .map(with_index)
            .collect();
        all.extend(smaller_platform(&self.host).into_iter().map(with_host));
        if self.isolation != Isolation::Process {
            all.push(Self {
                isolation: Isolation::Process,
                ..self.clone()
            });
        }
        all
    }

    fn show(&self) -> Value {
        json!({
            "host": self.host,
            "runtime": format!("{:?}", self.runtime),
            "isolation": format!("{:?}", self.isolation),
            "index": show_all(&self.index),
        })
    }
}
