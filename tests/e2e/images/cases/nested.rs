//! Entries without a platform, and indexes in indexes: what containerd has to open before it can choose.

use super::super::made::Entry::{For, Says, Silent};
use super::super::made::Image::{Artifact, Index, Lying, Single};
use super::super::program::Program;
use super::Outcome::Runs;
use super::{
    AMD64, ARM64, ATTESTATION, Case, EXEC_FORMAT, LYING_CONFIG, NO_MATCH, NOT_DOWNLOADED,
    NOT_SIZED, X86, case,
};

const OF_AMD64: super::super::made::Image = Index(&[For(ARM64), For(AMD64)]);
const OF_ARM64: super::super::made::Image = Index(&[For(ARM64)]);

#[rustfmt::skip] // a row is a line
pub(super) const ALL: &[Case] = &[
    // Entries without a platform: the config decides, and only the first is tried.
    case("silent-amd64", Index(&[Silent(Single(AMD64))]), Runs, "runs 0"),
    case("silent-arm64", Index(&[Silent(Single(ARM64))]), NO_MATCH, "cannot-run no-match"),
    case("silent-x86", Index(&[Silent(Single(X86))]), Runs, "runs 0"),
    case("silent-amd64-v3", Index(&[Silent(Single("linux/amd64/v3"))]), NO_MATCH, "cannot-run variant"),
    case("silent-without-os", Index(&[Silent(Single("/amd64"))]), Runs, "runs 0"),
    case("silent-arm64-then-amd64", Index(&[Silent(Single(ARM64)), Silent(Single(AMD64))]), NO_MATCH, "cannot-run no-match"),
    case("silent-artifact-then-amd64", Index(&[Silent(Artifact), Silent(Single(AMD64))]), NO_MATCH, "cannot-run no-match"),
    case("silent-before-match", Index(&[Silent(Single(ARM64)), For(AMD64)]), Runs, "runs 1"),
    case("silent-after-match", Index(&[For(AMD64), Silent(Lying(AMD64, Program::Arm64))]), Runs, "runs 0"),
    case("silent-lying", Index(&[Silent(Lying(AMD64, Program::Arm64))]), EXEC_FORMAT, "runs 0").flawed(LYING_CONFIG),
    // Other entries have platforms, none of them fits, and so containerd has not downloaded them. It takes the one without a
    // platform, and then asks for the size of another.
    case("silent-after-arm64", Index(&[For(ARM64), Silent(Single(AMD64))]), NOT_SIZED, "unknown platformless-entry"),
    case("silent-before-arm64", Index(&[Silent(Single(AMD64)), For(ARM64)]), NOT_SIZED, "unknown platformless-entry"),
    case("silent-attested", Index(&[Silent(Single(AMD64)), For(ATTESTATION)]), NOT_SIZED, "unknown platformless-entry"),
    case("nested-after-arm64", Index(&[For(ARM64), Silent(OF_AMD64)]), NOT_SIZED, "unknown platformless-entry"),
    case("nested-silent-after-arm64", Index(&[Silent(Index(&[For(ARM64), Silent(Single(AMD64))]))]), NOT_SIZED, "unknown platformless-entry"),
    case("silent-arm64-after-arm64", Index(&[For(ARM64), Silent(Single(ARM64))]), NO_MATCH, "cannot-run no-match"),
    // Indexes in indexes.
    case("nested", Index(&[Silent(OF_AMD64)]), Runs, "runs 0"),
    case("nested-without-amd64", Index(&[Silent(OF_ARM64)]), NO_MATCH, "cannot-run no-match"),
    case("nested-empty", Index(&[Silent(Index(&[]))]), NO_MATCH, "cannot-run no-match"),
    case("nested-twice", Index(&[Silent(Index(&[Silent(OF_AMD64)]))]), Runs, "runs 0"),
    case("nested-thrice", Index(&[Silent(Index(&[Silent(Index(&[Silent(OF_AMD64)]))]))]), Runs, "unknown too-large"),
    case("nested-after-match", Index(&[For(AMD64), Silent(OF_ARM64)]), Runs, "runs 0"),
    case("nested-before-match", Index(&[Silent(OF_ARM64), For(AMD64)]), Runs, "runs 1"),
    case("nested-arm64-then-amd64", Index(&[Silent(OF_ARM64), Silent(OF_AMD64)]), NO_MATCH, "cannot-run no-match"),
    case("nested-amd64-then-arm64", Index(&[Silent(OF_AMD64), Silent(OF_ARM64)]), Runs, "runs 0"),
    case("nested-arm64-then-silent-amd64", Index(&[Silent(OF_ARM64), Silent(Single(AMD64))]), NO_MATCH, "cannot-run no-match"),
    case("nested-silent-amd64", Index(&[Silent(Index(&[Silent(Single(AMD64))]))]), Runs, "runs 0"),
    // Indexes in indexes, with a platform.
    case("nested-for-amd64", Index(&[Says(AMD64, OF_AMD64)]), Runs, "runs 0"),
    case("nested-for-arm64", Index(&[Says(ARM64, OF_AMD64)]), NO_MATCH, "cannot-run no-match"),
    case("nested-for-amd64-without", Index(&[Says(AMD64, OF_ARM64)]), NO_MATCH, "cannot-run no-match"),
    case("nested-for-amd64-without-then-amd64", Index(&[Says(AMD64, OF_ARM64), For(AMD64)]), NO_MATCH, "cannot-run no-match"),
    case("nested-for-x86-of-amd64", Index(&[Says(X86, OF_AMD64)]), NOT_DOWNLOADED, "unknown fallback-only"),
];
