//! Credential providers: their configuration, what they are asked and what is made of their answers.

use super::*;

const V1: &str = "credentialprovider.kubelet.k8s.io/v1";

/// A folder with a config of these providers, `@` for the folder, and shell scripts for them that log each run. The
/// programs are links to the shell: a file just written cannot always be executed while other tests fork.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(providers: &str, scripts: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let providers = providers.replace('@', &folder.0.path().to_string_lossy());
        let config = format!(
            "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n{providers}"
        );
        std::fs::write(folder.path("config.yaml"), config).unwrap();
        for (name, script) in scripts {
            let log = folder.path(&format!("{name}.log"));
            let script = format!("cat >> '{}'\n{script}\n", log.display());
            std::fs::write(folder.path(&format!("{name}.sh")), script).unwrap();
            std::os::unix::fs::symlink("/bin/sh", folder.path(name)).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn load(&self) -> (CredentialProviders, Vec<String>) {
        CredentialProviders::load(&self.path("config.yaml"), self.0.path())
    }

    fn runs(&self, name: &str) -> usize {
        let log = std::fs::read_to_string(self.path(&format!("{name}.log")));
        log.unwrap_or_default().matches("\"image\"").count()
    }
}

fn entry(name: &str, image: &str) -> String {
    format!(
        "- {{name: {name}, matchImages: ['{image}'], defaultCacheDuration: 1h, apiVersion: {V1}, args: ['@/{name}.sh']}}\n"
    )
}

fn answer(cache: &str, user: &str) -> String {
    format!(
        r#"echo '{{"kind":"CredentialProviderResponse","apiVersion":"{V1}",{cache},"auth":{{"*.cloud.example":{{"username":"{user}","password":"p"}}}}}}'"#
    )
}

async fn users(providers: &CredentialProviders, image: &str) -> Vec<String> {
    let reference = Reference::parse(image).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let keychain = providers.keychain(&reference, deadline).await;
    let candidates = keychain.candidates(&reference);
    candidates.map(|c| c.username().to_owned()).collect()
}

#[tokio::test]
async fn providers_are_asked_for_their_images_and_answers_kept_by_their_key() {
    for (cache, runs) in [
        (r#""cacheKeyType":"Image""#, 3),
        (r#""cacheKeyType":"Registry""#, 2),
        (r#""cacheKeyType":"Global""#, 1),
        (r#""cacheKeyType":"Global","cacheDuration":"0s""#, 1),
    ] {
        let folder = Folder::new(
            &entry("cloud", "*.cloud.example"),
            &[("cloud", &answer(cache, "u"))],
        );
        let (providers, mistakes) = folder.load();
        assert_eq!(mistakes, [""; 0]);
        for image in [
            "a.cloud.example/x:1",
            "a.cloud.example/x:2",
            "a.cloud.example/y",
            "b.cloud.example/x",
        ] {
            assert_eq!(users(&providers, image).await, ["u"], "{image}");
        }
        assert_eq!(users(&providers, "docker.io/x").await, [""; 0]);
        assert_eq!(folder.runs("cloud"), runs, "{cache}");
    }
}

#[tokio::test]
async fn the_request_names_the_repository_and_the_environment_is_set() {
    let script = answer(r#""cacheKeyType":"Image""#, "'$WHO-$1'");
    let provider = format!(
        "- name: cloud\n  matchImages: ['*.cloud.example/team']\n  defaultCacheDuration: 0s\n  apiVersion: {V1}\n  args: ['@/cloud.sh', arg]\n  env: [{{name: WHO, value: me}}]\n"
    );
    let folder = Folder::new(&provider, &[("cloud", &script)]);
    let (providers, _) = folder.load();
    assert_eq!(
        users(&providers, "a.cloud.example/team/x:1").await,
        ["me-arg"]
    );
    let log = std::fs::read_to_string(folder.path("cloud.log")).unwrap();
    let request: serde_json::Value = serde_json::from_str(&log).unwrap();
    let want = serde_json::json!({
        "kind": "CredentialProviderRequest", "apiVersion": V1, "image": "a.cloud.example/team/x",
    });
    assert_eq!(request, want);
}

#[tokio::test]
async fn providers_that_fail_give_nothing_and_spoil_no_other() {
    let good = answer(r#""cacheKeyType":"Image""#, "good");
    let scripts = [
        ("exits", "echo '{}'; exit 1"),
        ("babbles", "echo SECRET"),
        ("floods", "head -c 1000000 /dev/zero"),
        (
            "dated",
            r#"echo '{"kind":"CredentialProviderResponse","apiVersion":"v0","cacheKeyType":"Image"}'"#,
        ),
        ("good", &good),
    ];
    let mut names: Vec<_> = scripts.iter().map(|(name, _)| *name).collect();
    names.push("missing");
    let all: String = names
        .iter()
        .map(|name| entry(name, "*.cloud.example"))
        .collect();
    let folder = Folder::new(&all, &scripts);
    let (providers, mistakes) = folder.load();
    assert_eq!(mistakes, [""; 0]);
    assert_eq!(users(&providers, "a.cloud.example/x").await, ["good"]);
    // Failures are not tried again at once.
    assert_eq!(users(&providers, "a.cloud.example/x").await, ["good"]);
    assert_eq!(folder.runs("exits"), 1);
}

#[test]
fn mistakes_name_the_provider_and_the_rest_still_works() {
    let base = format!("defaultCacheDuration: 1h, apiVersion: {V1}");
    let providers = format!(
        "{}- {{name: a/b, matchImages: [x], {base}}}\n- {{name: none, {base}}}\n\
         - {{name: old, matchImages: [x], defaultCacheDuration: 1h, apiVersion: v1}}\n\
         - {{name: slow, matchImages: [x], defaultCacheDuration: soon, apiVersion: {V1}}}\n\
         - {{name: token, matchImages: [x], tokenAttributes: {{cacheType: Token}}, {base}}}\n\
         - {{name: good, matchImages: [x], {base}}}\n- {{name: bad, matchImages: ['a b'], {base}}}\n",
        entry("good", "x.example")
    );
    let folder = Folder::new(&providers, &[]);
    let (loaded, mistakes) = folder.load();
    assert_eq!(loaded.inner.providers.len(), 1);
    for (mistake, want) in mistakes.iter().zip([
        "provider \"a/b\": the name",
        "provider \"none\": matchImages",
        "provider \"old\": write apiVersion",
        "provider \"slow\": write defaultCacheDuration",
        "provider \"token\": tokenAttributes",
        "provider \"good\": the name is there twice",
        "provider \"bad\": matchImages \"a b\"",
    ]) {
        assert!(mistake.contains("config.yaml: "), "{mistake}");
        assert!(mistake.contains(want), "{mistake}");
    }
    assert_eq!(mistakes.len(), 7);
}

#[test]
fn durations_are_go_s() {
    for (text, want) in [
        ("0", Some(0.0)),
        ("0s", Some(0.0)),
        ("12h", Some(43200.0)),
        ("1h30m0.5s", Some(5400.5)),
        ("10ms", Some(0.01)),
        ("", None),
        ("5", None),
        ("-5s", None),
        ("5x", None),
    ] {
        let want = want.map(Duration::from_secs_f64);
        assert_eq!(config::duration(text), want, "{text}");
    }
}
