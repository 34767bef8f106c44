//! When certificates end, and how often new ones were taken or refused.

use prometheus::Error;

use super::Sheet;
use crate::quic::CertificateReport;

pub(super) fn show(sheet: &Sheet, report: &CertificateReport) -> Result<(), Error> {
    let row = |which: &str, node: String, end: i64| ([which.to_owned(), node], end);
    let peers = report.peers.iter().map(|(peer, end)| row("peer", peer.get().to_string(), *end));
    let own = [row("own", report.me.get().to_string(), report.own), row("ca", String::new(), report.ca)];
    sheet.gauges(
        (
            "mpc_wallet_certificate_expiry_timestamp_seconds",
            "End of a certificate in unix seconds: own, of the CA that ends first, of each connected peer's connection.",
        ),
        ["which", "node"],
        own.into_iter().chain(peers),
    )?;
    sheet.counters(
        (
            "mpc_wallet_certificate_reloads_total",
            "Times that new certificate files were found, by what came of it.",
        ),
        ["result"],
        [(["taken".to_owned()], report.taken), (["refused".to_owned()], report.refused)],
    )
}
