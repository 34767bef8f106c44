//! I5: an honest node votes once on a proposal, whatever it forgets in a crash.
//!
//! Once on a transaction, even; but a node that lost its journal may have made a transaction of which nobody heard, and
//! make it again.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use mpc_wallet_core::{
    Cluster, NodeId,
    record::Fact,
    vote::{Ballot, Vote},
};

use super::{
    Honest, Observed, Oracle,
    statements::{self, Signatures},
};

/// One signed ballot for each honest voter, transaction and round, in all traffic and all journals of the run.
pub struct NoDoubleVote {
    honest: Honest,
    signatures: Signatures,
    cast: BTreeMap<(NodeId, Txid, u32), Ballot>,
    restored: BTreeSet<NodeId>,
}

impl NoDoubleVote {
    /// For a cluster with these honest members.
    #[must_use]
    pub fn new(cluster: &Cluster, honest: Honest) -> Self {
        Self {
            honest,
            signatures: Signatures::new(cluster),
            cast: BTreeMap::new(),
            restored: BTreeSet::new(),
        }
    }

    fn see(&mut self, vote: &Vote) -> Result<(), String> {
        let ballot = &vote.body;
        // What a voter did not sign it did not cast.
        if !self.honest.contains(&ballot.voter) || !self.signatures.verify(ballot.voter, vote) {
            return Ok(());
        }
        let place = (ballot.voter, ballot.txid, ballot.round);
        let first = self.cast.entry(place).or_insert_with(|| ballot.clone());
        let made_again = first.digest != ballot.digest && self.restored.contains(&ballot.voter);
        if first == ballot || made_again {
            return Ok(());
        }
        Err(format!(
            "{} voted {:?} and then {:?} on {} in round {}",
            ballot.voter, first.decision, ballot.decision, ballot.txid, ballot.round
        ))
    }
}

impl Oracle for NoDoubleVote {
    fn name(&self) -> &'static str {
        "no_double_vote"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Durable { record, .. } => {
                if let Fact::Voted(vote) = &record.fact {
                    self.see(vote)?;
                }
                Ok(())
            }
            Observed::Sent { message, .. } => {
                statements::votes(message).into_iter().try_for_each(|vote| self.see(vote))
            }
            Observed::Restored { node, .. } => {
                self.restored.insert(*node);
                Ok(())
            }
            Observed::Released { .. }
            | Observed::Heard { .. }
            | Observed::Promised { .. }
            | Observed::Broadcast { .. }
            | Observed::Confirmed { .. }
            | Observed::Accused { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }
}
