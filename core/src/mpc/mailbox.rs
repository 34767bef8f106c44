//! What every machine checks about a message before it looks inside: length, run, round, repetition.
//!
//! Round 0 of every protocol here is a broadcast of commitments, and round 1 carries each sender's *view* of
//! it: the digests of the round-0 payloads by slot. Comparing views turns multicast into broadcast, and tells
//! a party that told two stories from honest parties that seem to contradict each other.

use serde::{Deserialize, Serialize};

use super::{Fault, FaultReason, Slot, digest};

/// Round of the commitments.
pub(super) const COMMIT: u8 = 0;
/// Round that repeats what was seen in [`COMMIT`].
pub(super) const CONFIRM: u8 = 1;

const DIGEST_BYTES: usize = 32;

/// Framing around a body: context, round, and the two length prefixes of at most 3 bytes each.
pub(super) const FRAME_BYTES: usize = DIGEST_BYTES + 1 + 3 + 3;

/// A payload on the wire, in postcard. Borrowing keeps a lying length from allocating anything.
#[derive(Serialize, Deserialize)]
pub(super) struct Frame<'a> {
    pub(super) context: [u8; DIGEST_BYTES],
    pub(super) round: u8,
    pub(super) view: &'a [u8],
    pub(super) body: &'a [u8],
}

/// The messages of one run, as far as they are alike in all protocols.
pub(super) struct Mailbox {
    context: [u8; DIGEST_BYTES],
    me: Slot,
    parties: u16,
    /// Most bytes of one payload.
    limit: usize,
    /// Digest of the payload received, by round and slot; our own broadcasts are entered too.
    seen: Vec<Vec<Option<[u8; DIGEST_BYTES]>>>,
    /// Views received, by slot, until they have been compared.
    views: Vec<Option<Vec<u8>>>,
    fault: Option<Fault>,
}

impl Mailbox {
    /// A mailbox for `rounds` rounds with bodies of at most `body_limit` bytes.
    pub(super) fn new(context: [u8; 32], me: Slot, parties: u16, rounds: u8, body_limit: usize) -> Self {
        let slots = usize::from(parties);
        Self {
            context,
            me,
            parties,
            limit: FRAME_BYTES + DIGEST_BYTES * slots + body_limit,
            seen: vec![vec![None; slots]; usize::from(rounds)],
            views: vec![None; slots],
            fault: None,
        }
    }

    /// Frames a body of our own. The view goes along in [`CONFIRM`], so all of [`COMMIT`] must be in by then.
    pub(super) fn frame(&mut self, round: u8, body: &[u8]) -> Option<Vec<u8>> {
        let view = if round == CONFIRM { self.own_view()? } else { Vec::new() };
        let payload =
            postcard::to_allocvec(&Frame { context: self.context, round, view: &view, body }).ok()?;
        *self.seen.get_mut(usize::from(round))?.get_mut(self.me.index())? =
            Some(digest("mpc-wallet/view", &[&payload]));
        Some(payload)
    }

    /// Takes a payload; gives round and body if it is new and may be looked into.
    pub(super) fn open<'a>(&mut self, from: Slot, payload: &'a [u8]) -> Option<(u8, &'a [u8])> {
        if from == self.me || from.0 >= self.parties || self.fault.is_some() {
            return None;
        }
        match self.try_open(from, payload) {
            Ok(opened) => opened,
            Err(fault) => {
                self.fault = Some(fault);
                None
            }
        }
    }

    fn try_open<'a>(&mut self, from: Slot, payload: &'a [u8]) -> Result<Option<(u8, &'a [u8])>, Fault> {
        if payload.len() > self.limit {
            return Err(Fault::by(from, FaultReason::Oversized { bytes: payload.len(), limit: self.limit }));
        }
        let malformed = || Fault::by(from, FaultReason::Malformed);
        let (frame, rest): (Frame<'a>, _) = postcard::take_from_bytes(payload).map_err(|_| malformed())?;
        if !rest.is_empty() {
            return Err(malformed());
        }
        if frame.context != self.context {
            return Err(Fault::by_nobody(FaultReason::OtherRun { from }));
        }
        let view_bytes = if frame.round == CONFIRM { DIGEST_BYTES * usize::from(self.parties) } else { 0 };
        let seen = self
            .seen
            .get_mut(usize::from(frame.round))
            .and_then(|round| round.get_mut(from.index()))
            .filter(|_| frame.view.len() == view_bytes)
            .ok_or_else(malformed)?;
        let id = digest("mpc-wallet/view", &[payload]);
        match *seen {
            Some(earlier) if earlier == id => return Ok(None),
            Some(_) => {
                return Err(Fault::by(from, FaultReason::Conflicting { round: frame.round }));
            }
            None => *seen = Some(id),
        }
        if frame.round == CONFIRM
            && let Some(view) = self.views.get_mut(from.index())
        {
            *view = Some(frame.view.to_vec());
        }
        Ok(Some((frame.round, frame.body)))
    }

    /// Notes that the body of `from` was not acceptable. The first fault stands.
    pub(super) fn blame(&mut self, from: Slot, reason: FaultReason) {
        self.fault.get_or_insert(Fault::by(from, reason));
    }

    /// The fault found so far, if any; compares the views that can be compared.
    pub(super) fn check(&mut self) -> Result<(), Fault> {
        if let Some(fault) = self.fault.clone() {
            return Err(fault);
        }
        let Some(own) = self.own_view() else {
            return Ok(());
        };
        for (reporter, view) in (0u16..).map(Slot).zip(&mut self.views) {
            let Some(theirs) = view.take() else { continue };
            let ours = own.chunks_exact(DIGEST_BYTES);
            let differs = ours.zip(theirs.chunks_exact(DIGEST_BYTES)).position(|(a, b)| a != b);
            if let Some(subject) = differs.and_then(|index| u16::try_from(index).ok()).map(Slot) {
                let reason = FaultReason::SplitView { reporter, subject };
                // We know what we sent, and a party knows what it sent: then it is not one word against another.
                let fault = if subject == self.me || subject == reporter {
                    Fault::by(reporter, reason)
                } else {
                    Fault::by_nobody(reason)
                };
                self.fault = Some(fault.clone());
                return Err(fault);
            }
        }
        Ok(())
    }

    /// Slots whose message of `round` has not arrived.
    pub(super) fn missing(&self, round: u8) -> Vec<Slot> {
        let seen = self.seen.get(usize::from(round)).map(Vec::as_slice).unwrap_or_default();
        (0u16..)
            .map(Slot)
            .zip(seen)
            .filter(|(slot, seen)| *slot != self.me && seen.is_none())
            .map(|(slot, _)| slot)
            .collect()
    }

    fn own_view(&self) -> Option<Vec<u8>> {
        let digests: Option<Vec<[u8; DIGEST_BYTES]>> =
            self.seen.get(usize::from(COMMIT))?.iter().copied().collect();
        Some(digests?.as_flattened().to_vec())
    }
}
