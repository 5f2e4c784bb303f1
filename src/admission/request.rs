//! From the bytes of an `AdmissionReview` to its request.
//!
//! Strings are borrowed from the body wherever JSON allows it. Unknown fields are skipped, since API servers grow.
//! What is under review is the caller's type.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{API_VERSION, KIND};
use crate::domain::text::Text;

/// The group of kubelets.
const NODES: &str = "system:nodes";

/// What the API server asks about: who does what to which object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    rename_all = "camelCase",
    bound(deserialize = "T: Deserialize<'de>, 'de: 'a")
)]
pub struct AdmissionRequest<'a, T> {
    /// Names this call; the response has to repeat it.
    #[serde(default)]
    pub uid: Text<'a>,
    /// Kind of the object as it is sent.
    #[serde(default)]
    pub kind: GroupKind<'a>,
    /// Namespace of the object; absent for cluster-scoped ones.
    #[serde(default)]
    pub namespace: Option<Text<'a>>,
    /// What is being done.
    pub operation: Operation,
    /// Who does it.
    #[serde(default)]
    pub user_info: UserInfo,
    /// The object after the operation; absent on `DELETE`.
    #[serde(default)]
    pub object: Option<T>,
    /// The object before the operation; absent on `CREATE`.
    #[serde(default)]
    pub old_object: Option<T>,
    /// Whether nothing will be stored whatever the answer.
    #[serde(default)]
    pub dry_run: Option<bool>,
}

/// A kind and its group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GroupKind<'a> {
    /// API group; empty for the core group.
    #[serde(borrow)]
    pub group: Text<'a>,
    /// Kind, such as `Pod`.
    #[serde(borrow)]
    pub kind: Text<'a>,
}

/// Who sent the request to the API server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct UserInfo {
    /// Whether it is a kubelet: one of its groups is `system:nodes`.
    #[serde(rename = "groups", deserialize_with = "is_node")]
    pub is_node: bool,
}

/// Looks for one group and keeps none: they are of every request, and rarely asked for.
fn is_node<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct Groups;

    impl<'de> Visitor<'de> for Groups {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of groups")
        }

        fn visit_seq<S: SeqAccess<'de>>(self, mut groups: S) -> Result<bool, S::Error> {
            let mut found = false;
            while let Some(group) = groups.next_element::<Text<'de>>()? {
                found |= &*group == NODES;
            }
            Ok(found)
        }

        /// What the API server sends for none.
        fn visit_unit<E>(self) -> Result<bool, E> {
            Ok(false)
        }
    }

    deserializer.deserialize_any(Groups)
}

/// What is being done to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// A new object.
    Create,
    /// A change of an object.
    Update,
    /// The end of an object.
    Delete,
    /// `exec`, `attach`, `port-forward` and `proxy`.
    Connect,
}

impl Operation {
    /// The operation in lower case, as metrics label it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Connect => "connect",
        }
    }
}

/// Why a body is not a review that can be answered.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Nothing was sent.
    #[error("the body is empty: POST an AdmissionReview of {API_VERSION} as JSON")]
    Empty,
    /// Not JSON, or a field of the wrong type.
    #[error("the body does not read as an AdmissionReview of {API_VERSION}: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON of some other type.
    #[error(
        "the body is {kind:?} of {api_version:?}: only AdmissionReview of {API_VERSION} is answered, \
         so set admissionReviewVersions: [v1] in the webhook configuration"
    )]
    OtherType {
        /// `apiVersion` as sent; empty if absent.
        api_version: String,
        /// `kind` as sent; empty if absent.
        kind: String,
    },
    /// An `AdmissionReview` without a request, such as a response.
    #[error("the AdmissionReview has no request: responses are not accepted here")]
    NoRequest,
    /// A request that names no call.
    #[error("the request has no uid: the API server could not match the answer to its call")]
    NoUid,
    /// A review that there was no time for, where nothing may be admitted unchecked.
    #[error("too many reviews are being worked on: try again")]
    Overloaded,
}

/// The envelope around a request.
#[derive(Deserialize)]
#[serde(
    rename_all = "camelCase",
    bound(deserialize = "T: Deserialize<'de>, 'de: 'a")
)]
struct AdmissionReview<'a, T> {
    #[serde(default)]
    api_version: Text<'a>,
    #[serde(default)]
    kind: Text<'a>,
    #[serde(default = "Option::default")]
    request: Option<T>,
}

/// Reads the request out of the bytes of an `AdmissionReview`.
///
/// `T` is the type under review; `&RawValue` keeps it unread.
///
/// # Errors
/// When the body is not an `AdmissionReview` of `admission.k8s.io/v1` whose request carries a uid.
pub fn parse_review<'a, T>(body: &'a [u8]) -> Result<AdmissionRequest<'a, T>, ReviewError>
where
    T: Deserialize<'a>,
{
    let request: AdmissionRequest<'a, T> = parse_request(body)?;
    if request.uid.is_empty() {
        return Err(ReviewError::NoUid);
    }
    Ok(request)
}

/// Reads nothing but the uid, for the answer to a review that could not be finished.
///
/// # Errors
/// As [`parse_review`], except that the object is not looked at.
pub fn parse_uid(body: &[u8]) -> Result<String, ReviewError> {
    #[derive(Deserialize)]
    struct UidOnly<'a> {
        #[serde(borrow, default)]
        uid: Text<'a>,
    }
    let request: UidOnly<'_> = parse_request(body)?;
    if request.uid.is_empty() {
        return Err(ReviewError::NoUid);
    }
    Ok(request.uid.to_string())
}

fn parse_request<'a, R: Deserialize<'a>>(body: &'a [u8]) -> Result<R, ReviewError> {
    if body.trim_ascii().is_empty() {
        return Err(ReviewError::Empty);
    }
    // Checked once as a whole, text need not be checked again string by string.
    let read = match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str::<AdmissionReview<'a, R>>(text),
        Err(_) => serde_json::from_slice(body),
    };
    match read {
        Ok(review) => {
            check_type(&review.api_version, &review.kind)?;
            review.request.ok_or(ReviewError::NoRequest)
        }
        Err(error) => Err(explain(body, error)),
    }
}

fn check_type(api_version: &str, kind: &str) -> Result<(), ReviewError> {
    if api_version == API_VERSION && kind == KIND {
        return Ok(());
    }
    let cut = |text: &str| text.chars().take(64).collect();
    Err(ReviewError::OtherType {
        api_version: cut(api_version),
        kind: cut(kind),
    })
}

/// A body of another type is named as such: that its `request` does not read follows from it.
fn explain(body: &[u8], error: serde_json::Error) -> ReviewError {
    match serde_json::from_slice::<AdmissionReview<'_, serde::de::IgnoredAny>>(body) {
        Ok(review) => match check_type(&review.api_version, &review.kind) {
            Err(other_type) => other_type,
            Ok(()) => ReviewError::Json(error),
        },
        Err(_) => ReviewError::Json(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    const CREATE: &str = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{
        "uid":"u-1","kind":{"group":"","version":"v1","kind":"Pod"},
        "resource":{"group":"","version":"v1","resource":"pods"},
        "requestKind":{"group":"","version":"v1","kind":"Pod"},"name":"abc","namespace":"sh\u006fp",
        "operation":"CREATE","userInfo":{"username":"system:node:w1","groups":["system:nodes"],"extra":{"k":["v"]}},
        "object":{"metadata":{"name":"p"}},"oldObject":null,"dryRun":true,"options":{"x":[1,{}]}},"new":7}"#;

    #[test]
    fn a_request_is_read_and_unknown_fields_are_skipped() {
        let request: AdmissionRequest<'_, &RawValue> = parse_review(CREATE.as_bytes()).unwrap();
        assert_eq!(&*request.uid, "u-1");
        assert_eq!(&*request.kind.kind, "Pod");
        assert_eq!(request.namespace.as_deref(), Some("shop"));
        assert_eq!(request.operation, Operation::Create);
        assert!(request.user_info.is_node);
        assert_eq!(
            request.object.unwrap().get(),
            r#"{"metadata":{"name":"p"}}"#
        );
        assert!(request.old_object.is_none());
        assert_eq!(request.dry_run, Some(true));
    }

    #[test]
    fn strings_are_borrowed_even_inside_options() {
        let request: AdmissionRequest<'_, &RawValue> = parse_review(CREATE.as_bytes()).unwrap();
        assert!(request.uid.is_borrowed());
        assert!(request.kind.kind.is_borrowed());
        assert!(!request.namespace.unwrap().is_borrowed());
    }

    #[test]
    fn null_fields_read_as_absent() {
        let body = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u",
            "operation":"DELETE","subResource":null,"name":null,"object":null,"dryRun":null,
            "userInfo":{"username":"x","groups":null}}}"#;
        let request: AdmissionRequest<'_, &RawValue> = parse_review(body.as_bytes()).unwrap();
        assert_eq!(request.operation, Operation::Delete);
        assert!(request.object.is_none());
        assert!(!request.user_info.is_node);
    }

    #[test]
    fn junk_is_refused_with_what_is_wrong() {
        let cases: &[(&str, &str)] = &[
            ("", "body is empty"),
            ("  \n", "body is empty"),
            ("hello", "does not read"),
            ("[1,2", "does not read"),
            ("{}", "only AdmissionReview"),
            (r#"{"kind":"Pod","apiVersion":"v1"}"#, r#""Pod" of "v1""#),
            (
                r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"u"}}"#,
                "admissionReviewVersions",
            ),
            (
                r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}"#,
                "no request",
            ),
            (
                r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"operation":"CREATE"}}"#,
                "no uid",
            ),
            (
                r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"","operation":"CREATE"}}"#,
                "no uid",
            ),
            (
                r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u"}}"#,
                "operation",
            ),
            (
                r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":7,"operation":"CREATE"}}"#,
                "line 1",
            ),
        ];
        for (body, want) in cases {
            let error = parse_review::<&RawValue>(body.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains(want), "{body}: {error}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!(
            r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","x":{}"#,
            "[".repeat(100_000)
        );
        assert!(parse_review::<&RawValue>(deep.as_bytes()).is_err());
    }

    #[test]
    fn the_uid_alone_can_be_had() {
        assert_eq!(parse_uid(CREATE.as_bytes()).unwrap(), "u-1");
        assert!(parse_uid(b"{}").is_err());
    }
}
