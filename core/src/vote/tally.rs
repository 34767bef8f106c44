//! Counting votes. A vote counts once, if it is for exactly this proposal and its signature is good.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Ballot, Decision, Promise, SignedPromise, Vote};
use crate::{config::Cluster, ids::NodeId, tx::Proposal};

/// All that the members have said about one proposal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    votes: BTreeMap<NodeId, Vote>,
    promises: BTreeMap<NodeId, SignedPromise>,
}

/// What became of a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It is new.
    New,
    /// It was there already.
    Duplicate,
    /// The same member said something else before in the same round: both statements prove it lied.
    DoubleVote {
        /// What it said first.
        first: Box<Vote>,
    },
}

impl Tally {
    /// What `vote` would be; the caller has checked signature and proposal.
    #[must_use]
    pub fn judge(&self, vote: &Vote) -> Counted {
        match self.votes.get(&vote.body.voter) {
            None => Counted::New,
            Some(first) if first.body == vote.body => Counted::Duplicate,
            Some(first) => Counted::DoubleVote { first: Box::new(first.clone()) },
        }
    }

    /// Adds a vote; the first of a member stays.
    pub fn add(&mut self, vote: Vote) {
        self.votes.entry(vote.body.voter).or_insert(vote);
    }

    /// Adds a promise; the first of a member stays.
    pub fn add_promise(&mut self, promise: SignedPromise) {
        self.promises.entry(promise.body.node).or_insert(promise);
    }

    /// What `node` voted.
    #[must_use]
    pub fn vote_of(&self, node: NodeId) -> Option<&Vote> {
        self.votes.get(&node)
    }

    /// What `node` promised.
    #[must_use]
    pub fn promise_of(&self, node: NodeId) -> Option<&SignedPromise> {
        self.promises.get(&node)
    }

    /// All votes, by voter.
    pub fn votes(&self) -> impl Iterator<Item = &Vote> {
        self.votes.values()
    }

    /// All promises, by author.
    pub fn promises(&self) -> impl Iterator<Item = &SignedPromise> {
        self.promises.values()
    }

    /// Members that approve.
    pub fn approvals(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.votes.iter().filter(|(_, vote)| vote.body.decision == Decision::Approve).map(|(node, _)| *node)
    }

    /// Members that refuse.
    pub fn rejections(&self) -> impl Iterator<Item = &Vote> {
        self.votes.values().filter(|vote| vote.body.decision != Decision::Approve)
    }

    /// Members bound never to sign: by promise or by refusal.
    #[must_use]
    pub fn bound_not_to_sign(&self) -> BTreeSet<NodeId> {
        self.rejections().map(|vote| vote.body.voter).chain(self.promises.keys().copied()).collect()
    }

    /// The certificate, once `t` distinct members approve.
    #[must_use]
    pub fn certificate(&self, cluster: &Cluster) -> Option<Certificate> {
        let approvals: Vec<Vote> =
            self.votes.values().filter(|vote| vote.body.decision == Decision::Approve).cloned().collect();
        (approvals.len() >= usize::from(cluster.threshold())).then_some(Certificate { approvals })
    }

    /// Whether so many refuse that `t` approvals cannot come.
    #[must_use]
    pub fn approval_impossible(&self, cluster: &Cluster) -> bool {
        self.bound_not_to_sign().len() >= usize::from(cluster.blocking_rejections())
    }

    /// Whether so many are bound that no signature can ever exist, liars included (I6).
    #[must_use]
    pub fn is_dead(&self, cluster: &Cluster) -> bool {
        self.bound_not_to_sign().len() >= usize::from(cluster.promises_to_release())
    }
}

/// Proof that the cluster consents: `t` or more approvals of distinct members for exactly one proposal. It speaks
/// for itself: anyone with the manifest can check it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Votes, ascending by voter.
    pub approvals: Vec<Vote>,
}

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not enough distinct approvals.
    #[error("{found} approvals, {needed} needed")]
    TooFew {
        /// Distinct valid approvals.
        found: usize,
        /// t
        needed: u16,
    },
    /// A vote in it is not one for this proposal.
    #[error("the vote of {0} is not a valid approval of this proposal")]
    BadVote(NodeId),
}

impl Certificate {
    /// Checks every vote in it against `proposal`.
    ///
    /// # Errors
    /// The first reason it does not prove consent.
    pub fn verify(&self, cluster: &Cluster, proposal: &Proposal) -> Result<(), CertificateError> {
        let mut voters = BTreeSet::new();
        for vote in &self.approvals {
            let voter = vote.body.voter;
            if vote.body.decision != Decision::Approve
                || !vote.body.is_about(cluster, proposal)
                || !cluster.key(voter).is_some_and(|key| vote.verify(key))
            {
                return Err(CertificateError::BadVote(voter));
            }
            voters.insert(voter);
        }
        if voters.len() < usize::from(cluster.threshold()) {
            return Err(CertificateError::TooFew { found: voters.len(), needed: cluster.threshold() });
        }
        Ok(())
    }
}

impl Ballot {
    /// Whether it speaks of exactly this proposal of this cluster, in a round that exists.
    #[must_use]
    pub fn is_about(&self, cluster: &Cluster, proposal: &Proposal) -> bool {
        self.cluster == cluster.id()
            && self.key == proposal.key
            && self.txid == proposal.txid()
            && self.digest == proposal.digest()
            && self.round == super::FIRST_ROUND
            && self.expires_at == proposal.expires_at
    }
}

impl Promise {
    /// Whether it gives up exactly this proposal of this cluster.
    #[must_use]
    pub fn is_about(&self, cluster: &Cluster, proposal: &Proposal) -> bool {
        self.cluster == cluster.id() && self.txid == proposal.txid() && self.digest == proposal.digest()
    }
}
