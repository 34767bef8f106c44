//! Whether a backup would bring its node back.

use std::{
    collections::BTreeSet,
    fs::{self, Metadata},
    path::Path,
};

use mpc_wallet_core::{Cluster, NodeId, SessionId, state::State};

use super::{BackupError, Contents, Entry, contents, create::MANIFEST, files};
use crate::{
    config::Manifest,
    journal::{self, DATABASE_FILE},
    secrets::{SECRETS_DIRECTORY, SealedSecrets},
};

/// A backup that holds what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it holds.
    pub contents: Contents,
    /// Keys that its journal knows, by name.
    pub keys: Vec<String>,
    /// Shares that were opened; `None` if no key was given to open them with.
    pub shares_opened: Option<usize>,
}

/// Verifies a backup where it lies: every file is there and is what was backed up, and no other; the journal has no gap,
/// replays, and every key of it has its share. With the file of the sealing key, that every share opens. Changes nothing.
///
/// # Errors
/// [`BackupError`]: the first of it that does not hold.
pub fn verify(dir: &Path, key_file: Option<&Path>) -> Result<Verified, BackupError> {
    let contents = Contents::read(dir)?;
    contents.files.iter().try_for_each(|entry| check(dir, entry))?;
    refuse_others(dir, &contents)?;
    let cluster = Manifest::load(&dir.join(MANIFEST))?.cluster;
    let me = NodeId::new(contents.node);
    if cluster.id().to_string() != contents.cluster {
        let found = format!("cluster {}", cluster.id());
        return Err(BackupError::Foreign { found, expected: contents.owner() });
    }
    let state = replay(dir, &cluster, me)?;
    check_shares(&state, &contents)?;
    let shares_opened = key_file
        .map(|key_file| SealedSecrets::open(dir, key_file, cluster.id(), me)?.load_all())
        .transpose()?
        .map(|shares| shares.len());
    let keys = state.keys().map(|(key, _)| key.to_string()).collect();
    Ok(Verified { contents, keys, shares_opened })
}

fn check(dir: &Path, expected: &Entry) -> Result<(), BackupError> {
    let path = dir.join(&expected.name);
    let damaged = |what: &str| Err(BackupError::Damaged { path: path.clone(), what: what.to_owned() });
    if !fs::symlink_metadata(&path).as_ref().is_ok_and(Metadata::is_file) {
        return damaged("is missing, or is no file");
    }
    let found = files::entry(dir, &expected.name)?;
    if found.bytes != expected.bytes {
        return damaged(&format!("has {} bytes, not {}", found.bytes, expected.bytes));
    }
    if found.sha256 != expected.sha256 {
        return damaged("does not have the SHA-256 that backup.json has");
    }
    Ok(())
}

/// Whoever adds a share or a database adds it to what a restored node believes.
fn refuse_others(dir: &Path, contents: &Contents) -> Result<(), BackupError> {
    let mut known: BTreeSet<_> = contents.files.iter().map(|entry| dir.join(&entry.name)).collect();
    known.insert(dir.join(contents::FILE));
    for folder in [dir.to_owned(), dir.join(SECRETS_DIRECTORY)] {
        for entry in fs::read_dir(&folder).map_err(files::at(&folder))? {
            let path = entry.map_err(files::at(&folder))?.path();
            if !path.is_dir() && !known.contains(&path) {
                return Err(BackupError::Damaged { path, what: "is not listed in backup.json".to_owned() });
            }
        }
    }
    Ok(())
}

fn replay(dir: &Path, cluster: &Cluster, me: NodeId) -> Result<State, BackupError> {
    let path = dir.join(DATABASE_FILE);
    let mut state = State::default();
    for (position, record) in (1..).zip(journal::examine(&path, cluster.id(), me)?) {
        state.apply(me, cluster, &record).map_err(|source| BackupError::Replay {
            path: path.clone(),
            position,
            source,
        })?;
    }
    Ok(state)
}

/// Every key that can be signed with has the share that this node sealed for it.
fn check_shares(state: &State, contents: &Contents) -> Result<(), BackupError> {
    let there = |ceremony: &SessionId| {
        let ceremony = ceremony.to_string();
        contents.in_folder(SECRETS_DIRECTORY).any(|name| name.contains(&ceremony))
    };
    let missing = state.keys().find(|(key, _)| {
        let mut sealed = state.sealed_keys().filter(|(_, sealed)| sealed.request.key == **key).peekable();
        sealed.peek().is_some() && !sealed.any(|(ceremony, _)| there(ceremony))
    });
    match missing {
        Some((key, _)) => Err(BackupError::ShareMissing { key: key.to_string() }),
        None => Ok(()),
    }
}
