//! `suggest` as a user runs it: the binary, and a registry on loopback that lists its tags page by page.

use std::sync::Arc;

use crate::check::Desk;
use crate::support::registry::{Answer, FakeRegistry, Received};
use crate::support::site::{Site, catalog};

/// The recorded images of `library/hello-world`, listed two a page, with a signature and a name that is none.
async fn hello_world() -> FakeRegistry {
    let site = Site::of_fixtures();
    let prefix = "library/hello-world:";
    let mut tags: Vec<String> = catalog()
        .iter()
        .filter_map(|image| Some(image.serve_as.strip_prefix(prefix)?.to_owned()))
        .collect();
    tags.push(format!("sha256-{}.sig", "a".repeat(64)));
    tags.push("../../blobs".to_owned());
    let list = move |request: &Received| {
        let from = request
            .query
            .split('&')
            .find_map(|pair| pair.strip_prefix("from="));
        let from: usize = from.map_or(0, |from| from.parse().unwrap());
        let page: Vec<&String> = tags.iter().skip(from).take(2).collect();
        let answer = Answer::json(serde_json::json!({"name": "x", "tags": page}).to_string());
        match from + 2 < tags.len() {
            true => answer.header(
                "link",
                format!("<{}?from={}>; rel=\"next\"", request.path, from + 2),
            ),
            false => answer,
        }
    };
    FakeRegistry::start(move |request| match request.path.ends_with("/tags/list") {
        true => list(request),
        false => site.answer(request),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_has_its_cure() {
    let registry = hello_world().await;
    let image = format!("{}/library/hello-world:nanoserver", registry.host());
    let desk = Desk::with(Site::new()).await;
    let on = ["--platform", "windows/amd64:10.0.14393"];
    let told = desk
        .run(&[&["suggest", &image][..], &on].concat(), "")
        .await;
    assert_eq!((told.code, &*told.err), (0, ""));
    let text = told.out.replace(&registry.host(), "REGISTRY");
    let told = desk
        .run(&[&["suggest", &image, "-o", "json"][..], &on].concat(), "")
        .await;
    assert_eq!((told.code, &*told.err), (0, ""));
    let json = told.out.replace(&registry.host(), "REGISTRY");
    insta::assert_snapshot!(format!("{text}\n{json}"));
    // Every tag was asked for by a name that is one.
    assert!(
        registry
            .lines()
            .iter()
            .all(|line| !line.contains("..") && !line.contains(".sig"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_no_more_than_it_may_and_stops_when_it_has_enough() {
    let registry = hello_world().await;
    let image = format!("{}/library/hello-world:nanoserver", registry.host());
    let desk = Desk::with(Site::new()).await;
    let manifests = |registry: &FakeRegistry| {
        let lines = registry.lines();
        let asked = lines.iter().filter(|line| line.contains("/manifests/"));
        asked.count()
    };
    let words = [
        "suggest",
        &image,
        "--lookups",
        "3",
        "--platform",
        "linux/s390x",
    ];
    let told = desk.run(&words, "").await;
    assert_eq!(told.code, 1, "{}{}", told.out, told.err);
    assert!(
        told.out
            .contains("no tag found that runs on linux/s390x: looked at 3 of"),
        "{}",
        told.out
    );
    assert_eq!(manifests(&registry), 3);
    registry.forget();
    let one = [
        "suggest",
        &image,
        "--limit",
        "1",
        "--platform",
        "windows/amd64:10.0.14393",
    ];
    let told = desk.run(&one, "").await;
    assert_eq!(
        (told.code, told.out.lines().count()),
        (0, 1),
        "{}",
        told.out
    );
    // Eight are under way at once; more than one batch needs not be begun after the first hit.
    assert!(manifests(&registry) <= 10, "{:?}", registry.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_had_is_exit_code_3() {
    let desk = Desk::with(Site::new()).await;
    let elsewhere = Arc::new(FakeRegistry::start(|_| Answer::json(r#"{"tags":["b"]}"#)).await);
    let url = elsewhere.url();
    for (answer, words) in [
        (Answer::new(404), "was not found"),
        (
            Answer::json("{}").header("link", format!("<{url}/v2/a/tags/list>; rel=\"next\"")),
            "was not looked up",
        ),
        (Answer::json(r#"{"tags":[1]}"#), "not a valid"),
        (Answer::json("[").header("link", "nonsense"), "not a valid"),
        (Answer::new(200).long_body(5 << 20), "too large"),
    ] {
        let registry = FakeRegistry::start(move |_| answer.clone()).await;
        let image = format!("{}/a/b:1", registry.host());
        let told = desk
            .run(
                &["suggest", &image, "--platform", "linux/arm64", "-o", "json"],
                "",
            )
            .await;
        assert_eq!((told.code, &*told.out), (3, ""), "{}", told.err);
        assert!(
            told.err.contains("the tags of") && told.err.contains(words),
            "{words}: {}",
            told.err
        );
    }
    assert_eq!(elsewhere.lines(), [""; 0], "nobody is led elsewhere");
    let told = desk
        .run(&["suggest", "Nginx", "--platform", "linux/arm64"], "")
        .await;
    assert_eq!(told.code, 2, "{}", told.err);
}
