//! When this node was last backed up.

use std::path::Path;

use prometheus::Error;

use super::Sheet;
use crate::backup;

/// Shows the time of the last backup; nothing on a node that was never backed up, or whose file does not hold a time.
///
/// # Errors
/// If the name is taken.
pub fn show(sheet: &Sheet, data_dir: &Path) -> Result<(), Error> {
    let Some(taken) = backup::last(data_dir) else { return Ok(()) };
    sheet.gauge(
        "mpc_wallet_last_backup_timestamp_seconds",
        "When this node's last backup was taken, in unix seconds; absent before the first.",
        taken.0 / 1_000,
    )
}
