//! Sends shares that do not verify, under its own signature: in one session to a single victim, in another to all.

use std::collections::BTreeMap;

use mpc_wallet_core::{NodeId, SessionId, Timestamp, message::Message};

use crate::{Actor, Deviant, Speech, plain, spoil};

/// Chance that a session's share is bad for all of its signers, in parts per million.
const BAD_FOR_ALL: u32 = 250_000;

pub(super) struct BadShare {
    actor: Actor,
    /// The one victim of a session; `None` if all are.
    victims: BTreeMap<SessionId, Option<NodeId>>,
}

impl BadShare {
    pub(super) const fn new(actor: Actor) -> Self {
        Self { actor, victims: BTreeMap::new() }
    }

    fn victim(&mut self, session: SessionId) -> Option<NodeId> {
        if let Some(victim) = self.victims.get(&session) {
            return *victim;
        }
        let one = !self.actor.random.chance(BAD_FOR_ALL);
        let victim = one.then(|| self.actor.any_peer());
        self.victims.insert(session, victim);
        victim
    }
}

impl Deviant for BadShare {
    fn edit(&mut self, _: Timestamp, to: NodeId, mut message: Message) -> Speech {
        if let Message::Mpc(word) = &mut message
            && word.body.sequence > 0
            && self.victim(word.body.session).is_none_or(|victim| victim == to)
        {
            let mut body = word.body.clone();
            spoil(&mut body.payload);
            *word = self.actor.sign(body);
        }
        plain(to, message)
    }
}
