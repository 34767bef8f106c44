//! Flips bits of what it sends: mostly garbage, sometimes a message that nobody wrote.

use mpc_wallet_core::{NodeId, Timestamp, message::Message};

use crate::{Actor, Deviant, Speech, Words, plain};

/// Chance that a message is damaged, in parts per million.
const DAMAGE: u32 = 50_000;

/// Most bits flipped in one message.
const BITS: u64 = 3;

pub(super) struct Mutator {
    actor: Actor,
}

impl Mutator {
    pub(super) const fn new(actor: Actor) -> Self {
        Self { actor }
    }
}

impl Deviant for Mutator {
    fn edit(&mut self, _: Timestamp, to: NodeId, message: Message) -> Speech {
        if !self.actor.random.chance(DAMAGE) {
            return plain(to, message);
        }
        let channel = message.channel();
        let Ok(mut bytes) = message.encode() else { return plain(to, message) };
        for _ in 0..self.actor.random.between(1, BITS) {
            let at = self.actor.random.below(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            let bit = self.actor.random.below(8);
            if let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at)) {
                *byte ^= 1 << bit;
            }
        }
        vec![(to, Words::Bytes(channel, bytes))]
    }
}
