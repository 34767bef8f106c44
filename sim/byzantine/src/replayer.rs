//! Repeats old words, its own and others', to whomever they were never meant for.

use std::collections::VecDeque;

use mpc_wallet_core::{NodeId, Timestamp, message::Message};

use crate::{Actor, Deviant, Speech, Words, plain};

/// How many old messages it keeps.
const MEMORY: usize = 512;

/// Chance to keep a message, in parts per million: of what it keeps some is then minutes old.
const KEEP: u32 = 150_000;

/// Chance that an old message follows a new one, in parts per million.
const REPEAT: u32 = 200_000;

pub(super) struct Replayer {
    actor: Actor,
    memory: VecDeque<Message>,
}

impl Replayer {
    pub(super) const fn new(actor: Actor) -> Self {
        Self { actor, memory: VecDeque::new() }
    }

    fn keep(&mut self, message: &Message) {
        let rare = !matches!(message, Message::Heartbeat(_) | Message::SyncRequest { .. });
        if rare && self.actor.random.chance(KEEP) {
            if self.memory.len() >= MEMORY {
                self.memory.pop_front();
            }
            self.memory.push_back(message.clone());
        }
    }
}

impl Deviant for Replayer {
    fn hear(&mut self, _: Timestamp, _: NodeId, message: &Message) -> Speech {
        self.keep(message);
        vec![]
    }

    fn edit(&mut self, _: Timestamp, to: NodeId, message: Message) -> Speech {
        self.keep(&message);
        let mut speech = plain(to, message);
        if self.actor.random.chance(REPEAT)
            && let Some(old) = self.actor.random.pick(self.memory.make_contiguous()).cloned()
        {
            speech.push((to, Words::Message(old)));
        }
        speech
    }
}
