//! Indexes on CRI-O.

use platform_gate::domain::image::ImageContent;
use platform_gate::domain::node::NodePlatform;
use platform_gate::domain::platform::Platform;
use platform_gate::domain::runtime::Runtime;
use platform_gate::domain::verdict::{Doubt, ImageUse, Verdict, judge};
use serde::Deserialize;
use serde_json::{Value, json};

use super::containerd::{Picked, is_some_arm};
use super::images::{Content, Entry, index, read_all, show_all, smaller_index};
use super::random::Random;
use super::trial::{Trial, run};

#[derive(Debug, Clone)]
struct OnCriO {
    host: Platform,
    index: Vec<Entry>,
}

#[test]
#[ignore = "needs the oracle: tests/differential/build"]
fn indexes_on_cri_o() {
    let counts = run("indexes on CRI-O", 20_000, draw);
    counts.have(&[
        ("runs", 5_000),
        ("cannot-run", 4_000),
        ("unknown platformless-entry", 300),
        ("unknown arm-variant", 1),
    ]);
}

fn draw(random: &mut Random) -> OnCriO {
    let host: Platform = random
        .word(
            "linux/amd64 linux/amd64 linux/amd64 linux/arm64 linux/arm64 linux/arm/v8 linux/arm/v7 linux/arm/v6 \
             linux/arm/v5 linux/arm/v4 linux/arm linux/arm linux/arm linux/386 linux/ppc64le linux/s390x linux/riscv64 linux/amd64/v3 \
             linux/arm64/v9",
        )
        .parse()
        .unwrap();
    OnCriO {
        index: index(random, &host, 1),
        host,
    }
}

impl OnCriO {
    fn node(&self) -> NodePlatform {
        NodePlatform::from_platform(&self.host, Some(Runtime::CriO))
    }

    /// The variants that CRI-O may find on the node, the one that it is taken for first. On arm64 it finds v8.
    fn variants(&self) -> Vec<Option<String>> {
        let node = self.node();
        let found: &[&str] = match (&*node.architecture, &node.variant) {
            ("arm64", None) => &["v8"],
            ("arm", None) => &["v7", "v8"],
            (_, variant) => return vec![variant.clone()],
        };
        found
            .iter()
            .map(|variant| Some((*variant).to_owned()))
            .collect()
    }

    /// What CRI-O takes unread: an entry without a platform, or a nested index.
    fn takes_unread(&self, picked: &Picked) -> bool {
        let entry = picked.chosen.first().map(|position| &self.index[*position]);
        entry.is_some_and(|entry| {
            entry.platform.is_none() || matches!(entry.content, Content::Index(_))
        })
    }
}

impl Trial for OnCriO {
    const MODE: &'static str = "cri-o";

    fn questions(&self) -> Vec<Value> {
        let question = |variant| {
            let host = Platform {
                variant,
                ..self.host.clone()
            };
            json!({ "host": host, "index": show_all(&self.index) })
        };
        self.variants().into_iter().map(question).collect()
    }

    fn compare(&self, answers: &[Value]) -> Result<String, String> {
        let answers: Vec<Picked> = answers
            .iter()
            .map(|answer| Picked::deserialize(answer).unwrap())
            .collect();
        let assumed = &answers[0];
        let content = ImageContent::Index(read_all(&self.index));
        let verdict = judge(&self.node(), ImageUse::default(), &content);
        let agrees = match verdict {
            Verdict::Runs { chosen } => {
                !self.takes_unread(assumed)
                    && assumed.matches
                    && assumed.chosen.first().copied() == chosen
            }
            Verdict::CannotRun(_) => answers.iter().all(|answer| !answer.matches),
            Verdict::Unknown(Doubt::PlatformlessEntry) => self.takes_unread(assumed),
            Verdict::Unknown(Doubt::ArmVariant) => {
                is_some_arm(&self.node()) && !assumed.matches && answers[1].matches
            }
            Verdict::Unknown(_) => false,
        };
        match (agrees, verdict) {
            (false, _) => Err(format!("we say {verdict:?}, the oracle {answers:?}")),
            (true, Verdict::Unknown(doubt)) => Ok(format!("unknown {}", doubt.code())),
            (true, _) => Ok(verdict.kind().to_owned()),
        }
    }

    fn smaller(&self) -> Vec<Self> {
        let with = |index| Self {
            index,
            ..self.clone()
        };
        smaller_index(&self.index).into_iter().map(with).collect()
    }

    fn show(&self) -> Value {
        json!({ "host": self.host, "runtime": "cri-o", "index": show_all(&self.index) })
    }
}
