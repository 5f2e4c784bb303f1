//! `AdmissionReview` of `admission.k8s.io/v1`: the request that the API server posts and the response it reads.
//!
//! Bytes in, values out, and back; leaves out HTTP, the decision, and the objects under review, whose lean types
//! are the domain's.

mod answer;
mod pinned;
mod request;
mod response;

pub use answer::{Annotation, Answer, Cause, MAX_MESSAGE_BYTES, MAX_WARNING_CHARS, MAX_WARNINGS};
pub use pinned::{PINNED_ANNOTATION, PinnedPod, pin_spec};
pub use request::{
    AdmissionRequest, GroupKind, Operation, ReviewError, UserInfo, parse_review, parse_uid,
};
pub use response::write_response;

/// The only version that is spoken.
pub(crate) const API_VERSION: &str = "admission.k8s.io/v1";
/// The only kind that is spoken.
pub(crate) const KIND: &str = "AdmissionReview";
