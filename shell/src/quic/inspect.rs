//! Certificates for an operator to look at, without a node.

use std::path::Path;

use x509_parser::{certificate::X509Certificate, extensions::GeneralName};

use super::{
    NodeId,
    tls::{Identity, TlsError, TlsFiles, certificates, read},
    verify::Refusal,
};

/// What one certificate says of itself; nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Distinguished name of its owner.
    pub subject: String,
    /// Subject alternative names.
    pub names: Vec<String>,
    /// Distinguished name of who signed it.
    pub issuer: String,
    /// Whether it may sign others.
    pub is_ca: bool,
    /// First second of its validity, in unix seconds.
    pub not_before: i64,
    /// Last second of its validity, in unix seconds.
    pub not_after: i64,
}

/// Every certificate of a PEM file, in its order.
///
/// # Errors
/// If the file cannot be read, holds no certificate, or one that cannot be parsed.
pub fn certificates_of(path: &Path) -> Result<Vec<Certificate>, TlsError> {
    let malformed = |_| TlsError::Pem {
        path: path.to_owned(),
        expected: "certificate",
        reason: Refusal::Malformed.to_string(),
    };
    let pem = read(path)?;
    certificates(&pem, path)?
        .iter()
        .map(|der| {
            let (_, parsed) = x509_parser::parse_x509_certificate(der).map_err(malformed)?;
            Ok(describe(&parsed))
        })
        .collect()
}

fn describe(certificate: &X509Certificate<'_>) -> Certificate {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.iter().map(name).collect());
    Certificate {
        subject: certificate.subject().to_string(),
        names: names.unwrap_or_default(),
        issuer: certificate.issuer().to_string(),
        is_ca: certificate.is_ca(),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    }
}

fn name(name: &GeneralName<'_>) -> String {
    if let GeneralName::DNSName(dns) = name { (*dns).to_owned() } else { name.to_string() }
}

/// Checks what a node would check before it uses the files: that certificate and key are a pair, that the certificate names `node`, that
/// it is valid now and that a CA of the file signed it. Returns the end of its validity in unix seconds.
///
/// # Errors
/// The first of it that does not hold, or a file that cannot be read.
pub fn check(files: &TlsFiles, node: NodeId) -> Result<i64, TlsError> {
    Identity::load(files, node).map(|identity| identity.not_after)
}
