//! When this node was last backed up.

use std::path::Path;

use prometheus::Error;

use super::Sheet;

/// The file in the data directory that a backup leaves behind: unix seconds of its end, in decimal.
pub const LAST_BACKUP_FILE: &str = "last-backup";

/// Shows the time of the last backup; nothing on a node that was never backed up, or whose file does not hold a time.
///
/// # Errors
/// If the name is taken.
pub fn show(sheet: &Sheet, data_dir: &Path) -> Result<(), Error> {
    let Some(ended) = last(data_dir) else { return Ok(()) };
    sheet.gauge(
        "mpc_wallet_last_backup_timestamp_seconds",
        "End of this node's last backup in unix seconds; absent before the first.",
        ended,
    )
}

fn last(data_dir: &Path) -> Option<u64> {
    std::fs::read_to_string(data_dir.join(LAST_BACKUP_FILE)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_backup_is_known_by_its_file_and_by_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last(dir.path()), None);
        for (text, time) in [("1700000000\n", Some(1_700_000_000)), ("yesterday", None), ("", None)] {
            std::fs::write(dir.path().join(LAST_BACKUP_FILE), text).unwrap();
            assert_eq!(last(dir.path()), time, "{text}");
        }
    }
}
