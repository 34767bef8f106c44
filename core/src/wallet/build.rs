//! From a grant of coins to the unsigned transaction.

use bitcoin::{
    Amount, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute::LockTime, transaction::Version,
};
use rand_core::CryptoRngCore;

use super::Wallet;
use crate::message::CoinGrant;

/// Sequence number of every input, 0xFFFFFFFD: replaceable (BIP-125), lock time in force, no relative lock (BIP-68).
pub const SEQUENCE: Sequence = Sequence::ENABLE_RBF_NO_LOCKTIME;

/// The unsigned transaction that pays `amount` to `recipient` from `grant`: version 2, inputs in the order granted,
/// change (unless zero) back to `wallet`, lock time as granted. Which output comes first is drawn from `entropy`, or
/// every observer would know the change.
///
/// A grant comes from a peer: what is built of it is checked with
/// [`check_structure`](super::check_structure) before it is proposed, like any proposal.
#[must_use]
pub fn build(
    wallet: &Wallet,
    grant: &CoinGrant,
    recipient: &ScriptBuf,
    amount: Amount,
    entropy: &mut dyn CryptoRngCore,
) -> Transaction {
    let input = grant.inputs.iter().map(|coin| TxIn {
        previous_output: coin.outpoint,
        script_sig: ScriptBuf::new(),
        sequence: SEQUENCE,
        witness: Witness::new(),
    });
    let mut output = vec![TxOut { value: amount, script_pubkey: recipient.clone() }];
    if grant.change > Amount::ZERO {
        output.push(TxOut { value: grant.change, script_pubkey: wallet.script() });
    }
    if entropy.next_u32() & 1 == 1 {
        output.reverse();
    }
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::from_consensus(grant.lock_time),
        input: input.collect(),
        output,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::{ids::Scheme, wallet::fixture};

    #[test]
    fn a_transaction_has_the_grants_coins_and_lock_time_and_returns_change_to_its_wallet() {
        for scheme in Scheme::ALL {
            let wallet = fixture::wallet(scheme);
            let grant = fixture::grant(scheme, &[70_000, 50_000], 500, 19_500);
            let tx = build(
                &wallet,
                &grant,
                &fixture::recipient(),
                Amount::from_sat(100_000),
                &mut ChaCha20Rng::seed_from_u64(1),
            );
            assert_eq!(tx.version.0, 2);
            assert_eq!(tx.lock_time.to_consensus_u32(), grant.lock_time);
            let spent: Vec<_> = tx.input.iter().map(|input| input.previous_output).collect();
            let granted: Vec<_> = grant.inputs.iter().map(|coin| coin.outpoint).collect();
            assert_eq!(spent, granted);
            assert!(tx.input.iter().all(|input| input.sequence.0 == 0xFFFF_FFFD));
            assert!(tx.is_explicitly_rbf() && tx.is_lock_time_enabled());
            assert_eq!(tx.output.iter().map(|output| output.value.to_sat()).sum::<u64>(), 119_500);
            let change = TxOut { value: grant.change, script_pubkey: wallet.script() };
            assert!(tx.output.contains(&change), "{scheme}: {:?}", tx.output);
        }
    }

    #[test]
    fn change_is_first_as_often_as_last() {
        let wallet = fixture::wallet(Scheme::Taproot);
        let grant = fixture::grant(Scheme::Taproot, &[70_000], 500, 19_500);
        let mut entropy = ChaCha20Rng::seed_from_u64(2);
        let first = (0..1_000).filter(|_| {
            let tx = build(&wallet, &grant, &fixture::recipient(), Amount::from_sat(50_000), &mut entropy);
            tx.output.first().unwrap().script_pubkey == wallet.script()
        });
        let first = first.count();
        assert!((400..600).contains(&first), "{first} of 1000");
    }

    #[test]
    fn without_change_there_is_one_output() {
        let wallet = fixture::wallet(Scheme::Taproot);
        let grant = fixture::grant(Scheme::Taproot, &[50_200], 200, 0);
        let mut entropy = ChaCha20Rng::seed_from_u64(3);
        let tx = build(&wallet, &grant, &fixture::recipient(), Amount::from_sat(50_000), &mut entropy);
        assert_eq!(tx.output.len(), 1);
    }
}
