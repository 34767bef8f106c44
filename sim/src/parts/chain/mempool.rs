//! What gives way in the mempool: replacement by fee, whatever a transaction signals (BIP-125; Bitcoin Core since 28.0).

use std::collections::BTreeSet;

use bitcoin::{OutPoint, Transaction, Txid};

use super::Chain;
use crate::parts::members::CONFIRMATIONS;

/// What a replacement pays for its own relay, on top of the fees of all that it evicts: 1 sat/vB.
const RELAY_INCREMENT_SAT_PER_KVB: u64 = 1_000;

impl Chain {
    /// Evicts what waits for a block and spends the same coins, with all that stands on it, if a transaction of this fee and
    /// size may take its place. `false` if it may not.
    pub(super) fn make_way(&mut self, transaction: &Transaction, fee: u64, vsize: u64) -> bool {
        let rivals: BTreeSet<Txid> =
            spends(transaction).iter().filter_map(|coin| self.spenders.get(coin).copied()).collect();
        let evicted = self.with_descendants(&rivals);
        let fees: u64 = evicted.iter().map(|txid| self.fee(txid).0).sum();
        let due = fees.saturating_add(vsize.saturating_mul(RELAY_INCREMENT_SAT_PER_KVB).div_ceil(1_000));
        let pays_more = |(rival_fee, rival_vsize): (u64, u64)| {
            u128::from(fee) * u128::from(rival_vsize) > u128::from(rival_fee) * u128::from(vsize)
        };
        let stands_on_them =
            transaction.input.iter().any(|input| evicted.contains(&input.previous_output.txid));
        let may = rivals.is_empty()
            || (fee >= due && !stands_on_them && rivals.iter().all(|rival| pays_more(self.fee(rival))));
        if may {
            for txid in evicted {
                if let Some(known) = self.known.get(&txid) {
                    self.losers.insert(txid, known.transaction.clone());
                }
                self.forget(txid);
            }
        }
        may
    }

    /// These and all that stands on them.
    fn with_descendants(&self, txids: &BTreeSet<Txid>) -> BTreeSet<Txid> {
        let (mut family, mut unseen) = (txids.clone(), Vec::from_iter(txids.iter().copied()));
        while let Some(parent) = unseen.pop() {
            let children = self.spenders.iter().filter(|(coin, _)| coin.txid == parent);
            unseen.extend(children.filter(|(_, child)| family.insert(**child)).map(|(_, child)| *child));
        }
        family
    }

    /// Fee in satoshis and size in vB of a known transaction.
    fn fee(&self, txid: &Txid) -> (u64, u64) {
        let Some(known) = self.known.get(txid) else { return (0, 0) };
        let sum = |values: &mut dyn Iterator<Item = u64>| values.fold(0, u64::saturating_add);
        let spent = spends(&known.transaction);
        let received = sum(&mut spent.iter().filter_map(|coin| Some(self.coin(coin)?.value.to_sat())));
        let paid = sum(&mut known.transaction.output.iter().map(|output| output.value.to_sat()));
        (received.saturating_sub(paid), u64::try_from(known.transaction.vsize()).unwrap_or(u64::MAX))
    }

    /// What has lost against a transaction with the same coins is given up for good once that is deep enough.
    pub(super) fn anchor_winners(&mut self) {
        let settled = self.tip.height.saturating_sub(CONFIRMATIONS - 1);
        let winners = self.losers.values().filter_map(|loser| {
            let by = self.spenders.get(&loser.input.first()?.previous_output)?;
            let winner = self.known.get(by)?;
            let is_rival = spends(&winner.transaction) == spends(loser);
            winner.block.map(|block| block.height).filter(|height| is_rival && *height <= settled)
        });
        self.anchored = winners.fold(self.anchored, u32::max);
    }
}

/// The coins that a transaction spends.
fn spends(transaction: &Transaction) -> BTreeSet<OutPoint> {
    transaction.input.iter().map(|input| input.previous_output).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bitcoin::{
        Amount, ScriptBuf, Sequence, TxIn, TxOut, Witness, absolute::LockTime, hashes::Hash,
        transaction::Version,
    };
    use mpc_wallet_core::chain::TxPresence;

    use super::*;
    use crate::parts::chain::Known;

    /// Spends an output of each parent for `value` satoshis.
    fn transaction(parents: &[Txid], value: u64) -> Transaction {
        let spent = |txid: &Txid| TxIn {
            previous_output: OutPoint { txid: *txid, vout: 0 },
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        };
        Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: parents.iter().map(spent).collect(),
            output: vec![TxOut { value: Amount::from_sat(value), script_pubkey: ScriptBuf::new() }],
        }
    }

    impl Chain {
        /// Puts a transaction into the mempool that nobody has signed.
        fn hold(&mut self, transaction: &Transaction) -> Txid {
            let txid = transaction.compute_txid();
            self.spenders.extend(spends(transaction).into_iter().map(|coin| (coin, txid)));
            self.known.insert(txid, Known { transaction: transaction.clone(), block: None });
            self.mempool.push(txid);
            txid
        }
    }

    /// A chain with a confirmed coin of 10 000 sat, and in the mempool a transaction that spends it with a fee of 1 000 sat,
    /// and another that spends what that one makes with a fee of 500 sat.
    fn chain() -> (Chain, [Txid; 3]) {
        let mut chain = Chain::new();
        let coin = chain.hold(&transaction(&[Txid::all_zeros()], 10_000));
        chain.mine();
        let parent = chain.hold(&transaction(&[coin], 9_000));
        let child = chain.hold(&transaction(&[parent], 8_500));
        (chain, [coin, parent, child])
    }

    #[test]
    fn who_pays_for_all_it_evicts_and_for_itself_takes_their_place() {
        let (mut chain, [coin, parent, child]) = chain();
        let rival = transaction(&[coin], 8_400);
        assert!(!chain.make_way(&rival, 1_559, 60), "1 500 sat of fees and 60 vB of its own");
        assert_eq!(chain.presence(&parent), TxPresence::Mempool);
        assert!(chain.make_way(&rival, 1_560, 60));
        let rival = chain.hold(&rival);
        assert_eq!(chain.presence(&parent), TxPresence::Conflicted { by: rival, block: None });
        assert_eq!(chain.presence(&child), TxPresence::Absent, "what it stood on is gone");
        assert_eq!(chain.mine(), [rival]);
        let block = Some(chain.tip());
        assert_eq!(chain.presence(&parent), TxPresence::Conflicted { by: rival, block });
    }

    #[test]
    fn a_lower_rate_a_block_or_a_line_under_itself_keeps_a_rival_out() {
        let (mut chain, [coin, parent, child]) = chain();
        let vsize = u64::try_from(transaction(&[coin], 1).vsize()).unwrap();
        let rival = transaction(&[coin], 1);
        // Ten times the size for less than ten times the fee.
        assert!(!chain.make_way(&rival, 9_999, vsize * 10));
        assert!(!chain.make_way(&transaction(&[coin, child], 1), 9_999, 100), "it stands on what it evicts");
        chain.mine();
        assert_eq!(chain.prevouts(&rival), None);
        assert!(matches!(chain.presence(&parent), TxPresence::Confirmed(_)));
    }

    #[test]
    fn what_has_won_is_not_undone_once_it_is_settled() {
        let (mut chain, [coin, parent, _]) = chain();
        let rival = transaction(&[coin], 1);
        assert!(chain.make_way(&rival, 9_999, 100));
        let rival = chain.hold(&rival);
        chain.mine();
        assert_eq!(chain.reorganise(1, true), [rival], "one block deep");
        assert_eq!(chain.presence(&parent), TxPresence::Absent);
        chain.hold(&transaction(&[coin], 1));
        for _ in 0..CONFIRMATIONS {
            chain.mine();
        }
        assert!(chain.reorganise(CONFIRMATIONS, true).is_empty());
    }
}
