//! Speaks as of an earlier epoch: another policy, an earlier boot, a shorter journal, now and then another cluster.

use mpc_wallet_core::{
    BootId, ClusterId, LogIndex, NodeId, PolicyVersion, Timestamp,
    message::{Heartbeat, Message},
};

use crate::{Actor, Deviant, Speech, plain};

/// Chance that a message is made stale, in parts per million: it stays a member that is mostly here.
const STALE: u32 = 300_000;

pub(super) struct StaleEpoch {
    actor: Actor,
}

impl StaleEpoch {
    pub(super) const fn new(actor: Actor) -> Self {
        Self { actor }
    }

    fn age(&mut self, heartbeat: &mut Heartbeat) {
        match self.actor.random.below(4) {
            0 => heartbeat.boot = earlier(heartbeat.boot),
            1 => heartbeat.position = LogIndex(heartbeat.position.0 / 2),
            2 => heartbeat.policy = PolicyVersion::from_bytes([1; 32]),
            _ => heartbeat.cluster = ClusterId::from_bytes([1; 32]),
        }
    }
}

const fn earlier(boot: BootId) -> BootId {
    BootId(boot.0.saturating_sub(1))
}

impl Deviant for StaleEpoch {
    fn edit(&mut self, _: Timestamp, to: NodeId, mut message: Message) -> Speech {
        if !self.actor.random.chance(STALE) {
            return plain(to, message);
        }
        if let Message::Heartbeat(heartbeat) = &mut message {
            self.age(heartbeat);
        } else if let Message::Mpc(word) = &mut message {
            let mut body = word.body.clone();
            body.boot = earlier(body.boot);
            *word = self.actor.sign(body);
        } else if let Message::SignRequest(request) = &mut message {
            request.session.leader_boot = earlier(request.session.leader_boot);
            for boot in &mut request.session.boots {
                *boot = earlier(*boot);
            }
        } else if let Message::SyncPage(page) = &mut message {
            page.next = LogIndex(page.next.0 / 2);
        } else if let Message::Vote(vote) = &mut message {
            let mut body = vote.body.clone();
            body.cluster = ClusterId::from_bytes([1; 32]);
            *vote = self.actor.sign(body);
        }
        plain(to, message)
    }
}
