//! This life of the node.

use mpc_wallet_core::Timestamp;
use prometheus::Error;

use super::Sheet;

/// Shows when the process began to serve.
///
/// # Errors
/// If the name is taken.
pub fn show(sheet: &Sheet, started: Timestamp) -> Result<(), Error> {
    sheet.gauge(
        "mpc_wallet_start_timestamp_seconds",
        "When this process began to serve, in unix seconds.",
        started.0 / 1_000,
    )
}
