//! Key shares at rest: each sealed in a file of its own, apart from journal and backup.
//!
//! A share is encrypted with XChaCha20-Poly1305 under a key that an operator keeps in a file elsewhere. The nonce is
//! random: 192 bits make a repetition impossible in practice, without state that a restore could turn back. Cluster,
//! node, key and ceremony are authenticated with the share, so a sealed file is good in its own place only.
//!
//! A file appears complete or not at all (write, fsync, rename, fsync of the directory), and is never replaced by
//! another share: losing a share can lose the wallet.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bitcoin::hex::{DisplayHex, FromHex};
use chacha20poly1305::{AeadInPlace, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use mpc_wallet_core::{
    ClusterId, KeyId, NodeId, SessionId,
    codec::{self, CodecError},
    mpc::{KeyShare, KeyShareError},
};
use rand_core::{OsRng, RngCore};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::ports::{JournalFailure, SecretStore};

/// Directory of the sealed shares in the data directory.
pub const SECRETS_DIRECTORY: &str = "secrets";

/// Ending of a sealed share's name; other files are ignored.
const EXTENSION: &str = "share";

/// Most bytes of a sealed file: a share takes at most 8 kB.
const MAX_FILE_BYTES: usize = 64 * 1024;

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

/// Whose share a file holds: in clear at its front, and authenticated.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Label {
    cluster: ClusterId,
    node: NodeId,
    key: KeyId,
    ceremony: SessionId,
}

/// A sealed file, in the core's encoding.
#[derive(Serialize, Deserialize)]
struct SealedFile {
    label: Label,
    nonce: [u8; 24],
    tag: [u8; 16],
    ciphertext: Vec<u8>,
}

/// The sealed key shares of one node. The data directory's lock, held by the journal, keeps other processes out.
#[derive(Clone)]
pub struct SealedShares(Arc<Vault>);

struct Vault {
    directory: PathBuf,
    key_file: PathBuf,
    cluster: ClusterId,
    node: NodeId,
    // The cipher erases its key when dropped.
    cipher: XChaCha20Poly1305,
    // One seal at a time: looking for an existing share and writing a new one belong together.
    sealing: Mutex<()>,
}

impl SealedShares {
    /// Reads the key-encryption key, which nobody but the owner may access, and makes the secrets directory (mode
    /// 0700) if it is missing. Opens no share: see [`load_all`](Self::load_all).
    ///
    /// # Errors
    /// [`SecretsError`] of the key file, or of the directory.
    pub fn open(
        data_dir: &Path,
        key_file: &Path,
        cluster: ClusterId,
        node: NodeId,
    ) -> Result<Self, SecretsError> {
        let key = read_key(key_file)?;
        let cipher = XChaCha20Poly1305::new(key.as_slice().into());
        let directory = data_dir.join(SECRETS_DIRECTORY);
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(at(&directory))?;
        sync_directory(data_dir)?;
        let key_file = key_file.to_owned();
        Ok(Self(Arc::new(Vault { directory, key_file, cluster, node, cipher, sealing: Mutex::new(()) })))
    }

    /// Makes a key-encryption key from the operating system's entropy, durable and with mode 0600. For setting up a
    /// node: whoever loses this file loses the node's shares.
    ///
    /// # Errors
    /// [`SecretsError::KeyFileExists`] rather than overwriting; else the file system's or the entropy's.
    pub fn generate_key_file(path: &Path) -> Result<(), SecretsError> {
        let mut key = Zeroizing::new([0_u8; 32]);
        random(key.as_mut_slice())?;
        // Room for the line break, so that adding it leaves no copy behind.
        let mut text = Zeroizing::new(String::with_capacity(KEY_DIGITS + 1));
        text.push_str(&Zeroizing::new(key.to_lower_hex_string()));
        text.push('\n');
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(SecretsError::KeyFileExists { path: path.to_owned() });
            }
            opened => opened.map_err(at(path))?,
        };
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(at(path))?;
        sync_directory(parent(path))
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
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
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
}

impl SecretStore for SealedShares {
    async fn seal(&self, ceremony: SessionId, key: KeyId, share: &KeyShare) -> Result<(), JournalFailure> {
        let failed = |error: SecretsError| JournalFailure(format!("sealing a key share: {error}"));
        let label = self.0.label(ceremony, key);
        let sealed = self.0.encrypt(label, share).map_err(failed)?;
        // Equal exactly for the same share, and no secret.
        let identity = (share.public_digest(), share.slot());
        let vault = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || vault.store(&sealed, identity))
            .await
            .map_err(|_| {
                JournalFailure("sealing a key share: the writer stopped; restart the node".to_owned())
            })?
            .map_err(failed)
    }
}

impl Vault {
    fn label(&self, ceremony: SessionId, key: KeyId) -> Label {
        Label { cluster: self.cluster, node: self.node, key, ceremony }
    }

    fn path(&self, label: &Label) -> PathBuf {
        self.directory.join(format!("{}-{}.{EXTENSION}", label.key, label.ceremony))
    }

    fn encrypt(&self, label: Label, share: &KeyShare) -> Result<SealedFile, SecretsError> {
        let path = self.path(&label);
        let mut nonce = [0; 24];
        random(&mut nonce)?;
        let aad = associated_data(&path, &label)?;
        let mut room =
            share.to_secret_bytes().map_err(|source| SecretsError::Share { path: path.clone(), source })?;
        // In place and detached: the plain bytes are overwritten, never copied.
        let tag = self
            .cipher
            .encrypt_in_place_detached(XNonce::from_slice(&nonce), &aad, &mut room)
            .map_err(|_| self.not_authentic(&path))?;
        Ok(SealedFile { label, nonce, tag: tag.into(), ciphertext: room.to_vec() })
    }

    /// Writes the file, unless it holds the share already.
    fn store(
        &self,
        sealed: &SealedFile,
        identity: ([u8; 32], mpc_wallet_core::mpc::Slot),
    ) -> Result<(), SecretsError> {
        let _sealing = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(&sealed.label);
        if path.try_exists().map_err(at(&path))? {
            let (_, stored) = self.unseal(&path)?;
            return if (stored.public_digest(), stored.slot()) == identity {
                // It may have been renamed before a crash kept the directory from being synced.
                sync_directory(&self.directory)
            } else {
                Err(SecretsError::Conflict { path })
            };
        }
        let bytes =
            codec::encode(sealed).map_err(|source| SecretsError::Malformed { path: path.clone(), source })?;
        let temporary = path.with_extension("tmp");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(at(&temporary))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(at(&temporary))?;
        fs::rename(&temporary, &path).map_err(at(&path))?;
        sync_directory(&self.directory)
    }

    fn unseal(&self, path: &Path) -> Result<(Label, KeyShare), SecretsError> {
        let malformed = |source| SecretsError::Malformed { path: path.to_owned(), source };
        let bytes = read_bounded(path, MAX_FILE_BYTES)?;
        let SealedFile { label, nonce, tag, ciphertext } =
            codec::decode(&bytes, MAX_FILE_BYTES).map_err(malformed)?;
        let expected = self.label(label.ceremony, label.key);
        if label != expected || self.path(&label) != path {
            return Err(SecretsError::Foreign {
                path: path.to_owned(),
                found: describe(&label),
                expected: format!("{} of cluster {} under this file name", self.node, self.cluster),
            });
        }
        let aad = associated_data(path, &label)?;
        let mut room = Zeroizing::new(ciphertext);
        self.cipher
            .decrypt_in_place_detached(XNonce::from_slice(&nonce), &aad, &mut room, Tag::from_slice(&tag))
            .map_err(|_| self.not_authentic(path))?;
        let share = KeyShare::from_secret_bytes(&room)
            .map_err(|source| SecretsError::Share { path: path.to_owned(), source })?;
        Ok((label, share))
    }

    fn not_authentic(&self, path: &Path) -> SecretsError {
        SecretsError::NotAuthentic { path: path.to_owned(), key_file: self.key_file.clone() }
    }
}

fn describe(label: &Label) -> String {
    format!("key {} (ceremony {}) at {} of cluster {}", label.key, label.ceremony, label.node, label.cluster)
}

fn associated_data(path: &Path, label: &Label) -> Result<Vec<u8>, SecretsError> {
    codec::encode(&("mpc-wallet/sealed-share", label))
        .map_err(|source| SecretsError::Malformed { path: path.to_owned(), source })
}

fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, SecretsError> {
    let content = || SecretsError::KeyFileContent { path: path.to_owned() };
    let file = File::open(path).map_err(at(path))?;
    // Of the open file, so that what is checked is what is read.
    let mode = file.metadata().map_err(at(path))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretsError::KeyFileMode { path: path.to_owned(), mode });
    }
    // Fixed room: growing would leave copies of the key behind.
    let mut room = Zeroizing::new(Vec::with_capacity(KEY_DIGITS * 2));
    file.take(KEY_DIGITS as u64 + 2).read_to_end(&mut room).map_err(at(path))?;
    let text = std::str::from_utf8(&room).map_err(|_| content())?;
    let digits = text.strip_suffix('\n').unwrap_or(text);
    let digits = digits.strip_suffix('\r').unwrap_or(digits);
    let mut key = <[u8; 32]>::from_hex(digits).map_err(|_| content())?;
    let kept = Zeroizing::new(key);
    key.zeroize();
    Ok(kept)
}

fn read_bounded(path: &Path, limit: usize) -> Result<Vec<u8>, SecretsError> {
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(bound).read_to_end(&mut bytes)).map_err(at(path))?;
    Ok(bytes)
}

fn random(bytes: &mut [u8]) -> Result<(), SecretsError> {
    OsRng.try_fill_bytes(bytes).map_err(|error| SecretsError::Entropy(error.to_string()))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes names in a directory durable.
fn sync_directory(directory: &Path) -> Result<(), SecretsError> {
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(at(directory))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> SecretsError + '_ {
    |source| SecretsError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
