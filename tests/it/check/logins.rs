//! The user's own credentials: what is in docker's file, and what the helpers named there say.

use std::os::unix::fs::PermissionsExt;

use super::{Desk, command, told};
use crate::support::registry::{Answer, FakeRegistry, Received};
use crate::support::site::Site;

/// `u:p`.
const BASIC: &str = "Basic dTpw";

/// A registry that shows its images to `u:p` alone.
async fn private() -> FakeRegistry {
    let site = Site::of_fixtures();
    let answer = move |request: &Received| match request.authorization.as_deref() {
        Some(BASIC) => site.answer(request),
        _ => Answer::challenge(&["Basic realm=\"a\""]),
    };
    FakeRegistry::start(answer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn credential_helpers_are_asked_for_their_registries() {
    let registry = private().await;
    let host = registry.host();
    let desk = Desk::with(Site::new()).await;
    // Says what it was asked for in a file beside it.
    let helper = |name: &str, body: &str| {
        let name = format!("bin/docker-credential-{name}");
        desk.write(
            &name,
            &format!("#!/bin/sh\nread -r server\necho \"$1 $server\" >>\"$0.asked\"\n{body}\n"),
        );
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(desk.path(&name), executable).unwrap();
    };
    helper(
        "good",
        "printf '{\"ServerURL\":\"x\",\"Username\":\"u\",\"Secret\":\"p\"}'",
    );
    helper(
        "empty",
        "echo 'credentials not found in native keychain'; exit 1",
    );
    helper("broken", "echo hunter2 >&2; echo hunter2; exit 1");
    let image = format!("{host}/library/centos:7");
    for (config, want, words) in [
        (
            format!(r#"{{"credHelpers":{{"{host}":"good"}}}}"#),
            0,
            "linux/ppc64le",
        ),
        (r#"{"credsStore":"good"}"#.to_owned(), 0, "linux/ppc64le"),
        (
            format!(r#"{{"credsStore":"empty","auths":{{"{host}":{{"auth":"dTpw"}}}}}}"#),
            0,
            "linux/ppc64le",
        ),
        (
            r#"{"credsStore":"empty"}"#.to_owned(),
            3,
            "the registry asks for credentials",
        ),
        (
            r#"{"credsStore":"broken"}"#.to_owned(),
            3,
            "docker-credential-broken gives no credentials for",
        ),
        (
            r#"{"credsStore":"absent"}"#.to_owned(),
            3,
            "docker-credential-absent gives no credentials for",
        ),
        (
            r#"{"credsStore":5}"#.to_owned(),
            3,
            "credHelpers or credsStore",
        ),
    ] {
        desk.write("docker/config.json", &config);
        let mut command = command(desk.folder.path(), &["inspect", &image]);
        command.env("DOCKER_CONFIG", desk.path("docker")).env(
            "PATH",
            format!("{}:/usr/bin:/bin", desk.path("bin").display()),
        );
        let told = tokio::task::spawn_blocking(move || told(&mut command, ""))
            .await
            .unwrap();
        let all = format!("{}{}", told.out, told.err);
        assert_eq!(told.code, want, "{config}: {all}");
        assert!(all.contains(words), "{config}: {all}");
        assert!(!all.contains("hunter2"), "{all}");
    }
    let asked = std::fs::read_to_string(desk.path("bin/docker-credential-good.asked")).unwrap();
    assert_eq!(asked, format!("get {host}\n").repeat(2));
}
