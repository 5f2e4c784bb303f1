//! Random images and hosts, drawn so that matches, near misses and oddities are all frequent.

use platform_gate::domain::image::{Digest, EntryContent, ImageIndex, IndexEntry};
use platform_gate::domain::platform::Platform;
use serde_json::{Value, json};

use super::random::Random;

/// One descriptor of an index, with what it points to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) platform: Option<Platform>,
    pub(super) content: Content,
}

/// What an entry points to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// An image with a config; an entry with a platform that says nothing has the same in its config.
    Image(Option<Platform>),
    Index(Vec<Entry>),
    Artifact,
}

const VARIANTS: &str = "- - - v1 1 v2 v3 v4 v5 5 v6 6 v7 7 v8 8 v8.0 v8.1 v8.2 v8.5 v8.9 v8.10 v9 9 9.0 v9.0 v9.1 v9.5 V7 V8 x";
pub(super) const WINDOWS_VERSIONS: &str = "10.0.14393.2551 10.0.14393.3000 10.0.14393 10.0.17763 10.0.17763.615 \
     10.0.17763.9999 10.0.18363.1 10.0.19042.1 10.0.20347.1 10.0.20348 10.0.20348.999 10.0.20348.4294 10.0.20349.1 \
     10.0.22621.1 10.0.25398.1 10.0.26099.1 10.0.26100.1 10.0.26100.2 10.0.26200.1 10.0.28000.1 10.1.20348.1 \
     6.3.20348.1 10.0 10 10.0.x 10.0.65536.1 10.0.20348-1 10..20348 0.0.0 - -";

/// A platform as entries and configs state it. `near` is a host that it is often made for.
pub(super) fn platform(random: &mut Random, near: &Platform) -> Platform {
    let mut drawn = if random.percent(60) {
        Platform {
            variant: near.variant.clone(),
            ..Platform::new(&near.os, &near.architecture)
        }
    } else {
        Platform::new(
            &random.word("linux linux linux linux windows windows unknown darwin macos freebsd Linux WINDOWS -"),
            &random.word(
                "amd64 amd64 arm64 arm64 arm arm 386 i386 x86_64 x86-64 aarch64 armhf armel ppc64le s390x riscv64 \
                 loong64 i686 AMD64 ARM64 wasm unknown -",
            ),
        )
    };
    if random.percent(25) {
        drawn.architecture = sibling(random, &near.architecture);
    }
    if random.percent(35) {
        drawn.variant = Some(random.word(VARIANTS));
    }
    if random.percent(if drawn.os.eq_ignore_ascii_case("windows") {
        85
    } else {
        5
    }) {
        drawn.os_version = Some(version(random, near));
    }
    if random.percent(6) {
        let features = random.word("win32k win32k,win32k win32k,sse4 sse4 , a,b");
        drawn.os_features = features.split(',').map(str::to_owned).collect();
    }
    drawn
}

fn version(random: &mut Random, near: &Platform) -> String {
    match &near.os_version {
        Some(own) if random.percent(40) => {
            let build: Vec<&str> = own.split('.').take(3).collect();
            format!(
                "{}{}",
                build.join("."),
                random.word("- .1 .2 .999 .4294 .x .2551")
            )
        }
        _ => random.word(WINDOWS_VERSIONS),
    }
}

/// An architecture whose images a host may take as well.
fn sibling(random: &mut Random, architecture: &str) -> String {
    match architecture {
        "amd64" => random.word("386 386 i386 amd64 x86_64"),
        "arm64" => random.word("arm arm armhf armel aarch64 arm64"),
        "arm" => random.word("arm arm armhf armel arm64"),
        other => other.to_owned(),
    }
}

/// An index of up to six entries, nested in few cases.
pub(super) fn index(random: &mut Random, near: &Platform, depth: usize) -> Vec<Entry> {
    let length = match random.below(20) {
        0 => 0,
        1..5 => 1,
        other => 2 + other % 5,
    };
    (0..length).map(|_| entry(random, near, depth)).collect()
}

fn entry(random: &mut Random, near: &Platform, depth: usize) -> Entry {
    let stated = random.percent(85).then(|| platform(random, near));
    let content = if depth > 0 && random.percent(8) {
        Content::Index(index(random, near, depth - 1))
    } else if random.percent(4) {
        Content::Artifact
    } else if stated.is_none() || random.percent(5) {
        Content::Image(Some(platform(random, near)))
    } else {
        Content::Image(None)
    };
    Entry {
        platform: stated,
        content,
    }
}

impl Entry {
    /// As the oracle reads it.
    pub(super) fn show(&self) -> Value {
        let mut text = json!({});
        if let Some(platform) = &self.platform {
            text["platform"] = json!(platform);
        }
        match &self.content {
            Content::Image(None) => {}
            Content::Image(Some(config)) => text["config"] = json!(config),
            Content::Index(entries) => text["index"] = show_all(entries),
            Content::Artifact => text["artifact"] = json!(true),
        }
        text
    }

    /// As the registry client reads it: no further than the descriptor where that has a platform.
    fn read(&self, position: usize) -> IndexEntry {
        let digest = Digest::parse(&format!("sha256:{position:064}")).unwrap();
        let content = match (&self.content, &self.platform) {
            (Content::Index(entries), _) => EntryContent::Index(read_all(entries)),
            (_, Some(_)) => EntryContent::Unread,
            (Content::Image(config), None) => {
                EntryContent::Manifest(config.clone().unwrap().into())
            }
            (Content::Artifact, None) => EntryContent::Manifest(Platform::default().into()),
        };
        IndexEntry::new(digest, self.platform.clone(), content)
    }

    /// What the image says it is for: its descriptor, or else its config.
    pub(super) fn says(&self) -> Platform {
        match (&self.platform, &self.content) {
            (Some(platform), _) => platform.clone(),
            (None, Content::Image(Some(config))) => config.clone(),
            _ => Platform::default(),
        }
    }

    fn smaller(&self) -> Vec<Self> {
        let with_platform = |platform| Self {
            platform,
            ..self.clone()
        };
        let with_content = |content| Self {
            content,
            ..self.clone()
        };
        let mut all = Vec::new();
        if let Some(platform) = &self.platform {
            let fewer = smaller_platform(platform).into_iter();
            all.extend(fewer.map(|platform| with_platform(Some(platform))));
        }
        match &self.content {
            Content::Image(Some(config)) => {
                if self.platform.is_some() {
                    all.push(with_content(Content::Image(None)));
                }
                let fewer = smaller_platform(config).into_iter();
                all.extend(fewer.map(|config| with_content(Content::Image(Some(config)))));
            }
            Content::Index(entries) => {
                let fewer = smaller_index(entries).into_iter();
                all.extend(fewer.map(|entries| with_content(Content::Index(entries))));
                if self.platform.is_some() {
                    all.push(with_content(Content::Image(None)));
                }
            }
            Content::Artifact if self.platform.is_some() => {
                all.push(with_content(Content::Image(None)))
            }
            Content::Image(None) | Content::Artifact => {}
        }
        all
    }
}

pub(super) fn show_all(entries: &[Entry]) -> Value {
    entries.iter().map(Entry::show).collect()
}

pub(super) fn read_all(entries: &[Entry]) -> ImageIndex {
    let read = |(position, entry): (usize, &Entry)| entry.read(position);
    ImageIndex {
        manifests: entries.iter().enumerate().map(read).collect(),
    }
}

/// The entry that a path of positions leads to.
pub(super) fn at<'a>(entries: &'a [Entry], path: &[usize]) -> Option<&'a Entry> {
    let (first, rest) = path.split_first()?;
    let entry = entries.get(*first)?;
    match &entry.content {
        Content::Index(nested) if !rest.is_empty() => at(nested, rest),
        _ => Some(entry),
    }
}

/// An index with an entry less, or with less in an entry.
pub(super) fn smaller_index(entries: &[Entry]) -> Vec<Vec<Entry>> {
    let without = |position: usize| {
        let mut fewer = entries.to_vec();
        fewer.remove(position);
        fewer
    };
    let with = |position: usize, entry: Entry| {
        let mut changed = entries.to_vec();
        changed[position] = entry;
        changed
    };
    let mut all: Vec<_> = (0..entries.len()).map(without).collect();
    for (position, entry) in entries.iter().enumerate() {
        all.extend(
            entry
                .smaller()
                .into_iter()
                .map(|entry| with(position, entry)),
        );
    }
    all
}

/// A platform that says less.
pub(super) fn smaller_platform(platform: &Platform) -> Vec<Platform> {
    let less = [
        Platform {
            variant: None,
            ..platform.clone()
        },
        Platform {
            os_version: None,
            ..platform.clone()
        },
        Platform {
            os_features: Vec::new(),
            ..platform.clone()
        },
    ];
    less.into_iter().filter(|less| less != platform).collect()
}
