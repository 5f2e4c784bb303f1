//! No field of a pod that names an image is overlooked: the API of every Kubernetes minor that the client library knows is
//! walked from `PodSpec`, and a field that is new there has to be judged or listed here with the reason why not
//! (OPERATIONS A10).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use platform_gate::domain::pod::ImageField;

/// Fields that name an image that is judged.
const JUDGED: &[&str] = &[
    "spec.containers.image",
    "spec.ephemeral_containers.image",
    "spec.init_containers.image",
    "spec.volumes.image.reference",
];

/// Fields that speak of images and name none that a kubelet pulls.
const OTHERS: &[&str] = &[
    // What the container starts, or as whom, if not as its image says.
    "spec.containers.args",
    "spec.containers.command",
    "spec.containers.working_dir",
    "spec.ephemeral_containers.working_dir",
    "spec.init_containers.args",
    "spec.init_containers.command",
    "spec.init_containers.working_dir",
    "spec.security_context.supplemental_groups",
    // When to pull, and with which credentials.
    "spec.containers.image_pull_policy",
    "spec.ephemeral_containers.image_pull_policy",
    "spec.init_containers.image_pull_policy",
    "spec.image_pull_secrets",
    // What holds the reference.
    "spec.volumes.image",
    // A block device of Ceph.
    "spec.volumes.rbd.image",
];

/// The source of the client library, which cargo has unpacked to compile it.
fn library() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {told}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let own = packages
        .filter(|package| package["name"] == "k8s-openapi")
        .find(|package| {
            package["version"]
                .as_str()
                .is_some_and(|version| version.starts_with("0.29."))
        });
    let manifest = own.unwrap()["manifest_path"].as_str().unwrap();
    Path::new(manifest).parent().unwrap().join("src")
}

/// A field of a struct: its name, the struct that it holds if any, and what is said of it.
struct Field {
    name: String,
    of: Option<String>,
    about: String,
}

/// `RBDVolumeSource` is in `rbd_volume_source.rs`.
fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let is = |at: usize, test: fn(&char) -> bool| letters.get(at).is_some_and(test);
    let mut file = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let begins = letter.is_ascii_uppercase()
            && at > 0
            && (is(at - 1, char::is_ascii_lowercase) || is(at + 1, char::is_ascii_lowercase));
        if begins {
            file.push('_');
        }
        file.push(letter.to_ascii_lowercase());
    }
    file
}

/// The fields of a struct of `core/v1`, from its source.
fn fields(api: &Path, name: &str) -> Vec<Field> {
    let file = api.join(format!("{}.rs", snake(name)));
    let source = std::fs::read_to_string(&file);
    let source = source.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut about = String::new();
    let mut found = Vec::new();
    for line in source.lines() {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("///") {
            about.push_str(text);
        } else if let Some((name, kind)) = line
            .strip_prefix("pub ")
            .and_then(|line| line.split_once(": "))
        {
            let of = kind.split("core::v1::").nth(1);
            let of = of.map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap());
            found.push(Field {
                name: name.to_owned(),
                of: of.map(str::to_owned),
                about: std::mem::take(&mut about),
            });
        } else if line == "}" {
            break;
        } else {
            about.clear();
        }
    }
    found
}

/// Every field under a struct that is named after images or said to be about container images.
fn walk(api: &Path, name: &str, path: &str, found: &mut BTreeSet<String>) {
    assert!(path.matches('.').count() < 12, "{path} has no end");
    for field in fields(api, name) {
        let path = format!("{path}.{}", field.name);
        let about = field.about.to_lowercase();
        let words = [
            "container image",
            "image reference",
            "oci artifact",
            "oci image",
        ];
        if field.name.contains("image") || words.iter().any(|word| about.contains(word)) {
            found.insert(path.clone());
        }
        if let Some(of) = field.of {
            walk(api, &of, &path, found);
        }
    }
}

#[test]
fn every_field_that_names_an_image_is_known() {
    let library = library();
    let folders = std::fs::read_dir(&library).unwrap();
    let minors: Vec<PathBuf> = folders
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("api/core/v1/pod_spec.rs").exists())
        .collect();
    assert!(minors.len() >= 4, "{minors:?}");
    let mut found = BTreeSet::new();
    for minor in minors {
        walk(&minor.join("api/core/v1"), "PodSpec", "spec", &mut found);
    }
    let known = JUDGED.iter().chain(OTHERS).map(|path| (*path).to_owned());
    assert_eq!(found, known.collect(), "judge it or say here why not");
    assert_eq!(JUDGED.len(), ImageField::ALL.len());
}
