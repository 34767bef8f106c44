//! Traitors on hosts: what leaves instead of their words, and what they hear.
//!
//! A traitor's host runs the production loop like any other; its port deviates. What was bent goes on over the same
//! connections as everything else, and the receiver's production code makes of it what it can.

use mpc_wallet_core::{Channel, NodeId, Timestamp, chain::ChainObservation, message::Message};

use super::{
    stage::{Hand, Seen, Sighting, Stage},
    transport::Wires,
};
use crate::{
    byzantine::{self, Deviant, Speech},
    world::{host::setup, treason::due},
};

impl Stage {
    /// The traitor that a member has become by now. It turns with the first word after its time has come.
    fn turned(&mut self, node: NodeId, at: u64) -> Option<&mut dyn Deviant> {
        let deviation = due(&self.plan, node, at.saturating_sub(self.origin?))?;
        let machine = self.machines.get_mut(&node)?;
        if machine.deviant.is_none() {
            let setup = setup(&machine.config, machine.identity, self.plan.seed, &machine.disk);
            let deviant = setup
                .map_err(|e| e.to_string())
                .and_then(|setup| byzantine::deviant(deviation, setup).map_err(|e| e.to_string()));
            match deviant {
                Ok(deviant) => machine.deviant = Some(deviant),
                Err(e) => {
                    self.fail("contract", format!("{node} cannot turn {deviation:?}: {e}"));
                    return None;
                }
            }
            let what = Seen::Words(format!("turns {deviation:?}"));
            self.seen.push(Sighting { at, node, what });
        }
        Some(self.machines.get_mut(&node)?.deviant.as_mut()?.as_mut())
    }
}

impl Hand {
    /// Lets the traitor on this machine act, if there is one by now.
    fn deviate<R>(&self, act: impl FnOnce(&mut dyn Deviant, Timestamp) -> R) -> Option<R> {
        self.with(|stage, now| {
            let clock = stage.machines.get(&self.me)?.clock.show(now);
            Some(act(stage.turned(self.me, now)?, clock))
        })
        .flatten()
    }

    /// The chain backend has answered this machine.
    pub(super) fn shown(&self, observation: &ChainObservation) {
        self.deviate(|deviant, _| deviant.shown(observation));
    }
}

impl Wires {
    /// A traitor's honest self speaks; what leaves is another matter. `false` if there is no traitor here.
    pub(super) fn betray(&self, to: NodeId, channel: Channel, payload: &[u8]) -> bool {
        let speech = self.hand.deviate(|deviant, now| {
            let message = Message::decode(channel, payload).ok()?;
            Some(deviant.edit(now, to, message))
        });
        let Some(Some(speech)) = speech else { return false };
        self.utter(speech);
        true
    }

    /// A frame has arrived: a traitor hears it for itself.
    pub(super) fn overhear(&self, from: NodeId, channel: Channel, payload: &[u8]) {
        let speech = self.hand.deviate(|deviant, now| {
            let message = Message::decode(channel, payload).ok()?;
            Some(deviant.hear(now, from, &message))
        });
        self.utter(speech.flatten().unwrap_or_default());
    }

    fn utter(&self, speech: Speech) {
        let me = self.hand.me;
        for (to, words) in speech {
            // Its line has an end, and a world that drowns shows nothing.
            if self.hand.count_sent().is_err() || to == me {
                continue;
            }
            match words.frame() {
                Ok((channel, bytes, message)) => {
                    self.hand.show(Seen::Sent { message: message.map(Box::new), bytes: bytes.clone() });
                    self.post(to, channel, &bytes);
                }
                Err(error) => self.hand.fail(format!("{me} made what does not encode: {error}")),
            }
        }
    }
}
