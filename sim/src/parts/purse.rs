//! A wallet as the chain sees it: one script, and what spends it.

use bitcoin::{
    EcdsaSighashType, ScriptBuf, TapSighashType, Transaction, TxOut, ecdsa,
    hashes::Hash,
    secp256k1::Secp256k1,
    sighash::{Prevouts, SighashCache},
};
use mpc_wallet_core::{Scheme, WalletKey, mpc::Suite};

/// A wallet of one key.
#[derive(Clone, Debug)]
pub(crate) struct Purse {
    key: WalletKey,
    scheme: Scheme,
    suite: Suite,
    script: ScriptBuf,
}

impl Purse {
    /// The wallet of a key, and which implementation verifies its signatures.
    pub(crate) fn new(scheme: Scheme, key: WalletKey, suite: Suite) -> Self {
        let script = match scheme {
            Scheme::Taproot => ScriptBuf::new_p2tr(&Secp256k1::verification_only(), key.x_only(), None),
            Scheme::Segwit => {
                ScriptBuf::new_p2wpkh(&bitcoin::CompressedPublicKey(key.point()).wpubkey_hash())
            }
        };
        Self { key, scheme, suite, script }
    }

    /// The script that pays it.
    pub(crate) const fn script(&self) -> &ScriptBuf {
        &self.script
    }

    /// Whether an input that spends a coin of this wallet carries a valid witness for exactly this transaction.
    pub(crate) fn allows(&self, transaction: &Transaction, index: usize, prevouts: &[TxOut]) -> bool {
        match self.scheme {
            Scheme::Taproot => self.by_key_path(transaction, index, prevouts),
            Scheme::Segwit => self.by_key_hash(transaction, index, prevouts),
        }
        .unwrap_or(false)
    }

    /// A key-path spend, which is all that this kind of wallet makes (BIP-341).
    fn by_key_path(&self, transaction: &Transaction, index: usize, prevouts: &[TxOut]) -> Option<bool> {
        let sighash = SighashCache::new(transaction)
            .taproot_key_spend_signature_hash(index, &Prevouts::All(prevouts), TapSighashType::Default)
            .ok()?;
        let witness = &transaction.input.get(index)?.witness;
        let signature = witness.nth(0).filter(|_| witness.len() == 1)?;
        let signature = <[u8; 64]>::try_from(signature).ok()?;
        Some(self.suite.verify(self.key.x_only(), &sighash.to_byte_array(), &signature))
    }

    /// A signature and the key that the script names by its hash (BIP-141, BIP-143).
    fn by_key_hash(&self, transaction: &Transaction, index: usize, prevouts: &[TxOut]) -> Option<bool> {
        let coin = prevouts.get(index)?;
        let sighash = SighashCache::new(transaction)
            .p2wpkh_signature_hash(index, &coin.script_pubkey, coin.value, EcdsaSighashType::All)
            .ok()?;
        let witness = &transaction.input.get(index)?.witness;
        let (signature, key) = witness.nth(0).zip(witness.nth(1)).filter(|_| witness.len() == 2)?;
        let signature = ecdsa::Signature::from_slice(signature).ok()?;
        let mut low = signature.signature;
        low.normalize_s();
        let standard = signature.sighash_type == EcdsaSighashType::All && low == signature.signature;
        let compact = signature.signature.serialize_compact();
        let valid = self.suite.verify_ecdsa(&self.key.point(), &sighash.to_byte_array(), &compact);
        Some(standard && key == self.key.to_bytes() && valid)
    }
}
