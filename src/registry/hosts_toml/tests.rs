//! What `hosts.toml` folders come to, and what is said of mistakes in them.

use super::*;

fn parse(host: &str, text: &str) -> Result<HostSettings, String> {
    parse_hosts(host, Path::new("/nowhere"), text)
}

/// The mirrors in short: URL, `!` where it is the API's own, `t` and `d` for what they serve.
fn describe(settings: &HostSettings) -> String {
    let mirror = |mirror: &Mirror| {
        let mark = |yes, mark| if yes { mark } else { "" };
        format!(
            "{}{} {}{}",
            mirror.url,
            mark(mirror.is_api_root, "!"),
            mark(mirror.serves_tags, "t"),
            mark(mirror.serves_digests, "d")
        )
    };
    let mut all: Vec<String> = settings.mirrors.iter().map(mirror).collect();
    if !settings.mirrors_only {
        let scheme = settings.scheme().as_str();
        all.push(format!("itself by {scheme}"));
    }
    all.join(", ")
}

/// PEM of a certificate, and of its key.
fn pair() -> (String, String) {
    // A second call finds it installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pair = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
    (pair.cert.pem(), pair.signing_key.serialize_pem())
}

#[test]
fn hosts_come_in_the_order_written_and_the_server_last() {
    for (host, text, want) in [
        ("r.example", "", "itself by https"),
        (
            "docker.io",
            "server = \"https://registry-1.docker.io\"\n[host.\"https://z.example\"]\n[host.\"https://a.example:5000\"]\n",
            "https://z.example/ td, https://a.example:5000/ td, itself by https",
        ),
        (
            "docker.io",
            "server = \"https://m.example\"\n",
            "https://m.example/ td",
        ),
        (
            "r.example:5000",
            "server = \"http://r.example:5000\"\n",
            "itself by http",
        ),
        (
            "r.example",
            "[host.\"m.example/v2/hub\"]\noverride_path = true\n[host.\"http://m.example/hub/v2\"]\n",
            "https://m.example/v2/hub! td, http://m.example/hub td, itself by https",
        ),
        (
            "r.example",
            "[host.\"https://a.example\"]\ncapabilities = [\"Pull\"]\n[host.\"https://b.example\"]\ncapabilities = [\"push\", \"resolve\"]\n",
            "https://a.example/ d, https://b.example/ , itself by https",
        ),
    ] {
        assert_eq!(describe(&parse(host, text).unwrap()), want, "{text}");
    }
}

#[test]
fn connections_belong_to_their_host() {
    let folder = tempfile::tempdir().unwrap();
    let pair = pair();
    for (name, content) in [("ca.pem", &pair.0), ("c.pem", &pair.0), ("k.pem", &pair.1)] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let text = r#"
skip_verify = true
[host."https://m.example"]
ca = ["ca.pem", "ca.pem"]
client = [["c.pem", "k.pem"]]
[host."https://m.example".header]
x-key = ["SECRET", "second"]
"#;
    let settings = parse_hosts("r.example", folder.path(), text).unwrap();
    assert!(settings.connection.skip_verify);
    let connection = &settings.mirrors[0].connection;
    assert!(!connection.skip_verify);
    let joined = |parts: [&str; 2]| format!("{}\n{}\n", parts[0], parts[1]).into_bytes();
    assert_eq!(connection.ca_pem, Some(joined([&pair.0, &pair.0])));
    assert_eq!(connection.identity_pem, Some(joined([&pair.0, &pair.1])));
    assert_eq!(connection.headers.get_all("x-key").iter().count(), 2);
    let debug = format!("{settings:?}");
    assert!(
        !debug.contains("SECRET") && !debug.contains("PRIVATE"),
        "{debug}"
    );
}

#[test]
fn mistakes_say_where_and_repeat_no_secret() {
    for (text, want) in [
        ("server = ", "expected"),
        (
            "[host.\"https://[\"]\n",
            "[host.\"https://[\"]: write a URL",
        ),
        (
            "capabilities = [\"fly\"]\nserver = \"m.example\"",
            "server: unknown capability \"fly\"",
        ),
        ("ca = \"gone.pem\"\n", "cannot read \"gone.pem\""),
        ("client = \"/dev/null\"\n", "the client certificate"),
        ("[header]\n\"a b\" = \"SECRET\"\n", "header \"a b\""),
        ("[header]\na = \"SECRET\n\"\n", ""),
        (
            "[host.\"https://m.example\"]\nskip_verify = \"SECRET\"\n",
            "[host.\"https://m.example\"]",
        ),
    ] {
        let problem = parse("r.example", text).unwrap_err();
        assert!(problem.contains(want), "{problem}");
        assert!(
            !problem.contains("SECRET") || text.contains("skip_verify"),
            "{problem}"
        );
        assert!(!problem.contains('\n'), "{problem}");
    }
}

#[test]
fn folders_are_named_for_hosts_and_a_bad_file_spoils_no_other() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("_default", "[host.\"https://all.example\"]\n"),
        ("r.example:5000", "server = \"https://old.example\"\n"),
        ("r.example_5000_", "server = \"https://new.example\"\n"),
        ("bad.example", "server ="),
    ] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("hosts.toml"), text).unwrap();
    }
    std::fs::create_dir(folder.path().join("empty.example")).unwrap();
    let files = load_hosts_folder(folder.path());
    let hosts: Vec<_> = files.hosts.keys().collect();
    assert_eq!(hosts, ["*", "r.example:5000"]);
    let url = files.hosts["r.example:5000"].mirrors[0].url.as_str();
    assert_eq!(url, "https://new.example/");
    assert_eq!(files.mistakes.len(), 1);
    assert!(files.mistakes[0].contains("bad.example/hosts.toml: "));
    std::fs::create_dir(folder.path().join("a b")).unwrap();
    std::fs::write(folder.path().join("a b/hosts.toml"), "").unwrap();
    std::fs::create_dir_all(folder.path().join("folder.example/hosts.toml")).unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let mistakes = load_hosts_folder(folder.path()).mistakes;
    for (mistake, want) in mistakes.iter().zip([
        "a b/hosts.toml: the folder's name is no host",
        "bad.example/hosts.toml: ",
        "folder.example/hosts.toml: cannot be read",
    ]) {
        assert!(mistake.contains(want), "{mistake}");
    }
    assert_eq!(mistakes.len(), 3);
    let missing = load_hosts_folder(Path::new("/no/such/folder"));
    assert!(missing.mistakes[0].starts_with("cannot read /no/such/folder"));
}

#[test]
fn without_a_hosts_toml_there_may_be_certificates_as_docker_has_them() {
    let root = tempfile::tempdir().unwrap();
    let pair = pair();
    let files = [
        ("r.example:5000/a.crt", &pair.0),
        ("r.example:5000/b.crt", &pair.0),
        ("r.example:5000/client.cert", &pair.0),
        ("r.example:5000/client.key", &pair.1),
        ("_default/ca.crt", &pair.0),
        ("lonely.example/client.cert", &pair.0),
        ("a b/ca.crt", &pair.0),
        ("..data/ca.crt", &pair.0),
        ("both.example/ca.crt", &pair.0),
        (
            "both.example/hosts.toml",
            &"[host.\"https://m.example\"]\n".to_owned(),
        ),
    ];
    for (name, text) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let files = load_hosts_folder(root.path());
    let hosts: Vec<_> = files.hosts.keys().collect();
    assert_eq!(hosts, ["*", "both.example", "r.example:5000"]);
    let connection = &files.hosts["r.example:5000"].connection;
    let cas = String::from_utf8(connection.ca_pem.clone().unwrap()).unwrap();
    assert_eq!(cas.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(connection.identity_pem.is_some());
    assert!(files.hosts["*"].connection.identity_pem.is_none());
    assert!(files.hosts["both.example"].connection.ca_pem.is_none());
    for (mistake, want) in files.mistakes.iter().zip([
        "a b: the folder's name is no host",
        "lonely.example: cannot read \"client.key\"",
    ]) {
        assert!(mistake.contains(want), "{mistake}");
    }
    assert_eq!(files.mistakes.len(), 2, "{:?}", files.mistakes);
}

#[test]
fn certificates_that_cannot_be_used_leave_out_their_registry_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (mine, other) = (pair(), pair());
    let files = [
        ("good", &mine.0, "ca = 'x.pem'"),
        ("words", &"no PEM".to_owned(), "ca = 'x.pem'"),
        (
            "odd",
            &"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            "ca = 'x.pem'",
        ),
        ("swapped", &(mine.0.clone() + &other.1), "client = 'x.pem'"),
        ("whole", &(mine.0.clone() + &mine.1), "client = 'x.pem'"),
    ];
    for (name, pem, text) in files {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("x.pem"), pem).unwrap();
        std::fs::write(folder.join("hosts.toml"), text).unwrap();
    }
    let files = load_hosts_folder(folder.path());
    assert_eq!(files.hosts.keys().collect::<Vec<_>>(), ["good", "whole"]);
    for (mistake, want) in files.mistakes.iter().zip([
        "odd/hosts.toml: the CA of registry \"odd\" cannot be used: give PEM",
        "swapped/hosts.toml: the client certificate of registry \"swapped\" cannot be used",
        "words/hosts.toml: the CA of registry \"words\" cannot be used: give PEM",
    ]) {
        assert!(mistake.contains(want), "{mistake}");
    }
    assert_eq!(files.mistakes.len(), 3);
}
