//! People are asked where the policy says so: no honest node votes for a payment above the limit before the approvals of as
//! many members as it needs, each under that member's signature, are in its journal, nor with a refusal there. And an
//! honest node takes down one decision about a transaction.
//!
//! A node that lost its journal gets its own vote back from its peers; it was judged when it was cast. A decision that
//! nobody was told and that is gone with its journal was never made.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use mpc_wallet_core::{
    Cluster, NodeId, ProposalDigest,
    record::{Fact, Record},
    tx::Proposal,
    vote::{Decision, OperatorDecision, SignedDecision, Vote},
};

use super::{
    Honest, Observed, Oracle,
    statements::{self, Signatures},
};

/// What a node knows of a transaction.
#[derive(Default)]
struct File {
    amount: u64,
    digest: Option<ProposalDigest>,
    /// The first decision of each member.
    heard: BTreeMap<NodeId, bool>,
}

struct Made {
    decision: OperatorDecision,
    said: bool,
}

/// Counts decisions in the journals of honest nodes.
pub struct HumanApproval {
    honest: Honest,
    signatures: Signatures,
    above: u64,
    operators: usize,
    files: BTreeMap<(NodeId, Txid), File>,
    consented: BTreeSet<(NodeId, Txid)>,
    made: BTreeMap<(NodeId, Txid, ProposalDigest), Made>,
}

impl HumanApproval {
    /// For a cluster whose members ask `operators` people about payments of more than `above` satoshis.
    #[must_use]
    pub fn new(cluster: &Cluster, honest: Honest, above: u64, operators: usize) -> Self {
        Self {
            honest,
            signatures: Signatures::new(cluster),
            above,
            operators,
            files: BTreeMap::new(),
            consented: BTreeSet::new(),
            made: BTreeMap::new(),
        }
    }

    fn record(&mut self, node: NodeId, fact: &Fact) -> Result<(), String> {
        if let Fact::Proposed(proposal) = fact {
            self.open(node, &proposal.body);
        }
        if let Fact::OperatorDecided(decision) = fact {
            self.see(decision)?;
            self.hear(node, decision);
        }
        if let Fact::Voted(vote) = fact { self.consent(node, vote) } else { Ok(()) }
    }

    fn open(&mut self, node: NodeId, proposal: &Proposal) {
        let file = self.files.entry((node, proposal.txid())).or_default();
        (file.amount, file.digest) = (proposal.amount.to_sat(), Some(proposal.digest()));
    }

    fn hear(&mut self, node: NodeId, decision: &SignedDecision) {
        let body = &decision.body;
        if !self.signatures.verify(body.node, decision) {
            return;
        }
        let file = self.files.entry((node, body.txid)).or_default();
        if file.digest == Some(body.digest) {
            file.heard.entry(body.node).or_insert(body.approve);
        }
    }

    /// Judges an own approval, in the journal or in the traffic of an honest node.
    fn consent(&mut self, node: NodeId, vote: &Vote) -> Result<(), String> {
        let ballot = &vote.body;
        let place = (node, ballot.txid);
        let own = ballot.voter == node && ballot.decision == Decision::Approve;
        if !own || !self.honest.contains(&node) || self.consented.contains(&place) {
            return Ok(());
        }
        let Some(file) = self.files.get(&place).filter(|file| file.amount > self.above) else {
            return Ok(());
        };
        let refused = file.heard.iter().find(|(_, approves)| !**approves);
        if let Some((by, _)) = refused {
            return Err(format!("{node} votes for {}, which a person rejected at {by}", ballot.txid));
        }
        if file.heard.len() < self.operators {
            return Err(format!(
                "{node} votes for {} of {} sat with {} of {} people's approvals",
                ballot.txid,
                file.amount,
                file.heard.len(),
                self.operators
            ));
        }
        self.consented.insert(place);
        Ok(())
    }

    /// The decision's place, if an honest node did make it.
    fn see(&mut self, decision: &SignedDecision) -> Result<Option<&mut Made>, String> {
        let body = &decision.body;
        if !self.honest.contains(&body.node) || !self.signatures.verify(body.node, decision) {
            return Ok(None);
        }
        let place = (body.node, body.txid, body.digest);
        let made = self.made.entry(place).or_insert_with(|| Made { decision: body.clone(), said: false });
        if made.decision == *body {
            return Ok(Some(made));
        }
        let word = |approve| if approve { "approves" } else { "rejects" };
        Err(format!(
            "{} {} {} and then {} it",
            body.node,
            word(made.decision.approve),
            body.txid,
            word(body.approve)
        ))
    }

    fn restore(&mut self, node: NodeId, records: &[Record]) {
        self.files.retain(|place, _| place.0 != node);
        let mut kept = BTreeSet::new();
        for record in records {
            if let Fact::Proposed(proposal) = &record.fact {
                self.open(node, &proposal.body);
            }
            if let Fact::OperatorDecided(decision) = &record.fact {
                kept.insert((decision.body.txid, decision.body.digest));
                self.hear(node, decision);
            }
        }
        self.made.retain(|place, made| place.0 != node || made.said || kept.contains(&(place.1, place.2)));
    }
}

impl Oracle for HumanApproval {
    fn name(&self) -> &'static str {
        "human_approval"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Durable { node, record } => self.record(*node, &record.fact),
            Observed::Sent { from, message, .. } => {
                for decision in statements::decisions(message) {
                    if let Some(made) = self.see(decision)? {
                        made.said = true;
                    }
                }
                statements::votes(message).into_iter().try_for_each(|vote| self.consent(*from, vote))
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
