//! The keys that a running node takes.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use governor::{DefaultDirectRateLimiter, Quota, clock::Clock as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    AccessError, Role,
    key_file::{ApiKey, KeyFile},
    token,
};

/// Between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Shortest time in which a whole minute's requests may come.
const BURST_SHARE: u32 = 6;

/// The keys of a file, as they were when it was last read.
#[derive(Debug)]
pub struct Keyring {
    path: PathBuf,
    per_minute: NonZeroU32,
    keys: watch::Sender<Arc<Vec<Held>>>,
    /// What the file looked like before it was read: what changes later is seen, however soon.
    loaded: Option<Stamp>,
}

/// What changes when a file does: when it was written, which inode it has and who may read it.
type Stamp = (SystemTime, u64, u32);

/// A key and what its holder has left of his requests.
#[derive(Debug)]
struct Held {
    key: ApiKey,
    left: DefaultDirectRateLimiter,
}

/// Who asks, proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The key's name.
    pub name: String,
    /// Its role.
    pub role: Role,
    hash: [u8; 32],
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
    /// Known, and too often here.
    TooMany {
        /// Until another request is taken, in whole seconds, at least 1.
        retry_after_s: u32,
    },
}

impl Keyring {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a file of keys, each of which may send so many requests a minute; a sixth of them may come at once.
    ///
    /// # Errors
    /// As [`KeyFile::read`].
    pub fn load(path: &Path, per_minute: NonZeroU32) -> Result<Self, AccessError> {
        let loaded = stamp(path);
        let file = KeyFile::read(path)?;
        let (keys, _) = watch::channel(Arc::new(held(&file, per_minute)));
        Ok(Self { path: path.to_owned(), per_minute, keys, loaded })
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
        let keys = Arc::clone(&self.keys.borrow());
        let found = keys.iter().find(|held| held.key.hash == hash).ok_or(Denied::Unknown)?;
        found.left.check().map_err(|later| {
            let wait = later.wait_time_from(found.left.clock().now());
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
            Denied::TooMany { retry_after_s: seconds.saturating_add(1) }
        })?;
        Ok(Grant { name: found.key.name.clone(), role: found.key.role, hash })
    }

    /// Waits until the key of a grant is revoked: for what goes on after its request was let in.
    pub async fn revoked(self: Arc<Self>, grant: Grant) {
        let gone = |keys: &Arc<Vec<Held>>| !keys.iter().any(|held| held.key.hash == grant.hash);
        // The sender is this keyring, so it cannot be gone first.
        let _ = self.keys.subscribe().wait_for(gone).await;
    }

    /// Follows the file until `stop`. A file that cannot be used is complained about and leaves the keys as they were: who
    /// was let in before still is, and a revocation has not happened until the log says so.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut seen = self.loaded;
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
                    self.keys.send_replace(Arc::new(held(&file, self.per_minute)));
                }
                Err(error) => tracing::error!(%error, "API keys stay as they were"),
            }
        }
    }
}

fn held(file: &KeyFile, per_minute: NonZeroU32) -> Vec<Held> {
    let burst = NonZeroU32::new(per_minute.get() / BURST_SHARE).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::per_minute(per_minute).allow_burst(burst);
    let hold = |key: &ApiKey| Held { key: key.clone(), left: DefaultDirectRateLimiter::direct(quota) };
    file.keys().iter().map(hold).collect()
}

/// `None` while there is no file.
fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.ino(), metadata.mode()))
}
