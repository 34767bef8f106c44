//! I2: a coin is signed away at most once.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Transaction, Txid};
use mpc_wallet_core::{Cluster, NodeId, SessionId, message::Message, message::Subject, record::Fact};

use super::{Honest, Observed, Oracle, shares::Sessions, statements};

/// No two transactions that spend one coin ever both collect shares of t nodes, traitors included, and no two finished
/// ones exist. A traitor's share counts, good or bad; what it calls finished proves nothing.
pub struct OneCoinOneFamily {
    honest: Honest,
    threshold: usize,
    spends: BTreeMap<Txid, BTreeSet<OutPoint>>,
    sessions: BTreeMap<SessionId, Txid>,
    payments: Sessions,
    shares: BTreeMap<Txid, BTreeSet<NodeId>>,
    /// Coin and the transaction that t nodes gave shares for.
    signed: BTreeMap<OutPoint, Txid>,
    finished: BTreeMap<OutPoint, Txid>,
}

impl OneCoinOneFamily {
    /// For a cluster with these honest members.
    #[must_use]
    pub fn new(cluster: &Cluster, honest: Honest) -> Self {
        Self {
            honest,
            threshold: usize::from(cluster.threshold()),
            spends: BTreeMap::new(),
            sessions: BTreeMap::new(),
            payments: Sessions::default(),
            shares: BTreeMap::new(),
            signed: BTreeMap::new(),
            finished: BTreeMap::new(),
        }
    }

    fn learn(&mut self, transaction: &Transaction) {
        let coins = transaction.input.iter().map(|input| input.previous_output).collect();
        self.spends.insert(transaction.compute_txid(), coins);
    }

    fn share(&mut self, node: NodeId, txid: Txid) -> Result<(), String> {
        let givers = self.shares.entry(txid).or_default();
        givers.insert(node);
        if givers.len() < self.threshold {
            return Ok(());
        }
        for coin in self.spends.get(&txid).into_iter().flatten() {
            let first = *self.signed.entry(*coin).or_insert(txid);
            if first != txid {
                return Err(format!(
                    "{} nodes gave shares for {first} and for {txid}, which both spend {coin}",
                    self.threshold
                ));
            }
        }
        Ok(())
    }

    fn finish(&mut self, transaction: &Transaction) -> Result<(), String> {
        let txid = transaction.compute_txid();
        for input in &transaction.input {
            let first = *self.finished.entry(input.previous_output).or_insert(txid);
            if first != txid {
                return Err(format!(
                    "{first} and {txid} are both finished and spend {}",
                    input.previous_output
                ));
            }
        }
        Ok(())
    }
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
            Observed::Broadcast { transaction, .. } | Observed::Confirmed { transaction } => {
                self.finish(transaction)
            }
            Observed::Released { .. }
            | Observed::Heard { .. }
            | Observed::Promised { .. }
            | Observed::Accused { .. }
            | Observed::Restored { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }
}
