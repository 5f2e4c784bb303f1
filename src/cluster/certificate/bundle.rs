//! `caBundle` of the webhook configurations, the one field of them that is ours.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::Resource;
use serde_json::{Value, json};

/// A configuration of webhooks, of either kind.
pub(super) trait Configuration: Resource<DynamicType = ()> {
    /// Name and client of each webhook.
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)>;
}

impl Configuration for ValidatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)> {
        let webhooks = self.webhooks.as_deref().unwrap_or_default();
        let pairs = webhooks
            .iter()
            .map(|it| (it.name.as_str(), &it.client_config));
        pairs.collect()
    }
}

impl Configuration for MutatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)> {
        let webhooks = self.webhooks.as_deref().unwrap_or_default();
        let pairs = webhooks
            .iter()
            .map(|it| (it.name.as_str(), &it.client_config));
        pairs.collect()
    }
}

/// The server-side apply that sets `caBundle` of every webhook in `configuration` to `ca`; `None` if all have it.
///
/// All are named even if one was wrong, since a field that we once applied and no longer name is removed. The uid makes
/// the apply fail, where it would otherwise create a configuration that has just been deleted.
pub(super) fn repair<K: Configuration>(configuration: &K, ca: &str) -> Option<Value> {
    let bundle = ByteString(ca.as_bytes().to_vec());
    let webhooks = configuration.webhooks();
    let is_right = |found: &Option<ByteString>| found.as_ref() == Some(&bundle);
    if webhooks
        .iter()
        .all(|(_, client)| is_right(&client.ca_bundle))
    {
        return None;
    }
    let ours: Vec<Value> = webhooks
        .iter()
        .map(|(name, _)| json!({"name": name, "clientConfig": {"caBundle": bundle}}))
        .collect();
    Some(json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {
            "name": configuration.meta().name,
            "uid": configuration.meta().uid,
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
