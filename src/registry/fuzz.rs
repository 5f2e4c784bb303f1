//! What has to hold of any bytes that the client's parsers are given; see [`crate::fuzz`].
//!
//! Leaves out the parsers that are public.

use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use url::Url;

use super::challenge::{Challenge, check_realm, pull_scope};
use super::keychain::Keychain;
use super::manifest::{Body, MAX_ENTRIES, parse_config, parse_document};
use super::{hosts_toml, registries_conf};
use crate::domain::reference::Reference;

/// The lines of `WWW-Authenticate`: no realm but the registry's own is allowed, and a token is asked for pulling only.
///
/// # Panics
/// Where it is not so.
pub fn challenge(bytes: &[u8]) {
    let lines = bytes.split(|b| *b == b'\n');
    let values = lines.filter_map(|line| HeaderValue::from_bytes(line).ok());
    let headers: HeaderMap = values.map(|value| (WWW_AUTHENTICATE, value)).collect();
    let Some(Challenge::Bearer { realm, scope, .. }) = Challenge::from_headers(&headers) else {
        return;
    };
    let Ok(registry) = Url::parse("https://r.example/") else {
        return;
    };
    if check_realm(&registry, &realm, &[]).is_ok() {
        assert_eq!(
            (realm.scheme(), realm.host_str()),
            ("https", Some("r.example"))
        );
    }
    let scope = pull_scope(scope.as_deref(), "a/b");
    assert!(scope.starts_with("repository:") && scope.ends_with(":pull") && !scope.contains(' '));
}

/// A `Content-Type`, a line end and a document: what is read is bounded, and read again as the same.
///
/// # Panics
/// Where it is not.
pub fn manifest(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |b| *b == b'\n');
    let content_type = parts.next().and_then(|line| std::str::from_utf8(line).ok());
    let document = parts.next().unwrap_or_default();
    let read = parse_document(content_type, document);
    assert_eq!(read, parse_document(content_type, document));
    if let Ok(Body::Index(entries)) = read.map(|document| document.body) {
        assert!(entries.len() <= MAX_ENTRIES);
    }
    if let Ok(platform) = parse_config(document) {
        assert!(platform.os_features.len() <= 64);
    }
}

/// A pull secret of either form: it gives an image the credentials whose location names its host, and it is not printed.
///
/// # Panics
/// Where it is not so.
pub fn docker_config(bytes: &[u8]) {
    let Ok(elsewhere) = Reference::parse("elsewhere.invalid/a/b") else {
        return;
    };
    for keychain in [
        Keychain::from_docker_config_json(bytes),
        Keychain::from_dockercfg(bytes),
    ] {
        let Ok(keychain) = keychain else { continue };
        let printed = format!("{keychain:?}");
        assert!(printed.starts_with("Keychain(") && printed.ends_with(" credentials)"));
        let names_it = String::from_utf8_lossy(bytes).contains(['*', '?', '[', '\\', '%']);
        let is_given = keychain.candidates(&elsewhere).next().is_some();
        let is_named = String::from_utf8_lossy(bytes)
            .to_lowercase()
            .contains("elsewhere.invalid");
        assert!(!is_given || names_it || is_named);
    }
}

/// A `hosts.toml` and a `registries.conf`: they are read, or the mistake is told in one line.
///
/// # Panics
/// Where it is not.
pub fn hosts_files(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // A folder that has no files: none of the machine's is read.
    let nowhere = std::path::Path::new("/nonexistent/platform-gate");
    for mistake in [
        hosts_toml::parse_hosts("reg.example", nowhere, text).err(),
        registries_conf::parse(text).err(),
    ] {
        assert!(mistake.is_none_or(|mistake| !mistake.contains('\n') && !mistake.is_empty()));
    }
}
