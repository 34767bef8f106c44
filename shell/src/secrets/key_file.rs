//! The file of the key-encryption key: 32 bytes as hexadecimal digits, its owner's alone.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use bitcoin::hex::{DisplayHex, FromHex};
use zeroize::{Zeroize, Zeroizing};

use super::{
    KEY_DIGITS, SecretsError,
    cipher::random,
    files::{at, parent, sync_directory},
};

/// Makes a key from the operating system's entropy, durable and with mode 0600.
pub(super) fn generate(path: &Path) -> Result<(), SecretsError> {
    let mut key = Zeroizing::new([0_u8; 32]);
    random(key.as_mut_slice()).map_err(|error| SecretsError::of_seal(path, path, error))?;
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

/// Reads the key, if nobody else can.
pub(super) fn read(path: &Path) -> Result<Zeroizing<[u8; 32]>, SecretsError> {
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
