//! Policy reports of namespaces, in the form whose CRD is installed: PolicyReport of the Policy Working Group, or Report of
//! OpenReports. They are written by server-side apply; one that says what it said before changes nothing.
//!
//! Leaves out what they say (`report::policy`).

use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::certificate::FIELD_MANAGER;
use super::list::{ListError, list_with};

/// The name of the report in every namespace.
pub const NAME: &str = "platform-gate";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// The forms, in the order in which they are looked for.
const FORMS: [(&str, &str, &str); 2] = [
    ("wgpolicyk8s.io", "v1alpha2", "PolicyReport"),
    ("openreports.io", "v1alpha1", "Report"),
];

/// The reports of a cluster that has them.
#[derive(Clone)]
pub struct PolicyReports {
    client: Client,
    resource: ApiResource,
}

impl PolicyReports {
    /// Finds the form that is installed, and the namespaces that have a report of ours already. `None` where there is
    /// neither form.
    ///
    /// # Errors
    /// The API server does not answer, or refuses.
    pub async fn find(client: &Client) -> Result<Option<(Self, Vec<String>)>, ListError> {
        for (group, version, kind) in FORMS {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let ours = ListParams::default().labels(&format!("{MANAGED_BY}={NAME}"));
            match list_with(&objects, ours, |_| ()).await {
                Ok(found) => {
                    let namespaces = found.into_iter().filter_map(|it| it.metadata.namespace);
                    let client = client.clone();
                    return Ok(Some((Self { client, resource }, namespaces.collect())));
                }
                Err(ListError::Failed(kube::Error::Api(status))) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Writes the report of a namespace; `content` is what it says.
    ///
    /// # Errors
    /// The API server does not answer, or refuses.
    pub async fn write(&self, namespace: &str, mut content: Value) -> Result<(), kube::Error> {
        content["apiVersion"] = self.resource.api_version.as_str().into();
        content["kind"] = self.resource.kind.as_str().into();
        content["metadata"] =
            json!({"name": NAME, "namespace": namespace, "labels": {MANAGED_BY: NAME}});
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let (reports, patch) = (self.of(namespace), Patch::Apply(content));
        reports.patch(NAME, &params, &patch).await.map(drop)
    }

    /// Removes the report of a namespace; one that is gone is no trouble.
    ///
    /// # Errors
    /// The API server does not answer, or refuses.
    pub async fn remove(&self, namespace: &str) -> Result<(), kube::Error> {
        match self
            .of(namespace)
            .delete(NAME, &DeleteParams::default())
            .await
        {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            removed => removed.map(drop),
        }
    }

    fn of(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &self.resource)
    }
}
