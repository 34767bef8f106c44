//! The presignatures of an orderly stop: one file, written at the end, deleted at the next start before anything is
//! made of it.
//!
//! A presignature that were read twice could be used twice, and that gives the key away. So the file is removed, durably,
//! before its content reaches the node; the core then asks its peers whether the journal beside it is the node's
//! latest. Nothing here is worth a start that fails: whatever cannot be opened is dropped, and others are made.

use std::path::PathBuf;

use mpc_wallet_core::{
    ClusterId, NodeId,
    codec::CodecError,
    pool::{KeptError, KeptPresignatures},
};
use serde::{Deserialize, Serialize};

use super::{
    SecretsError, Vault,
    cipher::{SealError, SealedFile},
    files::{read_bounded, remove_durably, write_durably},
};

/// Name of the file in the secrets directory.
pub(super) const FILE: &str = "presignatures.sealed";

/// Most bytes of it. 8192 presignatures, which is as many as peers hear of, of 32 signers each take 20 MB.
const MAX_FILE_BYTES: usize = 32 * 1024 * 1024;

/// Tells sealed presignatures from every other sealed thing.
const DOMAIN: &str = "mpc-wallet/sealed-presignatures";

/// Whose they are: in clear at the file's front, and authenticated. Boot and journal position are in the secret itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Label {
    cluster: ClusterId,
    node: NodeId,
}

/// Why kept presignatures are dropped.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    File(#[from] SecretsError),
    #[error("not sealed presignatures: {0}")]
    Malformed(#[from] CodecError),
    #[error("sealed for {node} of cluster {cluster}")]
    Foreign { node: NodeId, cluster: ClusterId },
    #[error(transparent)]
    Sealed(#[from] SealError),
    #[error(transparent)]
    Contents(#[from] KeptError),
}

impl Vault {
    fn presignatures_file(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Keeps presignatures in place of any kept before; `None` keeps none.
    pub(super) fn keep_presignatures(&self, kept: Option<&KeptPresignatures>) -> Result<(), SecretsError> {
        let _changing = self.lock();
        let path = self.presignatures_file();
        let Some(kept) = kept else { return remove_durably(&path) };
        let unfit = |source| SecretsError::Presignatures { path: path.clone(), source };
        let secret = kept.to_secret_bytes().map_err(unfit)?;
        let label = Label { cluster: self.cluster, node: self.node };
        let sealed = self.cipher.seal(DOMAIN, label, secret).map_err(|error| self.of_seal(&path, error))?;
        let bytes = sealed.encode().map_err(|error| unfit(error.into()))?;
        if bytes.len() > MAX_FILE_BYTES {
            return Err(unfit(CodecError::TooLarge { size: bytes.len(), limit: MAX_FILE_BYTES }.into()));
        }
        write_durably(&path, &bytes)
    }

    /// Takes what was kept: it is gone from the disk when this returns. `None` if there is nothing, or nothing usable.
    pub(super) fn take_presignatures(&self) -> Result<Option<KeptPresignatures>, SecretsError> {
        let _changing = self.lock();
        let path = self.presignatures_file();
        let there = path.try_exists().unwrap_or(true);
        let bytes = read_bounded(&path, MAX_FILE_BYTES);
        remove_durably(&path)?;
        if !there {
            return Ok(None);
        }
        let opened = bytes.map_err(Unusable::from).and_then(|bytes| self.open_presignatures(&bytes));
        if let Err(error) = &opened {
            tracing::warn!(file = %path.display(), %error, "kept presignatures are dropped; others are made");
        }
        Ok(opened.ok())
    }

    fn open_presignatures(&self, bytes: &[u8]) -> Result<KeptPresignatures, Unusable> {
        let sealed = SealedFile::<Label>::decode(bytes, MAX_FILE_BYTES)?;
        let Label { cluster, node } = sealed.label;
        if (cluster, node) != (self.cluster, self.node) {
            return Err(Unusable::Foreign { node, cluster });
        }
        let secret = self.cipher.open(DOMAIN, sealed)?;
        Ok(KeptPresignatures::from_secret_bytes(&secret)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::fs;

    use bitcoin::secp256k1::{PublicKey, Scalar, Secp256k1, SecretKey};
    use mpc_wallet_core::{
        BootId, KeyId, LogIndex, Millis, Scheme, Timestamp,
        mpc::ecdsa::Presignature,
        pool::{Label as StockLabel, Stocked},
    };
    use tempfile::TempDir;

    use super::*;
    use crate::{ports::SecretStore as _, secrets::SealedSecrets};

    const CLUSTER: ClusterId = ClusterId::from_bytes([7; 32]);
    const ME: NodeId = NodeId::new(1);

    /// A presignature of the form that signers 1 to `signers` keep. No key fits it.
    fn presignature(signers: u8, secret: u8) -> Stocked {
        let secp = Secp256k1::new();
        let scalar = |byte: u8| SecretKey::from_slice(&[byte; 32]).unwrap();
        let gamma = PublicKey::from_secret_key(&secp, &scalar(9));
        let (k, chi) = (scalar(secret), scalar(secret + 1));
        let times = |factor: SecretKey| gamma.mul_tweak(&secp, &Scalar::from(factor)).unwrap().serialize();
        let commitment = [times(k), times(chi)].concat();
        let mut bytes = vec![1, 0];
        bytes.extend([5; 32]);
        bytes.extend([0, 0, 0, signers]);
        bytes.extend((0..signers).flat_map(|slot| [0, slot]));
        bytes.extend(k.secret_bytes());
        bytes.extend(chi.secret_bytes());
        bytes.extend(gamma.serialize());
        bytes.extend(commitment.repeat(signers.into()));
        Stocked {
            presignature: Presignature::from_secret_bytes(&bytes).unwrap(),
            label: StockLabel {
                key: KeyId { scheme: Scheme::Segwit, epoch: 1 },
                signers: (1..=signers).map(|id| NodeId::new(id.into())).collect(),
                made_at: Timestamp(1_700_000_000_000),
                took: Millis(850),
            },
        }
    }

    fn kept() -> KeptPresignatures {
        let stock = vec![presignature(4, 1), presignature(4, 3), presignature(32, 5)];
        KeptPresignatures { boot: BootId(3), position: LogIndex(77), stock }
    }

    struct Place(TempDir);

    impl Place {
        fn new() -> Self {
            let dir = TempDir::new().unwrap();
            SealedSecrets::generate_key_file(&dir.path().join("kek")).unwrap();
            Self(dir)
        }
        fn open_as(&self, cluster: ClusterId, node: NodeId) -> SealedSecrets {
            SealedSecrets::open(self.0.path(), &self.0.path().join("kek"), cluster, node).unwrap()
        }
        fn open(&self) -> SealedSecrets {
            self.open_as(CLUSTER, ME)
        }
        fn file(&self) -> PathBuf {
            self.0.path().join("secrets").join(FILE)
        }
        fn files(&self) -> usize {
            fs::read_dir(self.0.path().join("secrets")).unwrap().count()
        }
    }

    #[tokio::test]
    async fn what_an_orderly_stop_kept_comes_back_once() {
        let place = Place::new();
        place.open().keep_presignatures(Some(kept())).await.unwrap();
        let sealed = fs::read(place.file()).unwrap();
        let plain = kept().to_secret_bytes().unwrap();
        assert!(!sealed.windows(32).any(|window| plain.windows(32).any(|secret| secret == window)));

        let taken = place.open().take_presignatures().unwrap().unwrap();
        assert!(*taken.to_secret_bytes().unwrap() == *plain);
        assert_eq!(place.files(), 0, "gone before anybody had it");
        // A crash follows: nothing was kept again.
        assert!(place.open().take_presignatures().unwrap().is_none());
    }

    #[tokio::test]
    async fn nothing_to_keep_leaves_nothing() {
        let place = Place::new();
        place.open().keep_presignatures(Some(kept())).await.unwrap();
        place.open().keep_presignatures(None).await.unwrap();
        assert_eq!(place.files(), 0);
    }

    #[tokio::test]
    async fn what_does_not_open_is_removed_and_stops_no_node() {
        let place = Place::new();
        place.open().keep_presignatures(Some(kept())).await.unwrap();
        let good = fs::read(place.file()).unwrap();
        let damaged = (0..good.len()).step_by(97).map(|position| {
            let mut bad = good.clone();
            bad[position] ^= 1;
            bad
        });
        let cut = [0, 1, good.len() / 2, good.len() - 1].map(|length| good[..length].to_vec());
        for bad in damaged.chain(cut).chain([[good.as_slice(), &[0]].concat()]) {
            fs::write(place.file(), bad).unwrap();
            assert!(place.open().take_presignatures().unwrap().is_none());
            assert_eq!(place.files(), 0);
        }
        for (cluster, node) in [(ClusterId::from_bytes([8; 32]), ME), (CLUSTER, NodeId::new(2))] {
            fs::write(place.file(), &good).unwrap();
            assert!(place.open_as(cluster, node).take_presignatures().unwrap().is_none());
            assert_eq!(place.files(), 0);
        }
        fs::remove_file(place.0.path().join("kek")).unwrap();
        SealedSecrets::generate_key_file(&place.0.path().join("kek")).unwrap();
        fs::write(place.file(), &good).unwrap();
        assert!(place.open().take_presignatures().unwrap().is_none());
    }

    #[test]
    fn a_crash_while_they_are_written_leaves_none() {
        let place = Place::new();
        let secrets = place.open();
        fs::write(place.file().with_extension("tmp"), b"half").unwrap();
        assert!(secrets.take_presignatures().unwrap().is_none());
        assert_eq!(place.files(), 0);
    }

    #[tokio::test]
    async fn they_are_no_share_and_a_share_is_none_of_them() {
        let place = Place::new();
        place.open().keep_presignatures(Some(kept())).await.unwrap();
        assert!(place.open().load_all().unwrap().is_empty());
        let secret = kept().to_secret_bytes().unwrap();
        let label = Label { cluster: CLUSTER, node: ME };
        let other_kind = place.open().0.cipher.seal("mpc-wallet/sealed-share", label, secret).unwrap();
        fs::write(place.file(), other_kind.encode().unwrap()).unwrap();
        assert!(place.open().take_presignatures().unwrap().is_none());
    }
}
