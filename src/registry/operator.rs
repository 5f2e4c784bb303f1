//! Credentials of the operator's own, for the images of every tenant: tried after those that a pod brings, as the kubelet
//! tries its own last.
//!
//! Leaves out reading them: that is `config`, `docker_config` and `providers`.

use tokio::time::Instant;

use super::keychain::Keychain;
use super::providers::CredentialProviders;
use crate::domain::reference::Reference;

/// What the operator lets every pod be judged with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OperatorCredentials {
    /// As `docker login` writes them.
    pub default: Keychain,
    /// The kubelet's programs.
    pub providers: Option<CredentialProviders>,
}

impl OperatorCredentials {
    /// A pod's credentials with these behind them; `None` where there are none for the image. Providers are waited for
    /// until the deadline.
    pub(super) async fn after(
        &self,
        keychain: &Keychain,
        reference: &Reference,
        deadline: Instant,
    ) -> Option<Keychain> {
        let asked = self.providers.as_ref();
        let asked = asked.filter(|providers| providers.are_asked_for(reference));
        let own = match asked {
            None if self.default.is_empty() => return None,
            None => self.default.clone(),
            Some(providers) => {
                let given = Box::pin(providers.keychain(reference, deadline)).await;
                self.default.merge(&given)
            }
        };
        Some(keychain.followed_by(&own))
    }

    /// Whether there are any.
    pub(super) fn are_any(&self) -> bool {
        self.providers.is_some() || !self.default.is_empty()
    }

    /// Whether one of them may be tried for an image, which at one of its places has this name.
    pub(super) fn may_be_tried(&self, reference: &Reference, name: &str) -> bool {
        let mut providers = self.providers.iter();
        !self.default.matching(name).is_empty() || providers.any(|p| p.are_asked_for(reference))
    }

    /// Takes over providers that run on with what they know, where the settings still say the same.
    pub(super) fn keep(&mut self, known: &Self) {
        if self.providers == known.providers {
            self.providers.clone_from(&known.providers);
        }
    }
}
