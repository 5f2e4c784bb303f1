//! The run's certificate authorities, certificates and kubeconfigs. They live as long as the run.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::layout::{Layout, NODE_ADDRESS};

/// An authority and its certificate's file.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: PathBuf,
}

/// The files of a certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    /// Makes an authority called `name`.
    pub(crate) fn create(layout: &Layout, name: &str) -> Result<Self> {
        let key = KeyPair::generate().context("cannot make a key")?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params
            .self_signed(&key)
            .context("cannot sign the authority's certificate")?;
        let certificate = layout.write(&format!("pki/{name}.crt"), &certificate.pem())?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// A server's certificate for the addresses and DNS names.
    pub(crate) fn server(&self, layout: &Layout, name: &str, hosts: &[&str]) -> Result<Identity> {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).context("not a host")?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(layout, name, params)
    }

    /// A client's certificate: Kubernetes reads the user from the common name, the group from the organization.
    pub(crate) fn client(
        &self,
        layout: &Layout,
        user: &str,
        group: Option<&str>,
    ) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(layout, &user.replace(':', "-"), params)
    }

    /// A kubeconfig for a client of the API server.
    pub(crate) fn kubeconfig(
        &self,
        layout: &Layout,
        user: &str,
        group: Option<&str>,
    ) -> Result<PathBuf> {
        let identity = self.client(layout, user, group)?;
        let name = user.replace(':', "-");
        layout.write(
            &format!("{name}.kubeconfig"),
            &format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: run\n\
                 clusters: [{{name: run, cluster: {{server: 'https://{NODE_ADDRESS}', certificate-authority: '{}'}}}}]\n\
                 users: [{{name: run, user: {{client-certificate: '{}', client-key: '{}'}}}}]\n\
                 contexts: [{{name: run, context: {{cluster: run, user: run}}}}]\n",
                self.certificate.display(),
                identity.certificate.display(),
                identity.key.display(),
            ),
        )
    }

    fn sign(&self, layout: &Layout, name: &str, mut params: CertificateParams) -> Result<Identity> {
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().context("cannot make a key")?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("cannot sign the certificate of {name}"))?;
        Ok(Identity {
            certificate: layout.write(&format!("pki/{name}.crt"), &certificate.pem())?,
            key: layout.write(&format!("pki/{name}.key"), &key.serialize_pem())?,
        })
    }
}

/// The pair that signs and checks service account tokens.
pub(crate) struct ServiceAccountKeys {
    pub(crate) private: PathBuf,
    pub(crate) public: PathBuf,
}

impl ServiceAccountKeys {
    /// Makes the pair.
    pub(crate) fn create(layout: &Layout) -> Result<Self> {
        let key = KeyPair::generate().context("cannot make a key")?;
        Ok(Self {
            private: layout.write("pki/service-accounts.key", &key.serialize_pem())?,
            public: layout.write("pki/service-accounts.pub", &key.public_key_pem())?,
        })
    }
}
