//! Removes the cgroups of a run's containers, which no namespace takes with it. runc removes those of containers that end
//! in an orderly way; the end of a run is not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait::until;

const ROOT: &str = "/sys/fs/cgroup";

/// Removes them from every hierarchy as soon as their last process is gone. containerd's log tells which they are: the
/// machine may have other containers.
pub(crate) fn remove_of_run(logs: &Path) -> Result<()> {
    let log = fs::read_to_string(logs.join("containerd.log")).unwrap_or_default();
    let ids = container_ids(&log);
    for parent in parents()? {
        for cgroup in ids
            .iter()
            .map(|id| parent.join(id))
            .filter(|path| path.is_dir())
        {
            let what = format!("removing {}", cgroup.display());
            until(&what, Duration::from_secs(20), || {
                Ok(remove(&cgroup).then_some(()))
            })?;
        }
        // Refused if it holds others.
        let _ = fs::remove_dir(&parent);
    }
    Ok(())
}

/// Everything that has the form of a container's id: what is none names no cgroup.
fn container_ids(log: &str) -> BTreeSet<&str> {
    let words = log.split(|character: char| !character.is_ascii_alphanumeric());
    words.filter(|word| word.len() == 64).collect()
}

/// Where containerd puts the kubelet's containers: below the root (version 2) or below each controller (version 1).
fn parents() -> Result<Vec<PathBuf>> {
    let hierarchies = fs::read_dir(ROOT).with_context(|| format!("cannot read {ROOT}"))?;
    let mut parents = vec![Path::new(ROOT).join("k8s.io")];
    parents.extend(
        hierarchies
            .flatten()
            .map(|entry| entry.path().join("k8s.io")),
    );
    parents.retain(|path| path.is_dir());
    Ok(parents)
}

fn remove(cgroup: &Path) -> bool {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    // Refused while there is a process in it or a cgroup below it.
    fs::remove_dir(cgroup).is_ok()
}
