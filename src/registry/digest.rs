//! Checks bytes against the digest that was asked for and the one that the registry announced.

use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::domain::image::Digest;
use crate::domain::lookup::LookupFailure;

/// The digest that a document is known by, once its bytes are shown to have it: the one asked for, else the one
/// announced, else its sha256.
pub(super) fn verify(
    bytes: &[u8],
    requested: Option<&Digest>,
    announced: Option<&Digest>,
) -> Result<Digest, LookupFailure> {
    for digest in requested.into_iter().chain(announced) {
        if compute(digest.algorithm(), bytes).as_ref() != Some(digest) {
            return Err(LookupFailure::DigestMismatch);
        }
    }
    match requested.or(announced) {
        Some(digest) => Ok(digest.clone()),
        None => compute("sha256", bytes).ok_or(LookupFailure::Internal),
    }
}

fn compute(algorithm: &str, bytes: &[u8]) -> Option<Digest> {
    let hash = match algorithm {
        "sha256" => Sha256::digest(bytes).to_vec(),
        "sha384" => Sha384::digest(bytes).to_vec(),
        "sha512" => Sha512::digest(bytes).to_vec(),
        _ => return None,
    };
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Digest::parse(&format!("{algorithm}:{hex}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_must_have_every_digest_that_was_named() {
        let digest = |text: &[u8], algorithm| compute(algorithm, text).unwrap();
        let (a, b, middle, long) = (
            digest(b"a", "sha256"),
            digest(b"b", "sha256"),
            digest(b"a", "sha384"),
            digest(b"a", "sha512"),
        );
        let mismatch = Err(LookupFailure::DigestMismatch);
        for (requested, announced, want) in [
            (None, None, Ok(&a)),
            (Some(&a), None, Ok(&a)),
            (None, Some(&a), Ok(&a)),
            (None, Some(&long), Ok(&long)),
            (Some(&long), Some(&a), Ok(&long)),
            (Some(&middle), None, Ok(&middle)),
            (Some(&b), None, mismatch),
            (None, Some(&b), mismatch),
            (Some(&a), Some(&b), mismatch),
            (Some(&b), Some(&b), mismatch),
        ] {
            assert_eq!(verify(b"a", requested, announced), want.cloned());
        }
        assert!(a.hex().starts_with("ca978112ca1bbdca"));
        assert!(middle.hex().starts_with("54a59b9f22b0b808"));
    }
}
