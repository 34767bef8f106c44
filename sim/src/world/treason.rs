//! Traitors in this world: where their words leave, and what the others hear of them.

use std::rc::Rc;

use mpc_wallet_core::{
    NodeId, Timestamp, chain::ChainObservation, codec::CodecError, message::Message, record::Fact,
    step::Input, vote::Violation,
};

use super::{Counts, FaultPlan, MAX_SENT_PER_SECOND, Outcome, Parcel, Phase, World, defect};
use crate::{
    byzantine::{self, Speech},
    oracle::{Honest, Observed},
    plan::Deviation,
};

/// The members of a plan that follow the protocol throughout.
pub(crate) fn honest(plan: &FaultPlan) -> Honest {
    let traitor = |number: &u16| plan.traitors.iter().any(|traitor| traitor.node == *number);
    (1..=plan.nodes).filter(|number| !traitor(number)).map(NodeId::new).collect()
}

/// How a member deviates at this moment of the plan, if it does.
pub(crate) fn due(plan: &FaultPlan, node: NodeId, now: u64) -> Option<Deviation> {
    plan.traitors
        .iter()
        .find(|traitor| NodeId::new(traitor.node) == node && traitor.from <= now)
        .map(|traitor| traitor.deviation)
}

impl Counts {
    /// Counts what an honest node holds against others.
    pub(crate) fn blame(&mut self, fact: &Fact) {
        if let Fact::Struck { violation, .. } = fact
            && *violation != Violation::Timeout
        {
            self.strikes += 1;
        } else if let Fact::Proven(_) = fact {
            self.proofs += 1;
        } else if let Fact::Banned { .. } = fact {
            self.bans += 1;
        }
    }
}

impl World {
    /// Whether a member deviates by now; it turns with the first word after its time has come.
    pub(super) fn has_turned(&mut self, node: NodeId) -> Result<bool, super::Breach> {
        if self.honest.contains(&node) || self.phase == Phase::Calm {
            return Ok(false);
        }
        if self.traitors.contains_key(&node) {
            return Ok(true);
        }
        let now = self.queue.now().saturating_sub(self.origin);
        let due = due(&self.plan, node, now);
        let (Some(deviation), Some(host)) = (due, self.hosts.get(&node)) else { return Ok(false) };
        let setup = host.setup()?;
        let deviant = byzantine::deviant(deviation, setup)
            .map_err(|e| defect(format!("{node} cannot turn {deviation:?}: {e}")))?;
        self.traitors.insert(node, deviant);
        self.note(node, format_args!("turns {deviation:?}"));
        Ok(true)
    }

    /// A traitor's honest self speaks; what leaves is another matter.
    pub(super) fn betray(&mut self, from: NodeId, peers: &[NodeId], message: &Message) -> Outcome {
        let now = self.clock_of(from);
        for &to in peers {
            let Some(deviant) = self.traitors.get_mut(&from) else { return Ok(()) };
            let speech = deviant.edit(now, to, message.clone());
            self.utter(from, speech)?;
        }
        Ok(())
    }

    fn clock_of(&self, node: NodeId) -> Timestamp {
        self.hosts.get(&node).map(|host| host.clock.show(self.queue.now())).unwrap_or_default()
    }

    fn utter(&mut self, from: NodeId, speech: Speech) -> Outcome {
        for (to, words) in speech {
            // Its line has an end, and a world that drowns shows nothing.
            let second = self.queue.now() / 1_000;
            let talk = self.talking.entry(from).or_default();
            *talk = if talk.0 == second { (second, talk.1 + 1) } else { (second, 1) };
            if talk.1 > MAX_SENT_PER_SECOND || to == from {
                continue;
            }
            self.tally.sent += 1;
            let (channel, bytes, message) =
                words.frame().map_err(|e| defect(format!("{from} made what does not encode: {e}")))?;
            let parcel = Rc::new(Parcel::new(channel, bytes));
            if let Some(message) = &message {
                self.observe(&Observed::Sent { from, message, bytes: parcel.bytes() })?;
            }
            self.post(from, to, &parcel);
        }
        Ok(())
    }

    /// Bytes that are no message, as the production driver hands them on.
    pub(super) fn puzzle(&mut self, from: NodeId, to: NodeId, error: &CodecError) -> Outcome {
        self.note(to, format_args!("got garbage from {from}: {error}"));
        let input = match error {
            CodecError::Version { found } => Input::OtherVersion { from, version: *found },
            CodecError::Empty
            | CodecError::TooLarge { .. }
            | CodecError::Malformed(_)
            | CodecError::NotCanonical => Input::Garbage { from, problem: error.to_string() },
        };
        self.input(to, input)
    }

    /// A message arrives where traitors are about: oracles note what honest nodes hear, traitors hear for themselves.
    pub(super) fn overhear(&mut self, from: NodeId, to: NodeId, message: &Message) -> Outcome {
        if self.plan.traitors.is_empty() {
            return Ok(());
        }
        self.observe(&Observed::Heard { node: to, from, message })?;
        if !self.has_turned(to)? {
            return Ok(());
        }
        let now = self.clock_of(to);
        let Some(deviant) = self.traitors.get_mut(&to) else { return Ok(()) };
        let speech = deviant.hear(now, from, message);
        self.utter(to, speech)
    }

    /// The chain backend answers a traitor.
    pub(super) fn show_traitor(&mut self, node: NodeId, observation: &ChainObservation) -> Outcome {
        if self.has_turned(node)?
            && let Some(deviant) = self.traitors.get_mut(&node)
        {
            deviant.shown(observation);
        }
        Ok(())
    }
}
