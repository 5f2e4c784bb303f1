//! How the certificate lies in its Secret.
//!
//! `tls.crt` and `tls.key` are the serving pair, `ca.crt` what clients trust (one CA or several, the one in use first),
//! `ca.key` the key of the first.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::certificate::{Issued, Pair};

const LEAF: &str = "tls.crt";
const LEAF_KEY: &str = "tls.key";
const CA: &str = "ca.crt";
const CA_KEY: &str = "ca.key";

/// What the Secret holds; `None` if it is empty or lacks a part. Whether it is any good is another question.
pub(super) fn parse(secret: &Secret) -> Option<Issued> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| {
        let bytes = data.get(key).filter(|bytes| !bytes.0.is_empty())?;
        String::from_utf8(bytes.0.clone()).ok()
    };
    let pair = |certificate: &str, key: &str| {
        Some(Pair {
            certificate: text(certificate)?,
            key: text(key)?,
        })
    };
    Some(Issued {
        ca: pair(CA, CA_KEY)?,
        leaf: pair(LEAF, LEAF_KEY)?,
    })
}

/// The merge patch that puts `issued` into `secret`, unless it has been changed since it was read.
pub(super) fn patch(secret: &Secret, issued: &Issued) -> Value {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = BTreeMap::from([
        (LEAF, bytes(&issued.leaf.certificate)),
        (LEAF_KEY, bytes(&issued.leaf.key)),
        (CA, bytes(&issued.ca.certificate)),
        (CA_KEY, bytes(&issued.ca.key)),
    ]);
    json!({
        "metadata": {"resourceVersion": secret.metadata.resource_version},
        "data": data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(data: &[(&str, &str)]) -> Secret {
        let data: BTreeMap<_, _> = data.iter().copied().collect();
        serde_json::from_value(json!({"metadata": {"resourceVersion": "7"}, "data": data})).unwrap()
    }

    #[test]
    fn a_secret_that_lacks_a_part_is_empty() {
        let full = [
            (LEAF, "bA=="),
            (LEAF_KEY, "bGs="),
            (CA, "Yw=="),
            (CA_KEY, "Y2s="),
        ];
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
        let full = secret(&[
            (LEAF, "bA=="),
            (LEAF_KEY, "bGs="),
            (CA, "Yw=="),
            (CA_KEY, "Y2s="),
        ]);
        let want = json!({
            "metadata": {"resourceVersion": "7"},
            "data": {"tls.crt": "bA==", "tls.key": "bGs=", "ca.crt": "Yw==", "ca.key": "Y2s="},
        });
        assert_eq!(patch(&full, &parse(&full).unwrap()), want);
    }
}
