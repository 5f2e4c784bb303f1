//! Images named by digest: that of an entry makes a single manifest of it.

use super::super::made::Entry::{For, Silent};
use super::super::made::Image::Index;
use super::Outcome::Runs;
use super::{AMD64, ARM64, Case, EXEC_FORMAT, NO_MATCH, Pin, X86, case};

const BOTH: super::super::made::Image = Index(&[For(ARM64), For(AMD64)]);

#[rustfmt::skip] // a row is a line
pub(super) const ALL: &[Case] = &[
    case("pinned-index", BOTH, Runs, "runs 1").pinned(Pin::Digest),
    case("pinned-arm64-index", Index(&[For(ARM64)]), NO_MATCH, "cannot-run no-match").pinned(Pin::Digest),
    case("pinned-amd64", BOTH, Runs, "runs").pinned(Pin::Entry(1)),
    case("pinned-arm64", BOTH, EXEC_FORMAT, "cannot-run arch").pinned(Pin::Entry(0)),
    case("pinned-x86", Index(&[For(X86)]), Runs, "runs").pinned(Pin::Entry(0)),
    case("tagged-and-pinned-amd64", BOTH, Runs, "runs").pinned(Pin::TagAndEntry(1)),
    case("tagged-and-pinned-arm64", BOTH, EXEC_FORMAT, "cannot-run arch").pinned(Pin::TagAndEntry(0)),
    case("pinned-nested", Index(&[For(ARM64), Silent(BOTH)]), Runs, "runs 1").pinned(Pin::Entry(1)),
];
