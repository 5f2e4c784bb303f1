//! Who is let in: anonymous, Basic and Bearer, several credentials, and what refusals are called.

use super::*;
use crate::support::registry::{Answer, Received};
use crate::support::site::Site;

const LINUX: &str = r#"{"os":"linux","architecture":"amd64"}"#;

fn site() -> Site {
    Site::new().image("team/app", "1", LINUX)
}

fn user(request: &Received) -> Option<&'static str> {
    let sent = request.authorization.as_deref()?;
    ["good", "bad", "other"]
        .into_iter()
        .find(|user| basic(user) == sent)
}

/// Wants Basic, and has the repository for `good` alone; `other` is known and refused with 403.
async fn basic_registry() -> FakeRegistry {
    let site = site();
    FakeRegistry::start(move |request| match user(request) {
        Some("good") => site.answer(request),
        Some("other") => Answer::new(403),
        _ => Answer::challenge(&["Basic realm=x"]),
    })
    .await
}

/// Wants a token; gives one to `good` by name, to `bad` none, and anonymous callers one that opens nothing.
async fn bearer_registry() -> FakeRegistry {
    let site = site();
    FakeRegistry::start(move |request| {
        let challenge = format!(
            r#"Bearer realm="{}/token?from=here",service="reg & co",scope="repository:team/app:pull,push""#,
            request.base()
        );
        match (request.path.as_str(), request.authorization.as_deref()) {
            ("/token", None) => Answer::json(r#"{"token":"anonymous"}"#),
            ("/token", _) if user(request) == Some("good") => Answer::json(r#"{"token":"good"}"#),
            ("/token", _) => Answer::new(401),
            (_, Some("Bearer good")) => site.answer(request),
            _ => Answer::challenge(&[&challenge]),
        }
    })
    .await
}

#[tokio::test]
async fn an_open_registry_is_sent_no_credentials() {
    let site = site();
    let server = FakeRegistry::start(move |request| site.answer(request)).await;
    let keychain = keychain(&[(&server.host(), "good")]);
    fetch(&registry_for(&[&server]), &server, "team/app:1", &keychain)
        .await
        .unwrap();
    assert_eq!(server.authorizations(), [""; 0]);
}

#[tokio::test]
async fn a_token_is_asked_for_by_service_and_scope() {
    let server = bearer_registry().await;
    let keychain = keychain(&[(&server.host(), "good")]);
    fetch(&registry_for(&[&server]), &server, "team/app:1", &keychain)
        .await
        .unwrap();
    let received = server.received();
    let token = received
        .iter()
        .find(|request| request.path == "/token")
        .unwrap();
    assert_eq!(
        token.query,
        "from=here&service=reg+%26+co&scope=repository%3Ateam%2Fapp%3Apull"
    );
    assert_eq!(token.authorization.as_deref(), Some(basic("good").as_str()));
}

#[tokio::test]
async fn each_matching_credential_is_tried_and_anonymous_last() {
    for server in [basic_registry().await, bearer_registry().await] {
        let host = server.host();
        let registry = registry_for(&[&server]);
        let (app, team) = (format!("{host}/team/app"), format!("{host}/team"));
        let both = keychain(&[(&app, "bad"), (&team, "good")]);
        fetch(&registry, &server, "team/app:1", &both)
            .await
            .unwrap();
        let sent = server.authorizations();
        let at = |header: &str| sent.iter().position(|sent| sent == header).unwrap();
        assert!(at(&basic("bad")) < at(&basic("good")));
        // What worked for the manifest is tried first for the config.
        assert_eq!(sent.iter().filter(|sent| **sent == basic("bad")).count(), 1);

        let bad = keychain(&[(&host, "bad")]);
        let outcome = fetch(&registry, &server, "team/app:1", &bad).await;
        assert_eq!(outcome, Err(LookupFailure::Unauthorized));
        let outcome = fetch_anonymously(&registry, &server, "team/app:1").await;
        assert_eq!(outcome, Err(LookupFailure::Unauthorized));
    }
}

#[tokio::test]
async fn of_several_refusals_the_one_that_says_most_counts() {
    let server = basic_registry().await;
    let registry = registry_for(&[&server]);
    let host = server.host();
    let other = keychain(&[(&host, "other")]);
    let outcome = fetch(&registry, &server, "team/app:1", &other).await;
    assert_eq!(outcome, Err(LookupFailure::Forbidden));
    let good = keychain(&[(&host, "good")]);
    let outcome = fetch(&registry, &server, "team/none:1", &good).await;
    assert_eq!(outcome, Err(LookupFailure::NotFound));
}

#[tokio::test]
async fn credentials_of_another_host_or_path_stay_here() {
    let server = basic_registry().await;
    let registry = registry_for(&[&server]);
    let host = server.host();
    let elsewhere = [
        "reg.example".to_owned(),
        format!("{host}/other"),
        format!("{host}.evil.example"),
        host.split(':').next().unwrap().to_owned(),
    ];
    for location in &elsewhere {
        let keychain = keychain(&[(location, "good")]);
        let outcome = fetch(&registry, &server, "team/app:1", &keychain).await;
        assert_eq!(outcome, Err(LookupFailure::Unauthorized), "{location}");
    }
    assert_eq!(server.authorizations(), [""; 0]);
}

#[tokio::test]
async fn statuses_and_error_codes_have_names() {
    let error = |status, code: &str| {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"CANARY"}}]}}"#);
        Answer::json(body).with_status(status)
    };
    for (answer, want) in [
        (Answer::new(401), LookupFailure::Unauthorized),
        (Answer::new(403), LookupFailure::Forbidden),
        (Answer::new(404), LookupFailure::NotFound),
        (Answer::new(410), LookupFailure::NotFound),
        (Answer::new(429), LookupFailure::RateLimited),
        (Answer::new(500), LookupFailure::Unreachable),
        (Answer::new(503), LookupFailure::Unreachable),
        (Answer::new(400), LookupFailure::Malformed),
        (Answer::new(204), LookupFailure::Malformed),
        (error(403, "TOOMANYREQUESTS"), LookupFailure::RateLimited),
        (error(400, "MANIFEST_UNKNOWN"), LookupFailure::NotFound),
        (error(401, "UNAUTHORIZED"), LookupFailure::Unauthorized),
        (error(403, "DENIED"), LookupFailure::Forbidden),
        (error(400, "SOMETHING_ELSE"), LookupFailure::Malformed),
        (Answer::new(404).long_body(1 << 20), LookupFailure::NotFound),
        (Answer::new(200).body("<html>"), LookupFailure::Malformed),
    ] {
        let text = format!("{answer:?}");
        let server = FakeRegistry::start(move |_| answer.clone()).await;
        let outcome = fetch_anonymously(&registry_for(&[&server]), &server, "app:1").await;
        assert_eq!(outcome, Err(want), "{text}");
        assert_eq!(server.lines().len(), 1, "{text}");
    }
}

/// Gives tokens to a client that posts the identity token `IDENTITY`, and nothing to anybody else. Tokens are good once.
async fn identity_registry(redirect: Option<String>) -> FakeRegistry {
    let site = site();
    let given = std::sync::atomic::AtomicUsize::new(0);
    FakeRegistry::start(move |request| {
        let challenge = format!(
            r#"Bearer realm="{}/token",service="s & t",scope="repository:team/app:pull""#,
            request.base()
        );
        let count = || given.load(std::sync::atomic::Ordering::Relaxed);
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/token") if redirect.is_some() => {
                Answer::redirect(redirect.as_deref().unwrap())
            }
            ("POST", "/token") if request.body.contains("refresh_token=IDENTITY&") => {
                let count = given.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Answer::json(format!(
                    r#"{{"access_token":"t{}","expires_in":300}}"#,
                    count + 1
                ))
            }
            (_, "/token") => Answer::new(401),
            _ if request.authorization == Some(format!("Bearer t{}", count())) && count() > 0 => {
                site.answer(request)
            }
            _ => Answer::challenge(&[&challenge]),
        }
    })
    .await
}

fn with_identity(host: &str) -> Keychain {
    let login = format!(r#"{{"auths":{{"{host}":{{"auth":"dTo=","identitytoken":"IDENTITY"}}}}}}"#);
    Keychain::from_docker_login(login.as_bytes()).unwrap()
}

#[tokio::test]
async fn an_identity_token_is_posted_for_a_token() {
    let server = identity_registry(None).await;
    let registry = registry_for(&[&server]);
    let keychain = with_identity(&server.host());
    fetch(&registry, &server, "team/app:1", &keychain)
        .await
        .unwrap();
    let received = server.received();
    let posts: Vec<_> = received.iter().filter(|r| r.method == "POST").collect();
    assert_eq!(posts.len(), 1);
    assert_eq!(
        posts[0].body,
        "grant_type=refresh_token&refresh_token=IDENTITY&client_id=platform-gate&service=s+%26+t&scope=repository%3Ateam%2Fapp%3Apull"
    );
    assert_eq!(
        (posts[0].query.as_str(), &posts[0].authorization),
        ("", &None)
    );
    let elsewhere = received.iter().filter(|r| r.method != "POST");
    for request in elsewhere {
        assert!(!format!("{request:?}").contains("IDENTITY"), "{request:?}");
    }
}

#[tokio::test]
async fn an_identity_token_follows_no_redirect_and_is_no_password() {
    let other = FakeRegistry::start(|_| Answer::json(r#"{"token":"t"}"#)).await;
    let server = identity_registry(Some(other.url())).await;
    let keychain = with_identity(&server.host());
    let registry = registry_for(&[&server, &other]);
    let outcome = fetch(&registry, &server, "team/app:1", &keychain).await;
    assert_eq!(outcome, Err(LookupFailure::Blocked));
    assert_eq!(other.lines(), [""; 0]);

    let basic = basic_registry().await;
    let keychain = with_identity(&basic.host());
    let outcome = fetch(&registry_for(&[&basic]), &basic, "team/app:1", &keychain).await;
    assert_eq!(outcome, Err(LookupFailure::Unauthorized));
    assert_eq!(basic.authorizations(), [""; 0]);
}

#[tokio::test]
async fn a_token_that_a_registry_no_longer_takes_is_fetched_anew_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let (site, epoch) = (site(), Arc::new(AtomicUsize::new(1)));
    let of_server = Arc::clone(&epoch);
    let server = FakeRegistry::start(move |request| {
        let challenge = format!(r#"Bearer realm="{}/token""#, request.base());
        let good = format!("t{}", of_server.load(Ordering::Relaxed));
        match (request.path.as_str(), &request.authorization) {
            ("/token", _) if good == "t0" => Answer::json("{}"),
            ("/token", _) => Answer::json(format!(r#"{{"token":"{good}","expires_in":3600}}"#)),
            (_, Some(sent)) if *sent == format!("Bearer {good}") && good != "t9" => {
                site.answer(request)
            }
            _ => Answer::challenge(&[&challenge]),
        }
    })
    .await;
    let mut settings = settings_for(&[&server]);
    (settings.tag_ttl, settings.tag_stale) = (Duration::ZERO, Duration::ZERO);
    let registry = Registry::new(settings).unwrap();
    let tokens = || {
        server
            .lines()
            .iter()
            .filter(|l| l.ends_with("/token"))
            .count()
    };
    for (now, want, fetched) in [
        (1, Ok(()), 1),
        (1, Ok(()), 0),
        // Expired on the registry's side.
        (2, Ok(()), 1),
        // Fresh, and refused all the same.
        (9, Err(LookupFailure::Unauthorized), 1),
    ] {
        server.forget();
        epoch.store(now, Ordering::Relaxed);
        let outcome = fetch_anonymously(&registry, &server, "team/app:1").await;
        assert_eq!(outcome.map(|_| ()), want, "{now}");
        assert_eq!(tokens(), fetched, "{now}: {:?}", server.lines());
    }
    // 200 without a token is no leave to go on without.
    server.forget();
    epoch.store(0, Ordering::Relaxed);
    let outcome = fetch_anonymously(&registry_for(&[&server]), &server, "team/app:1").await;
    assert_eq!(outcome, Err(LookupFailure::Malformed));
    assert_eq!(server.lines().len(), 2);
}
