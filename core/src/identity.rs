//! A node's vote key: BIP-340 signatures over everything it says that others must be able to prove.
//!
//! The transport tells *who is connected*; these signatures tell *who said it*, and still do when a third party
//! relays the words or a court reads them years later. Each kind of statement has its own tag, so a signature on
//! one can never be shown as a signature on another.

use bitcoin::{
    XOnlyPublicKey,
    secp256k1::{Message, Secp256k1 as Libsecp, schnorr},
};
use k256::schnorr::{SigningKey, signature::hazmat::PrehashSigner};
use serde::{Deserialize, Serialize};

use crate::codec::{self, signature_bytes};

/// A secret vote key. Never printed, wiped when dropped.
pub struct VoteKey(SigningKey);

/// Why a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Zero or beyond the group order.
    #[error("the 32 bytes are not a valid secp256k1 secret key; generate a new identity")]
    Secret,
    /// Not the x coordinate of a point.
    #[error("{0} is not a BIP-340 public key (64 hexadecimal digits naming a curve point)")]
    Public(String),
}

impl VoteKey {
    /// Takes 32 secret bytes from a generator fit for keys.
    ///
    /// # Errors
    /// [`KeyError::Secret`] for the few values that are no key.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        SigningKey::from_bytes(bytes).map(Self).map_err(|_| KeyError::Secret)
    }

    /// The public half, as listed in the manifest.
    #[must_use]
    pub fn public(&self) -> VotePublicKey {
        VotePublicKey(self.0.verifying_key().to_bytes().into())
    }

    /// Signs `statement` under `tag`. Deterministic: the same words give the same signature.
    #[must_use]
    pub fn sign<T: Serialize>(&self, tag: &str, statement: &T) -> StatementSignature {
        let digest = codec::digest(tag, statement);
        // A fixed-length digest is the only input and every key is valid by construction, so this cannot fail;
        // an all-zero signature would be refused by every verifier.
        let bytes = self.0.sign_prehash(&digest).map_or([0; 64], |signature| signature.to_bytes());
        let signature = StatementSignature(bytes);
        #[cfg(feature = "testing")]
        memo::made(&self.public(), &digest, &signature);
        signature
    }
}

/// A member's public vote key (x-only, BIP-340).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VotePublicKey([u8; 32]);

impl VotePublicKey {
    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyError::Public`] if they do not name a curve point.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let refused = || KeyError::Public(text.to_owned());
        let bytes = <[u8; 32] as bitcoin::hex::FromHex>::from_hex(text).map_err(|_| refused())?;
        XOnlyPublicKey::from_slice(&bytes).map_err(|_| refused())?;
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `signature` is this key's over `statement` under `tag`.
    #[must_use]
    pub fn verify<T: Serialize>(&self, tag: &str, statement: &T, signature: &StatementSignature) -> bool {
        let digest = codec::digest(tag, statement);
        #[cfg(feature = "testing")]
        return memo::verify(self, &digest, signature);
        #[cfg(not(feature = "testing"))]
        self.verify_digest(&digest, signature)
    }

    /// By libsecp256k1, in a third of the time that the signer's library takes: most of a node's work are others' words.
    fn verify_digest(&self, digest: &[u8; 32], signature: &StatementSignature) -> bool {
        let (Ok(key), Ok(signature)) =
            (XOnlyPublicKey::from_slice(&self.0), schnorr::Signature::from_slice(&signature.0))
        else {
            return false;
        };
        let message = Message::from_digest(*digest);
        Libsecp::verification_only().verify_schnorr(&signature, &message, &key).is_ok()
    }
}

impl std::fmt::Display for VotePublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", bitcoin::hex::DisplayHex::as_hex(&self.0))
    }
}

impl std::fmt::Debug for VotePublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A BIP-340 signature over a tagged statement.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StatementSignature(#[serde(with = "signature_bytes")] pub [u8; 64]);

impl std::fmt::Debug for StatementSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", bitcoin::hex::DisplayHex::as_hex(&self.0))
    }
}

/// A statement and its author's signature over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<T> {
    /// What was said.
    pub body: T,
    /// The author's signature; who the author is, the body says.
    pub signature: StatementSignature,
}

/// A kind of statement: its tag, and who in it claims to speak.
pub trait Statement: Serialize {
    /// Domain-separation tag.
    const TAG: &'static str;
    /// The member whose signature makes it true that it was said.
    fn author(&self) -> crate::NodeId;
}

impl<T: Statement> Signed<T> {
    /// Signs `body` with `key`.
    #[must_use]
    pub fn new(body: T, key: &VoteKey) -> Self {
        let signature = key.sign(T::TAG, &body);
        Self { body, signature }
    }

    /// Whether the signature is the author's.
    #[must_use]
    pub fn verify(&self, author: &VotePublicKey) -> bool {
        author.verify(T::TAG, &self.body, &self.signature)
    }
}

/// A simulator holds all members in one process, and each of them verifies the same words. The answer never changes, so
/// it is remembered.
#[cfg(feature = "testing")]
#[expect(clippy::disallowed_types, reason = "no node holds it, and no borrow outlives a look-up")]
mod memo {
    use std::{cell::RefCell, collections::BTreeMap};

    use super::{StatementSignature, VotePublicKey};

    /// Beyond this many answers all are forgotten: some megabytes.
    const MOST: usize = 32_768;

    thread_local! {
        static ANSWERS: RefCell<BTreeMap<Question, bool>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// Key, digest and signature.
    type Question = ([u8; 32], [u8; 32], [u8; 64]);

    pub(super) fn verify(key: &VotePublicKey, digest: &[u8; 32], signature: &StatementSignature) -> bool {
        let question = (key.0, *digest, signature.0);
        if let Some(answer) = ANSWERS.with_borrow(|answers| answers.get(&question).copied()) {
            return answer;
        }
        let answer = key.verify_digest(digest, signature);
        remember(question, answer);
        answer
    }

    /// What was signed here verifies: signing is deterministic, and a fault of the processor is not simulated.
    pub(super) fn made(key: &VotePublicKey, digest: &[u8; 32], signature: &StatementSignature) {
        remember((key.0, *digest, signature.0), signature.0 != [0; 64]);
    }

    fn remember(question: Question, answer: bool) {
        ANSWERS.with_borrow_mut(|answers| {
            if answers.len() >= MOST {
                answers.clear();
            }
            answers.insert(question, answer);
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use k256::schnorr::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier};

    use super::*;

    #[test]
    fn a_statement_verifies_under_its_own_tag_and_key_only() {
        let key = VoteKey::from_bytes(&[7; 32]).unwrap();
        let other = VoteKey::from_bytes(&[8; 32]).unwrap();
        let signature = key.sign("a", &1u32);
        assert!(key.public().verify("a", &1u32, &signature));
        assert!(!key.public().verify("b", &1u32, &signature));
        assert!(!key.public().verify("a", &2u32, &signature));
        assert!(!other.public().verify("a", &1u32, &signature));
    }

    #[test]
    fn two_implementations_agree_on_what_is_valid() {
        let key = VoteKey::from_bytes(&[7; 32]).unwrap();
        let digest = codec::digest("a", &1u32);
        let signed = key.sign("a", &1u32);
        let signers = |signature: &StatementSignature| {
            let key = VerifyingKey::from_bytes(key.public().as_bytes()).unwrap();
            Signature::try_from(signature.0.as_slice())
                .is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok())
        };
        assert!(signers(&signed) && key.public().verify_digest(&digest, &signed));
        for place in 0..signed.0.len() {
            let mut changed = signed;
            changed.0[place] ^= 1;
            assert!(!signers(&changed) && !key.public().verify_digest(&digest, &changed), "byte {place}");
        }
        for refused in [[0; 64], [0xff; 64]].map(StatementSignature) {
            assert!(!signers(&refused) && !key.public().verify_digest(&digest, &refused));
        }
    }
}
