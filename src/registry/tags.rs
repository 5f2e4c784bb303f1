//! The names of a repository's tags, page by page, bounded in number, size and time.
//!
//! Leaves out what the tags are: that is `pull`. A registry says nothing of how old a tag is.

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Response};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::endpoint::{Content, Endpoint};
use super::keychain::Keychain;
use super::lookup::{Lookups, credentials_at};
use super::routes::Upstream;
use super::session::{Call, Session};
use super::{Registry, egress::Scheme};
use crate::domain::lookup::LookupFailure;
use crate::domain::reference::Reference;

/// Tags asked for at once; registries may give fewer.
const PAGE: &str = "1000";
/// Most bytes of a page, most pages, most tags.
const MAX_BODY: usize = 4 << 20;
const MAX_PAGES: usize = 100;
const MAX_TAGS: usize = 20_000;

/// The tags of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// The repository at each tag, in the order of the registry.
    pub references: Vec<Reference>,
    /// Whether these are all.
    pub is_complete: bool,
}

/// A page as the registry writes it.
#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
}

impl Registry {
    /// The tags of a reference's repository; 20,000 of them at most.
    ///
    /// # Errors
    /// The reason why they cannot be told. The registry's own words are in none of them.
    pub async fn fetch_tags(
        &self,
        reference: &Reference,
        keychain: &Keychain,
        deadline: Instant,
    ) -> Result<Tags, LookupFailure> {
        let lookups = self.lookups.load_full();
        let credentials = &lookups.credentials;
        let all = credentials.after(keychain, reference, deadline).await;
        let keychain = all.as_ref().unwrap_or(keychain);
        let tags = lookups.tags(reference, keychain, deadline);
        let tags = timeout_at(deadline, tags).await;
        tags.unwrap_or(Err(LookupFailure::Timeout))
    }
}

impl Lookups {
    /// Asks the mirrors in order, then the registry, as for an image. Where all fail the last one's answer counts.
    async fn tags(
        &self,
        reference: &Reference,
        keychain: &Keychain,
        deadline: Instant,
    ) -> Result<Tags, LookupFailure> {
        let plan = self.routes.plan(reference)?;
        let ask = async |endpoint: &Endpoint| {
            let _slot = self.known.limits.at_host(&endpoint.name, deadline).await?;
            let credentials = credentials_at(endpoint, keychain);
            tags_of(&Session::new(&self.wire, endpoint, credentials), reference).await
        };
        let mut outcome = Err(LookupFailure::Blocked);
        for mirror in &plan.mirrors {
            outcome = ask(mirror).await;
            if outcome.is_ok() {
                return outcome;
            }
        }
        let Some(Upstream { https, plain }) = &plan.upstream else {
            return outcome;
        };
        let guard = self.wire.transport.guard();
        for scheme in guard.schemes(https.base(), plain.base()) {
            outcome = match scheme {
                Scheme::Https => ask(https).await,
                Scheme::PlainHttp => ask(plain).await,
            };
            // What speaks no TLS may speak plain HTTP, where that is allowed.
            if !matches!(
                outcome,
                Err(LookupFailure::Tls | LookupFailure::Unreachable)
            ) {
                break;
            }
        }
        outcome
    }
}

async fn tags_of(session: &Session<'_>, reference: &Reference) -> Result<Tags, LookupFailure> {
    let mut url = session.endpoint.url(Content::Tags, "list");
    url.query_pairs_mut().append_pair("n", PAGE);
    let mut tags = Tags::default();
    for _ in 0..MAX_PAGES {
        let (names, next) = page(session, url).await?;
        // What is no tag by the grammar could not be asked for.
        let references = names
            .iter()
            .filter_map(|name| reference.with_tag(name).ok());
        tags.references.extend(references);
        let Some(next) = next else {
            tags.is_complete = true;
            break;
        };
        if tags.references.len() >= MAX_TAGS {
            break;
        }
        url = next;
    }
    tags.references.truncate(MAX_TAGS);
    Ok(tags)
}

async fn page(
    session: &Session<'_>,
    url: Url,
) -> Result<(Vec<String>, Option<Url>), LookupFailure> {
    let call = Call {
        method: Method::GET,
        url,
        accept: "application/json",
    };
    let answer: Response = session.request(&call).await?;
    let next = next_page(&call.url, answer.headers())?;
    let body = session.read_body(answer, MAX_BODY).await?;
    let page: Page = serde_json::from_slice(&body).map_err(|_| LookupFailure::Malformed)?;
    Ok((page.tags.unwrap_or_default(), next))
}

/// The URL of the next page, by the `Link` header (distribution-spec, Listing Tags). One that leads to another host is
/// an attempt to get credentials there.
fn next_page(here: &Url, headers: &HeaderMap) -> Result<Option<Url>, LookupFailure> {
    let Some(link) = headers.get(LINK) else {
        return Ok(None);
    };
    let link = link.to_str().map_err(|_| LookupFailure::Malformed)?;
    let Some((target, parameters)) = link
        .trim()
        .strip_prefix('<')
        .and_then(|l| l.split_once('>'))
    else {
        return Err(LookupFailure::Malformed);
    };
    let is_next = |parameter: &str| matches!(parameter.trim(), "rel=\"next\"" | "rel=next");
    if !parameters.split([';', ',']).any(is_next) {
        return Ok(None);
    }
    let next = here.join(target).map_err(|_| LookupFailure::Malformed)?;
    if next.origin() != here.origin() {
        return Err(LookupFailure::Blocked);
    }
    Ok((next != *here).then_some(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_on_one_host() {
        let here = Url::parse("https://r.example:5000/v2/a/tags/list?n=2").unwrap();
        let blocked = Err(LookupFailure::Blocked);
        let malformed = Err(LookupFailure::Malformed);
        for (link, want) in [
            (
                "</v2/a/tags/list?last=b&n=2>; rel=\"next\"",
                Ok(Some("https://r.example:5000/v2/a/tags/list?last=b&n=2")),
            ),
            (
                "<https://r.example:5000/x>;rel=next",
                Ok(Some("https://r.example:5000/x")),
            ),
            ("<?n=2>; rel=\"next\"", Ok(None)),
            ("</x>; rel=\"prev\"", Ok(None)),
            ("<https://r.example/x>; rel=\"next\"", blocked),
            ("<http://r.example:5000/x>; rel=\"next\"", blocked),
            ("<//evil.example/x>; rel=\"next\"", blocked),
            ("<http://[>; rel=\"next\"", malformed),
            ("/x; rel=\"next\"", malformed),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, link.parse().unwrap());
            let found = next_page(&here, &headers).map(|url| url.map(|url| url.to_string()));
            assert_eq!(found, want.map(|url| url.map(str::to_owned)), "{link}");
        }
        assert_eq!(next_page(&here, &HeaderMap::new()), Ok(None));
    }
}
