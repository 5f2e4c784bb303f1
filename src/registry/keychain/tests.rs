//! Which credentials match which image, as the kubelet's keyring has it.

use super::*;

fn keychain(logins: &[(&str, &str)]) -> Keychain {
    let auths: serde_json::Map<_, _> = logins
        .iter()
        .map(|(location, user)| {
            let login = serde_json::json!({"username": user, "password": "secret"});
            ((*location).to_owned(), login)
        })
        .collect();
    let document = serde_json::json!({ "auths": auths }).to_string();
    Keychain::from_docker_config_json(document.as_bytes()).unwrap()
}

#[track_caller]
fn check(keychain: &Keychain, name: &str, want: &[&str]) {
    let found = keychain.matching(name);
    let users: Vec<&str> = found.iter().map(|c| &*c.username).collect();
    assert_eq!(users, want, "{name}");
}

#[test]
fn locations_match_as_in_the_kubelet() {
    for (location, name, matches) in [
        ("reg.example", "reg.example/app", true),
        ("https://reg.example", "reg.example/app", true),
        ("http://reg.example/", "reg.example/app", true),
        ("https://reg.example/v2/", "reg.example/app", true),
        ("reg.example/v1/team", "reg.example/team/app", true),
        ("reg.example:443", "reg.example/app", false),
        ("reg.example:5000", "reg.example:5000/app", true),
        ("reg.example", "reg.example:5000/app", false),
        ("reg.example", "reg.example.evil.com/app", false),
        ("reg.example", "evil-reg.example/app", false),
        ("*.example", "reg.example/app", true),
        ("*.example", "a.reg.example/app", false),
        ("*.*.example", "a.reg.example/app", true),
        ("r*g.example", "reg.example/app", true),
        ("r*g*.example", "reg-2.example/app", true),
        ("*2.example", "reg-3.example/app", false),
        ("*", "reg.example/app", false),
        ("r?g.example", "reg.example/app", false),
        ("reg.example/team", "reg.example/team/app", true),
        ("reg.example/team", "reg.example/teams/app", true),
        ("reg.example/team", "reg.example/other/app", false),
        ("[::1]:5000", "[::1]:5000/app", true),
        ("[::1]", "[::1]:5000/app", false),
        ("reg.example:bad", "reg.example/app", false),
        ("docker.io", "docker.io/library/x", true),
        ("https://index.docker.io/v1/", "docker.io/library/x", true),
        ("index.docker.io", "docker.io/library/x", true),
        ("registry-1.docker.io", "docker.io/library/x", false),
        ("index.docker.io/v1", "docker.io/library/x", false),
    ] {
        let want: &[&str] = if matches { &["user"] } else { &[] };
        let keychain = keychain(&[(location, "user")]);
        assert_eq!(
            keychain.matching(name).len(),
            want.len(),
            "{location} for {name}"
        );
    }
}

#[test]
fn the_more_specific_location_comes_first() {
    let keychain = keychain(&[
        ("reg.example", "host"),
        ("reg.example/team/app", "app"),
        ("*.example", "glob"),
        ("reg.example/team", "team"),
    ]);
    check(
        &keychain,
        "reg.example/team/app",
        &["app", "team", "host", "glob"],
    );
    check(&keychain, "reg.example/x", &["host", "glob"]);
}

#[test]
fn rings_follow_each_other_and_secrets_of_a_pod_mix() {
    let (a, b) = (
        keychain(&[("reg.example", "a")]),
        keychain(&[("reg.example/team", "b")]),
    );
    check(&a.merge(&b), "reg.example/team/x", &["b", "a"]);
    check(&a.followed_by(&b), "reg.example/team/x", &["a", "b"]);
    check(&a.merge(&a), "reg.example/x", &["a"]);
    check(&Keychain::anonymous(), "reg.example/x", &[]);
}

#[test]
fn debug_is_redacted() {
    let text = format!("{:?}", keychain(&[("reg.example", "user")]));
    assert_eq!(text, "Keychain(1 credentials)");
}

#[test]
fn candidates_are_the_kubelets_in_order_and_redacted() {
    let (a, b) = (
        keychain(&[("reg.example", "a"), ("reg.example/team", "b")]),
        keychain(&[("reg.example", "a"), ("*.example", "")]),
    );
    let both = a.followed_by(&b);
    let reference = Reference::parse("reg.example/team/app:1").unwrap();
    let users: Vec<_> = both.candidates(&reference).map(|c| c.username()).collect();
    assert_eq!(users, ["b", "a", "a", ""]);
    let candidate = both.candidates(&reference).next().unwrap();
    assert_eq!(candidate.password(), "secret");
    assert_eq!(format!("{candidate:?}"), "Candidate");
}
