//! I5: an honest node votes once on a proposal, whatever it forgets in a crash.
//!
//! Once on a transaction, even; but a node that lost its journal may have made a transaction of which nobody heard, and
//! make it again. And a vote that never left its node and is gone with its journal was never cast.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use mpc_wallet_core::{
    Cluster, NodeId,
    record::{Fact, Record},
    vote::{Ballot, Vote},
};

use super::{
    Honest, Observed, Oracle,
    statements::{self, Signatures},
};

type Place = (NodeId, Txid, u32);

struct Cast {
    ballot: Ballot,
    said: bool,
}

/// One signed ballot for each honest voter, transaction and round, in all traffic and all journals of the run.
pub struct NoDoubleVote {
    honest: Honest,
    signatures: Signatures,
    cast: BTreeMap<Place, Cast>,
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

    fn held(&mut self, vote: &Vote) -> Result<(), String> {
        self.see(vote).map(|_| ())
    }

    fn said(&mut self, vote: &Vote) -> Result<(), String> {
        if let Some(cast) = self.see(vote)? {
            cast.said = true;
        }
        Ok(())
    }

    /// The vote's place, if an honest node did cast it.
    fn see(&mut self, vote: &Vote) -> Result<Option<&mut Cast>, String> {
        let ballot = &vote.body;
        // What a voter did not sign it did not cast.
        if !self.honest.contains(&ballot.voter) || !self.signatures.verify(ballot.voter, vote) {
            return Ok(None);
        }
        let cast =
            self.cast.entry(place(ballot)).or_insert_with(|| Cast { ballot: ballot.clone(), said: false });
        let first = &cast.ballot;
        let made_again = first.digest != ballot.digest && self.restored.contains(&ballot.voter);
        if first == ballot || made_again {
            return Ok(Some(cast));
        }
        Err(format!(
            "{} voted {:?} and then {:?} on {} in round {}",
            ballot.voter, first.decision, ballot.decision, ballot.txid, ballot.round
        ))
    }

    /// Drops the votes of `node` that nobody was told and that the journal it was given lacks: a record can reach the
    /// disk in the very crash after which the disk is replaced.
    fn restore(&mut self, node: NodeId, records: &[Record]) {
        let mut kept = BTreeSet::new();
        for record in records {
            if let Fact::Voted(vote) = &record.fact {
                kept.insert(place(&vote.body));
            }
        }
        self.cast.retain(|place, cast| place.0 != node || cast.said || kept.contains(place));
        self.restored.insert(node);
    }
}

fn place(ballot: &Ballot) -> Place {
    (ballot.voter, ballot.txid, ballot.round)
}

impl Oracle for NoDoubleVote {
    fn name(&self) -> &'static str {
        "no_double_vote"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Durable { record, .. } => {
                if let Fact::Voted(vote) = &record.fact {
                    self.held(vote)?;
                }
                Ok(())
            }
            Observed::Sent { message, .. } => {
                statements::votes(message).into_iter().try_for_each(|vote| self.said(vote))
            }
            Observed::Restored { node, records } => {
                self.restore(*node, records);
                Ok(())
            }
            Observed::Released { .. }
            | Observed::Heard { .. }
            | Observed::Promised { .. }
            | Observed::Broadcast { .. }
            | Observed::Confirmed { .. }
            | Observed::Stolen { .. }
            | Observed::Accused { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }
}
