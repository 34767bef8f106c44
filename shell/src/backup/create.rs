//! Taking a backup, beside a node that runs or of one that does not.

use std::{fs, path::Path};

use super::{BackupError, Contents, LAST_BACKUP_FILE, files};
use crate::{
    config::Settings,
    journal::{self, DATABASE_FILE},
    secrets::{SECRETS_DIRECTORY, is_share},
    units::now,
};

/// Folder of the configuration in a backup.
pub(super) const CONFIG: &str = "config";
/// Names of the configuration there, whatever they are called on the node.
pub(super) const MANIFEST: &str = "config/cluster.toml";
const NODE: &str = "config/node.toml";
const API_KEYS: &str = "config/api-keys.toml";

/// Makes the folder `dir` with a backup of the node that `config` describes, whose settings these are. The folder appears when it
/// is complete. Nothing of the node changes but the note of its last backup. Blocks.
///
/// The journal is copied first and the shares after it: a share is sealed before the journal says so, and a copy in this
/// order has every share that its journal knows of.
///
/// # Errors
/// [`BackupError`]; `dir` is then not there.
pub fn create(settings: &Settings, config: &Path, dir: &Path) -> Result<Contents, BackupError> {
    if dir.try_exists().map_err(files::at(dir))? {
        return Err(BackupError::Exists(dir.to_owned()));
    }
    if !settings.data_dir.join(DATABASE_FILE).exists() {
        return Err(BackupError::NoJournal(settings.data_dir.clone()));
    }
    let begun = now().0 / 1_000;
    let unfinished = files::make_unfinished(dir)?;
    let mut contents = Contents::new(settings.core.cluster.id().to_string(), settings.core.me.get(), begun);
    contents.journal_position = copy_journal(settings, &unfinished)?;
    let mut names = vec![DATABASE_FILE.to_owned()];
    names.extend(copy_shares(&settings.data_dir, &unfinished)?);
    names.extend(copy_config(settings, config, &unfinished)?);
    for name in &names {
        contents.files.push(files::entry(&unfinished, name)?);
    }
    contents.write(&unfinished)?;
    for folder in [SECRETS_DIRECTORY, CONFIG] {
        files::sync(&unfinished.join(folder))?;
    }
    files::finish(&unfinished, dir)?;
    files::replace(&settings.data_dir.join(LAST_BACKUP_FILE), format!("{begun}\n").as_bytes())?;
    Ok(contents)
}

/// Copies the database as of one moment; returns the position of its last record.
fn copy_journal(settings: &Settings, to: &Path) -> Result<u64, BackupError> {
    let copy = to.join(DATABASE_FILE);
    let (cluster, me) = (settings.core.cluster.id(), settings.core.me);
    journal::snapshot(&settings.data_dir, &copy, cluster, me)?;
    files::close_to_others(&copy)?;
    Ok(journal::examine(&copy, cluster, me)?.len() as u64)
}

/// Copies every sealed share, and nothing else of what lies beside them.
fn copy_shares(data_dir: &Path, to: &Path) -> Result<Vec<String>, BackupError> {
    let from = data_dir.join(SECRETS_DIRECTORY);
    files::make_folder(&to.join(SECRETS_DIRECTORY))?;
    let mut names = Vec::new();
    for entry in fs::read_dir(&from).map_err(files::at(&from))? {
        let path = entry.map_err(files::at(&from))?.path();
        let Some(file) = path.file_name().and_then(|name| name.to_str()).filter(|_| is_share(&path)) else {
            continue;
        };
        let name = format!("{SECRETS_DIRECTORY}/{file}");
        files::copy(&path, &to.join(&name))?;
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

fn copy_config(settings: &Settings, config: &Path, to: &Path) -> Result<Vec<String>, BackupError> {
    files::make_folder(&to.join(CONFIG))?;
    let keys = settings.rest.keyring.as_ref().map(|keyring| (keyring.path(), API_KEYS));
    [(config, NODE), (settings.manifest.as_path(), MANIFEST)]
        .into_iter()
        .chain(keys)
        .map(|(from, name)| files::copy(from, &to.join(name)).map(|()| name.to_owned()))
        .collect()
}
