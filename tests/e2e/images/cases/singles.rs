//! Single manifests and artifacts, run or mounted as volumes.

use super::super::made::Entry::For;
use super::super::made::Image::{Artifact, DockerSingle, Index, Lying, OldDockerSingle, Single};
use super::super::program::Program;
use super::Outcome::Runs;
use super::{
    AMD64, ARM64, Case, EXEC_FORMAT, LYING_CONFIG, NO_MATCH, NOTHING_TO_START, WINDOWS_2022, X86,
    case,
};

#[rustfmt::skip] // a row is a line
pub(super) const ALL: &[Case] = &[
    // containerd does not look at the config of a single manifest: what counts is the program.
    case("single-amd64", Single(AMD64), Runs, "runs"),
    case("single-docker", DockerSingle(AMD64), Runs, "runs"),
    case("single-old-docker", OldDockerSingle(AMD64), Runs, "runs"),
    case("single-upper-case", Single("Linux/AMD64"), Runs, "runs"),
    case("single-x86-64", Single("linux/x86_64"), Runs, "runs"),
    case("single-x86", Single(X86), Runs, "runs"),
    case("single-arm64", Single(ARM64), EXEC_FORMAT, "cannot-run arch"),
    case("single-docker-arm64", DockerSingle(ARM64), EXEC_FORMAT, "cannot-run arch"),
    case("single-windows", Single(WINDOWS_2022), EXEC_FORMAT, "cannot-run os"),
    case("single-wasm", Single("wasi/wasm"), EXEC_FORMAT, "cannot-run os"),
    case("single-amd64-v3", Single("linux/amd64/v3"), Runs, "unknown cpu-level"),
    case("single-without-os", Single("/amd64"), Runs, "unknown incomplete-config"),
    case("single-without-architecture", Single("linux/"), Runs, "unknown incomplete-config"),
    case("says-arm64-is-amd64", Lying(ARM64, Program::Amd64), Runs, "cannot-run arch").flawed(LYING_CONFIG),
    case("says-amd64-is-arm64", Lying(AMD64, Program::Arm64), EXEC_FORMAT, "runs").flawed(LYING_CONFIG),
    case("artifact", Artifact, NOTHING_TO_START, "unknown artifact"),
    // Volumes: nothing is run, so the index alone decides.
    case("volume", Index(&[For(ARM64), For(AMD64)]), Runs, "runs 1").as_volume(),
    case("volume-arm64", Index(&[For(ARM64)]), NO_MATCH, "cannot-run no-match").as_volume(),
    case("volume-single-arm64", Single(ARM64), Runs, "runs").as_volume(),
    case("volume-single-windows", Single(WINDOWS_2022), Runs, "runs").as_volume(),
    case("volume-artifact", Artifact, Runs, "unknown artifact").as_volume(),
];
