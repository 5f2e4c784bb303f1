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
    for (name, content) in [("ca.pem", "CA"), ("c.pem", "CERT"), ("k.pem", "KEY")] {
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
    assert_eq!(connection.ca_pem.as_deref(), Some(&b"CA\nCA\n"[..]));
    assert_eq!(
        connection.identity_pem.as_deref(),
        Some(&b"CERT\nKEY\n"[..])
    );
    assert_eq!(connection.headers.get_all("x-key").iter().count(), 2);
    let debug = format!("{settings:?}");
    assert!(
        !debug.contains("SECRET") && !debug.contains("KEY"),
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
    let missing = load_hosts_folder(Path::new("/no/such/folder"));
    assert!(missing.mistakes[0].starts_with("cannot read /no/such/folder"));
}
