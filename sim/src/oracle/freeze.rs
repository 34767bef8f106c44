//! The emergency freeze: while one stands in a node's own journal without the lifts of t members, the node consents to
//! nothing new and gives no share; and in the end all know the same.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use mpc_wallet_core::{
    Cluster, NodeId, Timestamp,
    record::{Fact, Record},
    tx::State,
    vote::Decision,
};

use super::{
    Honest, Observed, Oracle,
    statements::{self, Signatures},
};

/// Recounts freezes and lifts from each journal, checking every signature.
pub struct Freeze {
    honest: Honest,
    needed: usize,
    signatures: Signatures,
    books: BTreeMap<NodeId, Books>,
    /// Votes that somebody has said: one that a node puts on record later is one that it takes back from a peer.
    said: BTreeSet<(NodeId, Txid)>,
}

/// What one journal says of each member's last freeze: its moment, and who lifts it.
type Books = BTreeMap<NodeId, (Timestamp, BTreeSet<NodeId>)>;

impl Freeze {
    /// For a cluster with these honest members.
    #[must_use]
    pub fn new(cluster: &Cluster, honest: Honest) -> Self {
        Self {
            honest,
            needed: usize::from(cluster.threshold()),
            signatures: Signatures::new(cluster),
            books: BTreeMap::new(),
            said: BTreeSet::new(),
        }
    }

    /// Enters what a record says of freezes.
    fn enter(&mut self, node: NodeId, fact: &Fact) {
        if let Fact::Frozen(freeze) = fact
            && self.signatures.verify(freeze.body.node, freeze)
        {
            self.books.entry(node).or_default().insert(freeze.body.node, (freeze.body.at, BTreeSet::new()));
        } else if let Fact::Lifted(lift) = fact
            && self.signatures.verify(lift.body.node, lift)
            && let Some((at, lifts)) =
                self.books.get_mut(&node).and_then(|books| books.get_mut(&lift.body.frozen_by))
            && lift.body.up_to >= *at
        {
            lifts.insert(lift.body.node);
        }
    }

    /// Who has frozen the cluster, and when, as one journal has it.
    fn active(&self, node: NodeId) -> BTreeMap<NodeId, Timestamp> {
        let books = self.books.get(&node).into_iter().flatten();
        let active = books.filter(|(_, (_, lifts))| lifts.len() < self.needed);
        active.map(|(author, (at, _))| (*author, *at)).collect()
    }

    /// What a node did that waits for the end of a freeze.
    fn breach(&self, node: NodeId, record: &Record) -> Option<String> {
        if let Fact::Voted(vote) = &record.fact {
            let (voter, txid) = (vote.body.voter, vote.body.txid);
            let approves = voter == node && vote.body.decision == Decision::Approve;
            (approves && !self.said.contains(&(voter, txid))).then(|| format!("approves {txid}"))
        } else if let Fact::Transition { txid, to, .. } = &record.fact {
            matches!(to, State::Approved | State::Signing).then(|| format!("takes {txid} to {to}"))
        } else if let Fact::ShareReleased { txid, .. } = &record.fact {
            Some(format!("gives a share of {txid}"))
        } else if let Fact::PresignaturesUsed { txid, .. } = &record.fact {
            Some(format!("uses presignatures for {txid}"))
        } else if let Fact::Proposed(proposal) = &record.fact {
            let made = proposal.body.origin == node && proposal.body.created_at == record.at;
            made.then(|| format!("proposes {}", proposal.body.txid()))
        } else {
            None
        }
    }
}

impl Oracle for Freeze {
    fn name(&self) -> &'static str {
        "freeze"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Durable { node, record } if self.honest.contains(node) => {
                self.enter(*node, &record.fact);
                let active = self.active(*node);
                match self.breach(*node, record).filter(|_| !active.is_empty()) {
                    Some(what) => Err(format!("{node} {what}, frozen by {active:?}")),
                    None => Ok(()),
                }
            }
            Observed::Sent { message, .. } => {
                let votes = statements::votes(message);
                self.said.extend(votes.into_iter().map(|vote| (vote.body.voter, vote.body.txid)));
                Ok(())
            }
            Observed::Restored { node, records } => {
                self.books.remove(node);
                for record in *records {
                    self.enter(*node, &record.fact);
                }
                Ok(())
            }
            Observed::Durable { .. }
            | Observed::Released { .. }
            | Observed::Heard { .. }
            | Observed::Promised { .. }
            | Observed::Broadcast { .. }
            | Observed::Confirmed { .. }
            | Observed::Stolen { .. }
            | Observed::Accused { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }

    /// Operators lift everything once the faults are over, so nobody may be left behind.
    fn owed(&self) -> Option<String> {
        self.honest.iter().find_map(|node| {
            let active = self.active(*node);
            (!active.is_empty()).then(|| format!("{node} is still frozen by {active:?}"))
        })
    }
}
