//! Write-ahead: what a node says or does is on its disk before anyone can know it.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use mpc_wallet_core::{
    NodeId, SessionId,
    message::Message,
    record::Fact,
    vote::{Ballot, Promise},
};

use super::{Observed, Oracle, statements};

/// No effect is released before all records of its step are on disk; and whatever its own statements commit a node
/// to stands in its own journal at the moment they leave.
#[derive(Default)]
pub struct DurableBeforeSent {
    journals: BTreeMap<NodeId, Journal>,
}

#[derive(Default)]
struct Journal {
    /// All of them: whether a second one is allowed is another oracle's question.
    ballots: BTreeMap<(Txid, u32), Vec<Ballot>>,
    promises: BTreeMap<Txid, Promise>,
    proposed: BTreeSet<Txid>,
    signed: BTreeSet<Txid>,
    sealed: BTreeSet<SessionId>,
}

impl Journal {
    fn learn(&mut self, me: NodeId, fact: &Fact) {
        if let Fact::Voted(vote) = fact
            && vote.body.voter == me
        {
            self.ballots.entry((vote.body.txid, vote.body.round)).or_default().push(vote.body.clone());
        } else if let Fact::Promised(promise) = fact
            && promise.body.node == me
        {
            self.promises.insert(promise.body.txid, promise.body.clone());
        } else if let Fact::Proposed(proposal) = fact {
            self.proposed.insert(proposal.body.txid());
        } else if let Fact::Signed(transaction) = fact {
            self.signed.insert(transaction.0.compute_txid());
        } else if let Fact::KeyShareSealed { request, .. } = fact {
            self.sealed.insert(request.id());
        }
    }

    fn covers(&self, me: NodeId, message: &Message) -> Result<(), String> {
        for vote in statements::votes(message) {
            let ballot = &vote.body;
            let known = self.ballots.get(&(ballot.txid, ballot.round));
            if ballot.voter == me && !known.is_some_and(|known| known.contains(ballot)) {
                return Err(format!("its vote {:?} on {}", ballot.decision, ballot.txid));
            }
        }
        for promise in statements::promises(message) {
            if promise.body.node == me && self.promises.get(&promise.body.txid) != Some(&promise.body) {
                return Err(format!("its promise on {}", promise.body.txid));
            }
        }
        for proposal in statements::proposals(message) {
            if !self.proposed.contains(&proposal.body.txid()) {
                return Err(format!("the proposal of {}", proposal.body.txid()));
            }
        }
        for transaction in statements::finished(message) {
            if !self.signed.contains(&transaction.0.compute_txid()) {
                return Err(format!("the finished {}", transaction.0.compute_txid()));
            }
        }
        if let Message::KeygenConfirm(confirm) = message
            && confirm.body.node == me
            && !self.sealed.contains(&confirm.body.ceremony)
        {
            return Err(format!("its confirmation of ceremony {}", confirm.body.ceremony));
        }
        Ok(())
    }
}

impl Oracle for DurableBeforeSent {
    fn name(&self) -> &'static str {
        "durable_before_sent"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Durable { node, record } => {
                self.journals.entry(*node).or_default().learn(*node, &record.fact);
                Ok(())
            }
            Observed::Restored { node, records } => {
                let mut journal = Journal::default();
                for record in *records {
                    journal.learn(*node, &record.fact);
                }
                self.journals.insert(*node, journal);
                Ok(())
            }
            Observed::Released { node, needs, durable } if durable < needs => {
                Err(format!("{node} acted on records up to {}, of which {} are on disk", needs.0, durable.0))
            }
            Observed::Sent { from, message, .. } => {
                let journal = self.journals.entry(*from).or_default();
                journal
                    .covers(*from, message)
                    .map_err(|what| format!("{from} sent {what}, which is not in its journal"))
            }
            Observed::Promised { node, txid } => {
                let known = self.journals.get(node).is_some_and(|journal| journal.proposed.contains(txid));
                known
                    .then_some(())
                    .ok_or_else(|| format!("{node} promised a client {txid}, which is not in its journal"))
            }
            Observed::Broadcast { node, transaction } => {
                let txid = transaction.compute_txid();
                let known = self.journals.get(node).is_some_and(|journal| journal.signed.contains(&txid));
                known
                    .then_some(())
                    .ok_or_else(|| format!("{node} broadcast {txid}, which is not in its journal"))
            }
            Observed::Released { .. }
            | Observed::Heard { .. }
            | Observed::Confirmed { .. }
            | Observed::Stolen { .. }
            | Observed::Accused { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }
}
