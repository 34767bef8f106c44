//! What a new payment may spend now, and whether waiting would help.

use std::collections::BTreeSet;

use bitcoin::{Amount, OutPoint, TxOut, Txid};

use super::{Node, granting::Shortage};
use crate::{
    mutant,
    refusal::Refusal,
    tx::{self, Prevout, SubStatus},
    wallet::{self, Candidate, Wallet},
};

impl Node {
    /// Coins that open transactions ask for; a proposal does so before anyone has committed them.
    pub(super) fn proposed_coins(&self) -> BTreeSet<OutPoint> {
        self.state.open().flat_map(|(_, tx)| self.state.claims_of(&tx.proposal.body)).collect()
    }

    /// What a new payment may spend: free, mature, and either in a block or our own change in the mempool.
    pub(super) fn spendable_coins(&self, wallet: &Wallet) -> Vec<Candidate> {
        let tip = self.settling.tip_height();
        let script = wallet.script();
        let mut seen = BTreeSet::new();
        let mut candidates = Vec::new();
        let mut taken = self.proposed_coins();
        taken.extend(self.granting.granted_coins().map(|coin| coin.outpoint));
        let free =
            |outpoint: &OutPoint| self.state.holder_of(outpoint).is_none() && !taken.contains(outpoint);
        for coin in self.settling.coins() {
            let mature = match coin.height {
                Some(height) => !coin.coinbase || wallet::is_mature(height, tip),
                None => self.change_may_be_spent(coin.outpoint.txid),
            };
            if coin.output.script_pubkey == script && mature && free(&coin.outpoint) {
                seen.insert(coin.outpoint);
                candidates.push(Candidate {
                    outpoint: coin.outpoint,
                    value: coin.output.value,
                    confirmed: coin.height.is_some(),
                });
            }
        }
        // Change in the mempool that the last look at the chain was too early to show.
        for (txid, outpoint, value) in self.fresh_change(wallet) {
            if !seen.contains(&outpoint) && self.change_may_be_spent(txid) && free(&outpoint) {
                candidates.push(Candidate { outpoint, value, confirmed: false });
            }
        }
        candidates
    }

    /// Whether such an output can be there as this node sees it: among the wallet's coins, or made by a transaction of the
    /// cluster so lately that the last look at the chain was too early to show it.
    pub(super) fn knows_coin(&self, outpoint: &OutPoint, output: &Prevout) -> bool {
        let is_it = |seen: &TxOut| seen.value == output.value && seen.script_pubkey == output.script;
        let made = |txid: Txid, vout: u32| {
            let tx = self.state.transaction(txid)?;
            // What was in a block by then and is not among the coins has been spent, by whomever.
            let looked_since = tx.block.is_some_and(|block| block.height <= self.settling.tip_height());
            let outputs = &tx.proposal.body.unsigned_tx.output;
            outputs.get(usize::try_from(vout).ok()?).filter(|_| !looked_since)
        };
        self.settling.coins().any(|coin| coin.outpoint == *outpoint && is_it(&coin.output))
            || made(outpoint.txid, outpoint.vout).is_some_and(is_it)
    }

    /// Outputs to this wallet of its own transactions that the mempool has and no block yet.
    fn fresh_change<'a>(
        &'a self,
        wallet: &Wallet,
    ) -> impl Iterator<Item = (Txid, OutPoint, Amount)> + use<'a> {
        let script = wallet.script();
        self.state
            .open()
            .filter(|(_, tx)| tx.state == tx::State::Broadcasting && tx.sub_status == SubStatus::InMempool)
            .flat_map(move |(txid, tx)| {
                let outputs = tx.proposal.body.unsigned_tx.output.iter();
                let script = script.clone();
                (0_u32..)
                    .zip(outputs)
                    .filter(move |(_, output)| output.script_pubkey == script)
                    .map(move |(vout, output)| (txid, OutPoint { txid, vout }, output.value))
            })
    }

    /// Whether an unconfirmed output of this transaction is our own change, accepted by the network, not on top of too many
    /// unconfirmed transactions, and sure to be if one of them confirms.
    fn change_may_be_spent(&self, txid: Txid) -> bool {
        let accepted = self
            .state
            .transaction(txid)
            .is_some_and(|tx| tx.state == tx::State::Broadcasting && tx.sub_status == SubStatus::InMempool);
        let short = self.unconfirmed_family(txid) < self.config.limits.unconfirmed_chain;
        accepted && !self.state.is_contested(txid) && (short || mutant!(ChainLimitIgnored))
    }

    /// How many unconfirmed transactions of ours this one stands on, itself included; counted up to the limit.
    fn unconfirmed_family(&self, txid: Txid) -> usize {
        let mut family = BTreeSet::new();
        let mut unseen = vec![txid];
        while let Some(txid) = unseen.pop() {
            let Some(tx) = self.state.transaction(txid).filter(|tx| tx.block.is_none()) else { continue };
            if family.insert(txid) {
                unseen.extend(tx.proposal.body.coins().map(|coin| coin.txid));
            }
            if family.len() >= self.config.limits.unconfirmed_chain {
                break;
            }
        }
        family.len()
    }

    /// Whether waiting may help: locked coins may be freed, and change of open transactions will come.
    pub(super) fn shortage(&self, wallet: &Wallet, candidates: &[Candidate], needed: Amount) -> Shortage {
        let spendable: u64 = candidates.iter().map(|candidate| candidate.value.to_sat()).sum();
        let balance = self.balance(wallet);
        let script = wallet.script();
        let change_to_come: u64 = self
            .state
            .open()
            .flat_map(|(_, tx)| tx.proposal.body.unsigned_tx.output.iter())
            .filter(|output| output.script_pubkey == script)
            .map(|output| output.value.to_sat())
            .fold(0, u64::saturating_add);
        let granted: u64 = self
            .granting
            .granted_coins()
            .filter(|coin| coin.output.script == script)
            .map(|coin| coin.output.value.to_sat())
            .fold(0, u64::saturating_add);
        let refusal = Refusal::InsufficientFunds {
            needed: needed.to_sat(),
            spendable,
            locked: balance.locked.to_sat(),
            unconfirmed: balance.untrusted_pending.to_sat(),
        };
        let hope = spendable.saturating_add(change_to_come).saturating_add(granted);
        if hope >= needed.to_sat() { Shortage::Temporary(refusal) } else { Shortage::Final(refusal) }
    }
}
