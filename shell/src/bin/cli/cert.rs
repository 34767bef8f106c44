//! Certificates, looked at and checked without a node.

use std::path::Path;

use mpc_wallet_core::NodeId;
use mpc_wallet_shell::{
    quic::{
        TlsError, TlsFiles,
        inspect::{self, Certificate},
    },
    units::{now, rfc3339_of_unix},
};
use serde_json::{Value, json};

use crate::{
    args::Output,
    failure::{Exit, Failure},
    output::{items, pairs, print, text},
};

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

pub(crate) fn show(file: &Path, output: Output) -> Result<(), Failure> {
    let certificates = inspect::certificates_of(file).map_err(|error| unusable(&error))?;
    let listed: Vec<Value> = certificates.iter().map(document).collect();
    print(&json!({ "certificates": listed }), output, |document| {
        let shown: Vec<String> = items(document, "/certificates").iter().map(table).collect();
        shown.join("\n\n")
    })
}

fn document(certificate: &Certificate) -> Value {
    json!({
        "subject": certificate.subject,
        "names": certificate.names,
        "issuer": certificate.issuer,
        "is_ca": certificate.is_ca,
        "not_before": rfc3339_of_unix(certificate.not_before),
        "not_after": rfc3339_of_unix(certificate.not_after),
        "days_left": days_left(certificate.not_after),
    })
}

fn table(certificate: &Value) -> String {
    let names: Vec<String> = items(certificate, "/names").iter().map(|name| text(name, "")).collect();
    pairs([
        ("subject", text(certificate, "/subject")),
        ("names", if names.is_empty() { "-".to_owned() } else { names.join(", ") }),
        ("issuer", text(certificate, "/issuer")),
        ("CA", text(certificate, "/is_ca")),
        ("not before", text(certificate, "/not_before")),
        ("not after", text(certificate, "/not_after")),
        ("days left", text(certificate, "/days_left")),
    ])
}

pub(crate) fn check(files: TlsFiles, node: u16, output: Output) -> Result<(), Failure> {
    let node = NodeId::new(node);
    let not_after = inspect::check(&files, node).map_err(|error| unusable(&error))?;
    let document = json!({
        "node": node.to_string(),
        "certificate": files.cert.display().to_string(),
        "not_after": rfc3339_of_unix(not_after),
        "days_left": days_left(not_after),
    });
    print(&document, output, |document| {
        pairs([
            ("node", text(document, "/node")),
            ("certificate", text(document, "/certificate")),
            ("not after", text(document, "/not_after")),
            ("days left", text(document, "/days_left")),
        ])
    })
}

/// Whole days; negative once it has expired.
fn days_left(not_after: i64) -> i64 {
    let now = i64::try_from(now().0 / 1_000).unwrap_or(i64::MAX);
    not_after.saturating_sub(now).div_euclid(DAY)
}

fn unusable(error: &TlsError) -> Failure {
    let (exit, code) = match error {
        TlsError::Read { .. } | TlsError::Pem { .. } => (Exit::Usage, "no_certificate"),
        TlsError::KeyPermissions { .. }
        | TlsError::KeyMismatch { .. }
        | TlsError::Certificate { .. }
        | TlsError::Unusable { .. } => (Exit::Refused, "certificate_refused"),
    };
    Failure::new(exit, code, error.to_string())
}
