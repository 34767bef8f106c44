//! What is signed, and what becomes of the signatures.

use bitcoin::{
    Transaction, Witness,
    hashes::Hash,
    sighash::{Prevouts, SighashCache, TapSighashType},
};

use super::Wallet;
use crate::{mpc::Suite, tx::Proposal, vote::RejectReason};

/// The digests to sign, one for each input: BIP-341 key path, SIGHASH_DEFAULT, over all claimed prevouts. A false
/// claim about any coin makes every signature invalid.
///
/// # Errors
/// [`RejectReason::Malformed`] if claims and inputs differ in number.
pub fn sighashes(proposal: &Proposal) -> Result<Vec<[u8; 32]>, RejectReason> {
    let spent = proposal.spent_outputs();
    let prevouts = Prevouts::All(&spent);
    let mut cache = SighashCache::new(&proposal.unsigned_tx);
    (0..proposal.unsigned_tx.input.len())
        .map(|index| {
            cache
                .taproot_key_spend_signature_hash(index, &prevouts, TapSighashType::Default)
                .map(|hash| hash.to_byte_array())
                .map_err(|error| RejectReason::Malformed(format!("input {index} has no sighash: {error}")))
        })
        .collect()
}

/// The proposal's transaction with one 64-byte key-path signature for each input, in their order; `None` if there
/// are more or fewer. Says nothing about their validity.
#[must_use]
pub fn finish(proposal: &Proposal, signatures: &[[u8; 64]]) -> Option<Transaction> {
    let mut tx = proposal.unsigned_tx.clone();
    if signatures.len() != tx.input.len() {
        return None;
    }
    for (input, signature) in tx.input.iter_mut().zip(signatures) {
        // SIGHASH_DEFAULT has no type byte behind the signature.
        input.witness = Witness::from_slice(&[signature]);
    }
    Some(tx)
}

/// Whether `tx` is exactly the proposal's transaction and every input carries a valid key-path signature of
/// `wallet`, nothing else. Who says so need not be trusted.
#[must_use]
pub fn verify_finished(wallet: &Wallet, suite: Suite, proposal: &Proposal, tx: &Transaction) -> bool {
    is_finished(proposal, tx, |message, signature| {
        suite.verify(wallet.public_key.x_only(), message, signature)
    })
}

fn is_finished(proposal: &Proposal, tx: &Transaction, valid: impl Fn(&[u8; 32], &[u8; 64]) -> bool) -> bool {
    let (Some(signatures), Ok(messages)) = (key_path_signatures(tx), sighashes(proposal)) else {
        return false;
    };
    // Putting the signatures into what was voted on must give this transaction, to the byte.
    finish(proposal, &signatures).as_ref() == Some(tx)
        && messages.iter().zip(&signatures).all(|(message, signature)| valid(message, signature))
}

/// The signatures of a transaction whose witnesses all are one 64-byte element.
fn key_path_signatures(tx: &Transaction) -> Option<Vec<[u8; 64]>> {
    tx.input
        .iter()
        .map(|input| match input.witness.to_vec().as_slice() {
            [signature] => <[u8; 64]>::try_from(signature.as_slice()).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use bitcoin::{
        Amount, ScriptBuf, consensus,
        hex::{DisplayHex, FromHex},
        secp256k1::{Message, Secp256k1, XOnlyPublicKey, schnorr},
    };

    use super::*;
    use crate::{tx::Prevout, wallet::fixture};

    /// BIP-341, `wallet-test-vectors.json`, "keyPathSpending": the unsigned transaction.
    const BIP341_TX: &str = concat!(
        "02000000097de20cbff686da83a54981d2b9bab3586f4ca7e48f57f5b55963115f3b334e9c010000000000000000",
        "d7b7cab57b1393ace2d064f4d4a2cb8af6def61273e127517d44759b6dafdd990000000000ffffffff",
        "f8e1f583384333689228c5d28eac13366be082dc57441760d957275419a418420000000000ffffffff",
        "f0689180aa63b30cb162a73c6d2a38b7eeda2a83ece74310fda0843ad604853b0100000000feffffff",
        "aa5202bdf6d8ccd2ee0f0202afbbb7461d9264a25e5bfd3c5a52ee1239e0ba6c0000000000feffffff",
        "956149bdc66faa968eb2be2d2faa29718acbfe3941215893a2a3446d32acd050000000000000000000",
        "e664b9773b88c09c32cb70a2a3e4da0ced63b7ba3b22f848531bbb1d5d5f4c94010000000000000000",
        "e9aa6b8e6c9de67619e6a3924ae25696bb7b694bb677a632a74ef7eadfd4eabf0000000000ffffffff",
        "a778eb6a263dc090464cd125c466b5a99667720b1c110468831d058aa1b82af10100000000ffffffff",
        "0200ca9a3b000000001976a91406afd46bcdfd22ef94ac122aa11f241244a37ecc88ac807840cb00000000",
        "20ac9a87f5594be208f8532db38cff670c450ed2fea8fcdefcc9a663f78bab962b0065cd1d",
    );

    /// Its spent outputs: scriptPubKey and satoshis.
    const BIP341_SPENT: [(&str, u64); 9] = [
        ("512053a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343", 420_000_000),
        ("5120147c9c57132f6e7ecddba9800bb0c4449251c92a1e60371ee77557b6620f3ea3", 462_000_000),
        ("76a914751e76e8199196d454941c45d1b3a323f1433bd688ac", 294_000_000),
        ("5120e4d810fd50586274face62b8a807eb9719cef49c04177cc6b76a9a4251d5450e", 504_000_000),
        ("512091b64d5324723a985170e4dc5a0f84c041804f2cd12660fa5dec09fc21783605", 630_000_000),
        ("00147dd65592d0ab2fe0d0257d571abf032cd9db93dc", 378_000_000),
        ("512075169f4001aa68f15bbed28b218df1d0a62cbbcf1188c6665110c293c907b831", 672_000_000),
        ("5120712447206d7a5238acc7ff53fbe94a3b64539ad291c7cdbc490b7577e4b17df5", 546_000_000),
        ("512077e30a5522dd9f894c3f8b8bd4c4b2cf82ca7da8a3ea6a239655c39c050ab220", 588_000_000),
    ];

    /// Its one input with SIGHASH_DEFAULT: index, sigHash, signature, output key.
    const BIP341_DEFAULT: (usize, &str, &str, &str) = (
        4,
        "4f900a0bae3f1446fd48490c2958b5a023228f01661cda3496a11da502a7f7ef",
        concat!(
            "b4010dd48a617db09926f729e79c33ae0b4e94b79f04a1ae93ede6315eb3669d",
            "e185a17d2b0ac9ee09fd4c64b678a0b61a0a86fa888a273c8511be83bfd6810f"
        ),
        "91b64d5324723a985170e4dc5a0f84c041804f2cd12660fa5dec09fc21783605",
    );

    fn bip341_proposal() -> Proposal {
        let prevout = |(script, value): (&str, u64)| Prevout {
            value: Amount::from_sat(value),
            script: ScriptBuf::from_hex(script).unwrap(),
        };
        Proposal {
            unsigned_tx: consensus::deserialize(&Vec::from_hex(BIP341_TX).unwrap()).unwrap(),
            prevouts: BIP341_SPENT.into_iter().map(prevout).collect(),
            ..fixture::proposal(&[60_000], 500, 0)
        }
    }

    fn is_valid(key: &XOnlyPublicKey, message: &[u8; 32], signature: &[u8; 64]) -> bool {
        let signature = schnorr::Signature::from_slice(signature).unwrap();
        Secp256k1::verification_only()
            .verify_schnorr(&signature, &Message::from_digest(*message), key)
            .is_ok()
    }

    #[test]
    fn the_sighash_is_that_of_bip_341() {
        let (index, sighash, signature, key) = BIP341_DEFAULT;
        let found = sighashes(&bip341_proposal()).unwrap();
        assert_eq!(found.len(), 9);
        assert_eq!(found[index].to_lower_hex_string(), sighash);
        let key = XOnlyPublicKey::from_slice(&<[u8; 32]>::from_hex(key).unwrap()).unwrap();
        assert!(is_valid(&key, &found[index], &<[u8; 64]>::from_hex(signature).unwrap()));
    }

    #[test]
    fn every_coins_claim_is_signed_in_every_input() {
        let proposal = fixture::proposal(&[60_000, 50_000], 500, 9_500);
        let mut lie = proposal.clone();
        lie.prevouts[1].value += Amount::ONE_SAT;
        let (honest, false_claim) = (sighashes(&proposal).unwrap(), sighashes(&lie).unwrap());
        assert!(honest.iter().zip(&false_claim).all(|(a, b)| a != b));
        lie.prevouts.pop();
        assert!(matches!(sighashes(&lie), Err(RejectReason::Malformed(_))));
    }

    fn finished() -> (Proposal, Transaction) {
        let proposal = fixture::proposal(&[60_000, 50_000], 500, 9_500);
        let signatures: Vec<_> = sighashes(&proposal).unwrap().iter().map(fixture::sign).collect();
        let tx = finish(&proposal, &signatures).unwrap();
        (proposal, tx)
    }

    fn accepted(proposal: &Proposal, tx: &Transaction) -> bool {
        let script = fixture::wallet().script();
        let key = XOnlyPublicKey::from_slice(&script.as_bytes()[2..]).unwrap();
        is_finished(proposal, tx, |message, signature| is_valid(&key, message, signature))
    }

    #[test]
    fn a_finished_transaction_keeps_its_txid_and_predicted_size() {
        let (proposal, tx) = finished();
        assert!(accepted(&proposal, &tx));
        assert_eq!(tx.compute_txid(), proposal.txid());
        let predicted = crate::wallet::signed_vsize(&proposal.unsigned_tx);
        assert_eq!(u64::try_from(tx.vsize()).unwrap(), predicted);
    }

    #[test]
    fn signatures_and_inputs_must_be_as_many() {
        let proposal = fixture::proposal(&[60_000, 50_000], 500, 9_500);
        for count in [0, 1, 3] {
            assert_eq!(finish(&proposal, &vec![[1; 64]; count]), None, "{count} signatures");
        }
    }

    #[test]
    fn anything_but_the_proposals_transaction_with_valid_witnesses_is_refused() {
        type Edit = fn(&mut Transaction);
        let edits: &[(&str, Edit)] = &[
            ("other amount", |tx| tx.output[0].value += Amount::ONE_SAT),
            ("other lock time", |tx| tx.lock_time = bitcoin::absolute::LockTime::ZERO),
            ("unsigned", |tx| tx.input[0].witness.clear()),
            ("annex behind the signature", |tx| tx.input[0].witness.push([0x50, 1])),
            ("signature with a type byte", |tx| {
                let mut bytes = tx.input[0].witness.to_vec()[0].clone();
                bytes.push(1);
                tx.input[0].witness = Witness::from_slice(&[bytes]);
            }),
            ("signatures swapped", |tx| {
                let first = tx.input[0].witness.clone();
                tx.input[0].witness = std::mem::replace(&mut tx.input[1].witness, first);
            }),
            ("signature of another message", |tx| {
                tx.input[1].witness = Witness::from_slice(&[fixture::sign(&[3; 32])]);
            }),
            ("scriptSig", |tx| tx.input[0].script_sig = ScriptBuf::from_bytes(vec![0])),
            ("input missing", |tx| drop(tx.input.pop())),
        ];
        for (desc, edit) in edits {
            let (proposal, mut tx) = finished();
            edit(&mut tx);
            assert!(!accepted(&proposal, &tx), "{desc}");
        }
    }

    #[test]
    fn a_signature_the_suite_refuses_finishes_nothing() {
        let proposal = fixture::proposal(&[60_000], 500, 9_500);
        let tx = finish(&proposal, &[[0; 64]]).unwrap();
        assert!(!verify_finished(&fixture::wallet(), Suite::Givre, &proposal, &tx));
    }
}
