//! What has to hold of any bytes that an attacker may send: one function for each parser, which panics where it does
//! not. `fuzz/` runs them for as long as one likes, the property tests below on every change.
//!
//! Leaves out how the bytes are made.

use crate::admission::{Answer, parse_review, write_response};
use crate::domain::pod::Pod;
use crate::domain::reference::Reference;
pub use crate::registry::fuzz::{challenge, docker_config, hosts_files, manifest};

/// An image reference: what is read is within the grammar's bounds, and is read again as the same.
///
/// # Panics
/// Where it is not.
pub fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(reference) = Reference::parse(text) else {
        return;
    };
    let is_safe = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-/:[]@".contains(&b))
    };
    let (registry, repository) = (reference.registry(), reference.repository());
    assert!(
        is_safe(registry) && !registry.contains(['/', '@']),
        "{registry}"
    );
    assert!(
        is_safe(repository) && !repository.contains([':', '@', '[']),
        "{repository}"
    );
    assert!(
        repository.len() <= 255
            && !repository
                .split('/')
                .any(|part| matches!(part, "" | "." | ".."))
    );
    assert!(
        reference
            .tag()
            .is_none_or(|tag| is_safe(tag) && tag.len() <= 128 && !tag.contains('/'))
    );
    let again = Reference::parse(&reference.to_string());
    assert_eq!(again.as_ref().ok(), Some(&reference), "{text}");
}

/// The body of a review: its images are found, and an answer to it is JSON with its uid.
///
/// # Panics
/// Where it is not.
pub fn review(bytes: &[u8]) {
    let Ok(request) = parse_review::<Pod<'_>>(bytes) else {
        return;
    };
    let pods = request.object.iter().chain(&request.old_object);
    let images: usize = pods.map(|pod| pod.spec.images().len()).sum();
    let answer = Answer {
        message: format!("{images} images\n"),
        ..Answer::default()
    };
    let written = write_response(&request.uid, answer);
    let read: serde_json::Value = serde_json::from_slice(&written).unwrap_or_default();
    assert_eq!(read["response"]["uid"].as_str(), Some(&*request.uid));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    /// Texts that mean something to one parser or another.
    const WORDS: [&str; 24] = [
        "\0",
        "\n",
        "\"",
        "\\u0000",
        "@sha256:",
        ":",
        "/",
        "..",
        "[::1]",
        "%2e",
        "é",
        "\u{17f}",
        "null",
        "[]",
        "{}",
        "[[[[",
        "9999999999999999999999",
        "-1",
        "true",
        ",",
        "=",
        "Bearer realm=",
        "\"mediaType\":",
        "\"platform\":",
    ];

    /// One of the seeds, with pieces of it taken out, doubled or replaced.
    fn mutated(seeds: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
        let edit = (
            any::<Index>(),
            any::<Index>(),
            0..5_u8,
            select(WORDS.to_vec()),
            any::<u8>(),
        );
        (select(seeds.to_vec()), prop::collection::vec(edit, 0..6)).prop_map(|(seed, edits)| {
            let mut bytes = seed.as_bytes().to_vec();
            for (from, to, what, word, byte) in edits {
                let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
                let (from, to) = (from.min(to), from.max(to));
                let piece = bytes[from..to].to_vec();
                match what {
                    0 => drop(bytes.drain(from..to)),
                    1 => drop(bytes.splice(to..to, piece)),
                    2 => drop(bytes.splice(from..from, word.bytes())),
                    3 => drop(bytes.splice(from..to, word.bytes())),
                    _ => bytes.insert(from, byte),
                }
            }
            bytes
        })
    }

    const HEX: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// Runs a target on mutations of its seeds.
    fn check(seeds: &'static [&'static str], target: fn(&[u8])) {
        let config = ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(2000)
        };
        let run = |bytes: Vec<u8>| {
            target(&bytes);
            Ok(())
        };
        proptest::test_runner::TestRunner::new(config)
            .run(&mutated(seeds), run)
            .unwrap();
    }

    #[test]
    fn references() {
        assert!(crate::domain::reference::Reference::parse(&format!("a@{HEX}")).is_ok());
        check(
            &[
                "nginx",
                "docker.io/library/nginx:1.27",
                "localhost:5000/a/b-c__d:Tag_1.2-3",
                "[2001:db8::1]:5000/x",
                "reg.example/x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                "Foo/bar:latest",
            ],
            super::reference,
        );
    }

    #[test]
    fn challenges() {
        check(
            &[
                r#"Bearer realm="https://r.example/token",service="reg",scope="repository:a/b:pull,push""#,
                "Negotiate\nBasic realm=\"x\", charset=\"UTF-8\"",
                "Basic realm=x, Bearer realm=\"https://auth.example/\"",
                "Digest a=b, c=\"d\\\"e\"\nBearer realm=\"http://r.example/\"",
            ],
            super::challenge,
        );
    }

    #[test]
    fn manifests() {
        check(
            &[
                "application/vnd.oci.image.index.v1+json\n{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"size\":1,\"platform\":{\"os\":\"windows\",\"architecture\":\"amd64\",\"os.version\":\"10.0.17763.1\",\"os.features\":[\"win32k\"]}}]}",
                "application/vnd.docker.distribution.manifest.v2+json\n{\"config\":{\"mediaType\":\"application/vnd.docker.container.image.v1+json\",\"digest\":\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"},\"layers\":[]}",
                "application/vnd.docker.distribution.manifest.v1+prettyjws\n{\"schemaVersion\":1,\"fsLayers\":[]}",
                "text/plain\n{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\"}",
            ],
            super::manifest,
        );
    }

    #[test]
    fn reviews() {
        check(
            &[
                r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"CREATE","kind":{"group":"","version":"v1","kind":"Pod"},"namespace":"n","object":{"metadata":{"annotations":{}},"spec":{"nodeSelector":{"a":"b"},"tolerations":[{"operator":"Exists"}],"containers":[{"name":"c","image":"nginx"}],"volumes":[{"image":{"reference":"x"}}]}}}}"#,
                r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"UPDATE","subResource":"ephemeralcontainers","object":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"k","operator":"Gt","values":["1"]}]}]}}}}},"oldObject":{"spec":null}}}"#,
            ],
            super::review,
        );
    }

    #[test]
    fn docker_configs() {
        check(
            &[
                r#"{"auths":{"https://reg.example/v1/":{"auth":"dTpw"},"*.example:5000/team":{"username":"u","password":"p"}}}"#,
                r#"{"index.docker.io":{"username":"u","password":"p","email":"e"}}"#,
            ],
            super::docker_config,
        );
    }

    #[test]
    fn hosts_files() {
        check(
            &[
                "server = 'https://reg.example'\n[host.'https://m.example:5000/v2/x']\ncapabilities = ['pull', 'resolve']\noverride_path = true\n[host.'http://n.example']\nskip_verify = true\n",
                "unqualified-search-registries = ['docker.io']\n[[registry]]\nprefix = '*.example'\nlocation = 'reg.example/team'\ninsecure = true\n[[registry.mirror]]\nlocation = 'm.example'\npull-from-mirror = 'digest-only'\n",
            ],
            super::hosts_files,
        );
    }
}
