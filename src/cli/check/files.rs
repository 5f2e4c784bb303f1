//! The files that `check -f` names: files, folders with all that is in them, and stdin.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A file to read, and what to call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    path: Option<PathBuf>,
    /// Whether the user named it, rather than its folder.
    pub(super) named: bool,
}

/// What stdin is called in reports.
const STDIN: &str = "stdin";

impl Source {
    /// The path as the user would write it.
    pub(super) fn name(&self) -> String {
        self.path
            .as_deref()
            .map_or_else(|| STDIN.to_owned(), |path| path.display().to_string())
    }

    pub(super) fn read(&self) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        match &self.path {
            None => drop(std::io::stdin().lock().read_to_end(&mut bytes)?),
            Some(path) => bytes = std::fs::read(path)?,
        }
        String::from_utf8(bytes).context("it is no UTF-8 text")
    }
}

/// The sources behind the arguments of `-f`, the files of a folder in the order of their names. A folder that cannot
/// be read is told by its name.
pub(super) fn find(arguments: &[PathBuf]) -> Vec<Result<Source, (PathBuf, std::io::Error)>> {
    let mut found = Vec::new();
    for argument in arguments {
        if argument.as_os_str() == "-" {
            found.push(Ok(Source {
                path: None,
                named: true,
            }));
        } else if argument.is_dir() {
            walk(argument, &mut found);
        } else {
            found.push(Ok(Source {
                path: Some(argument.clone()),
                named: true,
            }));
        }
    }
    found
}

/// Collects the manifests in a folder and below. Hidden folders hold no manifests, and links to folders may lead in
/// circles.
fn walk(folder: &Path, found: &mut Vec<Result<Source, (PathBuf, std::io::Error)>>) {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return found.push(Err((folder.to_owned(), error))),
    };
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&path, found),
            Ok(_) if is_manifest(&path) && path.is_file() => found.push(Ok(Source {
                path: Some(path),
                named: false,
            })),
            Ok(_) => {}
            Err(error) => found.push(Err((path, error))),
        }
    }
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| matches!(extension, "yaml" | "yml" | "json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_for_manifests() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "b/deep.yml",
            "a.yaml",
            "c.json",
            "notes.txt",
            ".git/config.yaml",
            "b/.hidden.yaml",
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "kind: Pod").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("circle")).unwrap();
        let arguments = [
            folder.path().to_owned(),
            PathBuf::from("-"),
            PathBuf::from("x"),
        ];
        let names: Vec<String> = find(&arguments)
            .into_iter()
            .map(|source| source.unwrap().name())
            .collect();
        let in_folder = |name: &str| folder.path().join(name).display().to_string();
        let want = [
            in_folder("a.yaml"),
            in_folder("b/deep.yml"),
            in_folder("c.json"),
            STDIN.to_owned(),
            "x".to_owned(),
        ];
        assert_eq!(names, want);
    }
}
