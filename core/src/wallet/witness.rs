//! What an input of a wallet carries when it is signed.
//!
//! Signatures travel as 64 bytes for either kind of wallet: BIP-340 for Taproot, and for P2WPKH the two numbers r and s
//! of ECDSA, big-endian, s in the lower half. Only the witness of P2WPKH has them in DER, SIGHASH_ALL behind them.

use bitcoin::{
    Witness, ecdsa,
    secp256k1::{self, ecdsa::Signature},
};

use super::Wallet;
use crate::ids::Scheme;

/// The witness that spends a coin of `wallet` with `signature`; `None` if the bytes have no such form. Says nothing about
/// the signature's validity.
pub(super) fn witness(wallet: &Wallet, signature: &[u8; 64]) -> Option<Witness> {
    match wallet.key.scheme {
        // BIP-341: a signature of SIGHASH_DEFAULT has no type byte.
        Scheme::Taproot => Some(Witness::from_slice(&[signature])),
        Scheme::Segwit => {
            let signature = ecdsa::Signature::sighash_all(Signature::from_compact(signature).ok()?);
            Some(Witness::p2wpkh(&signature, &wallet.public_key.point()))
        }
    }
}

/// The signature in a witness of `wallet`: [`witness`] makes exactly this witness of it, and no other.
pub(super) fn signature(wallet: &Wallet, found: &Witness) -> Option<[u8; 64]> {
    let elements = found.to_vec();
    let signature = match (wallet.key.scheme, elements.as_slice()) {
        (Scheme::Taproot, [signature]) => <[u8; 64]>::try_from(signature.as_slice()).ok()?,
        (Scheme::Segwit, [signature, _]) => {
            compact_low_s(ecdsa::Signature::from_slice(signature).ok()?.signature)?
        }
        (Scheme::Taproot | Scheme::Segwit, _) => return None,
    };
    (witness(wallet, &signature)? == *found).then_some(signature)
}

/// The numbers of a signature whose s is in the lower half: of the two that a signer can choose from, the one that
/// nodes relay (BIP-146), so that nobody on the way can turn it into the other.
fn compact_low_s(signature: secp256k1::ecdsa::Signature) -> Option<[u8; 64]> {
    let mut low = signature;
    low.normalize_s();
    (low == signature).then(|| signature.serialize_compact())
}
