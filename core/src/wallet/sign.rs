//! What is signed, and what becomes of the signatures.

use bitcoin::{
    EcdsaSighashType, SegwitV0Sighash, Transaction,
    hashes::Hash,
    sighash::{Prevouts, SighashCache, TapSighashType},
};

use super::{
    Wallet,
    witness::{signature, witness},
};
use crate::{
    ids::Scheme,
    mpc::Suite,
    tx::{Prevout, Proposal},
    vote::RejectReason,
};

/// The digests to sign, one for each input, as the kind of the proposal's key asks for them.
///
/// Taproot: BIP-341 key path, SIGHASH_DEFAULT, over all claimed prevouts; a false claim about any coin makes every
/// signature invalid. P2WPKH: BIP-143, SIGHASH_ALL, each over its own coin's claim; a false claim makes the signature of
/// its input invalid, and the transaction with it.
///
/// # Errors
/// [`RejectReason::Malformed`] if claims and inputs differ in number, or a claimed script is not of that kind.
pub fn sighashes(proposal: &Proposal) -> Result<Vec<[u8; 32]>, RejectReason> {
    let (inputs, claims) = (proposal.unsigned_tx.input.len(), proposal.prevouts.len());
    if inputs != claims {
        return Err(RejectReason::Malformed(format!("{claims} claimed coins for {inputs} inputs")));
    }
    match proposal.key.scheme {
        Scheme::Taproot => key_path_sighashes(proposal),
        Scheme::Segwit => key_hash_sighashes(proposal),
    }
}

fn key_path_sighashes(proposal: &Proposal) -> Result<Vec<[u8; 32]>, RejectReason> {
    let spent = proposal.spent_outputs();
    let prevouts = Prevouts::All(&spent);
    let mut cache = SighashCache::new(&proposal.unsigned_tx);
    (0..spent.len())
        .map(|index| {
            cache
                .taproot_key_spend_signature_hash(index, &prevouts, TapSighashType::Default)
                .map(|hash| hash.to_byte_array())
                .map_err(|error| no_sighash(index, error))
        })
        .collect()
}

fn key_hash_sighashes(proposal: &Proposal) -> Result<Vec<[u8; 32]>, RejectReason> {
    let preimages = key_hash_preimages(proposal)?;
    Ok(preimages.iter().map(|preimage| SegwitV0Sighash::hash(preimage).to_byte_array()).collect())
}

/// What the digests of a P2WPKH proposal are made of: for each input the 182 bytes of BIP-143 whose double SHA-256 is its
/// sighash. For presigned ECDSA, which is safe only if the signer has hashed what it signs.
///
/// # Errors
/// [`RejectReason::Malformed`] if claims are more than inputs, or a claimed script is not P2WPKH.
pub fn key_hash_preimages(proposal: &Proposal) -> Result<Vec<Vec<u8>>, RejectReason> {
    let mut cache = SighashCache::new(&proposal.unsigned_tx);
    let mut preimage = |index: usize, coin: &Prevout| {
        let script_code =
            coin.script.p2wpkh_script_code().ok_or_else(|| no_sighash(index, "its coin is not P2WPKH"))?;
        let mut bytes = Vec::new();
        cache
            .segwit_v0_encode_signing_data_to(
                &mut bytes,
                index,
                &script_code,
                coin.value,
                EcdsaSighashType::All,
            )
            .map_err(|error| no_sighash(index, error))?;
        Ok(bytes)
    };
    proposal.prevouts.iter().enumerate().map(|(index, coin)| preimage(index, coin)).collect()
}

fn no_sighash(index: usize, error: impl std::fmt::Display) -> RejectReason {
    RejectReason::Malformed(format!("input {index} has no sighash: {error}"))
}

impl Wallet {
    /// Whether `signature`, 64 bytes, is one of this wallet on `message`: BIP-340 under the BIP-341 output key for Taproot,
    /// ECDSA of low s under the key itself for P2WPKH. `suite` says which implementation is asked: the schemes of
    /// production are verified by libsecp256k1, the simulators' mock scheme, whose signatures Bitcoin would not take,
    /// by itself. Everything that judges a signature of a wallet does it here.
    #[must_use]
    pub fn verifies(&self, suite: Suite, message: &[u8; 32], signature: &[u8; 64]) -> bool {
        match self.key.scheme {
            Scheme::Taproot => suite.verify(self.public_key.x_only(), message, signature),
            Scheme::Segwit => suite.verify_ecdsa(&self.public_key.point(), message, signature),
        }
    }
}

/// The proposal's transaction with one 64-byte signature of `wallet` for each input, in their order; `None` if there
/// are more or fewer, or one is no pair of numbers that a witness could hold. Says nothing about their validity.
#[must_use]
pub fn finish(wallet: &Wallet, proposal: &Proposal, signatures: &[[u8; 64]]) -> Option<Transaction> {
    let mut tx = proposal.unsigned_tx.clone();
    if signatures.len() != tx.input.len() {
        return None;
    }
    for (input, signature) in tx.input.iter_mut().zip(signatures) {
        input.witness = witness(wallet, signature)?;
    }
    Some(tx)
}

/// Whether `tx` is exactly the proposal's transaction and every input carries a valid signature of `wallet` in the one
/// form that [`finish`] gives it, nothing else. Who says so need not be trusted.
#[must_use]
pub fn verify_finished(wallet: &Wallet, suite: Suite, proposal: &Proposal, tx: &Transaction) -> bool {
    let found: Option<Vec<_>> = tx.input.iter().map(|input| signature(wallet, &input.witness)).collect();
    let (Some(signatures), Ok(messages)) = (found, sighashes(proposal)) else {
        return false;
    };
    // Putting the signatures into what was voted on must give this transaction, to the byte.
    finish(wallet, proposal, &signatures).as_ref() == Some(tx)
        && messages
            .iter()
            .zip(&signatures)
            .all(|(message, signature)| wallet.verifies(suite, message, signature))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use bitcoin::{
        Amount, Network, ScriptBuf, Witness, consensus,
        hex::{DisplayHex, FromHex},
        secp256k1::{Message, Secp256k1, XOnlyPublicKey, ecdsa::Signature, schnorr},
    };

    use super::*;
    use crate::{WalletKey, wallet::fixture};

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

    /// BIP-143, "Native P2WPKH": the unsigned transaction.
    const BIP143_TX: &str = concat!(
        "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffff",
        "ef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff",
        "02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac",
        "9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000",
    );

    /// Its second input, which spends 6 BTC of a P2WPKH output: public key, scriptPubKey, sigHash, signature (DER) with its
    /// type byte.
    const BIP143_INPUT: (&str, &str, &str, &str) = (
        "025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee6357",
        "00141d0f172a0ecb48aee1be1f2687d2963ae33f71a1",
        "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670",
        concat!(
            "304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a",
            "0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee01"
        ),
    );

    /// The hash preimage of that input.
    const BIP143_PREIMAGE: &str = concat!(
        "0100000096b827c8483d4e9b96712b6713a7b68d6e8003a781feba36c31143470b4efd37",
        "52b0a642eea2fb7ae638c36f6252b6750293dbe574a806984b8e4d8548339a3b",
        "ef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a01000000",
        "1976a9141d0f172a0ecb48aee1be1f2687d2963ae33f71a188ac0046c32300000000ffffffff",
        "863ef3e1a92afbfdb97f31ad0fc7683ee943e9abcf2501590ff8f6551f47e5e51100000001000000",
    );

    fn transaction(hex: &str) -> Transaction {
        consensus::deserialize(&Vec::from_hex(hex).unwrap()).unwrap()
    }

    fn prevout((script, value): (&str, u64)) -> Prevout {
        Prevout { value: Amount::from_sat(value), script: ScriptBuf::from_hex(script).unwrap() }
    }

    fn bip341_proposal() -> Proposal {
        Proposal {
            unsigned_tx: transaction(BIP341_TX),
            prevouts: BIP341_SPENT.into_iter().map(prevout).collect(),
            ..fixture::proposal(Scheme::Taproot, &[60_000], 500, 0)
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
    fn sighash_and_witness_are_those_of_bip_143() {
        let (key, script, sighash, signature) = BIP143_INPUT;
        let proposal = Proposal {
            unsigned_tx: transaction(BIP143_TX),
            // The first input of the example spends no P2WPKH output; what it spends is not signed in the second.
            prevouts: vec![prevout((script, 1)), prevout((script, 600_000_000))],
            ..fixture::proposal(Scheme::Segwit, &[60_000], 500, 0)
        };
        let found = sighashes(&proposal).unwrap();
        assert_eq!(found[1].to_lower_hex_string(), sighash);
        assert_eq!(key_hash_preimages(&proposal).unwrap()[1].to_lower_hex_string(), BIP143_PREIMAGE);

        let key = WalletKey::from_bytes(&<[u8; 33]>::from_hex(key).unwrap()).unwrap();
        let wallet = Wallet::new(fixture::key(Scheme::Segwit), key, Network::Bitcoin);
        assert_eq!(wallet.script().to_hex_string(), script);
        let signature = Vec::from_hex(signature).unwrap();
        let (der, _) = signature.split_at(signature.len() - 1);
        let compact = Signature::from_der(der).unwrap().serialize_compact();
        assert!(wallet.verifies(Suite::Givre, &found[1], &compact));
        let finished = finish(&wallet, &proposal, &[compact, compact]).unwrap();
        assert_eq!(finished.input[1].witness.to_vec(), [signature, key.to_bytes().to_vec()]);
    }

    #[test]
    fn a_coin_of_another_kind_has_no_sighash_of_p2wpkh() {
        let mut proposal = fixture::proposal(Scheme::Segwit, &[60_000, 50_000], 500, 9_500);
        proposal.prevouts[1].script = fixture::wallet(Scheme::Taproot).script();
        assert!(matches!(sighashes(&proposal), Err(RejectReason::Malformed(_))));
    }

    #[test]
    fn every_coins_claim_is_signed_in_every_input_or_in_its_own() {
        for (scheme, elsewhere) in [(Scheme::Taproot, true), (Scheme::Segwit, false)] {
            let proposal = fixture::proposal(scheme, &[60_000, 50_000], 500, 9_500);
            let mut lie = proposal.clone();
            lie.prevouts[1].value += Amount::ONE_SAT;
            let (honest, false_claim) = (sighashes(&proposal).unwrap(), sighashes(&lie).unwrap());
            assert_eq!(honest[0] != false_claim[0], elsewhere, "{scheme}");
            assert_ne!(honest[1], false_claim[1], "{scheme}");
            lie.prevouts.pop();
            assert!(matches!(sighashes(&lie), Err(RejectReason::Malformed(_))), "{scheme}");
        }
    }

    fn finished(scheme: Scheme) -> (Proposal, Transaction) {
        let proposal = fixture::proposal(scheme, &[60_000, 50_000], 500, 9_500);
        let signatures: Vec<_> =
            sighashes(&proposal).unwrap().iter().map(|message| fixture::sign(scheme, message)).collect();
        let tx = finish(&fixture::wallet(scheme), &proposal, &signatures).unwrap();
        (proposal, tx)
    }

    fn accepted(proposal: &Proposal, tx: &Transaction) -> bool {
        verify_finished(&fixture::wallet(proposal.key.scheme), Suite::Givre, proposal, tx)
    }

    #[test]
    fn a_finished_transaction_keeps_its_txid_and_predicted_size() {
        for scheme in Scheme::ALL {
            let (proposal, tx) = finished(scheme);
            assert!(accepted(&proposal, &tx));
            assert_eq!(tx.compute_txid(), proposal.txid());
            let predicted = crate::wallet::signed_vsize(scheme, &proposal.unsigned_tx);
            let actual = u64::try_from(tx.vsize()).unwrap();
            // Two DER signatures, each rarely more than two bytes below the longest.
            let slack = if scheme == Scheme::Segwit { 1 } else { 0 };
            assert!((predicted - slack..=predicted).contains(&actual), "{scheme}: {actual} of {predicted}");
        }
    }

    #[test]
    fn signatures_and_inputs_must_be_as_many() {
        for scheme in Scheme::ALL {
            let proposal = fixture::proposal(scheme, &[60_000, 50_000], 500, 9_500);
            for count in [0, 1, 3] {
                let finished = finish(&fixture::wallet(scheme), &proposal, &vec![[1; 64]; count]);
                assert_eq!(finished, None, "{count} {scheme} signatures");
            }
        }
    }

    #[test]
    fn anything_but_the_proposals_transaction_with_valid_witnesses_is_refused() {
        type Edit = fn(&mut Transaction);
        let edits: &[(&str, Edit)] = &[
            ("other amount", |tx| tx.output[0].value += Amount::ONE_SAT),
            ("other lock time", |tx| tx.lock_time = bitcoin::absolute::LockTime::ZERO),
            ("unsigned", |tx| tx.input[0].witness.clear()),
            ("one element more", |tx| tx.input[0].witness.push([0x50, 1])),
            ("a signature with a type byte more", |tx| {
                let mut elements = tx.input[0].witness.to_vec();
                elements[0].push(1);
                tx.input[0].witness = Witness::from_slice(&elements);
            }),
            ("signatures swapped", |tx| {
                let first = tx.input[0].witness.clone();
                tx.input[0].witness = std::mem::replace(&mut tx.input[1].witness, first);
            }),
            ("scriptSig", |tx| tx.input[0].script_sig = ScriptBuf::from_bytes(vec![0])),
            ("input missing", |tx| drop(tx.input.pop())),
        ];
        for scheme in Scheme::ALL {
            for (desc, edit) in edits {
                let (proposal, mut tx) = finished(scheme);
                edit(&mut tx);
                assert!(!accepted(&proposal, &tx), "{scheme}, {desc}");
            }
        }
    }

    #[test]
    fn signatures_of_the_other_kind_finish_nothing() {
        for (scheme, other) in [(Scheme::Taproot, Scheme::Segwit), (Scheme::Segwit, Scheme::Taproot)] {
            let (proposal, mut tx) = finished(scheme);
            let messages = sighashes(&proposal).unwrap();
            for (input, message) in tx.input.iter_mut().zip(&messages) {
                input.witness = witness(&fixture::wallet(other), &fixture::sign(other, message)).unwrap();
            }
            assert!(!accepted(&proposal, &tx), "{scheme}, in the other's witness");
            let signatures: Vec<_> = messages.iter().map(|message| fixture::sign(other, message)).collect();
            let own_form = finish(&fixture::wallet(scheme), &proposal, &signatures);
            assert!(!own_form.is_some_and(|tx| accepted(&proposal, &tx)), "{scheme}, in its own");
        }
    }

    #[test]
    fn of_two_ecdsa_signatures_the_one_of_upper_s_does_not_verify() {
        let wallet = fixture::wallet(Scheme::Segwit);
        let low = fixture::sign(Scheme::Segwit, &[9; 32]);
        let upper = fixture::with_upper_s(&low);
        assert!(wallet.verifies(Suite::Givre, &[9; 32], &low));
        assert!(!wallet.verifies(Suite::Givre, &[9; 32], &upper));
        let mut normal = Signature::from_compact(&upper).unwrap();
        normal.normalize_s();
        assert_eq!(normal.serialize_compact(), low, "the two belong together");
    }

    #[test]
    fn a_signature_of_another_message_finishes_nothing() {
        for scheme in Scheme::ALL {
            let (proposal, mut tx) = finished(scheme);
            let wallet = fixture::wallet(scheme);
            tx.input[1].witness = witness(&wallet, &fixture::sign(scheme, &[3; 32])).unwrap();
            assert!(!accepted(&proposal, &tx), "{scheme}");
        }
    }

    #[test]
    fn a_signature_the_suite_refuses_finishes_nothing() {
        for scheme in Scheme::ALL {
            let proposal = fixture::proposal(scheme, &[60_000], 500, 9_500);
            let wallet = fixture::wallet(scheme);
            let tx = finish(&wallet, &proposal, &[[0; 64]]).unwrap();
            assert!(!verify_finished(&wallet, Suite::Givre, &proposal, &tx), "{scheme}");
        }
    }
}
