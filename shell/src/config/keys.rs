//! Key files: 32 secret bytes as 64 hexadecimal digits, readable by their owner alone.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use bitcoin::hex::{DisplayHex, FromHex};
use mpc_wallet_core::{VoteKey, VotePublicKey, identity::KeyError};
use rand_core::{OsRng, RngCore};
use zeroize::Zeroizing;

/// Why a key file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read it.
    #[error("{} has mode {mode:04o}; a key must be its owner's alone: chmod 600 {}", path.display(), path.display())]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not 64 hexadecimal digits.
    #[error("{} does not hold 64 hexadecimal digits", .0.display())]
    Form(PathBuf),
    /// No key of the curve.
    #[error("{}: {source}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
}

/// Reads 32 secret bytes.
///
/// # Errors
/// If the file is missing, open to others (mode beyond 0600) or not 64 hexadecimal digits. No error quotes the
/// contents.
pub fn read_secret(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Permissions { path: path.to_owned(), mode });
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(io)?);
    // As the store of key shares reads its own: one line, nothing around the digits.
    let digits = text.strip_suffix('\n').unwrap_or(&text);
    let digits = digits.strip_suffix('\r').unwrap_or(digits);
    <[u8; 32]>::from_hex(digits).map(Zeroizing::new).map_err(|_| KeyFileError::Form(path.to_owned()))
}

/// Reads a node's identity.
///
/// # Errors
/// As [`read_secret`], and if the bytes are no secp256k1 key.
pub fn read_identity(path: &Path) -> Result<VoteKey, KeyFileError> {
    VoteKey::from_bytes(&*read_secret(path)?)
        .map_err(|source| KeyFileError::Key { path: path.to_owned(), source })
}

/// Makes a new identity file and returns its public half for the manifest.
///
/// # Errors
/// If the file exists (an identity is never overwritten) or cannot be written.
pub fn generate_identity(path: &Path) -> Result<VotePublicKey, KeyFileError> {
    loop {
        let secret = random_bytes(path)?;
        // Fewer than one value in 2^127 is no key.
        if let Ok(key) = VoteKey::from_bytes(&secret) {
            write_new(path, &secret)?;
            return Ok(key.public());
        }
    }
}

fn random_bytes(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let mut bytes = Zeroizing::new([0; 32]);
    OsRng.try_fill_bytes(&mut *bytes).map_err(|error| KeyFileError::Io {
        path: path.to_owned(),
        source: io::Error::other(error.to_string()),
    })?;
    Ok(bytes)
}

fn write_new(path: &Path, secret: &[u8; 32]) -> Result<(), KeyFileError> {
    let text = Zeroizing::new(format!("{:x}\n", secret.as_hex()));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(|source| KeyFileError::Io { path: path.to_owned(), source })
}
