//! Indexes whose entries name platforms, or fail to.

use super::super::made::Entry::{For, Says, Silent, Untyped};
use super::super::made::Image::{
    Artifact, DockerList, Index, IndexAndManifest, Lying, Real, Single, UntypedIndex,
};
use super::super::program::Program;
use super::Outcome::{NotPulled, Runs};
use super::{
    AMD64, ARM64, ATTESTATION, Case, EXEC_FORMAT, LYING_ENTRY, NO_MATCH, NOT_DOWNLOADED,
    NOTHING_TO_START, WINDOWS_2019, WINDOWS_2022, X86, case,
};

/// An entry for the node that would fail if it were chosen.
const TRAP: super::super::made::Entry = Says(AMD64, Lying(AMD64, Program::Arm64));

#[rustfmt::skip] // a row is a line
pub(super) const ALL: &[Case] = &[
    // Entries for the node.
    case("runs", Index(&[For(AMD64), For(ARM64)]), Runs, "runs 0"),
    case("amd64-only", Index(&[For(AMD64)]), Runs, "runs 0"),
    case("amd64-last", Index(&[For(ARM64), For(WINDOWS_2022), For(AMD64)]), Runs, "runs 2"),
    case("amd64-twice", Index(&[For(AMD64), TRAP]), Runs, "runs 0"),
    case("mixed", Index(&[For(WINDOWS_2022), For(AMD64)]), Runs, "runs 1"),
    case("docker-list", DockerList(&[For(ARM64), For(AMD64)]), Runs, "runs 1"),
    case("untyped-index", UntypedIndex(&[For(ARM64), For(AMD64)]), Runs, "runs 1"),
    // No entry for the node.
    case("arm64-only", Index(&[For(ARM64)]), NO_MATCH, "cannot-run no-match"),
    case("arm64-v8", Index(&[For("linux/arm64/v8")]), NO_MATCH, "cannot-run no-match"),
    case("arm-v7", Index(&[For("linux/arm/v7")]), NO_MATCH, "cannot-run no-match"),
    case("s390x-only", Index(&[For("linux/s390x")]), NO_MATCH, "cannot-run no-match"),
    case("windows-only", Index(&[For(WINDOWS_2019), For(WINDOWS_2022)]), NO_MATCH, "cannot-run no-match"),
    case("wasm-only", Index(&[For("wasi/wasm")]), NO_MATCH, "cannot-run no-match"),
    case("docker-list-arm64", DockerList(&[For(ARM64)]), NO_MATCH, "cannot-run no-match"),
    case("empty-index", Index(&[]), NO_MATCH, "cannot-run no-match"),
    // Real images, whose lists alone decide.
    case("hello-world:nanoserver", Real, NO_MATCH, "cannot-run no-match"),
    case("clefos:7.4.1708", Real, NO_MATCH, "cannot-run no-match"),
    // Variants of amd64.
    case("amd64-v1", Index(&[For("linux/amd64/v1")]), Runs, "runs 0"),
    case("amd64-v2", Index(&[For("linux/amd64/v2")]), NO_MATCH, "cannot-run variant"),
    case("amd64-v3", Index(&[For("linux/amd64/v3")]), NO_MATCH, "cannot-run variant"),
    case("amd64-bare-1", Index(&[For("linux/amd64/1")]), NO_MATCH, "cannot-run variant"),
    case("amd64-v2-and-plain", Index(&[For("linux/amd64/v2"), For(AMD64)]), Runs, "runs 1"),
    // The fallback.
    case("x86-only", Index(&[For(X86)]), NOT_DOWNLOADED, "unknown fallback-only"),
    case("i386-only", Index(&[For("linux/i386")]), NOT_DOWNLOADED, "unknown fallback-only"),
    case("x86-and-amd64", Index(&[Says(X86, Lying(X86, Program::Arm64)), For(AMD64)]), Runs, "runs 1"),
    // Other spellings.
    case("upper-case", Index(&[For("LINUX/AMD64")]), Runs, "runs 0"),
    case("x86-64-underscore", Index(&[For("linux/x86_64")]), Runs, "runs 0"),
    case("x86-64-dash", Index(&[For("linux/x86-64")]), Runs, "runs 0"),
    case("i686", Index(&[For("linux/i686")]), NO_MATCH, "cannot-run no-match"),
    // Parts of a platform that are left out, or that do not count on Linux.
    case("no-os", Index(&[Says("/amd64", Single(AMD64))]), Runs, "runs 0"),
    case("no-architecture", Index(&[Says("linux/", Single(AMD64))]), NO_MATCH, "cannot-run no-match"),
    case("no-os-no-architecture", Index(&[Says("", Single(AMD64))]), NO_MATCH, "cannot-run no-match"),
    case("os-features", Index(&[For("linux/amd64+sse4")]), Runs, "runs 0"),
    case("os-version", Index(&[For("linux/amd64:6.1.0")]), Runs, "runs 0"),
    // Attestations and artifacts.
    case("attested", Index(&[For(ATTESTATION), For(AMD64), For(ATTESTATION)]), Runs, "runs 1"),
    case("attestations-only", Index(&[For(ATTESTATION)]), NO_MATCH, "cannot-run no-match"),
    case("artifact-after-amd64", Index(&[For(AMD64), Silent(Artifact)]), Runs, "runs 0"),
    case("artifact-before-amd64", Index(&[Silent(Artifact), For(AMD64)]), Runs, "runs 1"),
    case("artifact-entry", Index(&[Silent(Artifact)]), NO_MATCH, "cannot-run no-match"),
    case("artifact-for-amd64", Index(&[Says(AMD64, Artifact), For(AMD64)]), NOTHING_TO_START, "runs 0").flawed(LYING_ENTRY),
    // Documents that break the specification.
    case("untyped-entry", Index(&[Untyped(AMD64)]), NotPulled("could not fetch content descriptor"), "unknown malformed"),
    case("index-and-manifest", IndexAndManifest(&[For(AMD64)]), NotPulled("expected index but found manifest"), "unknown malformed"),
    // Entries that lie about what they point to: no runtime opens them before it starts them.
    case("says-amd64-is-arm64-entry", Index(&[Says(AMD64, Single(ARM64))]), EXEC_FORMAT, "runs 0").flawed(LYING_ENTRY),
    case("says-arm64-is-amd64-entry", Index(&[Says(ARM64, Single(AMD64))]), NO_MATCH, "cannot-run no-match"),
];
