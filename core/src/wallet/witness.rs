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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;

    use super::*;
    use crate::wallet::fixture;

    proptest! {
        #[test]
        fn a_signature_comes_back_from_its_witness(scheme in fixture::any_scheme(), message in any::<[u8; 32]>()) {
            let wallet = fixture::wallet(scheme);
            let made = fixture::sign(scheme, &message);
            let found = witness(&wallet, &made).unwrap();
            prop_assert_eq!(signature(&wallet, &found), Some(made));
        }
    }

    #[test]
    fn the_witness_of_the_other_kind_holds_no_signature() {
        for (scheme, other) in [(Scheme::Taproot, Scheme::Segwit), (Scheme::Segwit, Scheme::Taproot)] {
            let found = witness(&fixture::wallet(other), &fixture::sign(other, &[9; 32])).unwrap();
            assert_eq!(signature(&fixture::wallet(scheme), &found), None, "{scheme}");
        }
    }

    #[test]
    fn a_valid_signature_of_p2wpkh_has_one_spelling() {
        type Edit = fn(&mut Vec<Vec<u8>>);
        let edits: [(&str, Edit); 12] = [
            ("s in the upper half", |found| {
                let (der, type_byte) = found[0].split_at(found[0].len() - 1);
                let low = Signature::from_der(der).unwrap().serialize_compact();
                let upper = Signature::from_compact(&fixture::with_upper_s(&low)).unwrap();
                found[0] = [upper.serialize_der().as_ref(), type_byte].concat();
            }),
            ("no type byte", |found| {
                found[0].pop();
            }),
            ("another type byte", |found| *found[0].last_mut().unwrap() = 0x81),
            // Sequence and r grow by a byte: BER reads it, DER does not have it.
            ("a zero before r", |found| {
                found[0][1] += 1;
                found[0][3] += 1;
                found[0].insert(4, 0);
            }),
            ("a byte behind s", |found| {
                let end = found[0].len() - 1;
                found[0].insert(end, 0);
            }),
            ("compact", |found| {
                let end = found[0].len() - 1;
                found[0] = Signature::from_der(&found[0][..end]).unwrap().serialize_compact().to_vec();
                found[0].push(1);
            }),
            ("the key uncompressed", |found| {
                let key = fixture::wallet(Scheme::Segwit).public_key.point();
                found[1] = key.serialize_uncompressed().to_vec();
            }),
            ("the other point of its x coordinate", |found| found[1][0] ^= 1),
            ("no key", |found| found.truncate(1)),
            ("key first", |found| found.swap(0, 1)),
            ("an element more", |found| found.push(vec![1])),
            ("nothing", Vec::clear),
        ];
        let wallet = fixture::wallet(Scheme::Segwit);
        for (desc, edit) in edits {
            let made = fixture::sign(Scheme::Segwit, &[9; 32]);
            let mut elements = witness(&wallet, &made).unwrap().to_vec();
            assert_eq!(signature(&wallet, &Witness::from_slice(&elements)), Some(made));
            edit(&mut elements);
            assert_eq!(signature(&wallet, &Witness::from_slice(&elements)), None, "{desc}");
        }
    }

    #[test]
    fn numbers_beyond_the_groups_order_are_no_signature_of_p2wpkh() {
        assert_eq!(witness(&fixture::wallet(Scheme::Segwit), &[0xff; 64]), None);
    }
}
