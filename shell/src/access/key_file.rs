//! The file of keys, `api-keys.toml`.

use std::{
    fs, io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use bitcoin::hex::{DisplayHex as _, FromHex as _};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Role, Token};

/// Longest name, in characters.
const LONGEST_NAME: usize = 64;

/// Said in every new file.
const HEADER: &str = "# Keys of this node's API, by their hashes. Made and revoked by `mpc-wallet-cli key`; the node looks at it every \
                      few seconds.\n\n";

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Whoever can write it can make himself a key.
    #[error("{} has mode {mode:04o}: group or others may write keys into it; chmod 600 {}", path.display(), path.display())]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No TOML, or not what belongs there.
    #[error("{}: {reason}", path.display())]
    Form {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A name that the file has already.
    #[error("there is a key {0:?}; revoke it first, or choose another name")]
    NameTaken(String),
    /// A name that the file does not have.
    #[error("there is no key {0:?}; `mpc-wallet-cli key list` shows those there are")]
    Unknown(String),
    /// Not a name.
    #[error(
        "{0:?} is no name for a key; write 1 to {LONGEST_NAME} letters, digits, dots, dashes or underscores"
    )]
    Name(String),
    /// No key can be made.
    #[error("the system gives no random bytes: {0}")]
    Randomness(rand_core::Error),
}

/// One key, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Who holds it, in the operator's words; logged with every request.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// SHA-256 of the token.
    pub(super) hash: [u8; 32],
}

/// The file's content.
#[derive(Debug, Default)]
pub struct KeyFile {
    keys: Vec<ApiKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    keys: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    role: String,
    sha256: String,
    created_at: String,
}

impl KeyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it is missing, writable by others than its owner, or no list of keys with different names.
    pub fn read(path: &Path) -> Result<Self, AccessError> {
        let io = |source| AccessError::Io { path: path.to_owned(), source };
        let mode = fs::metadata(path).map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o022 != 0 {
            return Err(AccessError::Permissions { path: path.to_owned(), mode });
        }
        let form = |reason: String| AccessError::Form { path: path.to_owned(), reason };
        let text = fs::read_to_string(path).map_err(io)?;
        let document: Document = toml::from_str(&text).map_err(|error| form(error.message().to_owned()))?;
        let mut file = Self::default();
        for entry in document.keys {
            let role = Role::parse(&entry.role).ok_or_else(|| {
                let roles = Role::ALL.map(Role::name).join(", ");
                form(format!("key {:?} has role {:?}; the roles are {roles}", entry.name, entry.role))
            })?;
            let hash = <[u8; 32]>::from_hex(&entry.sha256)
                .map_err(|_| form(format!("sha256 of key {:?} has not 64 hexadecimal digits", entry.name)))?;
            let key = ApiKey { name: entry.name, role, created_at: entry.created_at, hash };
            file.insert(key).map_err(|error| form(error.to_string()))?;
        }
        Ok(file)
    }

    /// As [`Self::read`]; a missing file is an empty one.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_or_new(path: &Path) -> Result<Self, AccessError> {
        match Self::read(path) {
            Err(AccessError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            other => other,
        }
    }

    /// Replaces a file in one step, so that a node never reads half of one.
    ///
    /// # Errors
    /// If the file system refuses; then the old file is whole.
    pub fn write(&self, path: &Path) -> Result<(), AccessError> {
        let entry = |key: &ApiKey| Entry {
            name: key.name.clone(),
            role: key.role.name().to_owned(),
            sha256: key.hash.to_lower_hex_string(),
            created_at: key.created_at.clone(),
        };
        let document = Document { keys: self.keys.iter().map(entry).collect() };
        let text = toml::to_string(&document)
            .map_err(|error| AccessError::Form { path: path.to_owned(), reason: error.to_string() })?;
        let io = |source| AccessError::Io { path: path.to_owned(), source };
        let next = path.with_extension("toml.next");
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            Ok(()) | Err(_) => {}
        }
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next).map_err(io)?;
        io::Write::write_all(&mut file, format!("{HEADER}{text}").as_bytes()).map_err(io)?;
        file.sync_all().map_err(io)?;
        fs::rename(&next, path).map_err(io)
    }

    /// Makes a key. The token is in no file.
    ///
    /// # Errors
    /// A name that is taken or none; no randomness.
    pub fn create(&mut self, name: &str, role: Role, now: OffsetDateTime) -> Result<Token, AccessError> {
        let token = Token::generate().map_err(AccessError::Randomness)?;
        let created_at = now.format(&Rfc3339).unwrap_or_default();
        self.insert(ApiKey { name: name.to_owned(), role, created_at, hash: token.hash() })?;
        Ok(token)
    }

    /// Takes a key out.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn revoke(&mut self, name: &str) -> Result<ApiKey, AccessError> {
        let found = self.keys.iter().position(|key| key.name == name);
        found.map(|index| self.keys.remove(index)).ok_or_else(|| AccessError::Unknown(name.to_owned()))
    }

    /// All keys, oldest first.
    #[must_use]
    pub fn keys(&self) -> &[ApiKey] {
        &self.keys
    }

    fn insert(&mut self, key: ApiKey) -> Result<(), AccessError> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if !(1..=LONGEST_NAME).contains(&key.name.len()) || !key.name.chars().all(plain) {
            return Err(AccessError::Name(key.name));
        }
        if self.keys.iter().any(|other| other.name == key.name) {
            return Err(AccessError::NameTaken(key.name));
        }
        self.keys.push(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn keys_are_written_read_and_revoked_and_the_file_never_holds_a_token() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("api-keys.toml");
        let mut file = KeyFile::read_or_new(&path).unwrap();
        let token = file.create("treasury", Role::Initiator, OffsetDateTime::UNIX_EPOCH).unwrap();
        file.create("board", Role::Approver, OffsetDateTime::UNIX_EPOCH).unwrap();
        assert!(matches!(
            file.create("board", Role::Viewer, OffsetDateTime::UNIX_EPOCH),
            Err(AccessError::NameTaken(_))
        ));
        file.write(&path).unwrap();
        assert!(!fs::read_to_string(&path).unwrap().contains(&token.reveal()[5..]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let mut again = KeyFile::read(&path).unwrap();
        assert_eq!(again.keys(), file.keys());
        assert_eq!(again.revoke("treasury").unwrap().role, Role::Initiator);
        assert!(matches!(again.revoke("treasury"), Err(AccessError::Unknown(_))));
        again.write(&path).unwrap();
        assert_eq!(KeyFile::read(&path).unwrap().keys().len(), 1);
    }

    #[test]
    fn what_is_no_file_of_keys_is_refused_with_the_reason() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("api-keys.toml");
        let hash = "00".repeat(32);
        let entry = |name: &str, role: &str, hash: &str| {
            format!(
                "[[keys]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{hash}\"\ncreated_at = \"\"\n"
            )
        };
        for (text, reason) in [
            (entry("a", "owner", &hash), "the roles are viewer, initiator, approver, admin"),
            (entry("a", "admin", "00"), "64 hexadecimal digits"),
            (entry("a b", "admin", &hash), "is no name"),
            (entry("a", "admin", &hash) + &entry("a", "viewer", &hash), "there is a key"),
            ("[[keys]]\nname = \"a\"\n".to_owned(), "missing field"),
            ("[[key]]\n".to_owned(), "unknown field"),
        ] {
            fs::write(&path, &text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = KeyFile::read(&path).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert!(matches!(KeyFile::read(&path), Err(AccessError::Permissions { mode: 0o620, .. })));
    }
}
