//! Reads Rust source just well enough to tell which paths it names. No macro is expanded and no type is known.

use std::collections::BTreeSet;

/// A path as written, first segment first: `crate::domain::node`.
pub(crate) type Path = Vec<String>;

/// What a file names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Paths of `use` declarations, spelled out one by one.
    pub(crate) imports: Vec<Path>,
    /// Every other path of two segments or more.
    pub(crate) paths: Vec<Path>,
    /// Modules declared as `mod name;`.
    pub(crate) modules: BTreeSet<String>,
    /// Names that imports bring into scope.
    pub(crate) scope: BTreeSet<String>,
}

/// The file without the tests at its end.
pub(crate) fn without_tests(source: &str) -> &str {
    let end = source.find("#[cfg(test)]\nmod tests {");
    &source[..end.unwrap_or(source.len())]
}

/// What the source names.
pub(crate) fn names(source: &str) -> Names {
    let code = code(source);
    let mut reader = Reader {
        tokens: tokens(&code),
        at: 0,
    };
    let mut names = Names::default();
    while let Some(token) = reader.next() {
        match token {
            "use" if reader.peek() != Some("<") => reader.use_tree(&Path::new(), &mut names),
            "mod" => {
                let name = reader.next().unwrap_or_default();
                if reader.peek() == Some(";") {
                    names.modules.insert(name.to_owned());
                }
            }
            _ if is_name(token) && reader.peek() == Some("::") => {
                let path = reader.path(token);
                names.paths.push(path);
            }
            _ => {}
        }
    }
    names
}

struct Reader<'a> {
    tokens: Vec<&'a str>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).copied()
    }

    fn path(&mut self, first: &str) -> Path {
        let mut path = vec![first.to_owned()];
        while self.peek() == Some("::") {
            self.at += 1;
            match self.peek() {
                Some(segment) if is_name(segment) => path.push(segment.to_owned()),
                _ => break,
            }
            self.at += 1;
        }
        path
    }

    /// `a::{b, c::d as e}` and what may stand in it.
    fn use_tree(&mut self, prefix: &Path, names: &mut Names) {
        let mut path = prefix.clone();
        while let Some(token) = self.next() {
            match token {
                "::" => {}
                "{" => {
                    while self.peek().is_some_and(|token| token != "}") {
                        self.use_tree(&path, names);
                        if self.peek() == Some(",") {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                segment => {
                    path.push(segment.to_owned());
                    if self.peek() != Some("::") {
                        break;
                    }
                }
            }
        }
        let mut name = path.last().cloned().unwrap_or_default();
        if name == "self" {
            path.pop();
            name = path.last().cloned().unwrap_or_default();
        }
        if self.peek() == Some("as") {
            self.at += 1;
            name = self.next().unwrap_or_default().to_owned();
        }
        names.scope.insert(name);
        names.imports.push(path);
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = match first {
            _ if rest.starts_with("::") => 2,
            _ if is_part(first) => rest.find(|c| !is_part(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// The source with its comments and literals left out.
fn code(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    let mut in_name = false;
    while let Some(first) = rest.chars().next() {
        match literal(rest).filter(|_| !in_name || first == '"' || first == '/') {
            Some(length) => {
                code.push(' ');
                rest = &rest[length..];
                in_name = false;
            }
            None => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
                in_name = first.is_ascii_alphanumeric() || first == '_';
            }
        }
    }
    code
}

/// The length of the comment or literal at the start of the text.
fn literal(text: &str) -> Option<usize> {
    let after = |start: usize, end: &str| {
        let found = text[start..].find(end);
        found.map_or(text.len(), |at| start + at + end.len())
    };
    let raw = text
        .strip_prefix("br")
        .or_else(|| text.strip_prefix('r'))
        .map(|raw| (raw, raw.len() - raw.trim_start_matches('#').len()))
        .filter(|(raw, hashes)| raw[*hashes..].starts_with('"'));
    if text.starts_with("//") {
        Some(text.find('\n').unwrap_or(text.len()))
    } else if text.starts_with("/*") {
        Some(after(2, "*/"))
    } else if let Some((raw, hashes)) = raw {
        let start = text.len() - raw.len() + hashes + 1;
        Some(after(start, &format!("\"{}", "#".repeat(hashes))))
    } else if text.starts_with('"') {
        Some(quoted(text, '"'))
    } else if text.starts_with("'\\") || text.starts_with('\'') && text.chars().nth(2) == Some('\'')
    {
        Some(quoted(text, '\''))
    } else {
        None
    }
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[test]
fn paths_are_read() {
    let source = r##"
        //! use a::comment;
        use kube::{Api, api::{self, Patch}, runtime::watcher as w};
        pub use crate::domain::node;
        mod inner;
        mod open {}
        fn f<'a>(x: &'a str) -> impl Fn() + use<'a> { serde_json::to_string("url::Url") + r#"b::c"# + '"' + time::now() }
    "##;
    let names = names(source);
    let spelled = |paths: &[Path]| -> Vec<String> { paths.iter().map(|p| p.join("::")).collect() };
    assert_eq!(
        spelled(&names.imports),
        [
            "kube::Api",
            "kube::api",
            "kube::api::Patch",
            "kube::runtime::watcher",
            "crate::domain::node"
        ]
    );
    assert_eq!(
        spelled(&names.paths),
        ["serde_json::to_string", "time::now"]
    );
    assert_eq!(names.modules, BTreeSet::from(["inner".to_owned()]));
    assert!(names.scope.contains("api") && names.scope.contains("w"));
}
