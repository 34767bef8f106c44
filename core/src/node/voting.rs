//! From a proposal to consent, or to the certainty that there will be none.
//!
//! Every member judges by its own policy, its own commitments and its own view of the chain, once, and says so under
//! its signature. Approving commits the coins durably (I2) and the payment (I1) before the vote is heard. A round
//! that cannot succeed any more is given up by promise (I6): only when so many members are bound never to sign that
//! no signature can exist is the transaction over and are its coins free.

use std::collections::BTreeMap;

use bitcoin::Txid;
use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    identity::Signed,
    ids::{NodeId, QueryId},
    message::Message,
    mutant,
    record::Fact,
    sometimes,
    state::TxRecord,
    time::Timestamp,
    tx::{self, SignedProposal, SubStatus},
    vote::{
        Ballot, Counted, Decision, Evidence, FIRST_ROUND, Promise, Ruling, SignedPromise, Violation, Vote,
    },
};

/// Volatile state of voting.
#[derive(Default)]
pub(super) struct Voting {
    pub(super) asked: BTreeMap<Txid, (QueryId, Timestamp)>,
    pub(super) not_before: BTreeMap<Txid, Timestamp>,
    pub(super) checked: BTreeMap<Txid, Timestamp>,
    early: BTreeMap<Txid, Vec<(NodeId, Vote)>>,
}

impl Voting {
    pub(super) fn forget(&mut self, txid: Txid) {
        self.asked.remove(&txid);
        self.not_before.remove(&txid);
        self.checked.remove(&txid);
        self.early.remove(&txid);
    }

    /// What the chain was asked about this transaction does not count any more.
    pub(super) fn look_anew(&mut self, txid: Txid) {
        self.asked.remove(&txid);
        self.not_before.remove(&txid);
    }
}

impl Node {
    pub(super) fn on_vote_request(
        &mut self,
        from: NodeId,
        proposal: SignedProposal,
        entropy: &mut dyn CryptoRngCore,
    ) {
        let txid = proposal.body.txid();
        self.adopt(from, proposal);
        self.attend(txid, entropy);
    }

    /// Takes a proposal into the books, whoever brought it, if its origin signed it.
    pub(super) fn adopt(&mut self, from: NodeId, proposal: SignedProposal) {
        let body = &proposal.body;
        let txid = body.txid();
        sometimes!(
            SameTransactionTwice,
            self.state.transaction(txid).is_some_and(|tx| tx.digest != body.digest())
        );
        if self.state.transaction(txid).is_some() || body.cluster != self.config.cluster.id() {
            return;
        }
        if !self.config.cluster.key(body.origin).is_some_and(|key| proposal.verify(key)) {
            self.strike(from, Violation::InvalidSignature, Some(txid), "a proposal its origin did not sign");
            return;
        }
        if !body.is_admissible(&self.config.limits) {
            // Its origin signed it, whoever brought it.
            let origin = body.origin;
            self.strike(origin, Violation::ProtocolViolation, Some(txid), "a proposal that cannot exist");
            return;
        }
        // One origin cannot fill the books of all.
        let limit = self.config.limits.open_transactions;
        let share = limit / usize::from(self.config.cluster.total());
        let of_origin = self.state.open().filter(|(_, tx)| tx.proposal.body.origin == body.origin).count();
        if self.state.open_count() >= limit || of_origin >= share {
            return;
        }
        let (origin, payment) = (body.origin, body.payment);
        let old = self.state.past().rejoined().is_some_and(|(_, at)| body.created_at <= at);
        if origin == self.config.me && !old {
            self.on_forgotten(&format!("proposal of {txid}"));
        }
        self.record(Fact::Proposed(Box::new(proposal)));
        self.transition(
            txid,
            tx::State::Voting,
            SubStatus::AwaitingVotes,
            &format!("proposed by {origin}, heard from {from}"),
        );
        for (from, vote) in self.voting.early.remove(&txid).unwrap_or_default() {
            self.count_vote(from, vote);
        }
        self.answer_waiting_client(payment);
    }

    /// The origin's first step after the proposal is durable: out to everybody.
    pub(super) fn open_voting(&mut self, txid: Txid, entropy: &mut dyn CryptoRngCore) {
        let Some(proposal) = self.state.transaction(txid).map(|tx| tx.proposal.clone()) else { return };
        self.broadcast(Message::VoteRequest(Box::new(proposal)));
        let cause = format!("votes requested from {} members", self.config.cluster.total());
        if self.transition(txid, tx::State::Voting, SubStatus::AwaitingVotes, &cause) {
            for (from, vote) in self.voting.early.remove(&txid).unwrap_or_default() {
                self.count_vote(from, vote);
            }
            self.attend_voting(txid, entropy);
        }
    }

    pub(super) fn on_vote(&mut self, from: NodeId, vote: Vote, entropy: &mut dyn CryptoRngCore) {
        let txid = vote.body.txid;
        if self.state.transaction(txid).is_none() {
            self.keep_for_later(from, vote);
            return;
        }
        self.count_vote(from, vote);
        self.attend(txid, entropy);
    }

    /// A vote may overtake its proposal; a few are kept until it comes.
    fn keep_for_later(&mut self, from: NodeId, vote: Vote) {
        let voter = vote.body.voter;
        let genuine = voter == from && self.config.cluster.key(voter).is_some_and(|key| vote.verify(key));
        if !genuine || vote.body.decision.is_oversized() {
            return;
        }
        let members = usize::from(self.config.cluster.total());
        let full = self.voting.early.len() >= self.config.limits.open_transactions;
        let waiting = self.voting.early.entry(vote.body.txid).or_default();
        if waiting.len() < members && (!full || !waiting.is_empty()) {
            sometimes!(VoteBeforeProposal);
            waiting.push((from, vote));
        } else if waiting.is_empty() {
            self.voting.early.remove(&vote.body.txid);
        }
    }

    pub(super) fn count_vote(&mut self, from: NodeId, vote: Vote) {
        let (txid, voter) = (vote.body.txid, vote.body.voter);
        let cluster = &self.config.cluster;
        let Some(tx) = self.state.transaction(txid) else { return };
        let counted = tx.tally.judge(&vote);
        if counted == Counted::Duplicate {
            return;
        }
        if !cluster.key(voter).is_some_and(|key| vote.verify(key)) {
            self.strike(
                from,
                Violation::InvalidSignature,
                Some(txid),
                &format!("a vote {voter} did not sign"),
            );
            return;
        }
        if vote.body.decision.is_oversized() {
            self.strike(voter, Violation::ProtocolViolation, Some(txid), "a vote with an endless reason");
            return;
        }
        let proposal = &tx.proposal.body;
        let counts = vote.body.is_about(cluster, proposal) || vote.body.refuses(cluster, proposal);
        sometimes!(VoteAfterThreshold, counted == Counted::New && tx.state > tx::State::Voting);
        match counted {
            Counted::DoubleVote { first } => {
                sometimes!(DoubleVoteAfterThreshold, tx.tally.certificate(cluster).is_some());
                let evidence = Evidence::DoubleVote { first, second: Box::new(vote) };
                // Votes of different rounds or proposals do not contradict each other, and prove nothing.
                if evidence.verify(cluster).is_ok() {
                    self.prove(evidence, true);
                }
            }
            // Also of a banned member: a ban says whom to ask, not what a signature is worth.
            Counted::New if counts || mutant!(VotesForAnotherProposal) => {
                if voter == self.config.me && !self.state.is_doubtful(voter, tx) {
                    self.on_forgotten(&format!("vote on {txid}"));
                }
                self.record(Fact::Voted(vote));
            }
            Counted::New | Counted::Duplicate => {}
        }
    }

    pub(super) fn on_promise(
        &mut self,
        from: NodeId,
        promise: SignedPromise,
        entropy: &mut dyn CryptoRngCore,
    ) {
        let txid = promise.body.txid;
        self.count_promise(from, promise);
        self.attend(txid, entropy);
    }

    pub(super) fn count_promise(&mut self, from: NodeId, promise: SignedPromise) {
        let (txid, node) = (promise.body.txid, promise.body.node);
        let Some(tx) = self.state.transaction(txid) else { return };
        if tx.tally.promise_of(node).is_some()
            || !promise.body.is_about(&self.config.cluster, &tx.proposal.body)
        {
            return;
        }
        if self.config.cluster.key(node).is_some_and(|key| promise.verify(key)) {
            if node == self.config.me && !self.state.is_doubtful(node, tx) {
                self.on_forgotten(&format!("promise on {txid}"));
            }
            self.record(Fact::Promised(promise));
        } else {
            let detail = format!("a promise {node} did not sign");
            self.strike(from, Violation::InvalidSignature, Some(txid), &detail);
        }
    }

    pub(super) fn attend_voting(&mut self, txid: Txid, entropy: &mut dyn CryptoRngCore) {
        let Some(tx) = self.state.transaction(txid) else { return };
        if let Some(certificate) = tx.tally.certificate(&self.config.cluster) {
            let cause = format!("{} approvals", certificate.approvals.len());
            sometimes!(RefusalBesideCertificate, tx.tally.rejections().next().is_some());
            self.transition(txid, tx::State::ThresholdReached, SubStatus::AwaitingVotes, &cause);
            self.attend_certified(txid, entropy);
            return;
        }
        if tx.tally.is_dead(&self.config.cluster) {
            let sub_status =
                tx.tally.rejections().next().map_or(SubStatus::Expired, |vote| match &vote.body.decision {
                    Decision::Reject(reason) => SubStatus::Votes(reason.code().to_owned()),
                    Decision::Approve => SubStatus::Expired,
                });
            let cause = format!("{} members are bound never to sign", tx.tally.bound_not_to_sign().len());
            self.transition(txid, tx::State::Rejected, sub_status, &cause);
            return;
        }
        let round_over = self.round_ends(tx).is_some_and(|end| self.now >= end);
        let expired = self.has_expired(txid);
        let given_up = tx.tally.promise_of(self.config.me).is_some();
        if tx.tally.approval_impossible(&self.config.cluster) || round_over || expired || given_up {
            sometimes!(RoundGivenUp);
            sometimes!(PeopleAreLate, round_over && !given_up && self.awaits_people(tx));
            self.promise_never_to_sign(txid);
            self.set_sub_status(txid, SubStatus::Abandoning);
            if self.state.transaction(txid).is_some_and(|tx| tx.tally.is_dead(&self.config.cluster)) {
                self.attend_voting(txid, entropy);
                return;
            }
        } else {
            let open =
                tx.tally.vote_of(self.config.me).is_none() && tx.tally.promise_of(self.config.me).is_none();
            let round_end = self.round_ends(tx);
            let sub_status = if self.is_frozen() {
                SubStatus::Frozen
            } else if self.awaits_people(tx) {
                SubStatus::AwaitingApproval
            } else if self.has_quorum() {
                SubStatus::AwaitingVotes
            } else {
                SubStatus::WaitingForQuorum
            };
            sometimes!(WaitsForQuorum, sub_status == SubStatus::WaitingForQuorum);
            self.set_sub_status(txid, sub_status);
            if let Some(end) = round_end {
                self.timers.set_by(Timer::Transaction(txid), end);
            }
            if open {
                self.consider(txid, entropy);
            }
        }
        self.watch(txid);
    }

    /// When the voting round is over. The clock stands still while no quorum is here, and runs anew once people have
    /// decided.
    fn round_ends(&self, tx: &TxRecord) -> Option<Timestamp> {
        let timing = &self.config.timing;
        let (since, length) = match self.people_on(tx) {
            Ruling::NotAsked => (tx.since, timing.voting_round),
            Ruling::Waiting { .. } => (tx.since, timing.approval_wait),
            Ruling::Approved(at) | Ruling::Rejected { at, .. } => (tx.since.max(at), timing.voting_round),
        };
        self.quorum_since().map(|quorum| quorum.max(since).plus(length))
    }

    /// The node's own re-check between consent and signature.
    pub(super) fn attend_certified(&mut self, txid: Txid, entropy: &mut dyn CryptoRngCore) {
        if self.attend_abandoned(txid) {
            return;
        }
        let undecided = self.state.transaction(txid).is_some_and(|tx| {
            tx.tally.vote_of(self.config.me).is_none() && tx.tally.promise_of(self.config.me).is_none()
        });
        if self.signing_is_frozen() {
            self.set_sub_status(txid, SubStatus::Frozen);
        } else if self.state.transaction(txid).is_some_and(|tx| tx.sub_status == SubStatus::Frozen) {
            self.set_sub_status(txid, SubStatus::AwaitingVotes);
        }
        if undecided && !self.approval_is_waived() {
            // Others were faster. This node still judges for itself, and signs only what it has approved.
            sometimes!(ConsentWithoutThisNode);
            self.consider(txid, entropy);
        } else if self.may_sign(txid) {
            let fresh = self
                .voting
                .checked
                .get(&txid)
                .is_some_and(|at| self.now.since(*at) <= self.config.timing.recheck_after);
            if fresh {
                self.transition(txid, tx::State::Approved, SubStatus::ChoosingSigners, "own re-check passed");
                self.attend_signing(txid, entropy);
                return;
            }
            self.look_at_coins(txid);
        }
        self.watch(txid);
    }

    /// After consent: gives up what cannot be signed any more, and says whether the transaction is over.
    pub(super) fn attend_abandoned(&mut self, txid: Txid) -> bool {
        let Some(tx) = self.state.transaction(txid) else { return true };
        if tx.finished.is_some() {
            return false;
        }
        let late = self.now >= tx.proposal.body.expires_at;
        if !tx.tally.is_dead(&self.config.cluster)
            && (late || tx.tally.approval_impossible(&self.config.cluster))
        {
            self.promise_never_to_sign(txid);
        }
        let Some(tx) = self.state.transaction(txid) else { return true };
        if !tx.tally.is_dead(&self.config.cluster) {
            return false;
        }
        let cause = format!("{} members are bound never to sign", tx.tally.bound_not_to_sign().len());
        let liar = self.config.cluster.members().find(|node| self.is_banned(*node));
        match liar {
            Some(node) if tx.state == tx::State::Signing => self.transition(
                txid,
                tx::State::AbortedByzantine,
                SubStatus::Misbehaviour(format!("{node} is banned")),
                &cause,
            ),
            Some(_) | None => self.transition(txid, tx::State::Failed, SubStatus::Abandoned, &cause),
        }
    }

    /// Whether this node's own word lets it sign: it approved, has not promised otherwise, and nobody has frozen signing.
    pub(super) fn may_sign(&self, txid: Txid) -> bool {
        self.is_sound()
            && !self.signing_is_frozen()
            && self.state.transaction(txid).is_some_and(|tx| {
                // Its own approval committed the coins; without it another transaction could have them (I2).
                let approved = tx
                    .tally
                    .vote_of(self.config.me)
                    .is_some_and(|vote| vote.body.decision == Decision::Approve);
                let proposal = &tx.proposal.body;
                let other = |holder: Txid| holder != txid && !self.state.is_kin(holder, proposal);
                let held_by_other = self
                    .state
                    .claims_of(proposal)
                    .iter()
                    .any(|coin| self.state.holder_of(coin).is_some_and(other));
                let served_by_other = self.state.serving(proposal.payment).is_some_and(other);
                (approved || self.approval_is_waived())
                    && !held_by_other
                    && !served_by_other
                    && tx.tally.promise_of(self.config.me).is_none()
                    && tx.finished.is_none()
            })
    }

    /// Whether it is too late to vote on a transaction.
    fn has_expired(&self, txid: Txid) -> bool {
        let late = self.state.transaction(txid).is_some_and(|tx| self.now >= tx.proposal.body.expires_at);
        late && !mutant!(VoteAfterExpiry)
    }

    /// Never, but for [`Mutant::SignsWithoutApproval`](crate::mutant::Mutant).
    #[expect(clippy::unused_self, reason = "the rule belongs to the node")]
    fn approval_is_waived(&self) -> bool {
        mutant!(SignsWithoutApproval)
    }

    pub(super) fn promise_never_to_sign(&mut self, txid: Txid) {
        if !self.may_commit(txid) {
            return;
        }
        let Some(tx) = self.state.transaction(txid) else { return };
        sometimes!(PromiseRefused, tx.share_released && tx.finished.is_none());
        let bound = tx.share_released && !mutant!(PromiseAfterShare);
        if bound || tx.finished.is_some() || tx.tally.promise_of(self.config.me).is_some() {
            return;
        }
        let promise =
            Promise { cluster: self.config.cluster.id(), txid, digest: tx.digest, node: self.config.me };
        let promise = Signed::new(promise, &self.identity);
        self.drop_sessions_of(txid);
        self.record(Fact::Promised(promise.clone()));
        self.broadcast(Message::Promise(promise));
    }

    /// Votes, once (I5): durable before it is heard, and after that only ever repeated.
    pub(super) fn cast(&mut self, txid: Txid, decision: Decision, entropy: &mut dyn CryptoRngCore) {
        let Some(tx) = self.state.transaction(txid) else { return };
        let spoken = !self.may_commit(txid)
            || tx.tally.vote_of(self.config.me).is_some()
            || tx.tally.promise_of(self.config.me).is_some();
        if spoken || self.has_expired(txid) {
            return;
        }
        let ballot = Ballot {
            cluster: self.config.cluster.id(),
            key: tx.proposal.body.key,
            txid,
            digest: tx.digest,
            round: FIRST_ROUND,
            voter: self.config.me,
            decision,
            policy: self.config.policy.version(),
            expires_at: tx.proposal.body.expires_at,
        };
        let vote = Signed::new(ballot, &self.identity);
        self.record(Fact::Voted(vote.clone()));
        self.broadcast(Message::Vote(vote));
        self.attend(txid, entropy);
    }
}
