//! The keys that a running node takes.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;

use super::{
    AccessError, Role,
    key_file::{ApiKey, KeyFile},
    token,
};

/// Between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The keys of a file, as they were when it was last read.
#[derive(Debug)]
pub struct Keyring {
    path: PathBuf,
    keys: RwLock<Arc<Vec<ApiKey>>>,
}

/// Who asks, proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The key's name.
    pub name: String,
    /// Its role.
    pub role: Role,
}

/// Why somebody is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No key was shown.
    NoKey,
    /// Not the form `Bearer mpcw_…`.
    Form,
    /// No key of this node, or one that was revoked.
    Unknown,
}

impl Keyring {
    /// Reads a file of keys.
    ///
    /// # Errors
    /// As [`KeyFile::read`].
    pub fn load(path: &Path) -> Result<Self, AccessError> {
        let keys = KeyFile::read(path)?.keys().to_vec();
        Ok(Self { path: path.to_owned(), keys: RwLock::new(Arc::new(keys)) })
    }

    /// Whose key the value of an `Authorization` header shows.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn authenticate(&self, header: Option<&str>) -> Result<Grant, Denied> {
        let header = header.ok_or(Denied::NoKey)?;
        let (scheme, token) = header.split_once(' ').ok_or(Denied::Form)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Denied::Form);
        }
        // Hashes are compared: how far two of them agree tells nothing of a token.
        let hash = token::hash(token.trim());
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let found = keys.iter().find(|key| key.hash == hash).ok_or(Denied::Unknown)?;
        Ok(Grant { name: found.name.clone(), role: found.role })
    }

    /// Follows the file until `stop`. A file that cannot be used is complained about and leaves the keys as they were: who
    /// was let in before still is, and a revocation has not happened until the log says so.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut seen = stamp(&self.path);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now = stamp(&self.path);
            if now == seen {
                continue;
            }
            seen = now;
            match KeyFile::read(&self.path) {
                Ok(file) => {
                    tracing::info!(keys = file.keys().len(), "API keys were read anew");
                    *self.keys.write().unwrap_or_else(PoisonError::into_inner) =
                        Arc::new(file.keys().to_vec());
                }
                Err(error) => tracing::error!(%error, "API keys stay as they were"),
            }
        }
    }
}

/// What changes when a file does; `None` while there is none.
fn stamp(path: &Path) -> Option<(SystemTime, u64, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.ino(), metadata.mode()))
}
