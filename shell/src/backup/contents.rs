//! `backup.json`: what a backup holds.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{BackupError, files};

/// Name of the document in the backup.
pub(super) const FILE: &str = "backup.json";

/// The one form there is.
const FORMAT: u32 = 1;

/// Longest document, in bytes: some thousands of shares.
const MAX_BYTES: u64 = 1024 * 1024;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// Form of the backup, 1.
    pub format: u32,
    /// The cluster, hexadecimal.
    pub cluster: String,
    /// The node's number.
    pub node: u16,
    /// Version of the software that made it.
    pub version: String,
    /// Moment before which nothing was copied, unix seconds.
    pub created_at: u64,
    /// Position of the last record of the journal in it.
    pub journal_position: u64,
    /// Every other file.
    pub files: Vec<Entry>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Path in the backup.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of it, hexadecimal.
    pub sha256: String,
}

impl Contents {
    /// A document that has no files yet.
    pub(super) fn new(cluster: String, node: u16, created_at: u64) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: FORMAT, cluster, node, version, created_at, journal_position: 0, files: Vec::new() }
    }

    /// Whose it is, for people.
    pub(super) fn owner(&self) -> String {
        format!("node-{} of cluster {}", self.node, self.cluster)
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), BackupError> {
        let path = dir.join(FILE);
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| BackupError::NoBackup { path: path.clone(), reason: error.to_string() })?;
        files::write(&path, format!("{text}\n").as_bytes())
    }

    /// Reads the document. Names in it lead out of no folder.
    pub(super) fn read(dir: &Path) -> Result<Self, BackupError> {
        let path = dir.join(FILE);
        let no_backup = |reason: String| BackupError::NoBackup { path: path.clone(), reason };
        let bytes = files::read_bounded(&path, MAX_BYTES)?;
        let contents: Self = serde_json::from_slice(&bytes).map_err(|error| no_backup(error.to_string()))?;
        if contents.format != FORMAT {
            return Err(no_backup(format!(
                "its format is {}, this software knows {FORMAT}",
                contents.format
            )));
        }
        match contents.files.iter().find(|entry| !is_plain(&entry.name)) {
            Some(entry) => Err(no_backup(format!("it names the file {:?}", entry.name))),
            None => Ok(contents),
        }
    }

    /// The files in a folder of the backup, by their names there.
    pub(super) fn in_folder<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.files.iter().filter_map(move |entry| entry.name.strip_prefix(folder)?.strip_prefix('/'))
    }
}

/// A file's name, at most one folder down, of the characters that our own names have.
fn is_plain(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    let parts: Vec<_> = name.split('/').collect();
    parts.len() <= 2 && parts.into_iter().all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_backup() {
        for (name, plain) in [
            ("node.db", true),
            ("secrets/taproot-1-00ff.share", true),
            ("../node.db", false),
            ("/etc/passwd", false),
            ("a/b/c", false),
            ("a//b", false),
            (".", false),
            ("secrets/.hidden", false),
            ("", false),
            ("a\\b", false),
        ] {
            assert_eq!(is_plain(name), plain, "{name}");
        }
    }
}
