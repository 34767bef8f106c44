//! One sealed file: XChaCha20-Poly1305 around a secret, with a label in clear that is authenticated with it.
//!
//! The nonce is random: 192 bits make a repetition impossible in practice, without state that a restore could turn back.

use chacha20poly1305::{AeadInPlace, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use mpc_wallet_core::codec::{self, CodecError};
use rand_core::{OsRng, RngCore};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// Why nothing was sealed or opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    #[error("the operating system gave no random bytes: {0}")]
    Entropy(String),
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Wrong key, wrong kind or changed bytes: authenticated encryption cannot tell which.
    #[error("it does not open with this key")]
    NotAuthentic,
}

/// A sealed file, in the core's encoding.
#[derive(Serialize, Deserialize)]
pub(super) struct SealedFile<L> {
    /// Whose secret it is.
    pub(super) label: L,
    nonce: [u8; 24],
    tag: [u8; 16],
    ciphertext: Vec<u8>,
}

impl<L: Serialize + DeserializeOwned> SealedFile<L> {
    /// For the disk.
    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }

    /// From the disk, at most `limit` bytes.
    pub(super) fn decode(bytes: &[u8], limit: usize) -> Result<Self, CodecError> {
        codec::decode(bytes, limit)
    }
}

/// The key-encryption key at work.
pub(super) struct Cipher {
    // It erases its key when dropped.
    cipher: XChaCha20Poly1305,
}

impl Cipher {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.into()) }
    }

    /// Seals a secret of the kind that `domain` names; it opens as that kind and under that label only.
    pub(super) fn seal<L: Serialize>(
        &self,
        domain: &str,
        label: L,
        mut secret: Zeroizing<Vec<u8>>,
    ) -> Result<SealedFile<L>, SealError> {
        let mut nonce = [0; 24];
        random(&mut nonce)?;
        let aad = codec::encode(&(domain, &label))?;
        // In place and detached: the plain bytes are overwritten, never copied.
        let tag = self
            .cipher
            .encrypt_in_place_detached(XNonce::from_slice(&nonce), &aad, &mut secret)
            .map_err(|_| SealError::NotAuthentic)?;
        Ok(SealedFile { label, nonce, tag: tag.into(), ciphertext: secret.to_vec() })
    }

    /// Opens what [`seal`](Self::seal) made.
    pub(super) fn open<L: Serialize>(
        &self,
        domain: &str,
        sealed: SealedFile<L>,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let aad = codec::encode(&(domain, &sealed.label))?;
        let mut room = Zeroizing::new(sealed.ciphertext);
        let (nonce, tag) = (XNonce::from_slice(&sealed.nonce), Tag::from_slice(&sealed.tag));
        self.cipher
            .decrypt_in_place_detached(nonce, &aad, &mut room, tag)
            .map_err(|_| SealError::NotAuthentic)?;
        Ok(room)
    }
}

/// Fills with the operating system's entropy.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), SealError> {
    OsRng.try_fill_bytes(bytes).map_err(|error| SealError::Entropy(error.to_string()))
}
