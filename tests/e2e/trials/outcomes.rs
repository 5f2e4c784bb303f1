//! What the real node's kubelet and containerd do with images of every kind, and whether platform-gate foretells it.
//!
//! The cases are rows of `images::cases`; here every row is run, inspected and reviewed.

mod inspect;
mod observe;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::{Cluster, REAL_NODE};
use crate::images::Image;
use crate::images::cases::{self, Case, Outcome, Pin};
use crate::kubectl::Kubectl;
use crate::process::output;
use crate::progress::say;
use crate::wait::until;
use observe::Observed;

/// For all of them together: they start side by side.
const LIMIT: Duration = Duration::from_secs(90);
/// Images that share a pod. A sandbox for each would take most of the time.
const TOGETHER: usize = 8;

/// Pulls and starts every image on the real node, and holds what becomes of it against its row.
pub(crate) fn the_real_node_runs_what_it_can_and_says_why_not(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("outcomes")?;
    let pods =
        json!({"apiVersion": "v1", "kind": "List", "items": pods(cluster, namespace.name())?});
    kubectl.apply(&pods.to_string())?;
    let observed = observe_all(kubectl, namespace.name())?;
    let surprises = cases::all().filter_map(|case| match observed.get(&container_name(case)) {
        Some(seen) if seen.is(case.outcome) => None,
        seen => Some(format!(
            "{}: expected {:?}, seen {seen:?}",
            case.name, case.outcome
        )),
    });
    let surprises: Vec<String> = surprises.collect();
    ensure!(
        surprises.is_empty(),
        "the real node did otherwise:\n{}",
        surprises.join("\n")
    );
    tell_of_unforetold(&observed);
    Ok(())
}

/// All images in pods: those that run apart from those that do not, so that the former's pods end.
fn pods(cluster: &Cluster, namespace: &str) -> Result<Vec<Value>> {
    let (running, failing): (Vec<&Case>, Vec<&Case>) =
        cases::all().partition(|case| case.outcome == Outcome::Runs);
    let mut pods = Vec::new();
    for (kind, cases) in [("running", running), ("failing", failing)] {
        for (number, cases) in cases.chunks(TOGETHER).enumerate() {
            let images = cases
                .iter()
                .map(|case| Ok((*case, reference(cluster, case)?)));
            let mut pod = pod(
                namespace,
                &format!("{kind}-{number}"),
                &images.collect::<Result<Vec<_>>>()?,
            );
            pod["metadata"]["labels"] = json!({"images": kind});
            pods.push(pod);
        }
    }
    Ok(pods)
}

/// Waits until something has become of every image, and gives it by the container's name.
fn observe_all(kubectl: &Kubectl, namespace: &str) -> Result<BTreeMap<String, Observed>> {
    // Most of the time goes by here, where nothing polls. Whether all of them do run is seen below.
    let (condition, limit) = (
        "--for=jsonpath={.status.phase}=Succeeded",
        format!("--timeout={}s", LIMIT.as_secs()),
    );
    let running = [
        "wait",
        "pods",
        "-n",
        namespace,
        "-l",
        "images=running",
        condition,
        &limit,
    ];
    let _ = kubectl.run(&running);
    let (mut seen, mut pending) = (BTreeMap::new(), Vec::new());
    let decided = until("something becomes of every image", LIMIT, || {
        pending.clear();
        let pods = kubectl.get(&["pods", "-n", namespace])?;
        let pods = pods["items"].as_array().context("no pods")?;
        for status in pods.iter().flat_map(container_statuses) {
            let name = status["name"]
                .as_str()
                .context("a container without a name")?
                .to_owned();
            match Observed::of(status) {
                Some(observed) => drop(seen.insert(name, observed)),
                None => pending.push(name),
            }
        }
        Ok((pending.is_empty() && seen.len() == cases::all().count()).then_some(()))
    });
    decided.with_context(|| format!("nothing became of {pending:?}"))?;
    Ok(seen)
}

fn container_statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["status"]["containerStatuses"]
        .as_array()
        .into_iter()
        .flatten()
}

/// One line for every image that has no verdict, or a wrong one for a reason.
fn tell_of_unforetold(observed: &BTreeMap<String, Observed>) {
    for case in cases::all() {
        let Some(seen) = observed.get(&container_name(case)) else {
            continue;
        };
        if case.kind() == "unknown" {
            say(&format!(
                "{}: {}; the real node: {seen}",
                case.verdict, case.name
            ));
        } else if let Some(flaw) = case.flaw {
            say(&format!(
                "{}: {}, since {flaw}; the real node: {seen}",
                case.verdict, case.name
            ));
        }
    }
}

/// `platform-gate inspect`, told the real node's platform and runtime, gives every row's verdict, code and choice.
pub(crate) fn inspect_foretells_what_the_real_node_does(cluster: &Cluster) -> Result<()> {
    let cases: Vec<&Case> = cases::all().filter(|case| !case.volume).collect();
    let images: Result<Vec<String>> = cases.iter().map(|case| reference(cluster, case)).collect();
    let verdicts = inspect::verdicts(cluster, &images?)?;
    ensure!(
        verdicts.len() == cases.len(),
        "inspect printed {} lines",
        verdicts.len()
    );
    let wrong: Vec<String> = cases
        .iter()
        .zip(verdicts)
        .filter(|(case, verdict)| case.verdict != verdict)
        .map(|(case, verdict)| format!("{}: expected {}, got {verdict}", case.name, case.verdict))
        .collect();
    ensure!(wrong.is_empty(), "other verdicts:\n{}", wrong.join("\n"));
    Ok(())
}

/// Every image whose fate on the real node was seen while platform-gate was off gets the verdict from it that came true:
/// what runs is admitted in silence, what cannot is rejected, the rest is admitted with a warning.
pub(crate) fn verdicts_are_what_the_real_node_does(cluster: &Cluster) -> Result<()> {
    let kubectl = &cluster.kubectl;
    let namespace = kubectl.namespace("verdicts")?;
    for case in cases::all() {
        ensure!(
            case.came_true() || case.flaw.is_some(),
            "{} is judged {}, and on the real node it is {:?}",
            case.name,
            case.verdict,
            case.outcome
        );
        let image = reference(cluster, case)?;
        review(kubectl, namespace.name(), case, &image)
            .with_context(|| format!("{image}, seen before to end as {:?}", case.outcome))?;
    }
    Ok(())
}

fn review(kubectl: &Kubectl, namespace: &str, case: &Case, image: &str) -> Result<()> {
    let pod = pod(namespace, "pod", &[(case, image.to_owned())]).to_string();
    if case.kind() == "cannot-run" {
        let message = kubectl.rejects(&pod)?;
        ensure!(
            message.contains("linux/amd64") && message.contains(image),
            "{message}"
        );
        return Ok(());
    }
    let warnings = kubectl.accepts(&pod)?;
    ensure!(
        warnings.is_empty() == (case.kind() == "runs"),
        "judged {}, admitted with the warnings {warnings:?}",
        case.verdict
    );
    Ok(())
}

fn container_name(case: &Case) -> String {
    case.name.replace([':', '.'], "-")
}

/// A pod that can only run on the real node. Its containers run the images, or mount them into one that runs.
fn pod(namespace: &str, name: &str, images: &[(&Case, String)]) -> Value {
    let volume = |(case, image): &(&Case, String)| {
        let volume = json!({"name": container_name(case), "image": {"reference": image}});
        case.volume.then_some(volume)
    };
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": {"kubernetes.io/hostname": REAL_NODE},
            "containers": images.iter().map(|(case, image)| container(case, image)).collect::<Vec<_>>(),
            "volumes": images.iter().filter_map(volume).collect::<Vec<_>>(),
        },
    })
}

fn container(case: &Case, image: &str) -> Value {
    let name = container_name(case);
    let mut container = json!({
        "name": name,
        "image": image,
        "args": ["exit", "0"],
        // What is printed of a program that does not start is in the pod's status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    if case.volume {
        container["image"] = json!("test/runs:1");
        container["volumeMounts"] = json!([{"name": name, "mountPath": "/image"}]);
    }
    container
}

/// The image as a pod names it. A made one names its registry: where a mirror's answer cannot be read, the registry's own
/// counts, and there is none behind the mirrors.
fn reference(cluster: &Cluster, case: &Case) -> Result<String> {
    let tagged = match case.image {
        Image::Real => case.tagged(),
        _ => format!("{}/{}", cluster.registry.host(), case.tagged()),
    };
    let (name, _) = tagged.rsplit_once(':').context("no tag")?;
    let crane = |command: &str| output(cluster.command("crane").args([command, &tagged]));
    let entry = |position: usize| -> Result<String> {
        let index: Value = serde_json::from_str(&crane("manifest")?)?;
        let digest = index["manifests"][position]["digest"].as_str();
        digest
            .map(str::to_owned)
            .with_context(|| format!("{index} has no entry {position}"))
    };
    Ok(match case.pin {
        Pin::Digest => format!("{name}@{}", crane("digest")?.trim()),
        Pin::Entry(position) => format!("{name}@{}", entry(position)?),
        Pin::TagAndEntry(position) => format!("{tagged}@{}", entry(position)?),
        Pin::Tag => tagged,
    })
}
