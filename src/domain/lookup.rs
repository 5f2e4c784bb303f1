//! Why a registry could not tell what an image is. A failed look-up is a value that the policy decides on, never an
//! error, and it never says what the registry, its token server or a header said (OPERATIONS S4).

use std::fmt;

/// The reason a look-up ended without an image. Each has a stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LookupFailure {
    /// The reference does not follow the grammar of image references.
    InvalidReference,
    /// The registry has no such repository, tag or digest.
    NotFound,
    /// The registry wants credentials that nobody gave, or refused those given.
    Unauthorized,
    /// The registry knows the caller and says no.
    Forbidden,
    /// The registry has no such image, or lets nobody in who was tried; which of these is not for the caller to know.
    NotReadable,
    /// The registry asks callers to slow down.
    RateLimited,
    /// No connection, no name, or an error of the server's own.
    Unreachable,
    /// No answer before the deadline.
    Timeout,
    /// The TLS handshake failed: an unknown CA, a wrong name, an expired certificate.
    Tls,
    /// The answer is no manifest, no index, or both at once.
    Malformed,
    /// The answer is larger than any manifest may be.
    TooLarge,
    /// The address is one that platform-gate must not connect to.
    Blocked,
    /// The bytes do not have the digest that was asked for or announced.
    DigestMismatch,
    /// Too many look-ups are under way.
    Overloaded,
    /// platform-gate itself failed.
    Internal,
}

impl LookupFailure {
    /// All reasons, for tables and tests.
    pub const ALL: [Self; 15] = [
        Self::InvalidReference,
        Self::NotFound,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotReadable,
        Self::RateLimited,
        Self::Unreachable,
        Self::Timeout,
        Self::Tls,
        Self::Malformed,
        Self::TooLarge,
        Self::Blocked,
        Self::DigestMismatch,
        Self::Overloaded,
        Self::Internal,
    ];

    /// The stable kebab-case code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidReference => "invalid-reference",
            Self::NotFound => "not-found",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotReadable => "not-readable",
            Self::RateLimited => "rate-limited",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::Blocked => "blocked",
            Self::DigestMismatch => "digest-mismatch",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }

    /// What happened, as a clause that follows the image's name.
    #[must_use]
    pub fn explain(self) -> &'static str {
        match self {
            Self::InvalidReference => "is not a valid image reference",
            Self::NotFound => "was not found in its registry",
            Self::Unauthorized => "cannot be read: the registry asks for credentials",
            Self::Forbidden => "cannot be read: the registry refuses access",
            Self::NotReadable => {
                "cannot be read: it does not exist, or the registry refuses access"
            }
            Self::RateLimited => "cannot be read now: the registry limits the rate of requests",
            Self::Unreachable => "cannot be read: the registry is not reachable",
            Self::Timeout => "cannot be read: the registry did not answer in time",
            Self::Tls => "cannot be read: the registry's TLS certificate is not trusted",
            Self::Malformed => "cannot be judged: the registry's answer is not a valid manifest",
            Self::TooLarge => "cannot be judged: the registry's answer is too large",
            Self::Blocked => "was not looked up: its registry's address is blocked",
            Self::DigestMismatch => {
                "cannot be judged: the registry's answer does not match its digest"
            }
            Self::Overloaded => "was not looked up: too many look-ups are under way",
            Self::Internal => "was not looked up: an internal error, see its log",
        }
    }
}

impl fmt::Display for LookupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique() {
        let codes: BTreeSet<_> = LookupFailure::ALL.iter().map(|f| f.code()).collect();
        assert_eq!(codes.len(), LookupFailure::ALL.len());
    }
}
