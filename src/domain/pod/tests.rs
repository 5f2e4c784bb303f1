//! Pods as the API server sends them.

use super::*;
use crate::domain::verdict::Isolation;

#[test]
fn every_image_of_a_pod_is_found() {
    let json = r#"{"metadata":{"annotations":{"kubernetes.io/config.mirror":"x","a":"b"}},"spec":{
        "containers":[{"name":"web","image":"nginx"},{"name":"quiet","image":"mine","imagePullPolicy":"Never"},{"name":"none"}],
        "initContainers":[{"name":"setup","image":"busybox"}],
        "ephemeralContainers":[{"name":"debug","image":"tools"}],
        "volumes":[{"name":"data","image":{"reference":"models:1"}},{"name":"tmp","emptyDir":{}}]}}"#;
    let pod: Pod<'_> = serde_json::from_str(json).unwrap();
    let found: Vec<_> = pod
        .spec
        .images()
        .iter()
        .map(|i| (i.field(), i.image.to_owned(), i.never_pulled))
        .collect();
    let want = [
        ("spec.initContainers[0].image", "busybox", false),
        ("spec.containers[0].image", "nginx", false),
        ("spec.containers[1].image", "mine", true),
        ("spec.ephemeralContainers[0].image", "tools", false),
        ("spec.volumes[0].image.reference", "models:1", false),
    ];
    assert_eq!(
        found,
        want.map(|(field, image, never)| (field.to_owned(), image.to_owned(), never))
    );
    assert!(pod.metadata.is_mirror);
}

#[test]
fn nulls_and_unknown_fields_are_no_trouble() {
    let json = r#"{"metadata":null,"extra":1,"spec":{"containers":null,"nodeSelector":{"a":null},"affinity":null,
        "tolerations":null,"nodeName":null,"os":null,"securityContext":{"windowsOptions":null},"volumes":[{"name":"x","image":null}]}}"#;
    let pod: Pod<'_> = serde_json::from_str(json).unwrap();
    assert!(pod.spec.images().is_empty());
    assert_eq!(pod.spec.node_selector.get("a"), Some(&Text::from("")));
}

#[test]
fn host_process_of_the_container_wins_over_the_pods() {
    let json = r#"{"spec":{"securityContext":{"windowsOptions":{"hostProcess":true}},"containers":[
        {"name":"a","image":"x"},{"name":"b","image":"x","securityContext":{"windowsOptions":{"hostProcess":false}}}]}}"#;
    let pod: Pod<'_> = serde_json::from_str(json).unwrap();
    let isolation: Vec<_> = pod.spec.images().iter().map(PodImage::isolation).collect();
    assert_eq!(isolation, [Isolation::HostProcess, Isolation::Process]);
}

#[test]
fn a_real_review_is_borrowed() {
    let review = include_str!("../../../tests/data/review-6k.json");
    let start = review.find("\"object\":").unwrap() + "\"object\":".len();
    let pod: Pod<'_> = serde_json::Deserializer::from_str(&review[start..])
        .into_iter()
        .next()
        .unwrap()
        .unwrap();
    assert!(pod.spec.images().len() >= 4);
    assert!(pod.spec.containers[0].image.is_borrowed());
}

#[test]
fn a_change_counts_where_it_is_of_images_or_of_placement() {
    let pod = |spec: &str| -> String { format!(r#"{{"spec":{{{spec}}}}}"#) };
    let old = pod(r#""containers":[{"name":"web","image":"nginx:1"}],"volumes":[{"name":"v"}]"#);
    for (spec, want) in [
        (r#""containers":[{"name":"web","image":"nginx:1"}]"#, false),
        (
            r#""containers":[{"name":"web","image":"nginx:1","command":["x"]}],"serviceAccountName":"s""#,
            false,
        ),
        (r#""containers":[{"name":"web","image":"nginx:2"}]"#, true),
        (
            r#""containers":[{"name":"web","image":"nginx:1"}],"nodeSelector":{"a":"b"}"#,
            true,
        ),
        (
            r#""containers":[{"name":"web","image":"nginx:1"}],"tolerations":[{"key":"a"}]"#,
            true,
        ),
        (
            r#""containers":[{"name":"web","image":"nginx:1"}],"runtimeClassName":"gvisor""#,
            true,
        ),
    ] {
        let (new, old) = (pod(spec), old.clone());
        let new: Pod<'_> = serde_json::from_str(&new).unwrap();
        let old: Pod<'_> = serde_json::from_str(&old).unwrap();
        assert_eq!(new.spec.differs_from(&old.spec), want, "{spec}");
    }
}
