//! Pull secrets: which credentials are tried for an image, in which order, beside the kubelet's keyring.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use platform_gate::domain::reference::Reference;
use platform_gate::registry::{Keychain, KeychainError};
use serde_json::{Map, Value, json};

use super::json::smaller;
use super::random::Random;
use super::trial::{Trial, run};

/// A pod's secrets, its node's config and an image. A text among the configs stands for itself.
#[derive(Debug, Clone)]
struct Secrets {
    /// Content, and whether it is of the older type.
    of_pod: Vec<(Value, bool)>,
    of_node: Option<Value>,
    image: String,
}

#[test]
#[ignore = "needs the oracle: tests/differential/build"]
fn pull_secrets() {
    let counts = run("pull secrets", 20_000, draw);
    counts.have(&[
        ("none", 2_000),
        ("one", 3_000),
        ("several", 1_500),
        ("unusable", 200),
    ]);
}

const IMAGES: &str = "reg.example/team/app reg.example/teams/app reg.example:5000/team/app a.reg.example/app \
     docker.io/library/app docker.io/team/app index.docker.io/library/app localhost:5000/app localhost/app \
     127.0.0.1/team/app 127.0.0.1:80/app [::1]:5000/team/app [::1]/app my_host.com/team/app REG.example/app \
     evil-reg.example/app reg.example.evil/app team/app app";

fn draw(random: &mut Random) -> Secrets {
    let image = random.word(IMAGES);
    let mut number = 0;
    let mut config =
        |random: &mut Random, dockercfg| config(random, &image, dockercfg, &mut number);
    let of_pod = (0..random.below(4))
        .map(|_| {
            let dockercfg = random.percent(20);
            (config(random, dockercfg), dockercfg)
        })
        .collect();
    let of_node = random.percent(30).then(|| config(random, false));
    Secrets {
        of_pod,
        of_node,
        image,
    }
}

/// One docker config. User names are numbered, so that credentials can be told apart.
fn config(random: &mut Random, image: &str, dockercfg: bool, number: &mut usize) -> Value {
    let mut entries = Map::new();
    let mut keys = BTreeSet::new();
    for _ in 0..random.below(5) {
        let location = location(random, image);
        // The kubelet tries those that it files under one key in the order of a Go map, which is any.
        if keys.insert(key_of(&location)) {
            *number += 1;
            entries.insert(location, login(random, *number));
        }
    }
    match random.below(100) {
        0 => return Value::String(random.word("{ [] null 1 {\"auths\":[]} {\"auths\":1} {}x")),
        1 => return json!({ "auths": null }),
        2 => return json!({ "auths": {"reg.example": null} }),
        3 => return json!({ "auths": entries, "credsStore": "desktop" }),
        4 => return json!({ "Auths": entries }),
        _ => {}
    }
    if dockercfg {
        entries.into()
    } else {
        json!({ "auths": entries })
    }
}

/// What locations differ in that does not matter to their key.
fn key_of(location: &str) -> String {
    let text = location
        .strip_prefix("https://")
        .or(location.strip_prefix("http://"))
        .unwrap_or(location);
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let text = text
        .rsplit_once('@')
        .map_or(text, |(_, host)| host)
        .replace("%74", "t");
    let (host, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    let unversioned = path.strip_prefix("/v1/").or(path.strip_prefix("/v2/"));
    let path = unversioned.map_or(path.to_owned(), |rest| format!("/{rest}"));
    format!("{host}{}", if path == "/" { "" } else { &path })
}

/// A location near the image's, or another's.
fn location(random: &mut Random, image: &str) -> String {
    let other = random.word(IMAGES);
    let near = if random.percent(85) { image } else { &other };
    let host = near
        .split_once('/')
        .map_or("index.docker.io", |(host, _)| host);
    let host = if random.percent(10) {
        "index.docker.io"
    } else {
        host
    };
    let labels: Vec<String> = host.split('.').map(|label| glob(random, label)).collect();
    let mut host = labels.join(".");
    if random.percent(10) {
        host += &random.word(":5000 :80 : :x .example *");
    }
    let scheme =
        random.word("- - - - - - https:// https:// http:// HTTPS:// ftp:// // user@ https://u:p@");
    let path = random.word(
        "- - - - - - - - / / /v1/ /v2/ /v1 /v2 /v1/team /v2/team /v3/ /team /team /team/ /te /team/app /team/app/x /app /library \
         /%74eam /%zz /* /te* ?x=1 /team?x=1 #y /team#y",
    );
    format!("{scheme}{host}{path}")
}

fn glob(random: &mut Random, label: &str) -> String {
    let Some(first) = label.chars().next().filter(|_| random.percent(25)) else {
        return label.to_owned();
    };
    let rest = &label[first.len_utf8()..];
    match random.below(9) {
        0..3 => "*".to_owned(),
        3 => format!("{first}*"),
        4 => format!("*{rest}"),
        5 => format!("?{rest}"),
        6 => format!("[a-z]{rest}"),
        7 => format!("{first}**{}", &rest[rest.len() / 2..]),
        _ => format!("\\{label}"),
    }
}

fn login(random: &mut Random, number: usize) -> Value {
    let user = format!("user-{number}");
    let auth = STANDARD.encode(format!("{user}:pass:word"));
    match random.below(90) {
        0 => json!({ "auth": STANDARD_NO_PAD.encode(format!("{user}:p")) }),
        1 => json!({ "auth": format!("{}\n{}", &auth[..4], &auth[4..]) }),
        2 => json!({ "auth": STANDARD.encode(&user) }),
        3 => json!({ "auth": "%%%" }),
        4 => json!({ "username": user }),
        5 => json!({ "password": "word" }),
        6 => json!({}),
        7 => json!({ "username": "other", "password": "x", "auth": auth }),
        8 => json!({ "username": user, "password": 1 }),
        9 => json!({ "Username": user, "PASSWORD": "x", "email": "e@reg.example" }),
        10..50 => json!({ "auth": auth }),
        _ => json!({ "username": user, "password": "word" }),
    }
}

fn text(config: &Value) -> String {
    config
        .as_str()
        .map_or_else(|| config.to_string(), str::to_owned)
}

impl Secrets {
    fn reference(&self) -> Reference {
        Reference::parse(&self.image).unwrap()
    }

    /// The pod's secrets together, then the node's.
    fn keychain(&self) -> Result<Keychain, KeychainError> {
        let mut all = Keychain::anonymous();
        for (config, dockercfg) in &self.of_pod {
            let text = text(config);
            let next = match dockercfg {
                true => Keychain::from_dockercfg(text.as_bytes()),
                false => Keychain::from_docker_config_json(text.as_bytes()),
            };
            all = all.merge(&next?);
        }
        match &self.of_node {
            Some(config) => {
                Ok(all.followed_by(&Keychain::from_docker_config_json(text(config).as_bytes())?))
            }
            None => Ok(all),
        }
    }
}

impl Trial for Secrets {
    const MODE: &'static str = "keyring";

    fn questions(&self) -> Vec<Value> {
        let secret = |(config, dockercfg): &(Value, bool)| json!({ "content": text(config), "dockercfg": dockercfg });
        let reference = self.reference();
        vec![json!({
            "secrets": self.of_pod.iter().map(secret).collect::<Vec<_>>(),
            "node": self.of_node.as_ref().map(text).unwrap_or_default(),
            "image": format!("{}/{}", reference.registry(), reference.repository()),
        })]
    }

    fn compare(&self, answers: &[Value]) -> Result<String, String> {
        let said = &answers[0];
        let ours = match self.keychain() {
            Err(_) if said["error"].is_string() => return Ok("unusable".to_owned()),
            Err(error) => return Err(format!("we say {error}, the oracle {said}")),
            Ok(keychain) => {
                let login = |username: &str, password: &str| json!([username, password]);
                let reference = self.reference();
                let found = keychain.candidates(&reference);
                found
                    .map(|found| login(found.username(), found.password()))
                    .collect::<Vec<_>>()
            }
        };
        if said["error"].is_string() || said["logins"] != json!(ours) {
            return Err(format!("we try {}, the oracle says {said}", json!(ours)));
        }
        let kind = ["none", "one"].get(ours.len()).unwrap_or(&"several");
        Ok((*kind).to_owned())
    }

    fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for (position, (config, dockercfg)) in self.of_pod.iter().enumerate() {
            let mut fewer = self.clone();
            fewer.of_pod.remove(position);
            all.push(fewer);
            all.extend(smaller(config).into_iter().map(|config| {
                let mut changed = self.clone();
                changed.of_pod[position] = (config, *dockercfg);
                changed
            }));
        }
        if let Some(config) = &self.of_node {
            let with = |of_node| Self {
                of_node,
                ..self.clone()
            };
            all.push(with(None));
            all.extend(smaller(config).into_iter().map(|config| with(Some(config))));
        }
        all
    }

    fn show(&self) -> Value {
        json!({ "secrets": self.of_pod, "node": self.of_node, "image": self.image })
    }
}
