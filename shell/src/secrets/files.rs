//! Files that are there whole or not at all, whenever the power fails.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::SecretsError;

/// Writes a file that its owner alone can read, in place of any other: write, fsync, rename, fsync of the directory.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), SecretsError> {
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(at(&temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&temporary))?;
    fs::rename(&temporary, path).map_err(at(path))?;
    sync_directory(parent(path))
}

/// Removes a file for good, and what a crash may have left half-written of it. It may be missing.
pub(super) fn remove_durably(path: &Path) -> Result<(), SecretsError> {
    for path in [path, &path.with_extension("tmp")] {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(at(path))?,
        }
    }
    // Even if nothing was there: a removal before a crash may not have been made durable.
    sync_directory(parent(path))
}

/// Reads a file up to one byte beyond `limit`, which tells that it is too long.
pub(super) fn read_bounded(path: &Path, limit: usize) -> Result<Vec<u8>, SecretsError> {
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(bound).read_to_end(&mut bytes)).map_err(at(path))?;
    Ok(bytes)
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes names in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> Result<(), SecretsError> {
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(at(directory))
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> SecretsError + '_ {
    |source| SecretsError::Io { path: path.to_owned(), source }
}
