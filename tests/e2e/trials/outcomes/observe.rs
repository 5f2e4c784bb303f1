//! Reads off a container's status what became of its image.

use std::fmt;

use serde_json::Value;

use crate::images::cases::Outcome;

/// What became of it, with all the words that the node has for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Observed {
    Runs,
    NotPulled(String),
    NotStarted(String),
}

impl Observed {
    /// `None` as long as it is not known.
    pub(super) fn of(status: &Value) -> Option<Self> {
        let state = &status["state"];
        if state["terminated"]["exitCode"] == 0 {
            return Some(Self::Runs);
        }
        let words = |part: &Value| {
            let text = |name: &str| part[name].as_str().unwrap_or_default();
            format!("{}: {}", text("reason"), text("message"))
        };
        if state["terminated"].is_object() {
            return Some(Self::NotStarted(words(&state["terminated"])));
        }
        match state["waiting"]["reason"].as_str()? {
            "ErrImagePull" | "ImagePullBackOff" => {
                // While the kubelet waits to try again, it repeats what it was told.
                let words = words(&state["waiting"]);
                let told = words.rsplit("ErrImagePull: ").next().unwrap_or_default();
                Some(Self::NotPulled(told.to_owned()))
            }
            "CreateContainerError" | "CreateContainerConfigError" | "RunContainerError" => {
                Some(Self::NotStarted(words(&state["waiting"])))
            }
            _ => None,
        }
    }

    pub(super) fn is(&self, expected: Outcome) -> bool {
        match (self, expected) {
            (Self::Runs, Outcome::Runs) => true,
            (Self::NotPulled(words), Outcome::NotPulled(part))
            | (Self::NotStarted(words), Outcome::NotStarted(part)) => words.contains(part),
            _ => false,
        }
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs => f.write_str("runs it"),
            Self::NotPulled(words) => write!(f, "does not pull it, {}", words.trim()),
            Self::NotStarted(words) => write!(f, "does not start it, {}", words.trim()),
        }
    }
}
