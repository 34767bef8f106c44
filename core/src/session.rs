//! One run of a multi-party protocol, as its node sees it: the machine, on its way to a worker or back, what was
//! said and heard, and who contradicted himself.
//!
//! Every message is signed by its sender and bound to the run and its place in it. What has been said is kept and
//! repeated word for word when asked: a second answer to one question would be equivocation, and with a nonce in it
//! would give the key share away (I4).

use std::collections::BTreeMap;

use crate::{
    identity::{Signed, VoteKey},
    ids::{JobId, NodeId, SessionId},
    message::MpcMessage,
    mpc::{Advance, Machine, Outgoing, Progress, Recipient, Slot},
    step::Work,
    vote::Evidence,
};

/// A run and this node's part in it.
pub(crate) struct Run {
    id: SessionId,
    me: NodeId,
    parties: Vec<NodeId>,
    machine: Option<Box<dyn Machine>>,
    job: Option<JobId>,
    fresh: bool,
    inbox: Vec<(Slot, Vec<u8>)>,
    said: Vec<Signed<MpcMessage>>,
    heard: BTreeMap<(NodeId, Option<NodeId>, u32), Signed<MpcMessage>>,
}

/// What a message turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Something new for the machine.
    New,
    /// Known, or not for this node.
    Nothing,
    /// It contradicts what the same member said in the same place.
    Equivocation(Box<Evidence>),
}

/// Most different places one party may speak in: honest protocols need a handful.
const MAX_SEQUENCE: u32 = 16;

impl Run {
    /// A run of `machine` among `parties`, in slot order.
    pub(crate) fn new(id: SessionId, me: NodeId, parties: Vec<NodeId>, machine: Box<dyn Machine>) -> Self {
        Self {
            id,
            me,
            parties,
            machine: Some(machine),
            job: None,
            fresh: true,
            inbox: Vec::new(),
            said: Vec::new(),
            heard: BTreeMap::new(),
        }
    }

    /// Takes a message whose signature was checked.
    pub(crate) fn hear(&mut self, message: Signed<MpcMessage>) -> Heard {
        let body = &message.body;
        let for_me = body.to.is_none_or(|to| to == self.me);
        let Some(slot) = self.slot(body.from) else { return Heard::Nothing };
        if body.session != self.id || body.from == self.me || !for_me || body.sequence >= MAX_SEQUENCE {
            return Heard::Nothing;
        }
        let place = (body.from, body.to, body.sequence);
        if let Some(first) = self.heard.get(&place) {
            if first.body == message.body {
                return Heard::Nothing;
            }
            return Heard::Equivocation(Box::new(Evidence::Equivocation {
                first: Box::new(first.clone()),
                second: Box::new(message),
            }));
        }
        self.inbox.push((slot, body.payload.clone()));
        self.heard.insert(place, message);
        Heard::New
    }

    /// The next job, if the machine is here and has something to do.
    pub(crate) fn work(&mut self, job: JobId) -> Option<Work> {
        if self.inbox.is_empty() && !self.fresh {
            return None;
        }
        let machine = self.machine.take()?;
        self.fresh = false;
        self.job = Some(job);
        Some(Work::Advance { machine, inbox: std::mem::take(&mut self.inbox) })
    }

    /// Takes the machine back. Gives the messages to say now, and how far the run is.
    pub(crate) fn returned(
        &mut self,
        job: JobId,
        machine: Box<dyn Machine>,
        advance: Advance,
        key: &VoteKey,
    ) -> Option<(Vec<Signed<MpcMessage>>, Progress)> {
        if self.job != Some(job) {
            return None;
        }
        self.job = None;
        self.machine = Some(machine);
        let mut saying = Vec::with_capacity(advance.outgoing.len());
        for outgoing in advance.outgoing {
            if let Some(message) = self.compose(outgoing, key) {
                self.said.push(message.clone());
                saying.push(message);
            }
        }
        Some((saying, advance.progress))
    }

    fn compose(&self, outgoing: Outgoing, key: &VoteKey) -> Option<Signed<MpcMessage>> {
        let to = match outgoing.to {
            Recipient::All => None,
            Recipient::One(slot) => Some(*self.parties.get(slot.index())?),
        };
        let earlier = self.said.iter().filter(|said| said.body.to == to).count();
        let body = MpcMessage {
            session: self.id,
            from: self.me,
            to,
            sequence: u32::try_from(earlier).ok()?,
            payload: outgoing.payload,
        };
        Some(Signed::new(body, key))
    }

    /// Everything said so far, for whoever may have missed it.
    pub(crate) fn said(&self) -> &[Signed<MpcMessage>] {
        &self.said
    }

    /// Who is to hear a message: its addressee, or every other party.
    pub(crate) fn audience(&self, message: &MpcMessage) -> Vec<NodeId> {
        match message.to {
            Some(to) => vec![to],
            None => self.parties.iter().copied().filter(|party| *party != self.me).collect(),
        }
    }

    /// Parties whose message the machine waits for; empty while it computes.
    pub(crate) fn silent(&self) -> Vec<NodeId> {
        self.machine
            .iter()
            .flat_map(|machine| machine.waiting_for())
            .filter_map(|slot| self.parties.get(slot.index()).copied())
            .collect()
    }

    /// The members at these slots.
    pub(crate) fn nodes(&self, slots: &[Slot]) -> Vec<NodeId> {
        slots.iter().filter_map(|slot| self.parties.get(slot.index()).copied()).collect()
    }

    fn slot(&self, node: NodeId) -> Option<Slot> {
        let index = self.parties.iter().position(|party| *party == node)?;
        u16::try_from(index).ok().map(Slot)
    }
}
