//! Every case of `tests/data/platform-vectors.jsonl`: the answers of containerd's and CRI-O's own code, against ours.
//!
//! A case may come out as unknown only for one of the reasons in [`JUSTIFIED`]; the counts are printed.

use std::collections::BTreeMap;

use platform_gate::domain::image::{Digest, EntryContent, ImageContent, ImageIndex, IndexEntry};
use platform_gate::domain::node::NodePlatform;
use platform_gate::domain::platform::Platform;
use platform_gate::domain::runtime::{Containerd, Library, Runtime};
use platform_gate::domain::verdict::{Doubt, ImageUse, Verdict, judge};
use serde::Deserialize;

/// Why a case whose answer the runtime knows is unknown to us.
const JUSTIFIED: &[(Doubt, &str)] = &[
    (
        Doubt::Aarch32,
        "containerd downloads 32-bit Arm on arm64; whether the CPU runs it, no node reports (rule 8)",
    ),
    (
        Doubt::FallbackOnly,
        "the transfer service fails, unless the node is configured to pull client-side (rule 8)",
    ),
    (
        Doubt::ArmVariant,
        "the case states no variant and containerd assumes v7; a real node may be v8 (rule 15)",
    ),
    (
        Doubt::NodeVersion,
        "a Windows node whose version we do not know, though its containerd does (rule 14)",
    ),
    (
        Doubt::PlatformlessEntry,
        "CRI-O takes an entry without a platform unread (rule 9); containerd's code picks it, and its CRI then fails to size \
         it beside entries for other platforms",
    ),
    (
        Doubt::CpuLevel,
        "a single manifest that needs a CPU level no node reports (rule 12)",
    ),
    (
        Doubt::IncompleteConfig,
        "a single manifest whose config does not say (rule 11)",
    ),
    (
        Doubt::Revision,
        "Windows Server 2016 of another revision, which containerd does not compare (rule 13)",
    ),
];

#[derive(Deserialize)]
struct Case {
    id: String,
    host: Written,
    runtime: String,
    kind: String,
    entries: Vec<Written>,
    config: Option<Written>,
    expect: Answer,
    #[serde(default)]
    also: BTreeMap<String, Answer>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    os: String,
    arch: String,
    variant: Option<String>,
    os_version: Option<String>,
    os_features: Vec<String>,
    no_platform: bool,
    artifact_type: Option<String>,
    config: Option<Box<Written>>,
    index: Option<Vec<Written>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Debug)]
struct Answer {
    #[serde(rename = "match")]
    matches: bool,
    chosen: Option<usize>,
}

impl Written {
    fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.arch.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
        }
    }

    fn entry(&self, position: usize) -> IndexEntry {
        let digest = Digest::parse(&format!("sha256:{position:064}")).unwrap();
        let content = match (&self.index, self.no_platform) {
            (Some(nested), _) => EntryContent::Index(index(nested)),
            (None, false) => EntryContent::Unread,
            (None, true) if self.artifact_type.is_some() => {
                EntryContent::Manifest(Platform::default().into())
            }
            (None, true) => {
                let config = self
                    .config
                    .as_ref()
                    .map_or_else(|| self.platform(), |config| config.platform());
                EntryContent::Manifest(config.into())
            }
        };
        IndexEntry::new(
            digest,
            (!self.no_platform).then(|| self.platform()),
            content,
        )
    }
}

fn index(entries: &[Written]) -> ImageIndex {
    ImageIndex {
        manifests: entries
            .iter()
            .enumerate()
            .map(|(position, entry)| entry.entry(position))
            .collect(),
    }
}

/// The rules behind a key of `also`, such as `transfer/v1.0.0-rc.2`.
fn rules(path: &str, version: &str) -> Containerd {
    let library = match version {
        "v0.2.1" => Library::V0_2_1,
        "v1.0.0-rc.1" => Library::Rc1,
        "v1.0.0-rc.2" => Library::Rc2,
        "v1.0.0-rc.4" => Library::Rc4,
        "v1.0.0-rc.5" => Library::Rc5,
        other => panic!("unknown version {other}"),
    };
    Containerd {
        library,
        transfer: path == "transfer",
    }
}

/// The runtimes that a case answers for, with their answers.
fn answers(case: &Case) -> Vec<(String, Runtime, Answer)> {
    if case.runtime == "cri-o" {
        return vec![("cri-o".to_owned(), Runtime::CriO, case.expect)];
    }
    let client = Runtime::Containerd(rules("local", "v1.0.0-rc.5"));
    let mut all = vec![("local/v1.0.0-rc.5".to_owned(), client, case.expect)];
    if case.kind == "manifest" {
        return all;
    }
    let reads_config = case.entries.iter().any(|entry| entry.no_platform);
    let undetected = matches!(
        (case.host.arch.as_str(), case.host.variant.as_deref()),
        ("amd64", Some(_))
            | (
                "arm64",
                Some("v8.1" | "v8.2" | "v8.3" | "v8.4" | "v8.5" | "v9" | "v9.0" | "v9.1" | "v9.2")
            )
    );
    for path in ["local", "transfer"] {
        for version in [
            "v0.2.1",
            "v1.0.0-rc.1",
            "v1.0.0-rc.2",
            "v1.0.0-rc.4",
            "v1.0.0-rc.5",
        ] {
            let not_recorded = (path == "transfer" && (version == "v0.2.1" || undetected))
                || (version == "v0.2.1" && reads_config)
                || (path == "local" && version == "v1.0.0-rc.5");
            if !not_recorded {
                let key = format!("{path}/{version}");
                let answer = case.also.get(&key).copied().unwrap_or(case.expect);
                all.push((key, Runtime::Containerd(rules(path, version)), answer));
            }
        }
    }
    all
}

#[test]
fn every_recorded_answer_is_ours() {
    let text = include_str!("../data/platform-vectors.jsonl");
    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut decided, mut wrong) = (0, Vec::new());
    for line in text.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let content = match &case.config {
            Some(config) => ImageContent::Manifest(config.platform().into()),
            None => ImageContent::Index(index(&case.entries)),
        };
        for (key, runtime, answer) in answers(&case) {
            let node = NodePlatform::from_platform(&case.host.platform(), Some(runtime));
            let position = |chosen: Option<usize>| {
                if case.config.is_some() {
                    Some(0)
                } else {
                    chosen
                }
            };
            match judge(&node, ImageUse::default(), &content) {
                Verdict::Unknown(doubt) if JUSTIFIED.iter().any(|(known, _)| *known == doubt) => {
                    *unknown.entry(doubt.code()).or_default() += 1;
                }
                Verdict::Runs { chosen }
                    if answer
                        == (Answer {
                            matches: true,
                            chosen: position(chosen),
                        }) =>
                {
                    decided += 1
                }
                Verdict::CannotRun(_) if !answer.matches => decided += 1,
                verdict => wrong.push(format!(
                    "{} {key}: {verdict:?}, the runtime says {answer:?}",
                    case.id
                )),
            }
        }
    }
    println!("{decided} answers equal; unknown to us, with the reason:");
    for (doubt, reason) in JUSTIFIED {
        println!(
            "{:6} {}: {reason}",
            unknown.get(doubt.code()).unwrap_or(&0),
            doubt.code()
        );
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(decided > 3000, "only {decided} answers were compared");
}
