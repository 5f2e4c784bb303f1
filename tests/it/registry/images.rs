//! What is read of an image: indexes, nested indexes, entries without a platform, configs, and what is none.

use platform_gate::domain::image::{EntryContent, ImageContent, ImageIndex};
use platform_gate::domain::platform::Platform;

use super::*;
use crate::support::registry::Answer;
use crate::support::site::{
    CONFIG, INDEX, MANIFEST, Site, catalog, descriptor, digest_of, index_of, manifest_of,
};

const AMD64: &str = r#"{"os":"linux","architecture":"amd64"}"#;
const ARM64: &str = r#"{"os":"linux","architecture":"arm64"}"#;

async fn read(site: Site) -> Result<Arc<Image>, LookupFailure> {
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    fetch_anonymously(&registry_for(&[&server]), &server, "app:1").await
}

/// The index in short: `linux/amd64`, `-` without a platform; `=` what was read of it.
pub(super) fn describe(index: &ImageIndex) -> String {
    let entries = index.manifests.iter().map(|entry| {
        let platform = entry
            .platform
            .as_ref()
            .map_or("-".to_owned(), ToString::to_string);
        match &entry.content {
            EntryContent::Unread => platform,
            EntryContent::Manifest(read) => format!("{platform}={read}"),
            EntryContent::Index(index) => format!("{platform}={}", describe(index)),
            EntryContent::Failed(failure) => format!("{platform}={failure}"),
        }
    });
    format!("[{}]", entries.collect::<Vec<_>>().join(" "))
}

#[track_caller]
fn check(image: &Image, want: &str) {
    match &image.content {
        ImageContent::Index(index) => assert_eq!(describe(index), want),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_recorded_image_is_read() {
    let site = Site::of_fixtures();
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let registry = registry_for(&[&server]);
    for recorded in catalog() {
        let outcome = fetch_anonymously(&registry, &server, &recorded.serve_as).await;
        let image = match outcome {
            Ok(image) => image,
            // The config of some single manifests was never published.
            Err(LookupFailure::NotFound) if recorded.kind == "manifest" => continue,
            Err(failure) => panic!("{}: {failure}", recorded.file),
        };
        assert_eq!(image.digest.as_str(), recorded.digest, "{}", recorded.file);
        let kind = match &image.content {
            ImageContent::Index(index) => {
                assert_eq!(
                    index.manifests.len(),
                    recorded.platforms.len(),
                    "{}",
                    recorded.file
                );
                "list or index"
            }
            ImageContent::Manifest(_) | ImageContent::Artifact => "manifest",
            ImageContent::Schema1 => "schema1",
        };
        assert!(kind.contains(&recorded.kind), "{}: {kind}", recorded.file);
    }
}

#[tokio::test]
async fn the_storys_image_offers_two_windows_builds() {
    let site = Site::of_fixtures();
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let registry = registry_for(&[&server]);
    for (name, want) in [
        (
            "library/hello-world:nanoserver",
            "[windows/amd64:10.0.17134.885 windows/amd64:10.0.17763.615]",
        ),
        (
            "library/hello-world:nanoserver-sac2016",
            "[windows/amd64:10.0.14393.2551]",
        ),
        (
            "library/centos:7",
            "[linux/amd64 linux/arm/v7 linux/arm64 linux/386 linux/ppc64le]",
        ),
        ("library/centos:6.6", "[linux/amd64]"),
    ] {
        server.forget();
        let image = fetch_anonymously(&registry, &server, name).await.unwrap();
        check(&image, want);
        assert_eq!(server.lines().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_single_manifest_has_the_platform_of_its_config() {
    let image = read(Site::new().image("app", "1", AMD64)).await.unwrap();
    assert_eq!(
        image.content,
        ImageContent::Manifest(Platform::new("linux", "amd64").into())
    );
    assert_eq!(&*image.media_type, MANIFEST);
    assert_eq!(image.digest, digest_of(manifest_of(AMD64).as_bytes()));
}

#[tokio::test]
async fn entries_with_a_platform_stay_unread_and_the_first_without_is_read() {
    let (amd64, arm64) = (manifest_of(AMD64), manifest_of(ARM64));
    let index = index_of(&[
        descriptor(MANIFEST, &amd64, Some("linux/amd64")),
        descriptor(MANIFEST, &arm64, None),
        descriptor(MANIFEST, &amd64, None),
    ]);
    let site = Site::new()
        .manifest("app", "1", INDEX, index)
        .image("app", "amd64", AMD64)
        .image("app", "arm64", ARM64);
    check(&read(site).await.unwrap(), "[linux/amd64 -=linux/arm64 -]");
}

#[tokio::test]
async fn nested_indexes_are_read_two_levels_deep() {
    let leaf = index_of(&[descriptor(
        MANIFEST,
        &manifest_of(AMD64),
        Some("linux/amd64"),
    )]);
    let mut site = Site::new();
    let mut inner = leaf;
    for level in 0..4 {
        site = site.manifest("app", &format!("level{level}"), INDEX, inner.clone());
        inner = index_of(&[descriptor(INDEX, &inner, None)]);
    }
    let at = |level: usize| format!("app:level{level}");
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let registry = registry_for(&[&server]);
    for (level, want) in [
        "[linux/amd64]",
        "[-=[linux/amd64]]",
        "[-=[-=[linux/amd64]]]",
        "[-=[-=[-=too-large]]]",
    ]
    .into_iter()
    .enumerate()
    {
        let image = fetch_anonymously(&registry, &server, &at(level))
            .await
            .unwrap();
        check(&image, want);
    }
}

#[tokio::test]
async fn the_number_of_children_is_bounded() {
    let leaves: Vec<String> = (0..40)
        .map(|i| index_of(&[descriptor(MANIFEST, &i.to_string(), Some("linux/amd64"))]))
        .collect();
    let descriptors: Vec<String> = leaves
        .iter()
        .map(|leaf| descriptor(INDEX, leaf, None))
        .collect();
    let site = leaves.iter().fold(
        Site::new().manifest("app", "1", INDEX, index_of(&descriptors)),
        |site, leaf| site.manifest("app", "leaf", INDEX, leaf.clone()),
    );
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    fetch_anonymously(&registry_for(&[&server]), &server, "app:1")
        .await
        .unwrap();
    assert_eq!(server.lines().len(), 17);
}

#[tokio::test]
async fn a_child_that_cannot_be_read_is_a_failure_of_its_own() {
    let index = index_of(&[
        descriptor(MANIFEST, "amd64", Some("linux/amd64")),
        descriptor(INDEX, "missing", None),
        descriptor(INDEX, "lying", None),
    ]);
    let lying = format!("/v2/app/manifests/{}", digest_of(b"lying"));
    let site = Site::new().manifest("app", "1", INDEX, index);
    let server = FakeRegistry::start(move |request| {
        if request.path == lying {
            let empty = r#"{"manifests":[]}"#;
            return Answer::json(empty);
        }
        site.answer(request)
    })
    .await;
    let registry = registry_for(&[&server]);
    let image = fetch_anonymously(&registry, &server, "app:1")
        .await
        .unwrap();
    check(&image, "[linux/amd64 -=not-found -=digest-mismatch]");
}

#[tokio::test]
async fn artifacts_and_schema_1_are_known_for_what_they_are() {
    let artifact = manifest_of(AMD64).replace(CONFIG, "application/vnd.wasm.config.v0+json");
    let image = read(Site::new().manifest("app", "1", MANIFEST, artifact))
        .await
        .unwrap();
    assert_eq!(image.content, ImageContent::Artifact);
    let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let schema1 = r#"{"schemaVersion":1,"fsLayers":[]}"#;
    let image = read(Site::new().manifest("app", "1", signed, schema1))
        .await
        .unwrap();
    assert_eq!(image.content, ImageContent::Schema1);
}

#[tokio::test]
async fn bytes_that_do_not_have_their_digest_are_no_image() {
    let index = index_of(&[]);
    let other = digest_of(b"other").to_string();
    let answer = Answer::new(200).header("content-type", INDEX);
    let announced = answer
        .clone()
        .header("docker-content-digest", other.as_str());
    let unreadable = answer.clone().header("docker-content-digest", "sha256:x");
    for (answer, name, want) in [
        (
            announced.body(index.clone()),
            "app:1".to_owned(),
            LookupFailure::DigestMismatch,
        ),
        (
            answer.body(index.clone()),
            format!("app@{other}"),
            LookupFailure::DigestMismatch,
        ),
        (
            unreadable.body(index),
            "app:1".to_owned(),
            LookupFailure::Malformed,
        ),
    ] {
        let server = FakeRegistry::start(move |_| answer.clone()).await;
        let outcome = fetch_anonymously(&registry_for(&[&server]), &server, &name).await;
        assert_eq!(outcome, Err(want));
    }
    let lie = format!("/v2/app/blobs/{}", digest_of(AMD64.as_bytes()));
    let site = Site::new().image("app", "1", AMD64);
    let server = FakeRegistry::start(move |request| {
        if request.path == lie {
            return Answer::new(200).body(ARM64);
        }
        site.answer(request)
    })
    .await;
    let outcome = fetch_anonymously(&registry_for(&[&server]), &server, "app:1").await;
    assert_eq!(outcome, Err(LookupFailure::DigestMismatch));
}

#[tokio::test]
async fn a_config_is_bounded_too() {
    let site = Site::new().image("app", "1", AMD64);
    let server = FakeRegistry::start(move |request| {
        if request.path.contains("/blobs/") {
            return Answer::new(200).long_body(9 << 20);
        }
        site.answer(request)
    })
    .await;
    let outcome = fetch_anonymously(&registry_for(&[&server]), &server, "app:1").await;
    assert_eq!(outcome, Err(LookupFailure::TooLarge));
}
