//! Files of a backup: durable, their owner's alone, and known by their digests.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use bitcoin::hashes::{Hash, HashEngine, sha256};

use super::{BackupError, Entry};

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError + '_ {
    |source| BackupError::Io { path: path.to_owned(), source }
}

/// Where a folder is built before it gets its name: beside it, so that the last step is one rename.
pub(super) fn unfinished(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    dir.with_file_name(name)
}

/// Makes an empty folder that only its owner can read, in place of one that an interrupted run left.
pub(super) fn make_unfinished(dir: &Path) -> Result<PathBuf, BackupError> {
    let path = unfinished(dir);
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path)(error)),
        _ => make_folder(&path)?,
    }
    Ok(path)
}

pub(super) fn make_folder(path: &Path) -> Result<(), BackupError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))
}

/// Gives a folder its name, durably.
pub(super) fn finish(unfinished: &Path, dir: &Path) -> Result<(), BackupError> {
    sync(unfinished)?;
    fs::rename(unfinished, dir).map_err(at(dir))?;
    sync(match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    })
}

/// Makes a file or folder durable.
pub(super) fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|opened| opened.sync_all()).map_err(at(path))
}

/// Writes a new file for its owner alone.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(at(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(path))
}

/// Copies a file to a new one for its owner alone.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let mut source = File::open(from).map_err(at(from))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(at(to))?;
    io::copy(&mut source, &mut file).and_then(|_| file.sync_all()).map_err(at(to))
}

/// Takes a file from everybody but its owner, and makes it durable.
pub(super) fn close_to_others(path: &Path) -> Result<(), BackupError> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(at(path))?;
    sync(path)
}

/// Replaces a small file: whole or not at all.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let temporary = path.with_extension("tmp");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&temporary)(error)),
        _ => write(&temporary, bytes)?,
    }
    fs::rename(&temporary, path).map_err(at(path))
}

pub(super) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, BackupError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(at(path))?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(at(path))?;
    if bytes.len() as u64 > limit {
        let reason = format!("it is longer than {limit} bytes");
        return Err(BackupError::NoBackup { path: path.to_owned(), reason });
    }
    Ok(bytes)
}

/// What `backup.json` says of a file of the backup.
pub(super) fn entry(dir: &Path, name: &str) -> Result<Entry, BackupError> {
    let path = dir.join(name);
    let mut file = File::open(&path).map_err(at(&path))?;
    let mut engine = sha256::Hash::engine();
    let (mut bytes, mut chunk) = (0_u64, vec![0; CHUNK]);
    loop {
        let read = file.read(&mut chunk).map_err(at(&path))?;
        let Some(part) = chunk.get(..read).filter(|part| !part.is_empty()) else { break };
        engine.input(part);
        bytes = bytes.saturating_add(part.len() as u64);
    }
    Ok(Entry { name: name.to_owned(), bytes, sha256: sha256::Hash::from_engine(engine).to_string() })
}
