//! Reads the two forms of pull secrets, `.dockerconfigjson` and `.dockercfg`, as the kubelet does
//! (`pkg/credentialprovider/config.go`).
//!
//! Leaves out which credential is for which image: that is `keychain`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

/// Why a pull secret cannot be used. Nothing of its content is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeychainError {
    /// It is not the JSON of either form.
    #[error(
        "not a docker config: write {{\"auths\": {{\"HOST\": {{\"username\": ..., \"password\": ...}}}}}}"
    )]
    Json,
    /// An `auth` field cannot be decoded.
    #[error("an \"auth\" field is not base64 of username:password")]
    Auth,
}

/// One entry: where it is for, as written, the user name and the password.
pub(super) type LoginEntry = (String, String, String);

#[derive(Default, Deserialize)]
struct RawEntry {
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
}

/// The entries that hold a user name or a password, in a stable order.
pub(super) fn parse_docker_config(bytes: &[u8]) -> Result<Vec<LoginEntry>, KeychainError> {
    let document: Value = serde_json::from_slice(bytes).map_err(|_| KeychainError::Json)?;
    let Value::Object(mut fields) = document else {
        return Err(KeychainError::Json);
    };
    let entries = match fields.remove("auths") {
        Some(Value::Object(auths)) => auths,
        Some(Value::Null) => return Ok(Vec::new()),
        Some(_) => return Err(KeychainError::Json),
        None => fields,
    };
    let mut logins = Vec::new();
    for (location, value) in entries {
        let raw: Option<RawEntry> =
            serde_json::from_value(value).map_err(|_| KeychainError::Json)?;
        let (username, password) = login(raw.unwrap_or_default())?;
        if !(username.is_empty() && password.is_empty()) {
            logins.push((location, username, password));
        }
    }
    Ok(logins)
}

/// `auth` counts more than the two fields that it stands for.
fn login(raw: RawEntry) -> Result<(String, String), KeychainError> {
    match raw.auth.filter(|auth| !auth.is_empty()) {
        Some(auth) => decode_auth(&auth).ok_or(KeychainError::Auth),
        None => Ok((
            raw.username.unwrap_or_default(),
            raw.password.unwrap_or_default(),
        )),
    }
}

fn decode_auth(auth: &str) -> Option<(String, String)> {
    // Go's decoder skips line ends.
    let auth: String = auth.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let decoded = if auth.trim_end().ends_with('=') {
        STANDARD.decode(&auth).ok()?
    } else {
        STANDARD_NO_PAD.decode(&auth).ok()?
    };
    let text = String::from_utf8(decoded).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, want: Result<&[(&str, &str, &str)], KeychainError>) {
        let want = want.map(|entries| {
            entries
                .iter()
                .map(|(l, u, p)| ((*l).to_owned(), (*u).to_owned(), (*p).to_owned()))
                .collect::<Vec<_>>()
        });
        assert_eq!(parse_docker_config(document.as_bytes()), want, "{document}");
    }

    #[test]
    fn both_forms_are_read() {
        check(
            r#"{"auths":{"a.example":{"username":"u","password":"p","email":"e"}}}"#,
            Ok(&[("a.example", "u", "p")]),
        );
        check(
            r#"{"a.example":{"username":"u","password":"p"}}"#,
            Ok(&[("a.example", "u", "p")]),
        );
        check(
            r#"{"auths":{"a":{"auth":"dTpwOnE="},"b":{"auth":"dTpw\nOnE="},"c":{"auth":"dTpwcQ"}}}"#,
            Ok(&[("a", "u", "p:q"), ("b", "u", "p:q"), ("c", "u", "pq")]),
        );
        check(
            r#"{"auths":{"a":{"username":"x","password":"y","auth":"dTpw"}},"credsStore":"desktop"}"#,
            Ok(&[("a", "u", "p")]),
        );
        check(r#"{"auths":{"a":{},"b":null}}"#, Ok(&[]));
        check(r#"{"auths":null}"#, Ok(&[]));
        check("{}", Ok(&[]));
    }

    #[test]
    fn unusable_secrets_are_named_without_their_content() {
        check("", Err(KeychainError::Json));
        check("[]", Err(KeychainError::Json));
        check(r#"{"auths":[]}"#, Err(KeychainError::Json));
        check(
            r#"{"auths":{"a":{"auth":"%%%"}}}"#,
            Err(KeychainError::Auth),
        );
        check(
            r#"{"auths":{"a":{"auth":"dXA="}}}"#,
            Err(KeychainError::Auth),
        );
    }
}
