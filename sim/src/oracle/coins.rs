//! I2: a coin is signed away at most once, and to one family: a payment and what takes its place for a higher fee.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Transaction, Txid};
use mpc_wallet_core::{Cluster, NodeId, SessionId, message::Message, message::Subject, record::Fact};

use super::{
    Honest, Observed, Oracle, Payments,
    families::{are_kin, coins},
    shares::Sessions,
    statements,
};

/// No two transactions that spend one coin ever both collect shares of t nodes, traitors included, and no two finished
/// ones exist, unless they are kin: the same payment of the same coins. Nor is one signed that spends what another of its
/// parent's family destroys, before the parent has been in a block. A traitor's share counts, good or bad; what it calls
/// finished proves nothing.
pub struct OneCoinOneFamily {
    honest: Honest,
    threshold: usize,
    asked: Payments,
    known: BTreeMap<Txid, Transaction>,
    sessions: BTreeMap<SessionId, Txid>,
    payments: Sessions,
    shares: BTreeMap<Txid, BTreeSet<NodeId>>,
    /// Coin and the transactions that t nodes gave shares for.
    signed: BTreeMap<OutPoint, BTreeSet<Txid>>,
    finished: BTreeMap<OutPoint, BTreeSet<Txid>>,
    confirmed: BTreeSet<Txid>,
}

impl OneCoinOneFamily {
    /// For a cluster with these honest members, whose clients ask for these payments.
    #[must_use]
    pub fn new(cluster: &Cluster, honest: Honest, asked: Payments) -> Self {
        Self {
            honest,
            threshold: usize::from(cluster.threshold()),
            asked,
            known: BTreeMap::new(),
            sessions: BTreeMap::new(),
            payments: Sessions::default(),
            shares: BTreeMap::new(),
            signed: BTreeMap::new(),
            finished: BTreeMap::new(),
            confirmed: BTreeSet::new(),
        }
    }

    fn learn(&mut self, transaction: &Transaction) {
        self.known.entry(transaction.compute_txid()).or_insert_with(|| transaction.clone());
    }

    fn share(&mut self, node: NodeId, txid: Txid) -> Result<(), String> {
        let givers = self.shares.entry(txid).or_default();
        givers.insert(node);
        if givers.len() < self.threshold {
            return Ok(());
        }
        let Some(transaction) = self.known.get(&txid) else { return Ok(()) };
        for coin in coins(transaction) {
            let signed = self.signed.entry(coin).or_default();
            if let Some(first) = stranger(&self.asked, &self.known, signed, transaction) {
                return Err(format!(
                    "{} nodes gave shares for {first} and for {txid}, which both spend {coin} and are no family",
                    self.threshold
                ));
            }
            signed.insert(txid);
        }
        self.nothing_stands_on_rivals(txid, transaction)
    }

    /// Nothing signed spends what a signed transaction makes whose coins another signed one spends as well.
    fn nothing_stands_on_rivals(&self, txid: Txid, transaction: &Transaction) -> Result<(), String> {
        let spends = coins(transaction);
        let parents = spends.iter().map(|coin| coin.txid);
        let rivals = spends.iter().filter_map(|coin| self.signed.get(coin)).flatten().copied();
        let contested = parents.chain(rivals).filter(|parent| !self.confirmed.contains(parent));
        for parent in contested {
            let Some(known) = self.known.get(&parent) else { continue };
            let of_its_coins = coins(known).into_iter().filter_map(|coin| self.signed.get(&coin)).flatten();
            let rival = of_its_coins.copied().find(|other| *other != parent);
            let on_it = (0_u32..).zip(&known.output).map(|(vout, _)| OutPoint { txid: parent, vout });
            let child = on_it.filter_map(|coin| self.signed.get(&coin)).flatten().next();
            if let Some((rival, child)) = rival.zip(child) {
                return Err(format!(
                    "{} nodes gave shares for {child}, which spends what {parent} makes, and for {rival}, which takes its place; the last were for {txid}",
                    self.threshold
                ));
            }
        }
        Ok(())
    }

    fn finish(&mut self, transaction: &Transaction) -> Result<(), String> {
        let txid = transaction.compute_txid();
        self.learn(transaction);
        for coin in coins(transaction) {
            let finished = self.finished.entry(coin).or_default();
            if let Some(first) = stranger(&self.asked, &self.known, finished, transaction) {
                return Err(format!("{first} and {txid} are both finished, spend {coin} and are no family"));
            }
            finished.insert(txid);
        }
        Ok(())
    }
}

/// One of these that is not kin to the transaction.
fn stranger(
    asked: &Payments,
    known: &BTreeMap<Txid, Transaction>,
    others: &BTreeSet<Txid>,
    transaction: &Transaction,
) -> Option<Txid> {
    let txid = transaction.compute_txid();
    let is_kin = |other: &Txid| known.get(other).is_some_and(|other| are_kin(asked, other, transaction));
    others.iter().find(|other| **other != txid && !is_kin(other)).copied()
}

impl Oracle for OneCoinOneFamily {
    fn name(&self) -> &'static str {
        "one_coin_one_family"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Durable { node, record } => {
                if let Fact::Proposed(proposal) = &record.fact {
                    self.learn(&proposal.body.unsigned_tx);
                } else if let Fact::ShareReleased { txid, session } = &record.fact {
                    self.sessions.insert(*session, *txid);
                    self.share(*node, *txid)?;
                } else if let Fact::Signed(transaction) = &record.fact {
                    self.finish(&transaction.0)?;
                }
                Ok(())
            }
            Observed::Sent { from, message, .. } => {
                for proposal in statements::proposals(message) {
                    self.learn(&proposal.body.unsigned_tx);
                }
                if self.honest.contains(from) {
                    for transaction in statements::finished(message) {
                        self.finish(&transaction.0)?;
                    }
                }
                if let Message::SignRequest(request) = message
                    && let Subject::Payment { txid, .. } = request.session.subject
                {
                    self.sessions.insert(request.session.id(), txid);
                }
                self.payments.learn(message);
                if let Message::Mpc(mpc) = message
                    && self.payments.holds_share(&mpc.body)
                    && let Some(txid) = self.sessions.get(&mpc.body.session).copied()
                {
                    self.share(*from, txid)?;
                }
                Ok(())
            }
            Observed::Broadcast { transaction, .. } => self.finish(transaction),
            Observed::Confirmed { transaction } => {
                self.confirmed.insert(transaction.compute_txid());
                self.finish(transaction)
            }
            Observed::Released { .. }
            | Observed::Heard { .. }
            | Observed::Promised { .. }
            | Observed::Accused { .. }
            | Observed::Restored { .. }
            | Observed::Stolen { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }
}
