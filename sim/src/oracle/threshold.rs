//! I3: no share of a signature, and no signature, without the signed consent of t members to exactly this proposal.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use mpc_wallet_core::{
    Cluster, ClusterId, NodeId, ProposalDigest, SessionId,
    message::{Message, Subject},
    record::Fact,
    tx::Proposal,
    vote::{Decision, Vote},
};

use super::{
    Honest, Observed, Oracle,
    statements::{self, Signatures},
};

/// Recounts consent from raw traffic and journals, checking every signature, and compares at every share and every
/// finished transaction. Traitors' approvals count as they signed them; what traitors do without consent is their own
/// affair until an honest node or the chain goes along with it.
pub struct Threshold {
    honest: Honest,
    cluster: ClusterId,
    needed: usize,
    signatures: Signatures,
    approvals: BTreeMap<ProposalDigest, BTreeSet<NodeId>>,
    proposals: BTreeMap<Txid, BTreeSet<ProposalDigest>>,
    /// The proposal that each node has on record for a transaction.
    held: BTreeMap<(NodeId, Txid), ProposalDigest>,
    sessions: BTreeMap<SessionId, ProposalDigest>,
    /// Whose own approval of what is on his own disk.
    committed: BTreeSet<(NodeId, Txid)>,
}

impl Threshold {
    /// For a cluster with these honest members.
    #[must_use]
    pub fn new(cluster: &Cluster, honest: Honest) -> Self {
        Self {
            honest,
            cluster: cluster.id(),
            needed: usize::from(cluster.threshold()),
            signatures: Signatures::new(cluster),
            approvals: BTreeMap::new(),
            proposals: BTreeMap::new(),
            held: BTreeMap::new(),
            sessions: BTreeMap::new(),
            committed: BTreeSet::new(),
        }
    }

    fn learn(&mut self, proposal: &Proposal) -> ProposalDigest {
        let digest = proposal.digest();
        self.proposals.entry(proposal.txid()).or_default().insert(digest);
        digest
    }

    fn count(&mut self, vote: &Vote) {
        let ballot = &vote.body;
        let consent = ballot.decision == Decision::Approve && ballot.cluster == self.cluster;
        if consent && self.signatures.verify(ballot.voter, vote) {
            self.approvals.entry(ballot.digest).or_default().insert(ballot.voter);
        }
    }

    /// What a record of a node's journal says of proposals and consent.
    fn note(&mut self, node: NodeId, fact: &Fact) {
        if let Fact::Proposed(proposal) = fact {
            let digest = self.learn(&proposal.body);
            self.held.entry((node, proposal.body.txid())).or_insert(digest);
        } else if let Fact::Voted(vote) = fact {
            self.count(vote);
            if vote.body.voter == node && vote.body.decision == Decision::Approve {
                self.committed.insert((node, vote.body.txid));
            }
        }
    }

    fn found(&self, digest: &ProposalDigest) -> usize {
        self.approvals.get(digest).map_or(0, BTreeSet::len)
    }

    fn demand(&self, digest: &ProposalDigest, who: NodeId, what: &str) -> Result<(), String> {
        if !self.honest.contains(&who) {
            return Ok(());
        }
        let found = self.found(digest);
        if found >= self.needed {
            return Ok(());
        }
        Err(format!("{who} {what} with {found} of {} approvals for proposal {digest}", self.needed))
    }

    fn demand_any(&self, txid: Txid, what: &str) -> Result<(), String> {
        let found = self.proposals.get(&txid).into_iter().flatten().map(|digest| self.found(digest)).max();
        match found {
            Some(found) if found >= self.needed => Ok(()),
            found => Err(format!(
                "{txid} is {what} with {} of {} approvals",
                found.unwrap_or_default(),
                self.needed
            )),
        }
    }
}

impl Oracle for Threshold {
    fn name(&self) -> &'static str {
        "threshold"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Restored { node, records } => {
                self.held.retain(|(whose, _), _| whose != node);
                self.committed.retain(|(whose, _)| whose != node);
                for record in *records {
                    self.note(*node, &record.fact);
                }
                Ok(())
            }
            Observed::Durable { node, record } => {
                self.note(*node, &record.fact);
                if let Fact::ShareReleased { txid, session } = &record.fact
                    && self.honest.contains(node)
                {
                    let Some(digest) = self.held.get(&(*node, *txid)).copied() else {
                        return Err(format!(
                            "{node} released a share of {txid}, which it has no proposal of"
                        ));
                    };
                    self.sessions.insert(*session, digest);
                    if !self.committed.contains(&(*node, *txid)) {
                        return Err(format!(
                            "{node} released a share of {txid}, which it has not approved itself"
                        ));
                    }
                    self.demand(&digest, *node, "released a share")?;
                } else if let Fact::Signed(transaction) = &record.fact
                    && self.honest.contains(node)
                {
                    self.demand_any(transaction.0.compute_txid(), "finished")?;
                }
                Ok(())
            }
            Observed::Sent { from, message, .. } => {
                for proposal in statements::proposals(message) {
                    self.learn(&proposal.body);
                }
                for vote in statements::votes(message) {
                    self.count(vote);
                }
                if self.honest.contains(from) {
                    for transaction in statements::finished(message) {
                        self.demand_any(transaction.0.compute_txid(), "passed on as finished")?;
                    }
                }
                if let Message::SignRequest(request) = message
                    && let Subject::Payment { digest, .. } = request.session.subject
                {
                    self.sessions.insert(request.session.id(), digest);
                    self.demand(&digest, *from, "asked for signatures")?;
                }
                if let Message::Mpc(mpc) = message
                    && let Some(digest) = self.sessions.get(&mpc.body.session).copied()
                {
                    self.demand(&digest, *from, "took part in signing")?;
                }
                Ok(())
            }
            Observed::Broadcast { transaction, .. } => {
                self.demand_any(transaction.compute_txid(), "broadcast")
            }
            // Blocks also hold what others sent to the wallet, which nobody proposed.
            Observed::Confirmed { transaction } => {
                let txid = transaction.compute_txid();
                if self.proposals.contains_key(&txid) {
                    self.demand_any(txid, "in a block")?;
                }
                Ok(())
            }
            Observed::Released { .. }
            | Observed::Heard { .. }
            | Observed::Promised { .. }
            | Observed::Accused { .. }
            | Observed::Stolen { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }
}
