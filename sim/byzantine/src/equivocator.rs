//! Tells two stories: one to each half of its peers.
//!
//! The other half gets the contrary of each own vote, another proposal of each own payment, and sometimes another
//! nonce commitment. A payment's second proposal is now another transaction, now the same transaction with other
//! words around it: the second cannot be told from the first by its txid.

use std::collections::BTreeMap;

use bitcoin::{Txid, absolute::LockTime};
use mpc_wallet_core::{
    NodeId, SessionId, Timestamp,
    message::Message,
    tx::SignedProposal,
    vote::{Ballot, Decision},
};

use crate::{Actor, Deviant, Speech, Words, bundles_mut, plain, spoil, votes_mut};

/// Chance that a session's commitment differs between the halves, in parts per million.
const TWO_COMMITMENTS: u32 = 400_000;

/// Chance that one listener then hears both.
const BOTH_TO_ONE: u32 = 250_000;

pub(super) struct Equivocator {
    actor: Actor,
    /// The second proposal, by the transaction of the first.
    second: BTreeMap<Txid, SignedProposal>,
    /// Whether it lies about its commitments, by session.
    split: BTreeMap<SessionId, bool>,
}

impl Equivocator {
    pub(super) const fn new(actor: Actor) -> Self {
        Self { actor, second: BTreeMap::new(), split: BTreeMap::new() }
    }

    fn second(&mut self, first: &SignedProposal) -> SignedProposal {
        if let Some(known) = self.second.get(&first.body.txid()) {
            return known.clone();
        }
        let mut body = first.body.clone();
        let height = body.unsigned_tx.lock_time.to_consensus_u32();
        if self.actor.random.chance(500_000) && height > 0 {
            body.unsigned_tx.lock_time = LockTime::from_consensus(height - 1);
        } else {
            body.metadata = Some(String::from("the other story"));
        }
        let second = self.actor.sign(body);
        self.second.insert(first.body.txid(), second.clone());
        second
    }

    fn approve(&self, proposal: &SignedProposal, like: &Ballot) -> Message {
        Message::Vote(self.actor.sign(Ballot {
            txid: proposal.body.txid(),
            digest: proposal.body.digest(),
            decision: Decision::Approve,
            ..like.clone()
        }))
    }
}

impl Deviant for Equivocator {
    fn edit(&mut self, _: Timestamp, to: NodeId, mut message: Message) -> Speech {
        if !self.actor.other_half(to) {
            return plain(to, message);
        }
        let me = self.actor.me;
        if let Message::VoteRequest(proposal) = &mut message
            && proposal.body.origin == me
        {
            **proposal = self.second(proposal);
            return plain(to, message);
        }
        if let Message::Vote(vote) = &message
            && let Some(second) = self.second.get(&vote.body.txid)
        {
            return plain(to, self.approve(second, &vote.body));
        }
        if let Message::Mpc(word) = &mut message
            && word.body.sequence == 0
        {
            let random = &mut self.actor.random;
            let split =
                *self.split.entry(word.body.session).or_insert_with(|| random.chance(TWO_COMMITMENTS));
            if !split {
                return plain(to, message);
            }
            let mut body = word.body.clone();
            spoil(&mut body.payload);
            let mut speech = plain(to, Message::Mpc(self.actor.sign(body)));
            if self.actor.random.chance(BOTH_TO_ONE) {
                speech.push((to, Words::Message(message)));
            }
            return speech;
        }
        for bundle in bundles_mut(&mut message) {
            if bundle.proposal.body.origin == me
                && let Some(second) = self.second.get(&bundle.proposal.body.txid())
            {
                bundle.proposal = second.clone();
            }
        }
        for vote in votes_mut(&mut message) {
            if vote.body.voter == me {
                *vote = self.actor.contrary(vote);
            }
        }
        plain(to, message)
    }
}
