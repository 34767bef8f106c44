//! Key shares: one file each, never replaced by another share.

use std::path::{Path, PathBuf};

use mpc_wallet_core::{
    ClusterId, KeyId, NodeId, SessionId,
    mpc::{KeyShare, Slot},
};
use serde::{Deserialize, Serialize};

use super::{
    SecretsError, Vault,
    cipher::SealedFile,
    files::{at, read_bounded, sync_directory, write_durably},
};

/// Ending of a sealed share's name; other files are no shares.
pub(super) const EXTENSION: &str = "share";

/// Most bytes of a sealed file: the share, and label, nonce and tag, which take about 150.
pub(super) const MAX_FILE_BYTES: usize = KeyShare::MAX_BYTES + 1_024;

/// Tells a sealed share from every other sealed thing.
const DOMAIN: &str = "mpc-wallet/sealed-share";

/// Whose share a file holds: in clear at its front, and authenticated.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Label {
    cluster: ClusterId,
    node: NodeId,
    pub(super) key: KeyId,
    pub(super) ceremony: SessionId,
}

impl Vault {
    pub(super) fn label(&self, ceremony: SessionId, key: KeyId) -> Label {
        Label { cluster: self.cluster, node: self.node, key, ceremony }
    }

    fn path(&self, label: &Label) -> PathBuf {
        self.directory.join(format!("{}-{}.{EXTENSION}", label.key, label.ceremony))
    }

    pub(super) fn encrypt(&self, label: Label, share: &KeyShare) -> Result<SealedFile<Label>, SecretsError> {
        let path = self.path(&label);
        let secret =
            share.to_secret_bytes().map_err(|source| SecretsError::Share { path: path.clone(), source })?;
        self.cipher.seal(DOMAIN, label, secret).map_err(|error| self.of_seal(&path, error))
    }

    /// Writes the file, unless it holds the share already.
    pub(super) fn store(
        &self,
        sealed: &SealedFile<Label>,
        identity: ([u8; 32], Slot),
    ) -> Result<(), SecretsError> {
        let _changing = self.lock();
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
            sealed.encode().map_err(|source| SecretsError::Malformed { path: path.clone(), source })?;
        write_durably(&path, &bytes)
    }

    pub(super) fn unseal(&self, path: &Path) -> Result<(Label, KeyShare), SecretsError> {
        let bytes = read_bounded(path, MAX_FILE_BYTES)?;
        let sealed = SealedFile::<Label>::decode(&bytes, MAX_FILE_BYTES)
            .map_err(|source| SecretsError::Malformed { path: path.to_owned(), source })?;
        let label = sealed.label.clone();
        if label != self.label(label.ceremony, label.key) || self.path(&label) != path {
            return Err(SecretsError::Foreign {
                path: path.to_owned(),
                found: describe(&label),
                expected: format!("{} of cluster {} under this file name", self.node, self.cluster),
            });
        }
        let secret = self.cipher.open(DOMAIN, sealed).map_err(|error| self.of_seal(path, error))?;
        let share = KeyShare::from_secret_bytes(&secret)
            .map_err(|source| SecretsError::Share { path: path.to_owned(), source })?;
        Ok((label, share))
    }
}

fn describe(label: &Label) -> String {
    format!("key {} (ceremony {}) at {} of cluster {}", label.key, label.ceremony, label.node, label.cluster)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use mpc_wallet_core::{Scheme, mpc::KeyShareError};
    use tempfile::TempDir;
    use zeroize::Zeroizing;

    use super::*;
    use crate::secrets::SealedSecrets;

    #[test]
    fn the_largest_share_fits_its_file_and_the_limit_is_the_cores() {
        let largest = vec![0; KeyShare::MAX_BYTES];
        assert_eq!(KeyShare::from_secret_bytes(&largest).unwrap_err(), KeyShareError::Version { version: 0 });
        let beyond = vec![0; KeyShare::MAX_BYTES + 1];
        let refused = KeyShare::from_secret_bytes(&beyond).unwrap_err();
        assert_eq!(refused, KeyShareError::Oversized { bytes: KeyShare::MAX_BYTES + 1 });

        let dir = TempDir::new().unwrap();
        let key_file = dir.path().join("kek");
        SealedSecrets::generate_key_file(&key_file).unwrap();
        let cluster = ClusterId::from_bytes([7; 32]);
        let vault = SealedSecrets::open(dir.path(), &key_file, cluster, NodeId::new(u16::MAX)).unwrap().0;
        let key = KeyId { scheme: Scheme::Segwit, epoch: u32::MAX };
        let label = vault.label(SessionId::from_bytes([0xff; 32]), key);
        let path = vault.path(&label);
        // Not a share: what comes back must be the very bytes all the same.
        let secret: Vec<u8> = (0..=u8::MAX).cycle().take(KeyShare::MAX_BYTES).collect();
        let sealed = vault.cipher.seal(DOMAIN, label, Zeroizing::new(secret.clone())).unwrap();
        write_durably(&path, &sealed.encode().unwrap()).unwrap();

        let bytes = read_bounded(&path, MAX_FILE_BYTES).unwrap();
        let read = SealedFile::<Label>::decode(&bytes, MAX_FILE_BYTES).unwrap();
        assert!(*vault.cipher.open(DOMAIN, read).unwrap() == secret);
        assert!(matches!(
            vault.unseal(&path),
            Err(SecretsError::Share { source: KeyShareError::Version { version: 0 }, .. })
        ));
    }
}
