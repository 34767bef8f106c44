//! Secrets at rest, apart from journal and backup: key shares, each sealed in a file of its own, and the presignatures
//! of an orderly stop.
//!
//! Each is encrypted with XChaCha20-Poly1305 under a key that an operator keeps in a file elsewhere. Cluster, node and
//! what the secret is for are authenticated with it, so a sealed file is good in its own place only.
//!
//! A file appears complete or not at all (write, fsync, rename, fsync of the directory). A share is never replaced by
//! another one: losing a share can lose the wallet. Presignatures are the contrary: having them twice can lose the
//! wallet, and having none costs time; `presignatures` says how they are kept once.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mpc_wallet_core::{
    ClusterId, KeyId, NodeId, SessionId,
    codec::CodecError,
    mpc::{KeyShare, KeyShareError},
    pool::{KeptError, KeptPresignatures},
};

use self::{
    cipher::{Cipher, SealError},
    files::{at, sync_directory},
};
use crate::ports::{JournalFailure, SecretStore};

mod cipher;
mod files;
mod key_file;
mod presignatures;
mod shares;

/// Directory of the sealed secrets in the data directory.
pub const SECRETS_DIRECTORY: &str = "secrets";

/// Whether a file of that directory is a sealed share, by its name.
#[must_use]
pub fn is_share(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == shares::EXTENSION)
}

/// Digits of a key file, which may end in a line break.
const KEY_DIGITS: usize = 64;

/// Why a secret could not be kept or had. No text holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file system refused.
    #[error("{path}: {source}; check that it exists, is accessible and has room", path = path.display())]
    Io {
        /// On this.
        path: PathBuf,
        /// How.
        source: io::Error,
    },
    /// Others could read the key.
    #[error(
        "key file {path} has mode {mode:04o}, others can read or change it; run: chmod 600 {path}",
        path = path.display()
    )]
    KeyFileMode {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No key in the key file.
    #[error(
        "key file {path} must hold exactly {KEY_DIGITS} hexadecimal digits (32 bytes); restore it, or generate one for a new node",
        path = path.display()
    )]
    KeyFileContent {
        /// The key file.
        path: PathBuf,
    },
    /// A key is there already, and shares may be sealed with it.
    #[error("key file {path} exists and is not overwritten; shares may be sealed with it", path = path.display())]
    KeyFileExists {
        /// The key file.
        path: PathBuf,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Entropy(String),
    /// It was sealed for another place.
    #[error(
        "{path} was sealed for {found}, not for {expected}; put every sealed share back into its own node's data directory",
        path = path.display()
    )]
    Foreign {
        /// The sealed file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose was expected.
        expected: String,
    },
    /// Not a sealed share.
    #[error("{path} is not a sealed share: {source}; restore it from its copy", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CodecError,
    },
    /// Wrong key or changed file: authenticated encryption cannot tell which.
    #[error(
        "{path} does not open with the key of {key_file}: either the key is not the one it was sealed with, or the file was changed; restore the right one",
        path = path.display(), key_file = key_file.display()
    )]
    NotAuthentic {
        /// The sealed file.
        path: PathBuf,
        /// Where the key is from.
        key_file: PathBuf,
    },
    /// It opened, and is no share this software knows.
    #[error("{path}: {source}", path = path.display())]
    Share {
        /// The sealed file.
        path: PathBuf,
        /// Why.
        source: KeyShareError,
    },
    /// The presignatures cannot be written down.
    #[error("{path}: {source}", path = path.display())]
    Presignatures {
        /// The sealed file.
        path: PathBuf,
        /// Why.
        source: KeptError,
    },
    /// The ceremony's share exists and is a different one.
    #[error(
        "{path} holds a different share of the same ceremony and is not overwritten; a ceremony yields one share",
        path = path.display()
    )]
    Conflict {
        /// The sealed file.
        path: PathBuf,
    },
}

impl SecretsError {
    /// What sealing or opening `path` with the key of `key_file` failed with.
    fn of_seal(path: &Path, key_file: &Path, error: SealError) -> Self {
        let path = path.to_owned();
        match error {
            SealError::Entropy(error) => Self::Entropy(error),
            SealError::Codec(source) => Self::Malformed { path, source },
            SealError::NotAuthentic => Self::NotAuthentic { path, key_file: key_file.to_owned() },
        }
    }
}

/// The sealed secrets of one node. The data directory's lock, held by the journal, keeps other processes out.
#[derive(Clone)]
pub struct SealedSecrets(Arc<Vault>);

struct Vault {
    directory: PathBuf,
    key_file: PathBuf,
    cluster: ClusterId,
    node: NodeId,
    cipher: Cipher,
    // One change at a time: looking for an existing file and writing a new one belong together.
    changing: Mutex<()>,
}

impl SealedSecrets {
    /// Reads the key-encryption key, which nobody but the owner may access, and makes the secrets directory (mode
    /// 0700) if it is missing. Opens no secret.
    ///
    /// # Errors
    /// [`SecretsError`] of the key file, or of the directory.
    pub fn open(
        data_dir: &Path,
        key_file: &Path,
        cluster: ClusterId,
        node: NodeId,
    ) -> Result<Self, SecretsError> {
        let cipher = Cipher::new(&*key_file::read(key_file)?);
        let directory = data_dir.join(SECRETS_DIRECTORY);
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(at(&directory))?;
        sync_directory(data_dir)?;
        let key_file = key_file.to_owned();
        Ok(Self(Arc::new(Vault { directory, key_file, cluster, node, cipher, changing: Mutex::new(()) })))
    }

    /// Makes a key-encryption key from the operating system's entropy, durable and with mode 0600. For setting up a
    /// node: whoever loses this file loses the node's shares.
    ///
    /// # Errors
    /// [`SecretsError::KeyFileExists`] rather than overwriting; else the file system's or the entropy's.
    pub fn generate_key_file(path: &Path) -> Result<(), SecretsError> {
        key_file::generate(path)
    }

    /// Opens every sealed share, in the order of their file names. Blocks; for the node's start.
    ///
    /// # Errors
    /// The first file that cannot be opened, by name: a node must not start without a share it is trusted with.
    pub fn load_all(&self) -> Result<Vec<(SessionId, KeyId, KeyShare)>, SecretsError> {
        let vault = &self.0;
        let mut paths = Vec::new();
        for entry in fs::read_dir(&vault.directory).map_err(at(&vault.directory))? {
            let path = entry.map_err(at(&vault.directory))?.path();
            if is_share(&path) {
                paths.push(path);
            }
        }
        paths.sort_unstable();
        paths
            .iter()
            .map(|path| {
                let (label, share) = vault.unseal(path)?;
                Ok((label.ceremony, label.key, share))
            })
            .collect()
    }

    /// Takes the presignatures that the last orderly stop kept: they are gone from the disk, durably, when this returns,
    /// so that no other start can have them. `None` if there are none, or if they cannot be opened, which is logged:
    /// they are replaceable. Blocks; for the node's start.
    ///
    /// # Errors
    /// [`SecretsError::Io`] if they cannot be removed: nobody may use them then.
    pub fn take_presignatures(&self) -> Result<Option<KeptPresignatures>, SecretsError> {
        self.0.take_presignatures()
    }
}

impl SecretStore for SealedSecrets {
    async fn seal(&self, ceremony: SessionId, key: KeyId, share: &KeyShare) -> Result<(), JournalFailure> {
        let label = self.0.label(ceremony, key);
        let sealed = self.0.encrypt(label, share).map_err(|error| failed("sealing a key share", &error))?;
        // Equal exactly for the same share, and no secret.
        let identity = (share.public_digest(), share.slot());
        self.write("sealing a key share", move |vault| vault.store(&sealed, identity)).await
    }

    async fn keep_presignatures(&self, kept: Option<KeptPresignatures>) -> Result<(), JournalFailure> {
        self.write("keeping presignatures", move |vault| vault.keep_presignatures(kept.as_ref())).await
    }
}

impl SealedSecrets {
    /// Changes files off the event loop.
    async fn write(
        &self,
        what: &'static str,
        change: impl FnOnce(&Vault) -> Result<(), SecretsError> + Send + 'static,
    ) -> Result<(), JournalFailure> {
        let vault = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || change(&vault))
            .await
            .map_err(|_| JournalFailure(format!("{what}: the writer stopped; restart the node")))?
            .map_err(|error| failed(what, &error))
    }
}

fn failed(what: &str, error: &SecretsError) -> JournalFailure {
    JournalFailure(format!("{what}: {error}"))
}

impl Vault {
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of_seal(&self, path: &Path, error: SealError) -> SecretsError {
        SecretsError::of_seal(path, &self.key_file, error)
    }
}

#[cfg(test)]
mod tests;
