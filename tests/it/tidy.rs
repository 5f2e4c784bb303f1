//! What reviewers should not have to look for: who may use whom, headers, sizes, files that nobody compiles, versions,
//! and words that do not belong in the repository.
//!
//! The dependency table is the one in ARCHITECTURE.md. Code in `#[cfg(test)]` may use anything.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use source::{names, without_tests};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// A file past this holds two ideas.
const MOST_LINES: usize = 450;
/// From here on it is worth a thought.
const MANY_LINES: usize = 300;
/// Files that are longer for now. A file that has become short enough has to leave the list.
const TOO_LONG_FOR_NOW: [&str; 0] = [];
/// What reaches out of a pure function: the domain names none of it.
const IMPURE: [&str; 8] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::io",
];

type Set = BTreeSet<String>;

/// What a module of the crate root uses: other such modules, and crates.
#[derive(Debug, Default, PartialEq, Eq)]
struct Uses {
    modules: Set,
    crates: Set,
}

#[test]
fn modules_use_what_the_table_in_architecture_md_says() {
    let table = table();
    let used = used();
    let mut wrong = Vec::new();
    let rows: Set = table.keys().chain(used.keys()).cloned().collect();
    let (nothing, mut check) = (Uses::default(), |module: &str, table: &Set, used: &Set| {
        for name in used.difference(table) {
            wrong.push(format!("{module} uses {name}, which its row does not have"));
        }
        for name in table.difference(used) {
            wrong.push(format!("{module} does not use {name}, which its row has"));
        }
    });
    for module in &rows {
        let (said, done) = (
            table.get(module).unwrap_or(&nothing),
            used.get(module).unwrap_or(&nothing),
        );
        check(module, &said.modules, &done.modules);
        check(module, &said.crates, &done.crates);
    }
    assert!(
        wrong.is_empty(),
        "the code and the table of ARCHITECTURE.md differ:\n{}\n\n{}",
        wrong.join("\n"),
        used.iter().map(row).collect::<String>()
    );
}

/// A row of the table as the code would have it.
fn row((module, uses): (&String, &Uses)) -> String {
    let list = |names: &Set| -> String {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.join(", ")
    };
    format!(
        "| {module} | {} | {} |\n",
        list(&uses.modules),
        list(&uses.crates)
    )
}

#[test]
fn the_domain_is_pure() {
    let mut impure = Vec::new();
    for file in module_files("domain") {
        let source = read(&file);
        let names = names(without_tests(&source));
        for path in names.imports.iter().chain(&names.paths) {
            let path = path.join("::");
            let is_impure = |name: &&str| path == *name || path.starts_with(&format!("{name}::"));
            if IMPURE.iter().any(is_impure) {
                impure.push(format!("{file}: {path}"));
            }
        }
        let waits = ["async fn", "async move", "async {", ".await", "::now"];
        let found = waits
            .iter()
            .find(|word| without_tests(&source).contains(**word));
        impure.extend(found.map(|word| format!("{file}: {word}")));
    }
    assert!(
        impure.is_empty(),
        "the domain does I/O or reads a clock:\n{}",
        impure.join("\n")
    );
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let files = tracked("rs");
    let without: Vec<_> = files
        .iter()
        .filter(|file| !read(file).starts_with("//!"))
        .collect();
    assert!(
        without.is_empty(),
        "no //! in the first line of {without:#?}"
    );
}

#[test]
fn no_file_is_long() {
    let sized = tracked("rs")
        .into_iter()
        .filter(|file| file.starts_with("src/"));
    let sized = sized.map(|file| (read(&file).lines().count(), file));
    let mut many: Vec<(usize, String)> = sized.filter(|(lines, _)| *lines > MANY_LINES).collect();
    many.sort();
    let too_long = many.iter().filter(|(lines, _)| *lines > MOST_LINES);
    let too_long: Set = too_long.map(|(_, file)| file.clone()).collect();
    let excused: Set = TOO_LONG_FOR_NOW.map(str::to_owned).into();
    let wrong: Vec<_> = too_long.symmetric_difference(&excused).collect();
    assert!(
        wrong.is_empty(),
        "over {MOST_LINES} lines and not in TOO_LONG_FOR_NOW, or in it without need: {wrong:#?}\n\
         worth a thought, over {MANY_LINES} lines: {many:#?}"
    );
}

#[test]
fn every_file_is_compiled() {
    let manifest = read("Cargo.toml");
    let stated = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"'));
    let mut reached: Set = Set::new();
    let mut waiting: Vec<String> = stated
        .chain(["src/lib.rs", "build.rs"])
        .map(str::to_owned)
        .collect();
    while let Some(file) = waiting.pop() {
        if !Path::new(ROOT).join(&file).is_file() || !reached.insert(file.clone()) {
            continue;
        }
        let path = Path::new(&file);
        let is_root = matches!(
            path.file_stem().and_then(|stem| stem.to_str()),
            Some("lib" | "main")
        );
        let folder = if is_root {
            path.parent().unwrap_or(Path::new("")).to_owned()
        } else {
            path.with_extension("")
        };
        let modules = names(&read(&file)).modules;
        waiting.extend(
            modules
                .iter()
                .map(|module| format!("{}/{module}.rs", folder.display())),
        );
    }
    let is_orphan = |file: &String| {
        (file.starts_with("src/") || file.starts_with("tests/")) && !reached.contains(file)
    };
    let orphans: Vec<_> = tracked("rs").into_iter().filter(is_orphan).collect();
    assert!(
        orphans.is_empty(),
        "declared by no `mod`, so never compiled: {orphans:#?}"
    );
}

#[test]
fn chart_and_crate_have_one_version() {
    let chart = read("charts/platform-gate/Chart.yaml");
    let field = |name: &str| {
        chart
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let version = Some(env!("CARGO_PKG_VERSION"));
    assert_eq!(field("version:"), version, "version in Chart.yaml");
    assert_eq!(field("appVersion:"), version, "appVersion in Chart.yaml");
}

#[test]
fn nothing_is_of_one_machine_or_unfinished() {
    // In parts, so that this file is none of those found.
    let paths = ["/ho|me/", "/ro|ot/", "/wo|rk/", "/Us|ers/"].map(|text| text.replace('|', ""));
    let marks = ["TO|DO", "FIX|ME", "X|XX", "W|IP"].map(|text| text.replace('|', ""));
    let mut found = Vec::new();
    for file in tracked("")
        .iter()
        .filter(|file| !file.starts_with("tests/data/"))
    {
        let text =
            String::from_utf8_lossy(&fs::read(Path::new(ROOT).join(file)).unwrap_or_default())
                .into_owned();
        for (number, line) in text.lines().enumerate() {
            let is_marked = marks
                .iter()
                .any(|mark| words(line).any(|word| word == mark));
            if is_marked || paths.iter().any(|path| line.contains(path.as_str())) {
                found.push(format!("{file}:{}: {line}", number + 1));
            }
        }
    }
    assert!(
        found.is_empty(),
        "machine paths or marks of unfinished work:\n{}",
        found.join("\n")
    );
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// The table of ARCHITECTURE.md: module, modules it may use, crates it may use.
fn table() -> BTreeMap<String, Uses> {
    let text = read("ARCHITECTURE.md");
    let rows = text
        .lines()
        .skip_while(|line| !line.starts_with("| module |"))
        .skip(2);
    let set = |cell: &str| -> Set {
        let names = cell.split([',', ' ']).filter(|name| !name.is_empty());
        names
            .map(|name| name.trim_matches('`').to_owned())
            .collect()
    };
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            assert!(
                cells.len() >= 5,
                "a row of ARCHITECTURE.md's table has too few cells: {line}"
            );
            let uses = Uses {
                modules: set(cells[2]),
                crates: set(cells[3]),
            };
            (cells[1].trim_matches('`').to_owned(), uses)
        })
        .collect()
}

/// What the modules use, tests left out.
fn used() -> BTreeMap<String, Uses> {
    let crates = crates();
    let mut used: BTreeMap<String, Uses> = BTreeMap::new();
    for module in names(&read("src/lib.rs")).modules {
        let uses = used.entry(module.clone()).or_default();
        for file in module_files(&module) {
            let source = read(&file);
            let names = names(without_tests(&source));
            let own = module_path(&file);
            let imports = names.imports.iter().map(|path| (path, false));
            for (path, looks_in_scope) in imports.chain(names.paths.iter().map(|path| (path, true)))
            {
                let first = path[0].as_str();
                let is_local =
                    names.modules.contains(first) || looks_in_scope && names.scope.contains(first);
                match in_crate(path, &own) {
                    Some(other) if other != module => {
                        uses.modules.insert(other);
                    }
                    None if crates.contains(first) && !is_local => {
                        uses.crates.insert(first.to_owned());
                    }
                    _ => {}
                }
            }
        }
    }
    used
}

/// The module of the crate root that a path leads into, if it begins in this crate.
fn in_crate(path: &[String], own: &[String]) -> Option<String> {
    let supers = path
        .iter()
        .take_while(|segment| *segment == "super")
        .count();
    match path[0].as_str() {
        "crate" => path.get(1).cloned(),
        "super" if supers < own.len() => own.first().cloned(),
        "super" => path.get(supers).cloned(),
        "self" => own.first().cloned(),
        _ => None,
    }
}

/// `src/domain/verdict/crio.rs` is `domain::verdict::crio`.
fn module_path(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/').map(str::to_owned).collect()
}

/// The dependencies of Cargo.toml, as code names them.
fn crates() -> Set {
    let manifest = read("Cargo.toml");
    let mut section = "";
    let mut crates = Set::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let ("[dependencies]", Some((name, _))) = (section, line.split_once(" = ")) {
            crates.insert(name.replace('-', "_"));
        }
    }
    crates
}

/// The files of a module, those of tests left out.
fn module_files(module: &str) -> Vec<String> {
    let (file, folder) = (format!("src/{module}.rs"), format!("src/{module}/"));
    let is_of =
        |path: &String| *path == file || path.starts_with(&folder) && !path.ends_with("/tests.rs");
    tracked("rs").into_iter().filter(is_of).collect()
}

/// The files of the repository with that extension, or all, sorted. Without git, those in the folder.
pub(crate) fn tracked(extension: &str) -> Vec<String> {
    let git = Command::new("git")
        .args([
            "-C",
            ROOT,
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output();
    let listed = git.ok().filter(|output| output.status.success());
    let all: BTreeSet<String> = match listed {
        Some(output) => String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect(),
        None => walk(PathBuf::from(ROOT)),
    };
    let fits = |file: &String| {
        extension.is_empty() || Path::new(file).extension().is_some_and(|e| e == extension)
    };
    let exists = |file: &String| Path::new(ROOT).join(file).is_file();
    all.into_iter().filter(fits).filter(exists).collect()
}

fn walk(folder: PathBuf) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            match path.is_dir() {
                true if name == "target" || name == ".git" => {}
                true => folders.push(path),
                false => {
                    let relative = path.strip_prefix(ROOT).unwrap_or(&path);
                    files.insert(relative.display().to_string());
                }
            }
        }
    }
    files
}

/// A text file of the repository.
pub(crate) fn read(file: &str) -> String {
    let path = Path::new(ROOT).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_fuzz_target_also_runs_as_a_property_test() {
    let read = |path: &str| fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let (package, functions) = (read("fuzz/Cargo.toml"), read("src/fuzz.rs"));
    let folder = fs::read_dir(Path::new(ROOT).join("fuzz/fuzz_targets")).unwrap();
    let name = |entry: fs::DirEntry| entry.path().file_stem().unwrap().display().to_string();
    let files: Set = folder.map(|entry| name(entry.unwrap())).collect();
    let listed = package
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"));
    let listed: Set = listed
        .map(|rest| rest.trim_end_matches(".rs\"").to_owned())
        .collect();
    assert_eq!(files, listed);
    let run = functions
        .lines()
        .filter_map(|line| line.trim().strip_prefix("super::"));
    let run: Set = run
        .map(|rest| rest.trim_end_matches(',').to_owned())
        .collect();
    assert_eq!(files, run);
    for name in files {
        let call = format!("platform_gate::fuzz::{name}(bytes)");
        assert!(
            read(&format!("fuzz/fuzz_targets/{name}.rs")).contains(&call),
            "{name}"
        );
    }
}
