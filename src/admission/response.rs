//! From an answer to the bytes of an `AdmissionReview`.
//!
//! The last border before the API server: the bounds of [`Answer::bounded`] hold for whatever is written here.

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::answer::Annotation;
use super::{API_VERSION, Answer, Cause, KIND};

/// The `AdmissionReview` that answers the call named by `uid`.
///
/// A denial is 403 Forbidden: with a code below 400 the API server would make it a bad request, and a code that
/// invites a retry would have controllers repeat what cannot change.
#[must_use]
pub fn write_response(uid: &str, answer: Answer) -> Vec<u8> {
    let answer = answer.bounded();
    let response = Response {
        uid,
        allowed: answer.allowed,
        status: (!answer.allowed).then(|| Status::forbidden(&answer)),
        warnings: &answer.warnings,
        audit_annotations: Annotations(&answer.audit_annotations),
        patch_type: answer.patch.is_some().then_some("JSONPatch"),
        patch: answer
            .patch
            .as_ref()
            .map(|patch| BASE64_STANDARD.encode(patch)),
    };
    let mut bytes = Vec::with_capacity(256);
    for part in ENVELOPE {
        bytes.extend_from_slice(part.as_bytes());
    }
    serde_json::to_writer(&mut bytes, &response)
        .expect("strings, numbers and string keys always serialize into memory");
    bytes.push(b'}');
    bytes
}

/// What is the same around every response, and is not escaped anew.
const ENVELOPE: [&str; 5] = [
    r#"{"apiVersion":""#,
    API_VERSION,
    r#"","kind":""#,
    KIND,
    r#"","response":"#,
];

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    audit_annotations: Annotations<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
}

#[derive(serde::Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Details::is_empty")]
    details: Details<'a>,
}

impl<'a> Status<'a> {
    fn forbidden(answer: &'a Answer) -> Self {
        Self {
            code: 403,
            reason: "Forbidden",
            message: &answer.message,
            details: Details {
                causes: answer.causes.iter().map(StatusCause::from).collect(),
            },
        }
    }
}

#[derive(serde::Serialize)]
struct Details<'a> {
    causes: Vec<StatusCause<'a>>,
}

impl Details<'_> {
    fn is_empty(&self) -> bool {
        self.causes.is_empty()
    }
}

#[derive(serde::Serialize)]
struct StatusCause<'a> {
    reason: &'a str,
    field: &'a str,
    message: &'a str,
}

impl<'a> From<&'a Cause> for StatusCause<'a> {
    fn from(cause: &'a Cause) -> Self {
        Self {
            reason: cause.reason,
            field: &cause.field,
            message: &cause.message,
        }
    }
}

/// Pairs that are written as an object.
struct Annotations<'a>(&'a [Annotation]);

impl Annotations<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Annotations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: Answer) -> String {
        String::from_utf8(write_response("u-1", answer)).unwrap()
    }

    #[test]
    fn an_allowance_is_short() {
        assert_eq!(
            text(Answer::allow(vec![])),
            r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u-1","allowed":true}}"#
        );
    }

    #[test]
    fn an_allowance_carries_warnings_and_annotations_but_no_status() {
        let answer = Answer {
            message: "not shown".into(),
            audit_annotations: vec![("decision", "allow".into())],
            ..Answer::allow(vec!["look\there".into()])
        };
        assert_eq!(
            text(answer),
            concat!(
                r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u-1","allowed":true,"#,
                r#""warnings":["look here"],"auditAnnotations":{"decision":"allow"}}}"#
            )
        );
    }

    #[test]
    fn a_denial_is_forbidden_with_a_cause_a_field() {
        let answer = Answer {
            allowed: false,
            message: "no matching manifest".into(),
            causes: vec![Cause {
                field: "spec.containers[0].image".into(),
                reason: "no-match",
                message: "is \"odd\"".into(),
            }],
            ..Answer::default()
        };
        assert_eq!(
            text(answer),
            concat!(
                r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u-1","allowed":false,"#,
                r#""status":{"code":403,"reason":"Forbidden","message":"no matching manifest","#,
                r#""details":{"causes":[{"reason":"no-match","field":"spec.containers[0].image","message":"is \"odd\""}]}}}}"#
            )
        );
    }

    #[test]
    fn no_answer_invites_a_retry() {
        for allowed in [true, false] {
            let written = text(Answer {
                allowed,
                ..Answer::default()
            });
            assert!(!written.contains("retryAfterSeconds"));
            assert!(!written.contains("504"));
        }
    }
}
