//! The settings of who may call the webhook: a CA, and names of the certificates that it signed.

use std::path::PathBuf;

use serde::Deserialize;

/// Callers that the webhook answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerSettings {
    /// PEM of the CAs, one of which has to have signed a caller's certificate. Whether they parse is for who uses them.
    pub ca: String,
    /// Common or alternative names, one of which the certificate has to have; with none, any will do.
    pub names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Callers {
    ca_file: PathBuf,
    #[serde(default)]
    names: Vec<String>,
}

/// `None` where everybody may call, or the file cannot be read.
pub(super) fn callers(raw: Option<Callers>, mistakes: &mut Vec<String>) -> Option<CallerSettings> {
    let raw = raw?;
    // An empty name would be one that certificates may have, and that nobody means.
    let empty = raw.names.iter().enumerate().filter(|(_, it)| it.is_empty());
    mistakes.extend(empty.map(|(at, _)| {
        format!("callers.names[{at}]: empty; write a name of the API server's client certificate")
    }));
    let path = raw.ca_file.display();
    let ca = match std::fs::read_to_string(&raw.ca_file) {
        Ok(ca) => ca,
        Err(error) => {
            mistakes.push(format!("callers.caFile: cannot read {path}: {error}"));
            return None;
        }
    };
    Some(CallerSettings {
        ca,
        names: raw.names,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Settings;

    fn settings(text: &str) -> Result<Option<CallerSettings>, String> {
        let settings = Settings::parse(Path::new("config.yaml"), text);
        settings
            .map(|settings| settings.callers)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn anybody_may_call_unless_a_ca_is_named() {
        assert_eq!(settings("").unwrap(), None);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.crt");
        std::fs::write(&file, "PEM").unwrap();
        for (rest, names) in [("", vec![]), (", names: [a, b]", vec!["a", "b"])] {
            let callers = settings(&format!("callers: {{caFile: {}{rest}}}", file.display()));
            let callers = callers.unwrap().unwrap();
            assert_eq!(callers.ca, "PEM");
            assert_eq!(callers.names, names);
        }
    }

    #[test]
    fn mistakes_are_told_at_once() {
        let told = settings("callers: {caFile: /nonexistent, names: [a, '']}").unwrap_err();
        for words in [
            "callers.caFile: cannot read /nonexistent",
            "callers.names[1]",
        ] {
            assert!(told.contains(words), "{told}");
        }
        let told = settings("callers: {names: [a]}").unwrap_err();
        assert!(told.contains("caFile"), "{told}");
    }
}
