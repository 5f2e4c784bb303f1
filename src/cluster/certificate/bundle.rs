//! `caBundle` of the webhook configuration, the one field of it that is ours.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use serde_json::{Value, json};

/// The server-side apply that sets `caBundle` of every webhook in `configuration` to `ca`; `None` if all have it.
///
/// All are named even if one was wrong, since a field that we once applied and no longer name is removed. The uid makes
/// the apply fail, where it would otherwise create a configuration that has just been deleted.
pub(super) fn repair(configuration: &ValidatingWebhookConfiguration, ca: &str) -> Option<Value> {
    let bundle = ByteString(ca.as_bytes().to_vec());
    let webhooks = configuration.webhooks.as_deref().unwrap_or_default();
    let is_right = |found: &Option<ByteString>| found.as_ref() == Some(&bundle);
    if webhooks
        .iter()
        .all(|webhook| is_right(&webhook.client_config.ca_bundle))
    {
        return None;
    }
    let ours: Vec<Value> = webhooks
        .iter()
        .map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": bundle}}))
        .collect();
    Some(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {
            "name": configuration.metadata.name,
            "uid": configuration.metadata.uid,
        },
        "webhooks": ours,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(bundles: &[Option<&str>]) -> ValidatingWebhookConfiguration {
        let webhooks: Vec<Value> = bundles
            .iter()
            .enumerate()
            .map(|(at, bundle)| {
                json!({
                    "name": format!("w{at}.platform-gate.io"),
                    "clientConfig": {"service": {"name": "gate", "namespace": "shop"}, "caBundle": bundle},
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "failurePolicy": "Fail",
                })
            })
            .collect();
        let metadata = json!({"name": "gate", "uid": "u-7", "labels": {"a": "b"}});
        serde_json::from_value(json!({"metadata": metadata, "webhooks": webhooks})).unwrap()
    }

    #[test]
    fn what_is_right_is_left_alone() {
        // "Y2E=" is "ca".
        for bundles in [&[][..], &[Some("Y2E=")], &[Some("Y2E="), Some("Y2E=")]] {
            assert_eq!(repair(&configuration(bundles), "ca"), None);
        }
    }

    #[test]
    fn nothing_but_the_bundles_is_applied_and_all_of_them() {
        let want = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "gate", "uid": "u-7"},
            "webhooks": [
                {"name": "w0.platform-gate.io", "clientConfig": {"caBundle": "Y2E="}},
                {"name": "w1.platform-gate.io", "clientConfig": {"caBundle": "Y2E="}},
            ],
        });
        for wrong in [None, Some(""), Some("b2xk")] {
            let found = configuration(&[Some("Y2E="), wrong]);
            assert_eq!(repair(&found, "ca"), Some(want.clone()));
        }
    }
}
