//! Single manifests under process isolation: the node's matcher, applied to the config. No runtime compares anything when
//! it pulls one, so what is shown here is that our list of what a node can run is the library's.

use platform_gate::domain::image::ImageContent;
use platform_gate::domain::node::NodePlatform;
use platform_gate::domain::platform::Platform;
use platform_gate::domain::runtime::Runtime;
use platform_gate::domain::verdict::{Cause, Doubt, ImageUse, Verdict, judge};
use platform_gate::domain::windows::WindowsVersion;
use serde_json::{Value, json};

use super::containerd::{host, is_some_arm, is_unversioned};
use super::images::{platform, smaller_platform};
use super::random::Random;
use super::trial::{Trial, run};

#[derive(Debug, Clone)]
struct Single {
    host: Platform,
    config: Platform,
}

#[test]
#[ignore = "needs the oracle: tests/differential/build"]
fn single_manifests() {
    let counts = run("single manifests", 20_000, draw);
    counts.have(&[
        ("runs", 4_000),
        ("cannot-run os", 1_000),
        ("cannot-run arch", 1_000),
        ("cannot-run windows-build", 200),
        ("unknown cpu-level", 300),
        ("unknown aarch32", 100),
        ("unknown arm-variant", 10),
        ("unknown node-version", 50),
        ("unknown incomplete-config", 100),
        ("unknown revision", 10),
    ]);
}

fn draw(random: &mut Random) -> Single {
    let host = host(random);
    // The kernel, not the runtime, decides what starts, and knows of no features.
    let config = Platform {
        os_features: Vec::new(),
        ..platform(random, &host)
    };
    Single { host, config }
}

impl Single {
    fn node(&self) -> NodePlatform {
        NodePlatform::from_platform(&self.host, Some(Runtime::ContainerdAnyVersion))
    }

    fn justifies(&self, doubt: Doubt, answers: &Answers) -> bool {
        let node = self.node();
        let config = self.config.normalized();
        let version = self
            .config
            .os_version
            .as_deref()
            .filter(|version| !version.is_empty());
        let readable = version.is_none_or(|version| WindowsVersion::parse(version).is_some());
        match doubt {
            Doubt::CpuLevel => {
                let levels =
                    matches!(&*node.architecture, "amd64" | "arm64") && node.variant.is_none();
                levels && !answers.plain && (answers.without_variant || (answers.bare && !readable))
            }
            Doubt::Aarch32 => {
                node.architecture == "arm64" && config.architecture == "arm" && answers.plain
            }
            Doubt::ArmVariant => is_some_arm(&node) && !answers.plain && answers.on_v8,
            Doubt::NodeVersion => is_unversioned(&node) && version.is_some() && answers.plain,
            Doubt::IncompleteConfig => {
                let stated = !self.config.os.is_empty() && !self.config.architecture.is_empty();
                !stated || (node.is_windows() && !readable && answers.without_version)
            }
            Doubt::Revision => {
                let host = node.windows.and_then(|host| host.revision);
                let own = version
                    .and_then(WindowsVersion::parse)
                    .and_then(|own| own.revision);
                let of_2016 = node.windows.is_some_and(|host| host.build == 14393);
                of_2016 && answers.plain && host.zip(own).is_some_and(|(host, own)| host != own)
            }
            _ => false,
        }
    }
}

/// Whether the node takes the config.
#[derive(Debug)]
struct Answers {
    plain: bool,
    without_version: bool,
    without_variant: bool,
    /// Without variant and version.
    bare: bool,
    /// On the same node with CPU variant v8.
    on_v8: bool,
}

impl Trial for Single {
    const MODE: &'static str = "matcher";

    fn questions(&self) -> Vec<Value> {
        let ask = |host: &Platform, config: &Platform| json!({ "library": "rc.5", "host": host, "platform": config });
        let unversioned = Platform {
            os_version: None,
            ..self.config.clone()
        };
        let plain = Platform {
            variant: None,
            ..self.config.clone()
        };
        let bare = Platform {
            os_version: None,
            ..plain.clone()
        };
        let v8 = Platform {
            variant: Some("v8".to_owned()),
            ..self.host.clone()
        };
        vec![
            ask(&self.host, &self.config),
            ask(&self.host, &unversioned),
            ask(&self.host, &plain),
            ask(&self.host, &bare),
            ask(&v8, &self.config),
        ]
    }

    fn compare(&self, answers: &[Value]) -> Result<String, String> {
        let said: Vec<bool> = answers
            .iter()
            .map(|answer| answer["match"] == true)
            .collect();
        let answers = Answers {
            plain: said[0],
            without_version: said[1],
            without_variant: said[2],
            bare: said[3],
            on_v8: said[4],
        };
        let content = ImageContent::Manifest(self.config.clone().into());
        let verdict = judge(&self.node(), ImageUse::default(), &content);
        let same_os = self.config.normalized().os == self.node().os;
        let agrees = match verdict {
            Verdict::Runs { chosen } => answers.plain && chosen.is_none(),
            Verdict::CannotRun(Cause::Os) => !answers.plain && !same_os,
            Verdict::CannotRun(Cause::Arch) => !answers.without_version && same_os,
            Verdict::CannotRun(Cause::WindowsBuild) => !answers.without_variant && answers.bare,
            Verdict::CannotRun(_) => false,
            Verdict::Unknown(doubt) => self.justifies(doubt, &answers),
        };
        if !agrees {
            return Err(format!("we say {verdict:?}, the oracle {answers:?}"));
        }
        let code = verdict
            .code()
            .map_or(String::new(), |code| format!(" {code}"));
        Ok(format!("{}{code}", verdict.kind()))
    }

    fn smaller(&self) -> Vec<Self> {
        let with_config = |config| Self {
            config,
            ..self.clone()
        };
        let with_host = |host| Self {
            host,
            ..self.clone()
        };
        let mut all: Vec<Self> = smaller_platform(&self.config)
            .into_iter()
            .map(with_config)
            .collect();
        all.extend(smaller_platform(&self.host).into_iter().map(with_host));
        all
    }

    fn show(&self) -> Value {
        json!({ "host": self.host, "config": self.config })
    }
}
