//! Backups of a node: what brings it back after its disk is lost, and nothing that could be used twice.
//!
//! A backup is a folder:
//!
//! | file | what |
//! |---|---|
//! | `backup.json` | whose backup it is, of when, and length and SHA-256 of every other file |
//! | `node.db` | the journal and its read model as of one moment, copied while the node may be writing |
//! | `secrets/*.share` | key shares, sealed as they lie on the node's disk |
//! | `config/` | `node.toml`, `cluster.toml` and, if the node asks for API keys, their hashes |
//!
//! What is not in it: presignatures and nonces, which would give the key away if a restored node used them again (I4);
//! and every file that is secret in clear: the key that opens the shares, the vote key, the private key of the
//! certificate, passwords. Those do not change; they are kept apart, once. So whoever finds a backup learns of payments, and
//! can spend nothing.
//!
//! A restored node is behind what its peers have seen of it. It notices (I7), and recovers its own votes from them before it
//! takes part.

mod contents;
mod create;
mod files;
mod restore;
mod verify;

use std::path::{Path, PathBuf};

use mpc_wallet_core::{Timestamp, state::ApplyError};

use crate::{config::ConfigErrors, journal::OpenError, secrets::SecretsError};

pub use contents::{Contents, Entry};
pub use create::create;
pub use restore::restore;
pub use verify::{Verified, verify};

/// File in the data directory with the moment of the last backup, in unix seconds.
pub const LAST_BACKUP_FILE: &str = "last-backup";

/// Why nothing was backed up, or why a backup is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// On this.
        path: PathBuf,
        /// How.
        source: std::io::Error,
    },
    /// Something is where the backup belongs.
    #[error("{} exists; a backup is never overwritten, name a folder that is not there", .0.display())]
    Exists(PathBuf),
    /// Something is where a backup is restored to.
    #[error(
        "{} is not empty; a node's data is never overwritten: stop the node, and move the folder away if its content is lost",
        .0.display()
    )]
    Occupied(PathBuf),
    /// There is no data to back up.
    #[error("{} has no journal; has the node run yet, and is this its data_dir?", .0.display())]
    NoJournal(PathBuf),
    /// The journal cannot be copied, or the copy is damaged.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// A record of the copy contradicts those before it.
    #[error("{}: record {position} of the journal: {source}; take another backup", path.display())]
    Replay {
        /// The database.
        path: PathBuf,
        /// Which record, from 1.
        position: u64,
        /// How.
        source: ApplyError,
    },
    /// A share does not open.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The backup's manifest is of no use.
    #[error(transparent)]
    Manifest(#[from] ConfigErrors),
    /// Not a backup.
    #[error("{} is no backup of this version: {reason}", path.display())]
    NoBackup {
        /// What was read.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is not what was backed up.
    #[error("{} {what}; the backup is damaged, use another one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How it differs.
        what: String,
    },
    /// It is another node's.
    #[error("the backup is of {found}, not of {expected}; two nodes must not exchange their data")]
    Foreign {
        /// Whose it is.
        found: String,
        /// Whose was expected.
        expected: String,
    },
    /// The journal speaks of a share that is not there.
    #[error(
        "the share of key {key} is not in the backup; take another one, or the wallet loses this node's part"
    )]
    ShareMissing {
        /// The key.
        key: String,
    },
}

/// When the last backup of a node was taken; `None` if none ever was, or the file cannot be read.
#[must_use]
pub fn last(data_dir: &Path) -> Option<Timestamp> {
    let text = std::fs::read_to_string(data_dir.join(LAST_BACKUP_FILE)).ok()?;
    text.trim().parse::<u64>().ok().map(|seconds| Timestamp(seconds.saturating_mul(1_000)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_last_backup_is_known_by_its_file_and_by_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last(dir.path()), None);
        for (text, time) in [("1700000000\n", Some(1_700_000_000_000)), ("yesterday", None), ("", None)] {
            std::fs::write(dir.path().join(LAST_BACKUP_FILE), text).unwrap();
            assert_eq!(last(dir.path()), time.map(Timestamp), "{text}");
        }
    }
}
