//! Counting votes. A vote counts once, if it is for exactly this proposal and its signature is good.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Ballot, Decision, Promise, SignedPromise, Vote};
use crate::{config::Cluster, ids::NodeId, mutant, tx::Proposal};

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
        let mut approvals: Vec<Vote> =
            self.votes.values().filter(|vote| vote.body.decision == Decision::Approve).cloned().collect();
        if mutant!(VoterCountedTwice) {
            approvals.extend(approvals.first().cloned());
        }
        let missing = usize::from(mutant!(ThresholdOffByOne));
        (approvals.len() + missing >= usize::from(cluster.threshold())).then_some(Certificate { approvals })
    }

    /// Whether so many refuse that `t` approvals cannot come.
    #[must_use]
    pub fn approval_impossible(&self, cluster: &Cluster) -> bool {
        self.bound_not_to_sign().len() >= usize::from(cluster.blocking_rejections())
    }

    /// Whether so many are bound that no signature can ever exist, liars included (I6).
    #[must_use]
    pub fn is_dead(&self, cluster: &Cluster) -> bool {
        let missing = usize::from(mutant!(ReleasedTooSoon));
        self.bound_not_to_sign().len() + missing >= usize::from(cluster.promises_to_release())
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

    /// Whether it refuses this transaction of this cluster, whichever proposal of it was judged. As a promise, it binds its
    /// voter about the *transaction*.
    #[must_use]
    pub fn refuses(&self, cluster: &Cluster, proposal: &Proposal) -> bool {
        self.cluster == cluster.id()
            && self.txid == proposal.txid()
            && self.round == super::FIRST_ROUND
            && self.decision != Decision::Approve
    }
}

impl Promise {
    /// Whether it gives up this transaction of this cluster. A member keeps one proposal for a txid and promises never
    /// to sign the *transaction*; members that hold different proposals for it must be able to give it up together.
    #[must_use]
    pub fn is_about(&self, cluster: &Cluster, proposal: &Proposal) -> bool {
        self.cluster == cluster.id() && self.txid == proposal.txid()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use bitcoin::{Txid, hashes::Hash};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        fixture::{ballot, cluster, key, promise, proposal, vote},
        identity::Signed,
        ids::{ClusterId, KeyId, PolicyVersion, ProposalDigest, Scheme},
        time::Timestamp,
        vote::RejectReason,
    };

    const CLUSTERS: [(u16, u16); 6] = [(2, 2), (3, 2), (4, 3), (5, 3), (5, 4), (7, 5)];

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Word {
        Approve,
        Reject,
        Promise,
    }

    type Said = Vec<(u16, Word)>;

    fn say(tally: &mut Tally, cluster: &Cluster, node: u16, word: Word) {
        let proposal = proposal(cluster, 1, &[1]);
        match word {
            Word::Approve => tally.add(vote(cluster, &proposal, node, Decision::Approve)),
            Word::Reject => {
                tally.add(vote(cluster, &proposal, node, Decision::Reject(RejectReason::Expired)));
            }
            Word::Promise => tally.add_promise(promise(cluster, &proposal, node)),
        }
    }

    fn word() -> impl Strategy<Value = Word> {
        prop_oneof![3 => Just(Word::Approve), 1 => Just(Word::Reject), 1 => Just(Word::Promise)]
    }

    /// A cluster and what its members say, in some order, some of it twice and some of it contradictory.
    fn debate() -> impl Strategy<Value = (u16, u16, Said)> {
        prop::sample::select(CLUSTERS.to_vec())
            .prop_flat_map(|(n, t)| (Just(n), Just(t), prop::collection::vec((1..=n, word()), 0..16)))
    }

    /// Every member's one word, and another order of the same words.
    fn reordered() -> impl Strategy<Value = (u16, u16, Said, Said)> {
        prop::sample::select(CLUSTERS.to_vec()).prop_flat_map(|(n, t)| {
            prop::collection::vec(word(), usize::from(n)).prop_flat_map(move |words| {
                let said: Vec<_> = (1..=n).zip(words).collect();
                (Just(n), Just(t), Just(said.clone()), Just(said).prop_shuffle())
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn a_certificate_exists_exactly_from_t_distinct_approvals_on((n, t, said) in debate()) {
            let cluster = cluster(n, t);
            let mut tally = Tally::default();
            // Said again in plain words: a member's first vote counts, and so does its promise.
            let mut votes = BTreeMap::new();
            let mut bound = BTreeSet::new();
            for (node, word) in said {
                say(&mut tally, &cluster, node, word);
                match word {
                    Word::Approve | Word::Reject => {
                        votes.entry(node).or_insert(word);
                    }
                    Word::Promise => {
                        bound.insert(node);
                    }
                }
            }
            bound.extend(votes.iter().filter(|(_, word)| **word == Word::Reject).map(|(node, _)| *node));
            let approvals = votes.values().filter(|word| **word == Word::Approve).count();
            let certificate = tally.certificate(&cluster);
            prop_assert_eq!(certificate.is_some(), approvals >= usize::from(t));
            if let Some(certificate) = certificate {
                prop_assert_eq!(certificate.approvals.len(), approvals);
                prop_assert_eq!(certificate.verify(&cluster, &proposal(&cluster, 1, &[1])), Ok(()));
            }
            let (n, t, bound) = (i32::from(n), i32::from(t), i32::try_from(bound.len()).unwrap());
            let f = (n - t).min(2 * t - n - 1);
            prop_assert_eq!(tally.approval_impossible(&cluster), n - bound < t);
            // Dead: even if f of those bound lie, fewer than t members are left to sign.
            prop_assert_eq!(tally.is_dead(&cluster), n - (bound - f) < t);
        }

        #[test]
        fn neither_order_nor_repetition_changes_a_tally((n, t, one, other) in reordered()) {
            let cluster = cluster(n, t);
            let (mut first, mut second) = (Tally::default(), Tally::default());
            one.iter().for_each(|(node, word)| say(&mut first, &cluster, *node, *word));
            other.iter().for_each(|(node, word)| say(&mut second, &cluster, *node, *word));
            prop_assert_eq!(&first, &second);
            one.iter().for_each(|(node, word)| say(&mut second, &cluster, *node, *word));
            prop_assert_eq!(&first, &second);
        }
    }

    #[test]
    fn a_second_vote_is_a_duplicate_or_a_lie_and_never_replaces_the_first() {
        let cluster = cluster(5, 4);
        let proposal = proposal(&cluster, 1, &[1]);
        let first = vote(&cluster, &proposal, 2, Decision::Approve);
        let contrary = vote(&cluster, &proposal, 2, Decision::Reject(RejectReason::Expired));
        let mut tally = Tally::default();
        assert_eq!(tally.judge(&first), Counted::New);
        tally.add(first.clone());
        assert_eq!(tally.judge(&first), Counted::Duplicate);
        assert_eq!(tally.judge(&contrary), Counted::DoubleVote { first: Box::new(first.clone()) });
        tally.add(contrary);
        assert_eq!(tally.vote_of(NodeId::new(2)), Some(&first));
    }

    #[test]
    fn a_certificate_with_any_single_flaw_proves_nothing() {
        type Flaw = fn(&mut Ballot);
        let cluster = cluster(5, 4);
        let proposal = proposal(&cluster, 1, &[1]);
        let approvals: Vec<Vote> =
            (1..=4).map(|voter| vote(&cluster, &proposal, voter, Decision::Approve)).collect();
        let verify = |approvals: Vec<Vote>| Certificate { approvals }.verify(&cluster, &proposal);
        assert_eq!(verify(approvals.clone()), Ok(()));
        let flaws: [(&str, Flaw); 10] = [
            ("another cluster", |b| b.cluster = ClusterId::from_bytes([1; 32])),
            ("another key", |b| b.key = KeyId { scheme: Scheme::Taproot, epoch: 2 }),
            ("another transaction", |b| b.txid = Txid::from_byte_array([1; 32])),
            ("another proposal of it", |b| b.digest = ProposalDigest::from_bytes([1; 32])),
            ("a later round", |b| b.round += 1),
            ("round zero", |b| b.round = 0),
            ("another expiry", |b| b.expires_at = Timestamp(1_001)),
            ("a refusal", |b| b.decision = Decision::Reject(RejectReason::Expired)),
            ("somebody else's name", |b| b.voter = NodeId::new(5)),
            ("a stranger's name", |b| b.voter = NodeId::new(6)),
        ];
        for (desc, flaw) in flaws {
            let mut body = approvals[1].body.clone();
            flaw(&mut body);
            let mut flawed = approvals.clone();
            flawed[1] = Signed::new(body.clone(), &key(2));
            assert_eq!(
                verify(flawed),
                Err(CertificateError::BadVote(body.voter)),
                "{desc}, signed by node-2"
            );
            let mut tampered = approvals.clone();
            tampered[1].body = body.clone();
            assert_eq!(verify(tampered), Err(CertificateError::BadVote(body.voter)), "{desc}, not signed");
        }
        let mut other_policy = approvals.clone();
        other_policy[1].body.policy = PolicyVersion::from_bytes([1; 32]);
        assert_eq!(
            verify(other_policy),
            Err(CertificateError::BadVote(NodeId::new(2))),
            "a policy not signed for"
        );
        for byte in [0, 31, 32, 63] {
            let mut damaged = approvals.clone();
            damaged[3].signature.0[byte] ^= 1;
            assert_eq!(
                verify(damaged),
                Err(CertificateError::BadVote(NodeId::new(4))),
                "signature byte {byte}"
            );
        }
        let too_few = Err(CertificateError::TooFew { found: 3, needed: 4 });
        assert_eq!(verify(approvals[..3].to_vec()), too_few, "one approval less");
        let twice = [&approvals[..3], &approvals[..1]].concat();
        assert_eq!(verify(twice), too_few, "one approval twice");
        assert_eq!(verify(vec![]), Err(CertificateError::TooFew { found: 0, needed: 4 }), "empty");
    }

    #[test]
    fn judging_by_another_policy_is_no_flaw_of_a_vote() {
        let cluster = cluster(5, 4);
        let proposal = proposal(&cluster, 1, &[1]);
        let mut body = ballot(&cluster, &proposal, 1, Decision::Approve);
        body.policy = PolicyVersion::from_bytes([1; 32]);
        let mut approvals = vec![Signed::new(body, &key(1))];
        approvals.extend((2..=4).map(|voter| vote(&cluster, &proposal, voter, Decision::Approve)));
        assert_eq!(Certificate { approvals }.verify(&cluster, &proposal), Ok(()));
    }
}
