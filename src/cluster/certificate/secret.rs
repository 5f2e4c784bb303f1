//! How the certificate lies in its Secret.
//!
//! `tls.crt` and `tls.key` are the serving pair, `ca.crt` what clients trust (one CA or several, the one in use first),
//! `ca.key` the key of the first. While one CA follows another, `next-ca.crt` and `next-ca.key` are the one to come.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::certificate::{Issued, Pair};

const LEAF: &str = "tls.crt";
const LEAF_KEY: &str = "tls.key";
const CA: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const NEXT_CA: &str = "next-ca.crt";
const NEXT_CA_KEY: &str = "next-ca.key";
/// Set by who wants a renewal before its time; removed when it is begun.
const RENEW: &str = "platform-gate.io/renew";
/// By these Helm and those who look at its work know what belongs to a release; without them `helm uninstall` leaves the
/// object behind. Others, as the chart's version, change: whoever wrote them would be in the way of the next upgrade.
const RELEASE_LABELS: [&str; 3] = [
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/name",
];
const RELEASE_ANNOTATIONS: [&str; 2] = [
    "meta.helm.sh/release-name",
    "meta.helm.sh/release-namespace",
];

/// What can be asked for by annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renew {
    /// A new serving certificate of the same CA.
    Leaf,
    /// A new CA, and then a serving certificate of it.
    Ca,
}

/// What is asked for by annotation, if it is anything known.
pub(super) fn asked(secret: &Secret) -> Option<Renew> {
    match secret.metadata.annotations.as_ref()?.get(RENEW)?.as_str() {
        "leaf" => Some(Renew::Leaf),
        "ca" => Some(Renew::Ca),
        _ => None,
    }
}

/// What others provide: the serving pair, and what clients trust if they say so. `None` without a pair.
pub(super) fn provided(secret: &Secret) -> Option<(Pair, Option<String>)> {
    let pair = Pair {
        certificate: text(secret, LEAF)?,
        key: text(secret, LEAF_KEY)?,
    };
    Some((pair, text(secret, CA)))
}

/// Whether it holds nothing at all.
pub(super) fn is_empty(secret: &Secret) -> bool {
    secret.data.as_ref().is_none_or(BTreeMap::is_empty)
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    let bytes = Some(bytes).filter(|bytes| !bytes.0.is_empty())?;
    String::from_utf8(bytes.0.clone()).ok()
}

/// What the Secret holds; `None` if it is empty or lacks a part. Whether it is any good is another question.
pub(super) fn parse(secret: &Secret) -> Option<Issued> {
    let pair = |certificate: &str, key: &str| {
        Some(Pair {
            certificate: text(secret, certificate)?,
            key: text(secret, key)?,
        })
    };
    Some(Issued {
        ca: pair(CA, CA_KEY)?,
        leaf: pair(LEAF, LEAF_KEY)?,
        next: pair(NEXT_CA, NEXT_CA_KEY),
    })
}

/// The merge patch that puts `issued` into `secret`, unless it has been changed since it was read.
pub(super) fn patch(secret: &Secret, issued: &Issued) -> Value {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let next = issued.next.as_ref();
    // Null removes a key.
    let data = BTreeMap::from([
        (LEAF, Some(bytes(&issued.leaf.certificate))),
        (LEAF_KEY, Some(bytes(&issued.leaf.key))),
        (CA, Some(bytes(&issued.ca.certificate))),
        (CA_KEY, Some(bytes(&issued.ca.key))),
        (NEXT_CA, next.map(|next| bytes(&next.certificate))),
        (NEXT_CA_KEY, next.map(|next| bytes(&next.key))),
    ]);
    let mut metadata = json!({"resourceVersion": secret.metadata.resource_version});
    if asked(secret).is_some() {
        metadata["annotations"] = json!({ RENEW: null });
    }
    json!({"metadata": metadata, "data": data})
}

/// The server-side apply that makes the Secret anew, as a part of the release that `sibling` belongs to.
pub(super) fn empty(namespace: &str, name: &str, sibling: &ObjectMeta) -> Value {
    let kept =
        |all: &Option<BTreeMap<String, String>>, keys: &[&str]| -> BTreeMap<String, String> {
            let all = all.iter().flatten();
            all.filter(|(key, _)| keys.contains(&key.as_str()))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": kept(&sibling.labels, &RELEASE_LABELS),
            "annotations": kept(&sibling.annotations, &RELEASE_ANNOTATIONS),
        },
        "type": "Opaque",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: [(&str, &str); 4] = [
        (LEAF, "bA=="),
        (LEAF_KEY, "bGs="),
        (CA, "Yw=="),
        (CA_KEY, "Y2s="),
    ];

    fn secret(data: &[(&str, &str)]) -> Secret {
        let data: BTreeMap<_, _> = data.iter().copied().collect();
        serde_json::from_value(json!({"metadata": {"resourceVersion": "7"}, "data": data})).unwrap()
    }

    #[test]
    fn a_secret_that_lacks_a_part_is_empty() {
        let full = PARTS;
        assert!(parse(&Secret::default()).is_none());
        assert!(parse(&secret(&[])).is_none());
        for missing in 0..full.len() {
            let mut data = full.to_vec();
            data.remove(missing);
            assert!(parse(&secret(&data)).is_none());
            data.push((full[missing].0, ""));
            assert!(parse(&secret(&data)).is_none());
        }
        let issued = parse(&secret(&full)).unwrap();
        assert_eq!(
            (issued.leaf.certificate.as_str(), issued.leaf.key.as_str()),
            ("l", "lk")
        );
        assert_eq!(
            (issued.ca.certificate.as_str(), issued.ca.key.as_str()),
            ("c", "ck")
        );
    }

    #[test]
    fn what_is_written_reads_back_and_carries_the_version_it_was_made_from() {
        let full = secret(&PARTS);
        let mut want = json!({
            "metadata": {"resourceVersion": "7"},
            "data": {
                "tls.crt": "bA==", "tls.key": "bGs=", "ca.crt": "Yw==", "ca.key": "Y2s=",
                "next-ca.crt": null, "next-ca.key": null,
            },
        });
        assert_eq!(patch(&full, &parse(&full).unwrap()), want);

        let next = [(NEXT_CA, "bg=="), (NEXT_CA_KEY, "bms=")];
        let mut full = secret(&[&PARTS[..], &next].concat());
        full.metadata.annotations = Some(BTreeMap::from([(RENEW.into(), "ca".into())]));
        want["data"]["next-ca.crt"] = json!("bg==");
        want["data"]["next-ca.key"] = json!("bms=");
        want["metadata"]["annotations"] = json!({"platform-gate.io/renew": null});
        assert_eq!(patch(&full, &parse(&full).unwrap()), want);
    }

    #[test]
    fn a_secret_made_anew_belongs_to_the_release() {
        let sibling = serde_json::from_value(json!({
            "labels": {"app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "platform-gate-1.0.0"},
            "annotations": {"meta.helm.sh/release-name": "gate", "argocd.argoproj.io/tracking-id": "other"},
        }))
        .unwrap();
        let metadata = &empty("ns", "tls", &sibling)["metadata"];
        assert_eq!(
            metadata["labels"],
            json!({"app.kubernetes.io/managed-by": "Helm"})
        );
        assert_eq!(
            metadata["annotations"],
            json!({"meta.helm.sh/release-name": "gate"})
        );
    }

    #[test]
    fn a_renewal_is_asked_for_by_annotation() {
        for (value, want) in [
            ("leaf", Some(Renew::Leaf)),
            ("ca", Some(Renew::Ca)),
            ("all", None),
        ] {
            let mut secret = Secret::default();
            assert_eq!(asked(&secret), None);
            secret.metadata.annotations = Some(BTreeMap::from([(RENEW.into(), value.into())]));
            assert_eq!(asked(&secret), want);
        }
    }
}
