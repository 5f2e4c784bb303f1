//! Docker's reference grammar, case by case.

use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[track_caller]
fn check(text: &str, registry: &str, repository: &str, version: &str) {
    let reference = Reference::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(reference.registry(), registry, "{text}");
    assert_eq!(reference.repository(), repository, "{text}");
    let canonical = format!("{registry}/{repository}{version}");
    assert_eq!(reference.to_string(), canonical, "{text}");
    assert_eq!(
        Reference::parse(&canonical).as_ref(),
        Ok(&reference),
        "{text}"
    );
}

#[track_caller]
fn check_error(text: &str, want: &str) {
    let error = Reference::parse(text).expect_err(text).to_string();
    assert!(error.contains(want), "{text}: {error}");
}

#[test]
fn defaults_are_filled_in_as_docker_does() {
    for (text, registry, repository, version) in [
        (
            "hello-world:nanoserver",
            "docker.io",
            "library/hello-world",
            ":nanoserver",
        ),
        ("centos", "docker.io", "library/centos", ":latest"),
        ("user/app:1", "docker.io", "user/app", ":1"),
        ("docker.io/centos:7", "docker.io", "library/centos", ":7"),
        (
            "index.docker.io/centos:7",
            "docker.io",
            "library/centos",
            ":7",
        ),
        ("index.docker.io/a/b", "docker.io", "a/b", ":latest"),
        ("localhost/x", "localhost", "x", ":latest"),
        ("localhost:5000/x:y", "localhost:5000", "x", ":y"),
        ("localhost:5000", "docker.io", "library/localhost", ":5000"),
        ("foo:5000/a/b", "foo:5000", "a/b", ":latest"),
        (
            "reg.example/a/b/c:v1.2-3_4",
            "reg.example",
            "a/b/c",
            ":v1.2-3_4",
        ),
        ("a__b/c---d.e", "docker.io", "a__b/c---d.e", ":latest"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000", "x", ":latest"),
    ] {
        check(text, registry, repository, version);
    }
}

/// The rows in which Rust's other parsers part from `ParseDockerRef`.
#[test]
fn the_corners_that_other_parsers_get_wrong() {
    check("[::1]:5000/x:1", "[::1]:5000", "x", ":1");
    check("[2001:db8::1]/x", "[2001:db8::1]", "x", ":latest");
    check("Foo/bar", "Foo", "bar", ":latest");
    check_error("nginx:täg", "is not a tag");
    check_error(
        &format!("nginx@sha256:{}", HEX.to_uppercase()),
        "is not a digest",
    );
    check_error(HEX, "image id");
    check(
        &format!("{HEX}:tag"),
        "docker.io",
        &format!("library/{HEX}"),
        ":tag",
    );
    check("my_host.com/x", "my_host.com", "x", ":latest");
    check_error(
        "foo/Bar",
        r#""foo/Bar" must be lower-case: write "foo/bar""#,
    );
    check_error(
        "foo:5000/Bar/baz",
        r#""Bar/baz" must be lower-case: write "bar/baz""#,
    );
}

#[test]
fn a_digest_counts_more_than_the_tag_beside_it() {
    let digest = format!("@sha256:{HEX}");
    check(
        &format!("nginx:1.25{digest}"),
        "docker.io",
        "library/nginx",
        &digest,
    );
    check(
        &format!("nginx{digest}"),
        "docker.io",
        "library/nginx",
        &digest,
    );
    let longer = format!("@sha384:{HEX}{}", &HEX[..32]);
    check(
        &format!("nginx{longer}"),
        "docker.io",
        "library/nginx",
        &longer,
    );
    let reference = Reference::parse(&format!("nginx:1.25{digest}")).unwrap();
    assert_eq!(reference.tag(), None);
    assert_eq!(reference.digest().unwrap().hex(), HEX);
    let tagged = reference.with_tag("1.26").unwrap();
    assert_eq!(tagged.to_string(), "docker.io/library/nginx:1.26");
    assert_eq!(
        tagged.with_digest(reference.digest().unwrap().clone()),
        reference
    );
}

#[test]
fn errors_say_what_is_wrong_and_the_cure() {
    let long = "a".repeat(256);
    for (text, want) in [
        ("", "has no name"),
        (":tag", "has no name"),
        ("/x", "is not a repository name"),
        ("docker.io/", "has no name"),
        ("reg.example/", "has no name"),
        ("https://reg.example/x", r#"leave out "https://""#),
        ("a b", "is not a repository name"),
        ("a..b", "is not a repository name"),
        ("a/-b", "is not a repository name"),
        ("a___b", "is not a repository name"),
        ("a._b", "is not a repository name"),
        ("a//b", "is not a repository name"),
        ("x:", "is not a tag"),
        ("x:.y", "is not a tag"),
        ("x:a:b", "is not a tag"),
        ("x@sha256:abc", "is not a digest"),
        ("x@md5:0123456789abcdef0123456789abcdef", "is not a digest"),
        ("x@", "is not a digest"),
        ("x@sha256:aa@sha256:bb", "is not a digest"),
        ("-a.example/x", "is not a registry host"),
        ("a.example:port/x", "is not a registry host"),
        ("a.example:/x", "is not a registry host"),
        ("[::1/x", "is not a registry host"),
        ("a\n.example/x", r#""a\n.example""#),
        (long.as_str(), "264 characters"),
    ] {
        check_error(text, want);
    }
    check_error(&format!("x:{}", "t".repeat(129)), "is not a tag");
    let name = "a".repeat(250);
    check(&format!("host.com/{name}"), "host.com", &name, ":latest");
    check_error(&format!("my_host.com/{name}"), "262 characters");
    let longest = format!(":{}", "t".repeat(128));
    check(&format!("x{longest}"), "docker.io", "library/x", &longest);
}
