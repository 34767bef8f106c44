//! Loses its memory at every restart and votes again, the other way.
//!
//! Its honest self has kept its journal and does not contradict itself; this part remembers what was voted in earlier
//! boots and, as a node without a disk that has changed its mind would, tells everybody the contrary.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;
use mpc_wallet_core::{BootId, NodeId, Timestamp, message::Message, vote::Vote};

use crate::{Actor, Deviant, Speech, Words, plain, votes_mut};

pub(super) struct Forgetter {
    actor: Actor,
    boot: BootId,
    /// Own votes and the boot they were cast in.
    cast: BTreeMap<Txid, (BootId, Vote)>,
    /// Which contrary votes each peer has been told.
    told: BTreeSet<(NodeId, Txid)>,
}

impl Forgetter {
    pub(super) const fn new(actor: Actor) -> Self {
        Self { actor, boot: BootId(0), cast: BTreeMap::new(), told: BTreeSet::new() }
    }

    fn forgotten(&self) -> Vec<(Txid, Vote)> {
        let earlier = self.cast.iter().filter(|(_, (boot, _))| *boot < self.boot);
        earlier.map(|(txid, (_, vote))| (*txid, self.actor.contrary(vote))).collect()
    }
}

impl Deviant for Forgetter {
    fn edit(&mut self, _: Timestamp, to: NodeId, mut message: Message) -> Speech {
        let me = self.actor.me;
        if let Message::Heartbeat(heartbeat) = &message {
            self.boot = self.boot.max(heartbeat.boot);
            let mut speech = plain(to, message);
            for (txid, vote) in self.forgotten() {
                if self.told.insert((to, txid)) {
                    speech.push((to, Words::Message(Message::Vote(vote))));
                }
            }
            return speech;
        }
        if let Message::Vote(vote) = &message
            && vote.body.voter == me
        {
            // A vote before the first heartbeat of this boot belongs to a boot not yet known, which is none the worse:
            // it is then forgotten one boot early.
            self.cast.entry(vote.body.txid).or_insert_with(|| (self.boot, vote.clone()));
        }
        let boot = self.boot;
        for vote in votes_mut(&mut message) {
            if vote.body.voter == me && self.cast.get(&vote.body.txid).is_some_and(|(cast, _)| *cast < boot) {
                *vote = self.actor.contrary(vote);
            }
        }
        plain(to, message)
    }
}
