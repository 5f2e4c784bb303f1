//! The pools of autoscalers, as they are listed.

use platform_gate::cluster::autoscalers::list_pools;
use platform_gate::domain::autoscaler::Autoscalers;
use serde_json::json;

use super::fake::Fake;

const BOTH: Autoscalers = Autoscalers {
    karpenter: true,
    cluster_api: true,
};

async fn platforms(fake: &Fake, wanted: Autoscalers) -> Vec<String> {
    let pools = list_pools(fake.client.clone(), wanted).await.unwrap();
    pools.iter().map(|pool| pool.platform.written()).collect()
}

#[tokio::test]
async fn pools_are_read_where_there_are_any_and_the_settings_ask() {
    let fake = Fake::start().await;
    let node_pool = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "arm"},
        "spec": {"template": {"spec": {"requirements": [
            {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
            {"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"]},
        ]}}},
    });
    fake.put("/apis/karpenter.sh/v1/nodepools/arm", node_pool);
    let annotations = json!({
        "cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size": "5",
        "capacity.cluster-autoscaler.kubernetes.io/labels": "kubernetes.io/os=windows,kubernetes.io/arch=amd64",
    });
    let deployment = json!({
        "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "MachineDeployment",
        "metadata": {"name": "win", "namespace": "default", "annotations": annotations},
    });
    fake.put(
        "/apis/cluster.x-k8s.io/v1beta2/machinedeployments/win",
        deployment,
    );
    assert_eq!(
        platforms(&fake, BOTH).await,
        ["linux/arm64", "windows/amd64"]
    );
    let karpenter = Autoscalers {
        cluster_api: false,
        ..BOTH
    };
    assert_eq!(platforms(&fake, karpenter).await, ["linux/arm64"]);

    let asked = fake.asked().len();
    assert!(platforms(&fake, Autoscalers::default()).await.is_empty());
    assert_eq!(fake.asked().len(), asked, "nobody asked for them");
}
