//! The key share: what a party keeps of a key generation.

use std::io::Write;
use std::sync::Arc;

use bitcoin::XOnlyPublicKey;
#[cfg(any(test, feature = "testing"))]
use bitcoin::secp256k1::Parity;
use bitcoin::secp256k1::PublicKey;
use cggmp24::key_share::DirtyIncompleteKeyShare as DirtyCoreKeyShare;
use generic_ec::curves::Secp256k1;
use generic_ec::{NonZero, Scalar};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{MAX_PARTIES, Slot, Suite, digest, ecdsa};

/// First byte of the encoding.
const VERSION: u8 = 1;

/// One party's share of a key. Neither cloned nor printed, erased on drop; share it as `Arc`.
pub struct KeyShare {
    secret: Secret,
    point: PublicKey,
    public_digest: [u8; 32],
}

/// What is stored; the rest of a [`KeyShare`] is derived from it.
#[derive(Serialize, Deserialize)]
pub(super) enum Secret {
    #[serde(rename = "givre")]
    Givre(Box<givre::KeyShare<Secp256k1>>),
    #[serde(rename = "cggmp24")]
    Cggmp24(#[serde(with = "shared")] Arc<ecdsa::Share<ecdsa::Full>>),
    #[cfg(any(test, feature = "testing"))]
    #[serde(rename = "cggmp24 toy")]
    ToyCggmp24(#[serde(with = "shared")] Arc<ecdsa::Share<ecdsa::Toy>>),
    #[cfg(any(test, feature = "testing"))]
    #[serde(rename = "mock")]
    Mock(super::mock::MockShare),
    #[cfg(any(test, feature = "testing"))]
    #[serde(rename = "mock ecdsa")]
    MockEcdsa(super::mock::MockShare),
}

/// What the shares of all schemes have in common.
enum View<'a> {
    Library(&'a DirtyCoreKeyShare<Secp256k1>),
    #[cfg(any(test, feature = "testing"))]
    Mock(&'a super::mock::MockShare),
}

impl Secret {
    fn view(&self) -> View<'_> {
        match self {
            Self::Givre(share) => View::Library(share),
            Self::Cggmp24(share) => View::Library(share.core()),
            #[cfg(any(test, feature = "testing"))]
            Self::ToyCggmp24(share) => View::Library(share.core()),
            #[cfg(any(test, feature = "testing"))]
            Self::Mock(share) | Self::MockEcdsa(share) => View::Mock(share),
        }
    }

    fn suite(&self) -> Suite {
        match self {
            Self::Givre(_) => Suite::Givre,
            Self::Cggmp24(_) => Suite::Cggmp24,
            #[cfg(any(test, feature = "testing"))]
            Self::ToyCggmp24(_) => Suite::Cggmp24,
            #[cfg(any(test, feature = "testing"))]
            Self::Mock(_) => Suite::Mock,
            #[cfg(any(test, feature = "testing"))]
            Self::MockEcdsa(_) => Suite::MockEcdsa,
        }
    }

    /// What the digest of the public side says besides key, threshold and public shares: the scheme, and what
    /// the parties know of each other in it.
    fn public_parts(&self) -> (Vec<u8>, Vec<Vec<u8>>) {
        match self {
            Self::Givre(_) => (b"givre".to_vec(), Vec::new()),
            Self::Cggmp24(share) => share.public_parts(),
            #[cfg(any(test, feature = "testing"))]
            Self::ToyCggmp24(share) => share.public_parts(),
            #[cfg(any(test, feature = "testing"))]
            Self::Mock(_) => (b"mock".to_vec(), Vec::new()),
            #[cfg(any(test, feature = "testing"))]
            Self::MockEcdsa(_) => (b"mock ecdsa".to_vec(), Vec::new()),
        }
    }
}

/// Shared shares are stored as themselves.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(share: &Arc<T>, to: S) -> Result<S::Ok, S::Error> {
        share.as_ref().serialize(to)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}

/// Why bytes are not a key share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyShareError {
    /// Longer than any share.
    #[error("key share of {bytes} bytes exceeds the limit of {max}; the file is not a key share", max = KeyShare::MAX_BYTES)]
    Oversized {
        /// Length given.
        bytes: usize,
    },
    /// Written by another version.
    #[error("key share has version {version}, this program reads {VERSION}; use the program that wrote it")]
    Version {
        /// Version found.
        version: u8,
    },
    /// Not decodable, or the parts do not belong together.
    #[error("key share is damaged; restore it from a backup")]
    Damaged,
}

impl KeyShare {
    /// Most bytes of an encoded share. One of [`MAX_PARTIES`] parties takes 2.4 kB for Taproot, and for ECDSA 52 kB:
    /// four numbers of 3072 bits for each party.
    pub const MAX_BYTES: usize = 64 * 1024;

    pub(super) fn new(secret: Secret) -> Result<Self, KeyShareError> {
        let (suite, extra) = secret.public_parts();
        let (point, public_digest) = match secret.view() {
            View::Library(share) => {
                let vss = share.vss_setup.as_ref().ok_or(KeyShareError::Damaged)?;
                let points_are_one_to_n = vss
                    .I
                    .iter()
                    .zip(1u16..)
                    .all(|(x, expected)| NonZero::from_scalar(Scalar::from(expected)) == Some(*x));
                let parties = u16::try_from(share.public_shares.len()).map_err(|_| KeyShareError::Damaged)?;
                if parties > MAX_PARTIES || !points_are_one_to_n {
                    return Err(KeyShareError::Damaged);
                }
                let compressed = share.shared_public_key.to_bytes(true);
                let point = PublicKey::from_slice(&compressed).map_err(|_| KeyShareError::Damaged)?;
                let points: Vec<_> = share.public_shares.iter().map(|point| point.to_bytes(true)).collect();
                let threshold = vss.min_signers.to_be_bytes();
                let mut parts: Vec<&[u8]> = vec![&suite, &threshold, compressed.as_bytes()];
                parts.extend(points.iter().map(|point| point.as_bytes()));
                parts.extend(extra.iter().map(Vec::as_slice));
                (point, digest("mpc-wallet/public-shares", &parts))
            }
            #[cfg(any(test, feature = "testing"))]
            View::Mock(share) => {
                let x = share.public_key().ok_or(KeyShareError::Damaged)?;
                (x.public_key(Parity::Even), share.public_digest())
            }
        };
        Ok(Self { secret, point, public_digest })
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The scheme this share belongs to.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.secret.suite()
    }

    /// The BIP-341 internal key: addresses tweak it, with no script tree. Of an ECDSA key its x coordinate.
    #[must_use]
    pub fn public_key(&self) -> XOnlyPublicKey {
        self.point.x_only_public_key().0
    }

    /// The public key as a point; serialized in 33 bytes, it is what a P2WPKH address hashes.
    #[must_use]
    pub fn point(&self) -> PublicKey {
        self.point
    }

    /// How many parties must sign.
    #[must_use]
    pub fn threshold(&self) -> u16 {
        match self.secret.view() {
            View::Library(share) => {
                // Construction has checked that it is there.
                share.vss_setup.as_ref().map_or(u16::MAX, |vss| vss.min_signers)
            }
            #[cfg(any(test, feature = "testing"))]
            View::Mock(share) => share.threshold(),
        }
    }

    /// How many parties hold a share.
    #[must_use]
    pub fn parties(&self) -> u16 {
        match self.secret.view() {
            // Construction has checked that it fits.
            View::Library(share) => u16::try_from(share.public_shares.len()).unwrap_or(u16::MAX),
            #[cfg(any(test, feature = "testing"))]
            View::Mock(share) => share.parties(),
        }
    }

    /// This share's index in the key: the slot held in key generation.
    #[must_use]
    pub fn slot(&self) -> Slot {
        match self.secret.view() {
            View::Library(share) => Slot(share.i),
            #[cfg(any(test, feature = "testing"))]
            View::Mock(share) => share.slot(),
        }
    }

    /// Digest of threshold, public key and all public shares. Equal at all parties exactly if they hold
    /// shares of the same key from the same key generation.
    #[must_use]
    pub fn public_digest(&self) -> [u8; 32] {
        self.public_digest
    }

    /// The share for encrypted storage: a version byte, the public digest, then CBOR (the share does not read
    /// back from a format that does not describe itself).
    ///
    /// # Errors
    /// [`KeyShareError::Oversized`] if it does not fit the limit, which no share of this crate does.
    pub fn to_secret_bytes(&self) -> Result<Zeroizing<Vec<u8>>, KeyShareError> {
        // Fixed room: growing would leave copies of the secret behind in freed memory.
        let mut room = Zeroizing::new(vec![0; Self::MAX_BYTES]);
        let mut rest: &mut [u8] = room.as_mut_slice();
        let oversized = |_| KeyShareError::Oversized { bytes: Self::MAX_BYTES };
        rest.write_all(&[VERSION]).map_err(oversized)?;
        rest.write_all(&self.public_digest).map_err(oversized)?;
        ciborium::into_writer(&self.secret, &mut rest)
            .map_err(|_| KeyShareError::Oversized { bytes: Self::MAX_BYTES })?;
        let unused = rest.len();
        room.truncate(Self::MAX_BYTES.saturating_sub(unused));
        Ok(room)
    }

    /// Reads what [`to_secret_bytes`](Self::to_secret_bytes) wrote, and checks that the parts of the share
    /// belong together. The caller erases `bytes`.
    ///
    /// # Errors
    /// See [`KeyShareError`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, KeyShareError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(KeyShareError::Oversized { bytes: bytes.len() });
        }
        let (&version, rest) = bytes.split_first().ok_or(KeyShareError::Damaged)?;
        if version != VERSION {
            return Err(KeyShareError::Version { version });
        }
        let (public_digest, mut body) = rest.split_first_chunk().ok_or(KeyShareError::Damaged)?;
        let secret = ciborium::from_reader(&mut body).map_err(|_| KeyShareError::Damaged)?;
        if !body.is_empty() {
            return Err(KeyShareError::Damaged);
        }
        // The library accepts a threshold raised above the degree of the polynomial; the digest does not.
        Self::new(secret)
            .ok()
            .filter(|share| share.public_digest == *public_digest)
            .ok_or(KeyShareError::Damaged)
    }
}

impl std::fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyShare")
            .field("slot", &self.slot())
            .field("public_key", &format_args!("{}", self.public_key()))
            .finish_non_exhaustive()
    }
}
