//! Bringing a node back.

use std::{fs, io, path::Path};

use super::{BackupError, LAST_BACKUP_FILE, Verified, files, verify};
use crate::{config::Settings, journal::DATABASE_FILE, secrets::SECRETS_DIRECTORY};

/// Verifies a backup with the node's own sealing key, and makes its data directory of it. The directory appears when it is
/// complete; presignatures are not in it. Blocks.
///
/// # Errors
/// [`BackupError`]; nothing was changed. [`BackupError::Occupied`] if the data directory holds anything.
pub fn restore(dir: &Path, settings: &Settings) -> Result<Verified, BackupError> {
    refuse_occupied(&settings.data_dir)?;
    let verified = verify(dir, Some(&settings.secret_key_file))?;
    let expected = (settings.core.cluster.id().to_string(), settings.core.me.get());
    if (&verified.contents.cluster, verified.contents.node) != (&expected.0, expected.1) {
        let expected = format!("node-{} of cluster {}", expected.1, expected.0);
        return Err(BackupError::Foreign { found: verified.contents.owner(), expected });
    }
    let unfinished = files::make_unfinished(&settings.data_dir)?;
    files::make_folder(&unfinished.join(SECRETS_DIRECTORY))?;
    files::copy(&dir.join(DATABASE_FILE), &unfinished.join(DATABASE_FILE))?;
    for share in verified.contents.in_folder(SECRETS_DIRECTORY) {
        let place = Path::new(SECRETS_DIRECTORY).join(share);
        files::copy(&dir.join(&place), &unfinished.join(&place))?;
    }
    files::sync(&unfinished.join(SECRETS_DIRECTORY))?;
    let taken = format!("{}\n", verified.contents.created_at);
    files::write(&unfinished.join(LAST_BACKUP_FILE), taken.as_bytes())?;
    make_way(&settings.data_dir)?;
    files::finish(&unfinished, &settings.data_dir)?;
    Ok(verified)
}

fn refuse_occupied(data_dir: &Path) -> Result<(), BackupError> {
    match fs::read_dir(data_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(files::at(data_dir)(error)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(BackupError::Occupied(data_dir.to_owned())),
        },
    }
}

/// Removes an empty directory, and no other.
fn make_way(data_dir: &Path) -> Result<(), BackupError> {
    match fs::remove_dir(data_dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(files::at(data_dir)(error)),
        _ => Ok(()),
    }
}
