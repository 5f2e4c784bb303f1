//! A pod's pull secrets, read from the API one by one: `get` on Secrets and ServiceAccounts, never `list` or `watch`.
//!
//! What cannot be read or used is told once, by name, and left out: the image is then asked for with what remains,
//! anonymously at last. Leaves out which credential is for which image: that is `registry`.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{Api, Client};
use tokio::time::{Instant, timeout_at};

use crate::registry::{Keychain, KeychainError};

/// How long what was read is used; a rotated password is known after this.
const LIFETIME: Duration = Duration::from_secs(30);
/// The same where the API did not answer.
const LIFETIME_OF_OUTAGE: Duration = Duration::from_secs(1);
/// Most sets of secrets kept.
const MAX_KEPT: u64 = 1024;
/// Most secrets read for one pod; pod authors name as many as they like.
const MAX_NAMES: usize = 16;
/// How long a mistake is not told again, and how many are remembered.
const QUIET: Duration = Duration::from_secs(3600);
const MAX_TOLD: u64 = 4096;

/// Reads pull secrets.
pub struct PullSecrets {
    client: Client,
    kept: moka::future::Cache<Wanted, Kept>,
    told: moka::sync::Cache<String, ()>,
}

/// What a pod names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wanted {
    namespace: Box<str>,
    from: Source,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Source {
    Names(Vec<Box<str>>),
    ServiceAccount(Box<str>),
}

#[derive(Clone)]
struct Kept {
    keychain: Keychain,
    lifetime: Duration,
}

/// Why a secret is left out, as a clause that follows its name.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("is not a valid object name")]
    Name,
    #[error("does not exist")]
    NotFound,
    #[error("may not be read: allow platform-gate to get it, or switch pull secrets off")]
    Forbidden,
    #[error("has type {0:?}: make it kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg")]
    Type(String),
    #[error("has no data under the key {0:?}")]
    NoData(&'static str),
    #[error("is unusable: {0}")]
    Content(#[from] KeychainError),
    #[error("could not be read: the API server did not answer")]
    Outage,
}

/// Lets what was read in an outage expire soon.
struct ByLifetime;

impl moka::Expiry<Wanted, Kept> for ByLifetime {
    fn expire_after_create(
        &self,
        _: &Wanted,
        kept: &Kept,
        _: std::time::Instant,
    ) -> Option<Duration> {
        Some(kept.lifetime)
    }
}

impl PullSecrets {
    /// A reader with nothing read yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let kept = moka::future::Cache::builder()
            .max_capacity(MAX_KEPT)
            .expire_after(ByLifetime)
            .build();
        let told = moka::sync::Cache::builder()
            .max_capacity(MAX_TOLD)
            .time_to_live(QUIET)
            .build();
        Self { client, kept, told }
    }

    /// The credentials that a pod of this namespace pulls with.
    ///
    /// Those of its ServiceAccount (`default` where the name is empty) count only where the pod names none, as the API
    /// server fills them in. At the deadline there are none.
    pub async fn keychain(
        &self,
        namespace: &str,
        pull_secret_names: &[&str],
        service_account: &str,
        deadline: Instant,
    ) -> Keychain {
        let names = pull_secret_names.iter().filter(|name| !name.is_empty());
        let names: Vec<Box<str>> = names.take(MAX_NAMES).map(|&name| name.into()).collect();
        let from = match (names.is_empty(), service_account) {
            (false, _) => Source::Names(names),
            (true, "") => Source::ServiceAccount("default".into()),
            (true, name) => Source::ServiceAccount(name.into()),
        };
        let wanted = Wanted {
            namespace: namespace.into(),
            from,
        };
        let entry = self.kept.entry_by_ref(&wanted);
        let read = entry.or_insert_with(self.read(&wanted, deadline));
        match timeout_at(deadline, read).await {
            Ok(entry) => entry.into_value().keychain,
            Err(_) => Keychain::anonymous(),
        }
    }

    /// Reads all secrets of a pod at once. They follow each other in the order named.
    async fn read(&self, wanted: &Wanted, deadline: Instant) -> Kept {
        let mut kept = Kept {
            keychain: Keychain::anonymous(),
            lifetime: LIFETIME,
        };
        let namespace = &*wanted.namespace;
        let names = match &wanted.from {
            Source::Names(names) => names.clone(),
            Source::ServiceAccount(name) => {
                match limited(self.names_of(namespace, name), deadline).await {
                    Ok(names) => names,
                    Err(error) => {
                        self.leave_out(&mut kept, ["service account", namespace, name], &error);
                        return kept;
                    }
                }
            }
        };
        let reads = names
            .iter()
            .map(|name| limited(self.secret(namespace, name), deadline));
        for (name, read) in names.iter().zip(join_all(reads).await) {
            match read {
                Ok(more) => kept.keychain = kept.keychain.merge(&more),
                Err(error) => self.leave_out(&mut kept, ["pull secret", namespace, name], &error),
            }
        }
        kept
    }

    fn leave_out(&self, kept: &mut Kept, [kind, namespace, name]: [&str; 3], error: &Unusable) {
        if matches!(error, Unusable::Outage) {
            kept.lifetime = LIFETIME_OF_OUTAGE;
        }
        let problem = format!("{kind} {namespace}/{} {error}", name.escape_default());
        if !self.told.contains_key(&problem) {
            tracing::warn!("{problem}; images are asked for without it");
            self.told.insert(problem, ());
        }
    }

    async fn names_of(&self, namespace: &str, name: &str) -> Result<Vec<Box<str>>, Unusable> {
        check_name(namespace, name)?;
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let account = api.get(name).await.map_err(|error| unusable(&error))?;
        let secrets = account.image_pull_secrets.unwrap_or_default();
        let names = secrets.into_iter().map(|secret| secret.name.into());
        Ok(names.take(MAX_NAMES).collect())
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Keychain, Unusable> {
        check_name(namespace, name)?;
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = api.get(name).await.map_err(|error| unusable(&error))?;
        keychain_of(&secret)
    }
}

async fn limited<T>(
    read: impl Future<Output = Result<T, Unusable>>,
    deadline: Instant,
) -> Result<T, Unusable> {
    let read = timeout_at(deadline, read).await;
    read.unwrap_or(Err(Unusable::Outage))
}

/// Names become part of a path, and whoever creates a pod writes them: one with a slash would lead to the secrets of
/// another namespace.
fn check_name(namespace: &str, name: &str) -> Result<(), Unusable> {
    let fits = |name: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let label = |label: &str| {
            let ends = [label.bytes().next(), label.bytes().last()];
            ends.iter().all(|end| end.is_some_and(|b| b != b'-')) && label.bytes().all(inner)
        };
        name.len() <= 253 && name.split('.').all(label)
    };
    if fits(namespace) && fits(name) {
        Ok(())
    } else {
        Err(Unusable::Name)
    }
}

fn unusable(error: &kube::Error) -> Unusable {
    match error {
        kube::Error::Api(status) if status.code == 404 => Unusable::NotFound,
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => Unusable::Forbidden,
        _ => Unusable::Outage,
    }
}

/// Reads a secret by its type, as the kubelet does.
fn keychain_of(secret: &Secret) -> Result<Keychain, Unusable> {
    const FORMS: [(&str, &str, Parse); 2] = [
        (
            "kubernetes.io/dockerconfigjson",
            ".dockerconfigjson",
            Keychain::from_docker_config_json,
        ),
        (
            "kubernetes.io/dockercfg",
            ".dockercfg",
            Keychain::from_dockercfg,
        ),
    ];
    let kind = secret.type_.as_deref().unwrap_or("Opaque");
    let form = FORMS.iter().find(|(of, ..)| *of == kind);
    let (_, key, parse) = form.ok_or_else(|| Unusable::Type(kind.chars().take(100).collect()))?;
    let data = secret.data.as_ref().and_then(|data| data.get(*key));
    match data.filter(|data| !data.0.is_empty()) {
        Some(data) => Ok(parse(&data.0)?),
        None => Err(Unusable::NoData(key)),
    }
}

type Parse = fn(&[u8]) -> Result<Keychain, KeychainError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_their_namespace() {
        for (name, valid) in [
            ("regcred", true),
            ("team-a.reg-1", true),
            ("", false),
            ("-a", false),
            ("a..b", false),
            ("A", false),
            ("..", false),
            ("x/../../../namespaces/kube-system/secrets/root", false),
            ("x?watch=true", false),
            ("x%2fy", false),
            ("x\n", false),
        ] {
            assert_eq!(check_name("shop", name).is_ok(), valid, "{name}");
            assert_eq!(check_name(name, "regcred").is_ok(), valid, "{name}");
        }
        assert!(check_name("shop", &"a".repeat(254)).is_err());
    }

    #[test]
    fn secrets_are_read_by_their_type() {
        use k8s_openapi::ByteString;
        let json = r#"{"auths":{"reg.example":{"username":"u","password":"CANARY"}}}"#;
        let cfg = r#"{"reg.example":{"username":"u","password":"CANARY"}}"#;
        let (json_type, cfg_type) = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg");
        for (kind, key, content, want) in [
            (json_type, ".dockerconfigjson", json, ""),
            (cfg_type, ".dockercfg", cfg, ""),
            ("Opaque", ".dockerconfigjson", json, "has type \"Opaque\""),
            (json_type, ".dockercfg", cfg, "has no data"),
            (json_type, ".dockerconfigjson", "", "has no data"),
            (
                json_type,
                ".dockerconfigjson",
                "CANARY",
                "not a docker config",
            ),
            (
                cfg_type,
                ".dockercfg",
                r#"{"a":{"auth":"CANARY"}}"#,
                "base64",
            ),
        ] {
            let secret = Secret {
                type_: Some(kind.to_owned()),
                data: Some([(key.to_owned(), ByteString(content.into()))].into()),
                ..Secret::default()
            };
            let error = keychain_of(&secret).err().map(|error| error.to_string());
            let error = error.unwrap_or_default();
            assert!(
                error.contains(want) && error.is_empty() == want.is_empty(),
                "{error}"
            );
            assert!(!error.contains("CANARY"), "{error}");
        }
    }
}
