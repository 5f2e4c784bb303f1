//! Real registries, as they are installed: Debian's `docker-registry`, distribution and go-containerregistry's own, with
//! passwords and with tokens, over TLS with a private CA, and as a mirror whose upstream is dead.
//!
//! Needs `PLATFORM_GATE_TOOLS`, the folder that `tests/e2e/tools/build` prints; `tests/run` sets it.

mod program;
mod published;
mod token_server;

use platform_gate::domain::image::ImageContent;
use program::{Auth, Program, RealRegistry};
use published::{Published, publish};
use url::Url;

use super::images::describe;
use super::*;
use crate::support::certificates::TestCa;

/// Every kind of registry with every way of letting people in that it has.
const ALL: [(Program, Auth); 7] = [
    (Program::Debian, Auth::None),
    (Program::Debian, Auth::Passwords),
    (Program::Debian, Auth::Tokens),
    (Program::Distribution, Auth::None),
    (Program::Distribution, Auth::Passwords),
    (Program::Distribution, Auth::Tokens),
    (Program::Crane, Auth::None),
];
const NESTED: &str = "[linux/amd64 -=[linux/arm64]]";

/// A client that asks about a tag each time; plain HTTP where the registry has no passwords to protect.
fn client(server: &RealRegistry, ca: &TestCa) -> Registry {
    let mut settings = RegistrySettings::new(EgressPolicy::Cli);
    (settings.tag_ttl, settings.tag_stale) = (Duration::ZERO, Duration::ZERO);
    settings.roots = vec![ca.der.clone()];
    let host = HostSettings {
        plain_http: server.auth == Auth::None,
        ..HostSettings::default()
    };
    settings.hosts.insert(server.host.clone(), host);
    Registry::new(settings).unwrap()
}

async fn ask(
    registry: &Registry,
    name: &str,
    keychain: &Keychain,
) -> Result<Arc<Image>, LookupFailure> {
    let reference = Reference::parse(name).unwrap();
    registry.fetch_image(&reference, keychain, deadline()).await
}

fn described(outcome: &Result<Arc<Image>, LookupFailure>) -> String {
    match outcome.as_ref().map(|image| &image.content) {
        Ok(ImageContent::Index(index)) => describe(index),
        Ok(other) => format!("{other:?}"),
        Err(failure) => failure.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry, and PLATFORM_GATE_TOOLS: the folder that tests/e2e/tools/build prints"]
async fn images_of_real_registries_are_read_by_those_who_may() {
    let ca = TestCa::new();
    for (program, auth) in ALL {
        let server = RealRegistry::start(program, auth, &ca, None).await;
        let what = format!("{program:?} {auth:?}");
        let published = publish(&server, &ca).await;
        let Published { tag, digest, .. } = &published;
        let host = &server.host;
        let right = keychain(&[(host, "good")]);
        // Several keys match: the one for the longer path is wrong, and tried first.
        let several = keychain(&[(&format!("{host}/closed"), "bad"), (host, "good")]);
        let wrong = keychain(&[(host, "bad")]);
        let other = keychain(&[("other.example", "good")]);
        let is_open = auth == Auth::None;
        for (who, keys, opens, sees_open) in [
            ("right", &right, true, true),
            ("several", &several, true, true),
            ("wrong", &wrong, is_open, auth != Auth::Passwords),
            ("other", &other, is_open, auth != Auth::Passwords),
            (
                "nobody",
                &Keychain::anonymous(),
                is_open,
                auth != Auth::Passwords,
            ),
        ] {
            let registry = client(&server, &ca);
            for (repository, may) in [("closed/app", opens), ("open/app", sees_open)] {
                for name in [
                    format!("{host}/{repository}:{tag}"),
                    format!("{host}/{repository}@{digest}"),
                ] {
                    let outcome = ask(&registry, &name, keys).await;
                    if may {
                        assert_eq!(described(&outcome), NESTED, "{what} {who} {name}");
                        assert_eq!(
                            outcome.unwrap().digest.as_str(),
                            digest,
                            "{what} {who} {name}"
                        );
                    } else {
                        assert_eq!(
                            outcome,
                            Err(LookupFailure::Unauthorized),
                            "{what} {who} {name}"
                        );
                    }
                }
            }
            if opens {
                let single = ask(&registry, &format!("{host}/closed/single:{tag}"), keys).await;
                let ImageContent::Manifest(platform) = &single.unwrap().content else {
                    panic!("{what}: no single manifest");
                };
                assert_eq!(platform.written.to_string(), "linux/amd64");
                let none = ask(&registry, &format!("{host}/closed/app:none"), keys).await;
                assert_eq!(none, Err(LookupFailure::NotFound), "{what} {who}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry, and PLATFORM_GATE_TOOLS: the folder that tests/e2e/tools/build prints"]
async fn a_real_registrys_tag_costs_a_head_and_is_followed_when_it_moves_or_goes() {
    let ca = TestCa::new();
    for program in [Program::Debian, Program::Distribution] {
        let server = RealRegistry::start(program, Auth::Tokens, &ca, None).await;
        let published = publish(&server, &ca).await;
        let registry = client(&server, &ca);
        let keys = keychain(&[(&server.host, "good")]);
        let name = format!("{}/closed/single:{}", server.host, published.tag);
        let tag_line = format!("/v2/closed/single/manifests/{} HTTP", published.tag);
        let first = ask(&registry, &name, &keys).await.unwrap();
        let before = server.count("GET", &tag_line);
        let again = ask(&registry, &name, &keys).await.unwrap();
        assert_eq!(again, first);
        assert_eq!(server.count("GET", &tag_line), before, "{program:?}");
        assert_eq!(server.count("HEAD", &tag_line), 1, "{program:?}");
        published.move_single(&server, &ca).await;
        let moved = ask(&registry, &name, &keys).await.unwrap();
        assert_ne!(moved.digest, first.digest, "{program:?}");
        assert_eq!(
            server.count("GET", &tag_line),
            before,
            "{program:?}: by digest alone"
        );
        published.delete(&server, &ca, moved.digest.as_str()).await;
        let gone = ask(&registry, &name, &keys).await;
        assert_eq!(gone, Err(LookupFailure::NotFound), "{program:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry, and PLATFORM_GATE_TOOLS: the folder that tests/e2e/tools/build prints"]
async fn a_real_mirror_serves_what_it_has_when_its_upstream_is_dead() {
    let ca = TestCa::new();
    for program in [Program::Debian, Program::Distribution] {
        let upstream = RealRegistry::start(Program::Distribution, Auth::None, &ca, None).await;
        let published = publish(&upstream, &ca).await;
        let mirror = RealRegistry::start(program, Auth::None, &ca, Some(&upstream)).await;
        let through = || {
            let mut settings = settings_for(&[]);
            settings.connect_timeout = Duration::from_secs(1);
            let host = HostSettings {
                mirrors: vec![Url::parse(&mirror.url()).unwrap().into()],
                plain_http: true,
                ..HostSettings::default()
            };
            settings.hosts.insert(upstream.host.clone(), host);
            let plain = HostSettings {
                plain_http: true,
                ..HostSettings::default()
            };
            settings.hosts.insert(mirror.host.clone(), plain);
            Registry::new(settings).unwrap()
        };
        let name = |repository: &str| format!("{}/{repository}:{}", upstream.host, published.tag);
        let anonymous = Keychain::anonymous();
        let warm = ask(&through(), &name("open/app"), &anonymous).await;
        assert_eq!(described(&warm), NESTED, "{program:?}");
        assert!(
            mirror.count("GET", "/v2/open/app/manifests/") >= 2,
            "{program:?}"
        );
        upstream.kill();
        // Another client, which knows nothing: what it learns is the mirror's.
        let cold = ask(&through(), &name("open/app"), &anonymous).await;
        assert_eq!(cold, warm, "{program:?}");
        // What the mirror never had is unknown, for a reason of the network's or the mirror's.
        let never = ask(&through(), &name("closed/app"), &anonymous)
            .await
            .unwrap_err();
        let reasons = [
            LookupFailure::NotFound,
            LookupFailure::Unreachable,
            LookupFailure::Timeout,
        ];
        assert!(reasons.contains(&never), "{program:?} {never:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker-registry, and PLATFORM_GATE_TOOLS: the folder that tests/e2e/tools/build prints"]
async fn inspect_reads_private_images_with_dockers_own_credentials() {
    use base64::Engine as _;
    let ca = TestCa::new();
    for (program, auth) in [
        (Program::Debian, Auth::Passwords),
        (Program::Distribution, Auth::Tokens),
    ] {
        let server = RealRegistry::start(program, auth, &ca, None).await;
        let published = publish(&server, &ca).await;
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, &ca.pem).unwrap();
        let image = format!("{}/closed/app:{}", server.host, published.tag);
        for (user, code, want) in [("good", 0, "linux/arm64"), ("bad", 3, ""), ("", 3, "")] {
            let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:secret"));
            let auths = match user {
                "" => serde_json::json!({}),
                _ => serde_json::json!({(&server.host): {"auth": login}}),
            };
            let config = serde_json::json!({"auths": auths}).to_string();
            std::fs::write(folder.path().join("config.json"), config).unwrap();
            let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_platform-gate"));
            command.env_clear().env("DOCKER_CONFIG", folder.path());
            command
                .args(["inspect", "--ca-file"])
                .arg(&ca_file)
                .arg(&image);
            let output = command.output().await.unwrap();
            let told = String::from_utf8(output.stdout).unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(
                output.status.code(),
                Some(code),
                "{program:?} {user:?} {told}{said}"
            );
            assert!(told.contains(want), "{told}");
            assert!(!format!("{told}{said}").contains("secret"), "{told}{said}");
        }
    }
}
