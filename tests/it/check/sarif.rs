//! SARIF as code hosts read it: valid by the published schema, and every place is where the image stands.

use serde_json::Value;

use super::schema::violations;
use super::{Desk, ON_2016, pod};

#[tokio::test(flavor = "multi_thread")]
async fn results_stand_where_the_images_do() {
    let desk = Desk::new().await;
    let denied = pod("a", "hello-world:nanoserver", ON_2016);
    desk.write("a b/first.yaml", &format!("# ü\n{denied}"));
    desk.write("a b/second.yaml", &format!("kind: Pod: x\n---\n{denied}"));
    let told = desk.check(&["-f", "a b", "-o", "sarif"]).await;
    assert_eq!(told.code, 2, "{}", told.err);
    let log = told.json();
    let schema = include_str!("../../data/sarif-2.1.0.schema.json");
    let broken = violations(&serde_json::from_str(schema).unwrap(), &log);
    assert!(broken.is_empty(), "{broken:#?}");
    let run = &log["runs"][0];
    let places: Vec<String> = run["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(place)
        .collect();
    let column = denied.find("hello").unwrap() + 1;
    let want = [
        format!("a%20b/first.yaml:2:{column}"),
        format!("a%20b/second.yaml:3:{column}"),
    ];
    assert_eq!(places, want);
    let told = &run["invocations"][0];
    assert_eq!(told["executionSuccessful"], false);
    let notification = &told["toolExecutionNotifications"][0];
    assert!(
        place(notification).starts_with("a%20b/second.yaml:1:"),
        "{notification}"
    );
}

fn place(result: &Value) -> String {
    let place = &result["locations"][0]["physicalLocation"];
    let (uri, region) = (&place["artifactLocation"]["uri"], &place["region"]);
    let uri = uri.as_str().unwrap();
    format!("{uri}:{}:{}", region["startLine"], region["startColumn"])
}
