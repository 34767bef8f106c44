//! Certificates for a server on loopback, from an authority made for the occasion.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};

/// PEM files that a server proves itself with.
pub(super) struct Papers {
    /// The authority, for those who ask.
    pub(super) ca: PathBuf,
    /// The server's certificate.
    pub(super) certificate: PathBuf,
    /// Its private key.
    pub(super) key: PathBuf,
}

impl Papers {
    /// Writes them into a folder.
    pub(super) fn issue(dir: &Path) -> anyhow::Result<Self> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name = DistinguishedName::new();
        authority.distinguished_name.push(DnType::CommonName, "authority of a test's servers");
        let authority_key = KeyPair::generate()?;
        let ca = authority.self_signed(&authority_key)?;
        let key = KeyPair::generate()?;
        let server = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key))?;
        let papers =
            Self { ca: dir.join("ca.crt"), certificate: dir.join("server.crt"), key: dir.join("server.key") };
        std::fs::write(&papers.ca, ca.pem())?;
        std::fs::write(&papers.certificate, certificate.pem())?;
        std::fs::write(&papers.key, key.serialize_pem())?;
        Ok(papers)
    }
}
