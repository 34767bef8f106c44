//! Limits, restated: what a node approves and hands to the network stays within them.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Transaction, Txid};
use mpc_wallet_core::{
    NodeId,
    record::Fact,
    tx::{Prevout, Proposal},
    vote::Decision,
};

use super::{Observed, Oracle};

/// Most unconfirmed transactions that stand on each other: a node of the network refuses the twenty-sixth.
const MAX_CHAIN: usize = 25;

/// Most inputs of one transaction.
const MAX_INPUTS: usize = 25;

/// Most satoshis of fee under the policy of this world.
const MAX_FEE: u64 = 1_000_000;

/// Least satoshis worth paying under the policy of this world.
const MIN_AMOUNT: u64 = 546;

/// Satoshis that a replacement pays for each vB of its own, on top of what it replaces paid.
const INCREMENT: u64 = 1;

/// A vote is cast in time; what is approved is within the policy, and if it takes the place of another, pays what the network
/// asks for that; what is broadcast has no longer a line of
/// unconfirmed ancestors than the network bears.
#[derive(Default)]
pub struct WithinLimits {
    proposals: BTreeMap<(NodeId, Txid), Proposal>,
    spends: BTreeMap<Txid, BTreeSet<Txid>>,
    confirmed: BTreeSet<Txid>,
}

impl WithinLimits {
    fn record(&mut self, node: NodeId, at: u64, fact: &Fact) -> Result<(), String> {
        if let Fact::Proposed(proposal) = fact {
            let body = &proposal.body;
            self.proposals.entry((node, body.txid())).or_insert_with(|| body.clone());
        }
        let Fact::Voted(vote) = fact else { return Ok(()) };
        let ballot = &vote.body;
        if ballot.voter != node {
            return Ok(());
        }
        if at >= ballot.expires_at.0 {
            return Err(format!(
                "{node} votes on {} at {at}, which expired at {}",
                ballot.txid, ballot.expires_at.0
            ));
        }
        match self.proposals.get(&(node, ballot.txid)) {
            Some(proposal) if ballot.decision == Decision::Approve => {
                Self::judge(node, proposal)?;
                self.outbids(node, proposal)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn judge(node: NodeId, proposal: &Proposal) -> Result<(), String> {
        let spent: u64 = proposal.prevouts.iter().map(|coin| coin.value.to_sat()).sum();
        let paid: u64 = proposal.unsigned_tx.output.iter().map(|output| output.value.to_sat()).sum();
        let (inputs, fee) = (proposal.unsigned_tx.input.len(), spent.saturating_sub(paid));
        let least = proposal.unsigned_tx.output.iter().map(|output| output.value.to_sat()).min();
        for (what, holds) in [
            ("the number of inputs", inputs <= MAX_INPUTS),
            ("the fee", fee <= MAX_FEE),
            ("the least output", least.is_some_and(|least| least >= MIN_AMOUNT)),
        ] {
            if !holds {
                return Err(format!("{node} approves {}: {what} is beyond the limit", proposal.txid()));
            }
        }
        Ok(())
    }

    /// Whether the approval of a replacement has the network take it.
    fn outbids(&self, node: NodeId, proposal: &Proposal) -> Result<(), String> {
        let Some(replaced) = proposal.replaces else { return Ok(()) };
        let txid = proposal.txid();
        let Some(original) = self.proposals.get(&(node, replaced)) else {
            return Err(format!("{node} approves {txid} in the place of {replaced}, which it has not got"));
        };
        let ((old_fee, old_size), (fee, size)) = (price(original), price(proposal));
        let least = old_fee.saturating_add(size.saturating_mul(INCREMENT));
        let has_higher_rate = u128::from(fee) * u128::from(old_size) > u128::from(old_fee) * u128::from(size);
        if fee < least || !has_higher_rate {
            return Err(format!(
                "{node} approves {txid} of {size} vB for {fee} sat in the place of {replaced} of {old_size} vB for {old_fee} sat"
            ));
        }
        Ok(())
    }

    fn unconfirmed_line(&self, txid: Txid) -> usize {
        let (mut line, mut unseen) = (BTreeSet::new(), vec![txid]);
        while let Some(txid) = unseen.pop() {
            if !self.confirmed.contains(&txid)
                && let Some(parents) = self.spends.get(&txid)
                && line.insert(txid)
            {
                unseen.extend(parents);
            }
        }
        line.len()
    }

    fn broadcast(&mut self, node: NodeId, transaction: &Transaction) -> Result<(), String> {
        let txid = transaction.compute_txid();
        let parents = transaction.input.iter().map(|input| input.previous_output.txid).collect();
        self.spends.insert(txid, parents);
        let line = self.unconfirmed_line(txid);
        if line > MAX_CHAIN {
            return Err(format!("{node} broadcasts {txid}, the last of {line} unconfirmed transactions"));
        }
        Ok(())
    }
}

/// Fee in satoshis and size in vB that a proposal will have once it is signed: each input brings a signature by the key alone
/// (BIP-341), or the longest signature and the key of its hash (BIP-143).
fn price(proposal: &Proposal) -> (u64, u64) {
    let spent: u64 = proposal.prevouts.iter().map(|coin| coin.value.to_sat()).sum();
    let paid: u64 = proposal.unsigned_tx.output.iter().map(|output| output.value.to_sat()).sum();
    let witness = |coin: &Prevout| if coin.script.is_p2wpkh() { 1 + 1 + 72 + 1 + 33 } else { 1 + 1 + 64 };
    let signatures: u64 = proposal.prevouts.iter().map(witness).sum();
    let stripped = u64::try_from(proposal.unsigned_tx.base_size()).unwrap_or(u64::MAX);
    // Marker and flag.
    let weight = stripped.saturating_mul(4).saturating_add(2).saturating_add(signatures);
    (spent.saturating_sub(paid), weight.div_ceil(4))
}

impl Oracle for WithinLimits {
    fn name(&self) -> &'static str {
        "within_limits"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Durable { node, record } => self.record(*node, record.at.0, &record.fact),
            Observed::Broadcast { node, transaction } => self.broadcast(*node, transaction),
            Observed::Confirmed { transaction } => {
                self.confirmed.insert(transaction.compute_txid());
                Ok(())
            }
            Observed::Released { .. }
            | Observed::Heard { .. }
            | Observed::Sent { .. }
            | Observed::Promised { .. }
            | Observed::Accused { .. }
            | Observed::Restored { .. }
            | Observed::Stolen { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }
}
