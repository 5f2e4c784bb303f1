//! Documents of every kind, and those that are two kinds at once.

use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Fills in `D`, a digest, and `I`, `M`, the OCI media types.
fn parse(content_type: &str, text: &str) -> Result<Document, LookupFailure> {
    let text = text
        .replace("\"D\"", &format!("\"sha256:{HEX}\""))
        .replace("\"I\"", &format!("{OCI_IMAGE_INDEX_MEDIA_TYPE:?}"))
        .replace("\"M\"", &format!("{OCI_IMAGE_MEDIA_TYPE:?}"))
        .replace("\"C\"", &format!("{IMAGE_CONFIG_MEDIA_TYPE:?}"));
    let content_type = match content_type {
        "" => None,
        "I" => Some(OCI_IMAGE_INDEX_MEDIA_TYPE),
        "M" => Some(OCI_IMAGE_MEDIA_TYPE),
        other => Some(other),
    };
    parse_document(content_type, text.as_bytes())
}

fn kind(content_type: &str, text: &str) -> Result<&'static str, LookupFailure> {
    parse(content_type, text).map(|document| match document.body {
        Body::Index(_) => "index",
        Body::Manifest(_) => "manifest",
        Body::Artifact => "artifact",
        Body::Schema1 => "schema1",
    })
}

const MALFORMED: Result<&str, LookupFailure> = Err(LookupFailure::Malformed);

#[test]
fn the_kind_is_what_type_and_fields_agree_on() {
    let image = r#"{"mediaType":"M","config":{"mediaType":"C","digest":"D"},"layers":[]}"#;
    for (content_type, text, want) in [
        ("I", r#"{"mediaType":"I","manifests":[]}"#, Ok("index")),
        ("", r#"{"mediaType":"I","manifests":[]}"#, Ok("index")),
        ("I", r#"{"manifests":[]}"#, Ok("index")),
        ("application/json", r#"{"manifests":[]}"#, Ok("index")),
        (
            IMAGE_MANIFEST_LIST_MEDIA_TYPE,
            r#"{"mediaType":"I","manifests":[]}"#,
            Ok("index"),
        ),
        (
            "application/vnd.oci.image.index.v1+json; charset=utf-8",
            r#"{"mediaType":"","manifests":null}"#,
            Ok("index"),
        ),
        ("I", r#"{"mediaType":"I"}"#, Ok("index")),
        ("I", r#"{"errors":[{"code":"UNAVAILABLE"}]}"#, MALFORMED),
        ("M", image, Ok("manifest")),
        ("text/plain", image, Ok("manifest")),
        ("", r#"{"config":{"digest":"D"}}"#, Ok("manifest")),
        (
            "M",
            r#"{"config":{"mediaType":"application/vnd.wasm.config.v0+json","digest":"D"}}"#,
            Ok("artifact"),
        ),
        (
            "",
            r#"{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[]}"#,
            Ok("artifact"),
        ),
        (
            SCHEMA1_SIGNED,
            r#"{"schemaVersion":1,"fsLayers":[],"signatures":[]}"#,
            Ok("schema1"),
        ),
        (
            "application/json",
            r#"{"schemaVersion":1,"fsLayers":[]}"#,
            Ok("schema1"),
        ),
    ] {
        assert_eq!(kind(content_type, text), want, "{content_type} {text}");
    }
}

#[test]
fn what_is_two_things_or_none_is_nobodys_to_judge() {
    for (content_type, text) in [
        (
            "I",
            r#"{"mediaType":"M","config":{"mediaType":"C","digest":"D"}}"#,
        ),
        (
            "I",
            r#"{"config":{"mediaType":"C","digest":"D"},"layers":[]}"#,
        ),
        ("M", r#"{"mediaType":"I","manifests":[]}"#),
        ("M", r#"{"manifests":[]}"#),
        (
            "I",
            r#"{"mediaType":"I","manifests":[],"config":{},"layers":[]}"#,
        ),
        ("I", r#"{"mediaType":"I","manifests":[],"config":null}"#),
        ("I", r#"{"mediaType":"I","layers":[]}"#),
        ("I", r#"{"manifests":[],"fsLayers":[]}"#),
        ("I", r#"{"manifests":[],"manifests":[]}"#),
        ("", r#"{"mediaType":"application/x","manifests":[]}"#),
        ("M", r#"{"layers":[]}"#),
        ("M", r#"{"config":{"digest":"sha256:../x"}}"#),
        ("I", r#"{"manifests":[{}]}"#),
        ("I", r#"{"manifests":[{"digest":"md5:x"}]}"#),
        ("", "{}"),
        ("", "<html>"),
        ("I", ""),
    ] {
        assert_eq!(kind(content_type, text), MALFORMED, "{content_type} {text}");
    }
}

/// The four oddities that Go's decoder takes and containerd does not check.
#[test]
fn what_go_reads_is_read() {
    let text = r#"{"mediaType":"I","manifests":[
        {"mediaType":"M","digest":"D","platform":{"os":"linux"}},
        {"mediaType":"M","digest":"D","platform":{"os":"windows","architecture":"amd64","os.version":"10.0.14393.1","os.features":null,"variant":null}},
        {"mediaType":"I","digest":"D","platform":null},
        {"mediaType":"application/x","digest":"D","size":"much","annotations":null},
        {"digest":"D","platform":{"os":"linux","architecture":"amd64"}}
    ]}"#;
    let Body::Index(entries) = parse("I", text).unwrap().body else {
        panic!("no index");
    };
    let read: Vec<_> = entries
        .iter()
        .map(|entry| (entry.kind, entry.platform.as_ref().map(ToString::to_string)))
        .collect();
    let platform = |text: &str| Some(text.to_owned());
    assert_eq!(
        read,
        [
            (EntryKind::Image, platform("linux/unknown")),
            (EntryKind::Image, platform("windows/amd64:10.0.14393.1")),
            (EntryKind::Index, None),
            (EntryKind::Other, None),
            // It does not say what it is: containerd takes it for no manifest.
            (EntryKind::Other, platform("linux/amd64")),
        ]
    );
    assert_eq!(
        kind("I", r#"{"mediaType":"I","manifests":null}"#),
        Ok("index")
    );
}

#[test]
fn the_media_type_is_the_one_served() {
    let list = parse(IMAGE_MANIFEST_LIST_MEDIA_TYPE, r#"{"manifests":[]}"#).unwrap();
    assert_eq!(&*list.media_type, IMAGE_MANIFEST_LIST_MEDIA_TYPE);
    let index = parse("text/plain", r#"{"manifests":[]}"#).unwrap();
    assert_eq!(&*index.media_type, OCI_IMAGE_INDEX_MEDIA_TYPE);
}

#[test]
fn bombs_are_refused() {
    let many = vec![r#"{"digest":"D"}"#; MAX_ENTRIES + 1].join(",");
    let wide = format!(r#"{{"manifests":[{many}]}}"#);
    assert_eq!(kind("I", &wide), Err(LookupFailure::TooLarge));
    let features = vec!["\"\""; MAX_FEATURES + 1].join(",");
    let entry = format!(r#"{{"digest":"D","platform":{{"os.features":[{features}]}}}}"#);
    let featured = format!(r#"{{"manifests":[{entry}]}}"#);
    assert_eq!(kind("I", &featured), Err(LookupFailure::TooLarge));
    let deep = |n| format!(r#"{{"manifests":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    assert_eq!(kind("I", &deep(100_000)), MALFORMED);
    let ignored = format!(
        r#"{{"manifests":null,"x":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(kind("I", &ignored), Ok("index"));
}

#[test]
fn configs_keep_version_variant_and_features() {
    let config = r#"{"os":"windows","architecture":"arm64","variant":"v8","os.version":"10.0.17763.1","os.features":["win32k"],"rootfs":{}}"#;
    let platform = parse_config(config.as_bytes()).unwrap();
    assert_eq!(platform.variant.as_deref(), Some("v8"));
    assert_eq!(platform.os_version.as_deref(), Some("10.0.17763.1"));
    assert_eq!(platform.os_features, ["win32k"]);
    assert_eq!(parse_config(b"{}"), Ok(Platform::default()));
    assert_eq!(parse_config(b"[]"), Err(LookupFailure::Malformed));
}
