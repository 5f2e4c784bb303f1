//! Whole messages, as a person reads them.

use std::sync::Arc;

use super::*;
use crate::domain::decision::{Handler, decide};
use crate::domain::image::{Digest, EntryContent, Image, ImageContent, ImageIndex, IndexEntry};
use crate::domain::inventory::NodeGroup;
use crate::domain::lookup::LookupFailure;
use crate::domain::node::{NodePlatform, Taint};
use crate::domain::platform::Platform;
use crate::domain::pod::{ImageField, PodImage};
use crate::domain::policy::Policy;

/// A cluster in one line: `3x linux/amd64`, or `0/3x linux/amd64` where none of the three is a candidate.
fn groups(text: &str) -> Vec<NodeGroup> {
    let group = |part: &str| {
        let (count, platform) = part.trim().split_once("x ").unwrap();
        let (candidates, nodes) = count.split_once('/').unwrap_or((count, count));
        let runtime = Some("containerd@1.7.20".parse().unwrap());
        let platform = NodePlatform::from_platform(&platform.parse().unwrap(), runtime);
        NodeGroup {
            platform: Arc::new(platform),
            candidates: candidates.parse().unwrap(),
            nodes: nodes.parse().unwrap(),
            refused_by_os: 0,
            open: None,
            are_pools: false,
        }
    };
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(group)
        .collect()
}

/// `name=image: platforms` for an index, `name=image! platform` for a single manifest, `name=image?` for one that no
/// registry knows.
fn resolved(text: &str) -> ResolvedImage<'_> {
    let (name, rest) = text.split_once('=').unwrap();
    let digest = Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap();
    let (image, content) = if let Some(image) = rest.strip_suffix('?') {
        (image, None)
    } else if let Some((image, platform)) = rest.split_once("! ") {
        (
            image,
            Some(ImageContent::Manifest(
                platform.parse::<Platform>().unwrap().into(),
            )),
        )
    } else {
        let (image, platforms) = rest.split_once(": ").unwrap();
        let entry = |word: &str| {
            IndexEntry::new(
                digest.clone(),
                Some(word.parse().unwrap()),
                EntryContent::Unread,
            )
        };
        (
            image,
            Some(ImageContent::Index(ImageIndex {
                manifests: platforms.split_whitespace().map(entry).collect(),
            })),
        )
    };
    let answer = content.map(|content| {
        Arc::new(Image {
            digest: digest.clone(),
            media_type: "".into(),
            content,
        })
    });
    let kind = ImageField::Container;
    ResolvedImage {
        image: PodImage {
            name,
            kind,
            position: 0,
            image,
            never_pulled: false,
            host_process: false,
        },
        answer: answer.ok_or(Doubt::Lookup(LookupFailure::NotFound)),
    }
}

fn say(cluster: &str, images: &[&str]) -> Message {
    let images = images.iter().map(|text| resolved(text)).collect();
    let assessment = Assessment::new(images, groups(cluster), Handler::default());
    let decision = decide(&Policy::default(), &assessment, None);
    describe(&assessment, &decision)
}

/// The same, where the nodes that are no candidates have a taint.
fn say_with_taints(cluster: &str, images: &[&str]) -> Message {
    let images = images.iter().map(|text| resolved(text)).collect();
    let mut assessment = Assessment::new(images, groups(cluster), Handler::default());
    for verdict in assessment
        .groups
        .iter_mut()
        .filter(|verdict| verdict.group.candidates == 0)
    {
        let taint = Taint {
            key: "os".into(),
            value: "windows".into(),
            effect: "NoSchedule".into(),
        };
        verdict.excluded = vec![(Exclusion::Taint(taint), 1)];
    }
    let decision = decide(&Policy::default(), &assessment, None);
    describe(&assessment, &decision)
}

const NANOSERVER: &str =
    "app=hello-world:nanoserver: windows/amd64:10.0.17134.885 windows/amd64:10.0.17763.615";

#[test]
fn the_story_names_fact_offers_nodes_and_cure() {
    let cluster =
        "1x windows/amd64:10.0.14393.2551, 0/2x windows/amd64:10.0.17763.1, 0/3x linux/amd64";
    insta::assert_snapshot!(say(cluster, &[NANOSERVER]).text, @r#"no matching manifest for windows/amd64 10.0.14393 in the manifest list entries: container "app" (image hello-world:nanoserver) offers windows/amd64:10.0.17134.885, windows/amd64:10.0.17763.615, all newer than the node. The pod can only land on 1 node windows/amd64 10.0.14393 (Windows Server 2016). To fix it, schedule it on the 2 nodes that can run it: nodeSelector: {node.kubernetes.io/windows-build: 10.0.17763}. Or use a tag of the image that is built for windows/amd64 10.0.14393 (to find one: platform-gate suggest hello-world:nanoserver --platform windows/amd64:10.0.14393)."#);
}

#[test]
fn a_linux_image_on_windows_and_the_reverse() {
    insta::assert_snapshot!(say("2x windows/amd64:10.0.20348", &["web=nginx:1: linux/amd64 linux/arm64"]).text, @r#"no matching manifest for windows/amd64 10.0.20348 in the manifest list entries: container "web" (image nginx:1) offers linux/amd64, linux/arm64. The pod can only land on 2 nodes windows/amd64 10.0.20348 (Windows Server 2022). To fix it, use a tag of the image that is built for windows/amd64 10.0.20348 (to find one: platform-gate suggest nginx:1 --platform windows/amd64:10.0.20348)."#);
    insta::assert_snapshot!(say("2x linux/amd64, 0/1x windows/amd64:10.0.17763", &[NANOSERVER]).text, @r#"no matching manifest for linux/amd64 in the manifest list entries: container "app" (image hello-world:nanoserver) offers windows/amd64:10.0.17134.885, windows/amd64:10.0.17763.615. The pod can only land on 2 nodes linux/amd64. To fix it, schedule it on the 1 node that can run it: nodeSelector: {kubernetes.io/os: windows}. Or use a tag of the image that is built for linux/amd64 (to find one: platform-gate suggest hello-world:nanoserver --platform linux/amd64)."#);
}

#[test]
fn single_manifests() {
    insta::assert_snapshot!(say("1x linux/amd64", &["web=mine:1! linux/arm64"]).text, @r#"exec format error: an image for linux/arm64 cannot run on linux/amd64: container "web" (image mine:1) offers linux/arm64. The pod can only land on 1 node linux/amd64. To fix it, use a tag of the image that is built for linux/amd64 (to find one: platform-gate suggest mine:1 --platform linux/amd64)."#);
    insta::assert_snapshot!(say("1x linux/amd64", &["web=mine:1! windows/amd64:10.0.17763.1"]).text, @r#"image operating system "windows" cannot be used on linux/amd64: container "web" (image mine:1) offers windows/amd64:10.0.17763.1. The pod can only land on 1 node linux/amd64. To fix it, use a tag of the image that is built for linux/amd64 (to find one: platform-gate suggest mine:1 --platform linux/amd64)."#);
    insta::assert_snapshot!(say("1x windows/amd64:10.0.20348", &["web=mine:1! windows/amd64:10.0.17763.1"]).text, @r#"the container operating system does not match the host operating system windows/amd64 10.0.20348: container "web" (image mine:1) offers windows/amd64:10.0.17763.1, all older than the node. The pod can only land on 1 node windows/amd64 10.0.20348 (Windows Server 2022). To fix it, use a tag of the image that is built for windows/amd64 10.0.20348 (to find one: platform-gate suggest mine:1 --platform windows/amd64:10.0.20348)."#);
}

#[test]
fn every_image_has_a_node_and_no_node_has_every_image() {
    let message = say(
        "2x linux/amd64, 1x windows/amd64:10.0.17763",
        &["web=nginx: linux/amd64", NANOSERVER],
    );
    insta::assert_snapshot!(message.text, @r#"no node can run all images of this pod: windows/amd64 10.0.17763 cannot run container "web" (image nginx), which offers linux/amd64; linux/amd64 cannot run container "app" (image hello-world:nanoserver), which offers windows/amd64:10.0.17134.885, windows/amd64:10.0.17763.615. The pod can only land on 2 nodes linux/amd64, 1 node windows/amd64 10.0.17763 (Windows Server 2019). To fix it, split the pod, one platform each."#);
    assert_eq!(message.causes.len(), 2);
}

#[test]
fn a_pod_that_may_land_wrong_is_told_the_selector() {
    let message = say(
        "2x linux/amd64, 4x windows/amd64:10.0.17763",
        &["web=nginx: linux/amd64"],
    );
    insta::assert_snapshot!(message.warnings.join("\n"), @r#"
    4 of the 6 nodes this pod may land on cannot run container "web" (image nginx): add nodeSelector: {kubernetes.io/os: linux}.
    They are 4 nodes windows/amd64 10.0.17763 (Windows Server 2019).
    "#);
}

#[test]
fn what_is_not_known() {
    insta::assert_snapshot!(say("1x linux/amd64", &["web=gone:1?"]).warnings.join("\n"), @r#"container "web" (image gone:1) was not found in its registry; platform-gate did not check it [not-found]."#);
    insta::assert_snapshot!(say("", &[NANOSERVER]).warnings.join("\n"), @r#"platform-gate knows no nodes yet; it did not check this pod's images."#);
    insta::assert_snapshot!(say("0/1x linux/amd64", &[NANOSERVER]).warnings.join("\n"), @"no node satisfies this pod's nodeName, nodeSelector, affinity and tolerations now; platform-gate did not check its images.");
    insta::assert_snapshot!(say("1x linux/arm64", &["web=old:1: linux/arm/v7"]).warnings.join("\n"), @r#"container "web" (image old:1) is 32-bit Arm; whether the CPU of linux/arm64 runs it is not known [aarch32]."#);
    assert_eq!(
        say("1x linux/amd64", &["web=nginx: linux/amd64"]),
        Message::default()
    );
}

#[test]
fn a_taint_in_the_way_of_the_cure_is_named() {
    let cluster = "2x linux/amd64, 0/3x windows/amd64:10.0.17763";
    insta::assert_snapshot!(say_with_taints(cluster, &[NANOSERVER]).warnings.join("\n"), @r#"
    no matching manifest for linux/amd64 in the manifest list entries: container "app" (image hello-world:nanoserver) offers windows/amd64:10.0.17134.885, windows/amd64:10.0.17763.615.
    The pod can only land on 2 nodes linux/amd64.
    To fix it, schedule it on the 3 nodes that can run it: nodeSelector: {kubernetes.io/os: windows}, and tolerate their taint os=windows:NoSchedule.
    Or use a tag of the image that is built for linux/amd64 (to find one: platform-gate suggest hello-world:nanoserver --platform linux/amd64).
    Left out: 3 nodes windows/amd64 10.0.17763 (by taint os=windows:NoSchedule).
    "#);
    insta::assert_snapshot!(say_with_taints("0/3x linux/amd64", &["web=nginx: linux/amd64"]).text, @"no node satisfies this pod's nodeName, nodeSelector, affinity and tolerations now; platform-gate did not check its images. Left out: 3 nodes linux/amd64 (by taint os=windows:NoSchedule).");
}

#[test]
fn spec_os_is_no_placement() {
    let mut groups = groups("2x linux/amd64, 0/3x windows/amd64:10.0.17763");
    groups[1].refused_by_os = 3;
    let assessment = Assessment::new(
        vec![resolved("web=nginx: linux/amd64")],
        groups,
        Handler::default(),
    );
    let decision = decide(&Policy::default(), &assessment, None);
    assert_eq!(decision.action, crate::domain::policy::Action::Warn);
    insta::assert_snapshot!(describe(&assessment, &decision).text, @"spec.os does not steer the scheduler: it may bind this pod to 3 nodes whose kubelets refuse it; add nodeSelector: {kubernetes.io/os: linux}.");
}
