//! What the tests publish: the same images, pushed as any client pushes them.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use reqwest::{Client, StatusCode};
use url::Url;

use super::program::{Auth, RealRegistry};
use crate::registry::basic;
use crate::support::certificates::TestCa;
use crate::support::site::{INDEX, MANIFEST, descriptor, digest_of, index_of, manifest_of};

const AMD64: &str =
    r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#;
const ARM64: &str =
    r#"{"os":"linux","architecture":"arm64","rootfs":{"type":"layers","diff_ids":[]}}"#;

/// `open/app` and `closed/app`, an index of an image and of an index of another; `closed/single`, one image.
pub(super) struct Published {
    pub(super) tag: &'static str,
    /// Of the outer index.
    pub(super) digest: String,
}

/// One registry and one who may push to it.
struct Pusher<'a> {
    server: &'a RealRegistry,
    client: Client,
}

pub(super) async fn publish(server: &RealRegistry, ca: &TestCa) -> Published {
    let pusher = Pusher::new(server, ca);
    let (amd64, arm64) = (manifest_of(AMD64), manifest_of(ARM64));
    let inner = index_of(&[descriptor(MANIFEST, &arm64, Some("linux/arm64"))]);
    let outer = index_of(&[
        descriptor(MANIFEST, &amd64, Some("linux/amd64")),
        descriptor(INDEX, &inner, None),
    ]);
    for repository in ["open/app", "closed/app", "closed/single"] {
        for config in [AMD64, ARM64] {
            pusher.blob(repository, config).await;
            let manifest = manifest_of(config);
            let digest = digest_of(manifest.as_bytes()).to_string();
            pusher
                .manifest(repository, &digest, MANIFEST, manifest)
                .await;
        }
    }
    for repository in ["open/app", "closed/app"] {
        let digest = digest_of(inner.as_bytes()).to_string();
        pusher
            .manifest(repository, &digest, INDEX, inner.clone())
            .await;
        pusher.manifest(repository, "1", INDEX, outer.clone()).await;
    }
    pusher.manifest("closed/single", "1", MANIFEST, amd64).await;
    Published {
        tag: "1",
        digest: digest_of(outer.as_bytes()).to_string(),
    }
}

impl Published {
    /// Lets the tag of `closed/single` name another image.
    pub(super) async fn move_single(&self, server: &RealRegistry, ca: &TestCa) {
        let manifest = manifest_of(ARM64);
        Pusher::new(server, ca)
            .manifest("closed/single", self.tag, MANIFEST, manifest)
            .await;
    }

    /// Takes an image out of `closed/single`, and with it the tags that name it.
    pub(super) async fn delete(&self, server: &RealRegistry, ca: &TestCa, digest: &str) {
        let pusher = Pusher::new(server, ca);
        let url = format!("{}/v2/closed/single/manifests/{digest}", server.url());
        let request = pusher
            .client
            .delete(url)
            .header(AUTHORIZATION, pusher.login("closed/single"));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::ACCEPTED);
    }
}

impl<'a> Pusher<'a> {
    fn new(server: &'a RealRegistry, ca: &TestCa) -> Self {
        let ca = reqwest::Certificate::from_der(&ca.der).unwrap();
        let client = Client::builder()
            .tls_certs_only([ca])
            .no_proxy()
            .build()
            .unwrap();
        Self { server, client }
    }

    fn login(&self, repository: &str) -> String {
        match (self.server.auth, &self.server.tokens) {
            (Auth::Tokens, Some(tokens)) => tokens.owner(repository),
            _ => basic("good"),
        }
    }

    async fn blob(&self, repository: &str, body: &'static str) {
        let start = Url::parse(&format!(
            "{}/v2/{repository}/blobs/uploads/",
            self.server.url()
        ))
        .unwrap();
        let login = self.login(repository);
        let request = self
            .client
            .post(start.clone())
            .header(AUTHORIZATION, &login);
        let answer = request.send().await.unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::ACCEPTED,
            "{}",
            self.server.log()
        );
        let location = answer.headers()[LOCATION].to_str().unwrap();
        let mut url = start.join(location).unwrap();
        let digest = digest_of(body.as_bytes());
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let request = self.client.put(url).header(AUTHORIZATION, login).body(body);
        let answer = request
            .header(CONTENT_TYPE, "application/octet-stream")
            .send()
            .await
            .unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::CREATED,
            "{}",
            self.server.log()
        );
    }

    async fn manifest(&self, repository: &str, version: &str, media_type: &str, body: String) {
        let url = format!("{}/v2/{repository}/manifests/{version}", self.server.url());
        let request = self
            .client
            .put(url)
            .header(AUTHORIZATION, self.login(repository));
        let answer = request
            .header(CONTENT_TYPE, media_type)
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::CREATED,
            "{}",
            self.server.log()
        );
    }
}
