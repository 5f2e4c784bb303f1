//! What `inspect` prints: the text that people know from mquery, and JSON, one object a line.

use std::io::Write;

use serde::Serialize;

use super::{Inspected, Match};
use crate::cli::target::written;
use crate::domain::decision::ResolvedImage;
use crate::domain::image::{EntryContent, Image, ImageContent};
use crate::domain::message::explain_on;
use crate::domain::platform::Platform;
use crate::domain::pod::{ImageField, PodImage};
use crate::domain::verdict::Doubt;

/// Writes an image as text.
pub(super) fn write_text(out: &mut impl Write, inspected: &Inspected) -> std::io::Result<()> {
    writeln!(out, "Image: {}", inspected.image)?;
    let image = match &inspected.answer {
        Ok(image) => image,
        Err(failure) => return writeln!(out, " * Not known: the image {}", failure.explain()),
    };
    let list = if matches!(image.content, ImageContent::Index(_)) {
        "Yes"
    } else {
        "No"
    };
    writeln!(out, " * Manifest List: {list}")?;
    writeln!(out, " * Supported platforms:")?;
    let offered = image.offered();
    if offered.is_empty() {
        writeln!(out, "   (none)")?;
    }
    for platform in offered {
        writeln!(out, "   - {platform}")?;
    }
    for found in &inspected.matches {
        write_match(out, inspected, image, found)?;
    }
    Ok(())
}

fn write_match(
    out: &mut impl Write,
    inspected: &Inspected,
    image: &Image,
    found: &Match,
) -> std::io::Result<()> {
    let verdict = found.verdict.kind().replace('-', " ");
    let detail = match found.verdict.code() {
        None => chosen(image, found)
            .map(|digest| format!(", {digest}"))
            .unwrap_or_default(),
        Some(code) => format!(" [{code}]"),
    };
    writeln!(out, " * On {}: {verdict}{detail}", written(&found.platform))?;
    match message(inspected, found) {
        Some(message) => writeln!(out, "   {message}"),
        None => Ok(()),
    }
}

/// The words for a verdict that is not "runs".
fn message(inspected: &Inspected, found: &Match) -> Option<String> {
    let image = PodImage {
        name: "",
        kind: ImageField::Container,
        position: 0,
        image: &inspected.image,
        never_pulled: false,
        host_process: false,
    };
    let answer = inspected.answer.clone().map_err(Doubt::Lookup);
    explain_on(&found.node, found.verdict, &ResolvedImage { image, answer })
}

/// The digest that the runtime would take.
fn chosen<'a>(image: &'a Image, found: &Match) -> Option<&'a str> {
    let crate::domain::verdict::Verdict::Runs { chosen } = found.verdict else {
        return None;
    };
    match (&image.content, chosen) {
        (ImageContent::Index(index), Some(at)) => {
            index.manifests.get(at).map(|entry| entry.digest.as_str())
        }
        _ => Some(image.digest.as_str()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageJson<'a> {
    image: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest_list: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platforms: Option<Vec<PlatformJson<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matches: Vec<MatchJson<'a>>,
}

/// An image that could not be looked up.
#[derive(Serialize)]
struct ErrorJson {
    code: &'static str,
    message: &'static str,
}

/// A platform as in the manifest.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct PlatformJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    os: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    architecture: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_version: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    os_features: &'a [String],
    digest: &'a str,
}

#[derive(Serialize)]
struct MatchJson<'a> {
    platform: String,
    runtime: &'a str,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chosen: Option<&'a str>,
}

/// Writes an image as one line of JSON.
pub(super) fn write_json(
    out: &mut impl Write,
    inspected: &Inspected,
    runtime: &str,
) -> std::io::Result<()> {
    let image = inspected.answer.as_deref().ok();
    let failure = inspected.answer.as_ref().err();
    let matches = inspected.matches.iter().map(|found| MatchJson {
        platform: written(&found.platform),
        runtime,
        verdict: found.verdict.kind(),
        code: found.verdict.code(),
        message: message(inspected, found),
        chosen: image.and_then(|image| chosen(image, found)),
    });
    let json = ImageJson {
        image: &inspected.image,
        digest: image.map(|image| image.digest.as_str()),
        media_type: image.map(|image| &*image.media_type),
        manifest_list: image.map(|image| matches!(image.content, ImageContent::Index(_))),
        platforms: image.map(platforms),
        error: failure.map(|failure| ErrorJson {
            code: failure.code(),
            message: failure.explain(),
        }),
        matches: matches.collect(),
    };
    // In one piece: a reader never sees half a line.
    let mut line = serde_json::to_vec(&json)?;
    line.push(b'\n');
    out.write_all(&line)
}

/// Every entry of an index in its order, attestations too, so that positions are the manifest's; the config's
/// platform of a single manifest.
fn platforms(image: &Image) -> Vec<PlatformJson<'_>> {
    match &image.content {
        ImageContent::Manifest(platform) => vec![platform_json(
            Some(&platform.written),
            image.digest.as_str(),
        )],
        ImageContent::Artifact | ImageContent::Schema1 => Vec::new(),
        ImageContent::Index(index) => {
            let entries = index.manifests.iter().map(|entry| {
                let of_config = match &entry.content {
                    EntryContent::Manifest(config) => Some(&config.written),
                    _ => None,
                };
                let platform = entry
                    .platform
                    .as_ref()
                    .map(|platform| &platform.written)
                    .or(of_config);
                platform_json(platform, entry.digest.as_str())
            });
            entries.collect()
        }
    }
}

fn platform_json<'a>(platform: Option<&'a Platform>, digest: &'a str) -> PlatformJson<'a> {
    let Some(platform) = platform else {
        return PlatformJson {
            digest,
            ..PlatformJson::default()
        };
    };
    PlatformJson {
        os: &platform.os,
        architecture: &platform.architecture,
        variant: platform.variant.as_deref(),
        os_version: platform.os_version.as_deref(),
        os_features: &platform.os_features,
        digest,
    }
}
