//! Image references: our parser beside the one of the kubelet and of containerd.

use platform_gate::domain::reference::Reference;
use serde_json::{Value, json};

use super::random::Random;
use super::trial::{Trial, run};

#[derive(Debug, Clone)]
struct Text(String);

#[test]
#[ignore = "needs the oracle: tests/differential/build"]
fn image_references() {
    let counts = run("image references", 40_000, |random: &mut Random| {
        Text(text(random))
    });
    counts.have(&[("a reference", 10_000), ("none", 5_000)]);
}

const USUAL_HOSTS: &str =
    "- - docker.io localhost:5000 reg.example reg.example:5000 REG.example [::1]:5000";
const HOSTS: &str = "- - docker.io index.docker.io localhost localhost:5000 reg.example reg.example:5000 REG.example \
     Reg reg:5000 reg: :5000 my_host.com my__host.com 127.0.0.1 127.0.0.1:80 [::1] [::1]:5000 [fe80::1%eth0] [] [::1 \
     reg..example -reg.example reg-.example re--g.example .example reg.example. a.b.c.d.e reg.example:5000:1 \
     reg.example:x reg.example:99999 https: http: registry-1.docker.io xn--80ak6aa92e.com bücher.example ı.example";
const PARTS: &str = "library hello-world app a 0 a.b a..b a_b a__b a___b a-b a---b -a a- .a a. _a a_ A aB a:b é a+b \
     a@b %61 .. . a.-b a_-b a._b k8s.gcr.io";
const USUAL_TAGS: &str = "latest 1 1.2.3 v1-alpha_2 _x X";
const TAGS: &str = "latest 1 1.2.3 v1-alpha_2 _x -x .x X - 1:2 a/b 1+2 ä latest@";

/// Parts of references in their order, each in its place in most cases, and some characters changed in few.
fn text(random: &mut Random) -> String {
    let mut text = usually(random, USUAL_HOSTS, HOSTS);
    if !text.is_empty() {
        text.push('/');
    }
    let parts: Vec<String> = (0..=random.below(3)).map(|_| part(random)).collect();
    text += &parts.join("/");
    if random.percent(50) {
        text.push(':');
        text += &match random.below(15) {
            0 => "t".repeat(127 + random.below(3)),
            _ => usually(random, USUAL_TAGS, TAGS),
        };
    }
    if random.percent(25) {
        text.push('@');
        text += &digest(random);
    }
    for _ in 0..random.below(10).saturating_sub(7) {
        text = changed(random, &text);
    }
    text
}

fn usually(random: &mut Random, usual: &'static str, odd: &'static str) -> String {
    let usually = random.percent(75);
    random.word(if usually { usual } else { odd })
}

fn part(random: &mut Random) -> String {
    match random.below(120) {
        0 => "n".repeat(230 + random.below(40)),
        1 => "abcdef0123456789".repeat(4),
        2 => "ABCDEF0123456789".repeat(4),
        3 => String::new(),
        4..100 => random.word("library hello-world app a team k8s"),
        _ => random.word(PARTS),
    }
}

fn digest(random: &mut Random) -> String {
    let algorithm = usually(
        random,
        "sha256 sha256 sha512 sha384",
        "sha1 md5 SHA256 sha256+b64 blake3 a.b_c-d+e - sha256:sha256",
    );
    let length = match random.below(10) {
        0 => 63 + random.below(3),
        1 => [32, 40, 96][random.below(3)],
        _ if algorithm == "sha512" => 128,
        _ if algorithm == "sha384" => 96,
        _ => 64,
    };
    let hex = usually(random, "0a f", "0A 0g -").repeat(length);
    format!("{algorithm}:{}", hex.get(..length).unwrap_or_default())
}

fn changed(random: &mut Random, text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = random.below(characters.len() + 1);
    let other = *random.pick(&[
        &'/', &':', &'@', &'.', &'_', &'-', &'A', &'0', &' ', &'\n', &'é', &'[', &']', &'%', &'\0',
    ]);
    match random.below(3) {
        0 => characters.insert(at, other),
        1 if at < characters.len() => characters[at] = other,
        _ if at < characters.len() => drop(characters.remove(at)),
        _ => characters.push(other),
    }
    characters.into_iter().collect()
}

impl Trial for Text {
    const MODE: &'static str = "reference";

    fn questions(&self) -> Vec<Value> {
        vec![json!({ "text": self.0 })]
    }

    fn compare(&self, answers: &[Value]) -> Result<String, String> {
        let ours = Reference::parse(&self.0);
        match (&ours, answers[0]["canonical"].as_str()) {
            (Ok(reference), Some(theirs)) if reference.to_string() == theirs => {
                Ok("a reference".to_owned())
            }
            (Err(_), None) => Ok("none".to_owned()),
            _ => Err(format!("we say {ours:?}, the oracle {}", answers[0])),
        }
    }

    fn smaller(&self) -> Vec<Self> {
        let without = |(at, character): (usize, char)| {
            let rest = &self.0[at + character.len_utf8()..];
            Self(format!("{}{rest}", &self.0[..at]))
        };
        self.0.char_indices().map(without).collect()
    }

    fn show(&self) -> Value {
        json!(self.0)
    }
}
