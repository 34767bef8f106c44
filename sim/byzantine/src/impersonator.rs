//! Speaks in others' names: their statements without their signature, and their signed words as if it were they.

use mpc_wallet_core::{
    NodeId, Timestamp,
    identity::Signed,
    message::{Message, MpcMessage},
    vote::{Ballot, Evidence, OperatorDecision, Promise},
};

use crate::{Actor, Deviant, Speech, Words, plain};

/// Chance that a statement is followed by the same in another's name, in parts per million.
const FORGE: u32 = 100_000;

pub(super) struct Impersonator {
    actor: Actor,
    /// Another's computation message, word for word and well signed.
    overheard: Option<Signed<MpcMessage>>,
}

impl Impersonator {
    pub(super) const fn new(actor: Actor) -> Self {
        Self { actor, overheard: None }
    }

    /// Like this message, and said by another; signed by the only key it has.
    fn forged(&mut self, message: &Message) -> Option<Message> {
        let name = self.actor.any_peer();
        if let Message::Vote(vote) = message {
            let forged = self.actor.sign(Ballot { voter: name, ..vote.body.clone() });
            let contrary = self.actor.contrary(&forged);
            if self.actor.random.chance(300_000) {
                let (first, second) = (Box::new(forged), Box::new(contrary));
                return Some(Message::Accusation(Box::new(Evidence::DoubleVote { first, second })));
            }
            return Some(Message::Vote(if self.actor.random.chance(500_000) { forged } else { contrary }));
        }
        if let Message::Promise(promise) = message {
            return Some(Message::Promise(self.actor.sign(Promise { node: name, ..promise.body.clone() })));
        }
        if let Message::OperatorDecision(decision) = message {
            let body = OperatorDecision { node: name, ..decision.body.clone() };
            return Some(Message::OperatorDecision(self.actor.sign(body)));
        }
        if let Message::VoteRequest(proposal) = message {
            let mut body = proposal.body.clone();
            body.origin = name;
            return Some(Message::VoteRequest(Box::new(self.actor.sign(body))));
        }
        if let Message::Mpc(word) = message {
            let own = MpcMessage { from: name, ..word.body.clone() };
            let overheard = self.overheard.clone().filter(|_| self.actor.random.chance(500_000));
            return Some(Message::Mpc(overheard.unwrap_or_else(|| self.actor.sign(own))));
        }
        if let Message::Bundle(bundle) = message {
            let mut bundle = bundle.clone();
            for vote in &mut bundle.votes {
                *vote = self.actor.sign(Ballot { voter: name, ..vote.body.clone() });
            }
            for decision in &mut bundle.decisions {
                *decision = self.actor.sign(OperatorDecision { node: name, ..decision.body.clone() });
            }
            return Some(Message::Bundle(bundle));
        }
        None
    }
}

impl Deviant for Impersonator {
    fn hear(&mut self, _: Timestamp, _: NodeId, message: &Message) -> Speech {
        if let Message::Mpc(word) = message {
            self.overheard = Some(word.clone());
        }
        vec![]
    }

    fn edit(&mut self, _: Timestamp, to: NodeId, message: Message) -> Speech {
        let forged = if self.actor.random.chance(FORGE) { self.forged(&message) } else { None };
        let mut speech = plain(to, message);
        speech.extend(forged.map(|forged| (to, Words::Message(forged))));
        speech
    }
}
