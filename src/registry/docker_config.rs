//! Reads the two forms of pull secrets, `.dockerconfigjson` and `.dockercfg`, as the kubelet does
//! (`pkg/credentialprovider/config.go`).
//!
//! Leaves out which credential is for which image: that is `keychain`.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, NO_PAD, PAD};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
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

/// The user name that docker and its credential helpers give an identity token, which is then in the password's place.
pub(super) const IDENTITY_TOKEN: &str = "<token>";

/// A JSON object with its fields in the order written, the same one perhaps twice.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

/// The entries of a `config.json`: those under `auths`.
pub(super) fn parse_docker_config(bytes: &[u8]) -> Result<Vec<LoginEntry>, KeychainError> {
    let Some(Fields(fields)) = serde_json::from_slice(bytes).map_err(|_| KeychainError::Json)?
    else {
        return Ok(Vec::new());
    };
    logins(auths(fields)?)
}

/// The same as docker itself reads it: where there is an `identitytoken`, it counts more than a password. The kubelet
/// does not look at it.
pub(super) fn parse_docker_login(bytes: &[u8]) -> Result<Vec<LoginEntry>, KeychainError> {
    let Some(Fields(fields)) = serde_json::from_slice(bytes).map_err(|_| KeychainError::Json)?
    else {
        return Ok(Vec::new());
    };
    let entries = auths(fields)?;
    let tokens: Vec<_> = entries.values().map(identity_token).collect();
    let mut logins = logins(entries)?;
    for (login, token) in logins.iter_mut().zip(tokens) {
        if let Some(token) = token {
            (login.1, login.2) = (IDENTITY_TOKEN.to_owned(), token);
        }
    }
    Ok(logins)
}

fn identity_token(entry: &Value) -> Option<String> {
    let fields = entry.as_object()?;
    let mut named = fields
        .iter()
        .filter(|(name, _)| is_named(name, "identitytoken"));
    let token = named.next_back()?.1.as_str()?;
    (!token.is_empty()).then(|| token.to_owned())
}

fn auths(fields: Vec<(String, Value)>) -> Result<serde_json::Map<String, Value>, KeychainError> {
    let mut entries = serde_json::Map::new();
    for (name, value) in fields {
        match value {
            _ if !is_named(&name, "auths") => {}
            Value::Object(auths) => entries.extend(auths),
            Value::Null => entries.clear(),
            _ => return Err(KeychainError::Json),
        }
    }
    Ok(entries)
}

/// The entries of a `.dockercfg`, which has nothing else.
pub(super) fn parse_dockercfg(bytes: &[u8]) -> Result<Vec<LoginEntry>, KeychainError> {
    let entries = serde_json::from_slice::<Option<_>>(bytes).map_err(|_| KeychainError::Json)?;
    logins(entries.unwrap_or_default())
}

/// Whether Go's decoder takes a field for this one, whatever its case.
fn is_named(field: &str, name: &str) -> bool {
    // Two letters beyond ASCII that fold into it: the long s and the Kelvin sign.
    let folded = field.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    });
    folded.eq(name.chars())
}

fn logins(entries: serde_json::Map<String, Value>) -> Result<Vec<LoginEntry>, KeychainError> {
    let login = |(location, entry): (String, Value)| {
        let (username, password) = match entry {
            Value::Null => (String::new(), String::new()),
            entry => login(&entry)?,
        };
        Ok((location, username, password))
    };
    entries.into_iter().map(login).collect()
}

/// `auth` counts more than the two fields that it stands for.
fn login(entry: &Value) -> Result<(String, String), KeychainError> {
    let fields = entry.as_object().ok_or(KeychainError::Json)?;
    let text = |name| {
        let mut found = String::new();
        for (_, value) in fields.iter().filter(|(field, _)| is_named(field, name)) {
            match value {
                Value::String(text) => found.clone_from(text),
                Value::Null => {}
                _ => return Err(KeychainError::Json),
            }
        }
        Ok(found)
    };
    let (username, password) = (text("username")?, text("password")?);
    text("email")?;
    match text("auth")? {
        auth if auth.is_empty() => Ok((username, password)),
        auth => decode_auth(&auth).ok_or(KeychainError::Auth),
    }
}

fn decode_auth(auth: &str) -> Option<(String, String)> {
    let engine = |config: GeneralPurposeConfig| {
        // Go's decoder does not look at the bits after the last byte, and skips line ends.
        let config = config.with_decode_allow_trailing_bits(true);
        GeneralPurpose::new(&alphabet::STANDARD, config)
    };
    let auth: String = auth.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let decoded = if auth.trim_end().ends_with('=') {
        engine(PAD).decode(&auth).ok()?
    } else {
        engine(NO_PAD).decode(&auth).ok()?
    };
    let text = String::from_utf8(decoded).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parse = fn(&[u8]) -> Result<Vec<LoginEntry>, KeychainError>;

    #[track_caller]
    fn check(parse: Parse, document: &str, want: Result<&[(&str, &str, &str)], KeychainError>) {
        let want = want.map(|entries| {
            entries
                .iter()
                .map(|(l, u, p)| ((*l).to_owned(), (*u).to_owned(), (*p).to_owned()))
                .collect::<Vec<_>>()
        });
        assert_eq!(parse(document.as_bytes()), want, "{document}");
    }

    #[test]
    fn both_forms_are_read() {
        let json = parse_docker_config;
        check(
            json,
            r#"{"auths":{"a.example":{"username":"u","password":"p","email":"e"}}}"#,
            Ok(&[("a.example", "u", "p")]),
        );
        check(
            parse_dockercfg,
            r#"{"a.example":{"username":"u","password":"p"}}"#,
            Ok(&[("a.example", "u", "p")]),
        );
        check(
            json,
            r#"{"auths":{"a":{"auth":"dTpwOnE="},"b":{"auth":"dTpw\nOnE="},"c":{"auth":"dTpwcR"}}}"#,
            Ok(&[("a", "u", "p:q"), ("b", "u", "p:q"), ("c", "u", "pq")]),
        );
        check(
            json,
            r#"{"auths":{"a":{"username":"x","password":"y","auth":"dTpw"}},"credsStore":"desktop"}"#,
            Ok(&[("a", "u", "p")]),
        );
        check(
            json,
            r#"{"Auths":{"a":{"UserName":"u","PASSWORD":"p"}},"auth\u017f":{"b":null}}"#,
            Ok(&[("a", "u", "p"), ("b", "", "")]),
        );
        for nothing in [
            r#"{"auths":null}"#,
            r#"{"auths":{"a":{}},"auths":null}"#,
            "{}",
            "null",
        ] {
            check(json, nothing, Ok(&[]));
        }
        check(parse_dockercfg, "null", Ok(&[]));
        // The type of the secret says which form it is.
        check(json, r#"{"a.example":{"username":"u"}}"#, Ok(&[]));
    }

    #[test]
    fn identity_tokens_are_docker_s_alone() {
        let text = r#"{"auths":{"a":{"auth":"dTpw","identitytoken":"T"},"b":{"auth":"dTpw","identitytoken":""},"c":{"auth":"dTpw","IdentityToken":7}}}"#;
        let password = |at| (at, "u", "p");
        let kubelet = [password("a"), password("b"), password("c")];
        check(parse_docker_config, text, Ok(&kubelet));
        let docker = [("a", IDENTITY_TOKEN, "T"), password("b"), password("c")];
        check(parse_docker_login, text, Ok(&docker));
        check(parse_docker_login, "null", Ok(&[]));
        check(parse_docker_login, "[]", Err(KeychainError::Json));
    }

    #[test]
    fn unusable_secrets_are_named_without_their_content() {
        check(parse_docker_config, "", Err(KeychainError::Json));
        check(parse_docker_config, "[]", Err(KeychainError::Json));
        check(
            parse_docker_config,
            r#"{"auths":[]}"#,
            Err(KeychainError::Json),
        );
        check(
            parse_docker_config,
            r#"{"auths":{"a":{"auth":"%%%"}}}"#,
            Err(KeychainError::Auth),
        );
        check(
            parse_docker_config,
            r#"{"auths":{"a":{"auth":"dXA="}}}"#,
            Err(KeychainError::Auth),
        );
    }
}
