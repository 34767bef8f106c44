//! The newest events, for listeners that come back.

use std::collections::VecDeque;

use mpc_wallet_core::{LogIndex, NodeId};

use super::{Event, EventId, fact};
use crate::{
    journal::{Outbox, OutboxEntry},
    read::ReadError,
};

/// Records that are kept: some four hundred payments, about two megabytes.
pub(super) const KEPT: usize = 8_192;

/// Records read at once at the start.
const CHUNK: usize = 1_024;

/// Why a listener cannot go on where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// What it heard last is older than what is kept.
    TooOld,
    /// It is not in this journal, or no id at all.
    Unknown,
}

impl Gap {
    /// Its name in `reset`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::TooOld => "too_old",
            Self::Unknown => "unknown_id",
        }
    }
}

/// A record, as far as listeners care.
pub(super) struct Kept {
    id: EventId,
    pub(super) event: Option<Event>,
}

impl Kept {
    /// Of a record in the journal of `me`.
    pub(super) fn of(me: NodeId, entry: &OutboxEntry) -> Self {
        Self { id: EventId::of(me, entry), event: fact::event(me, entry) }
    }
}

/// The newest records.
pub(super) struct Window {
    me: NodeId,
    /// The record before the first that is kept.
    base: EventId,
    kept: VecDeque<Kept>,
}

impl Window {
    /// Reads the end of a journal.
    pub(super) fn read(me: NodeId, outbox: &Outbox) -> Result<Self, ReadError> {
        let kept = u64::try_from(KEPT).unwrap_or(u64::MAX);
        let before = LogIndex(outbox.last()?.0.saturating_sub(kept));
        let base = outbox.digest_at(before)?.map(|digest| EventId::new(me, before, &digest));
        let mut window =
            Self { me, base: base.unwrap_or_else(|| EventId::origin(me)), kept: VecDeque::new() };
        loop {
            let entries = outbox.after(window.newest().position(), CHUNK)?;
            if entries.is_empty() {
                return Ok(window);
            }
            for entry in &entries {
                window.push(Kept::of(me, entry));
            }
        }
    }

    /// Takes the next record in.
    pub(super) fn push(&mut self, next: Kept) {
        self.kept.push_back(next);
        if self.kept.len() > KEPT
            && let Some(dropped) = self.kept.pop_front()
        {
            self.base = dropped.id;
        }
    }

    /// Whose records they are.
    pub(super) const fn me(&self) -> NodeId {
        self.me
    }

    /// The newest record.
    pub(super) fn newest(&self) -> EventId {
        self.kept.back().map_or(self.base, |newest| newest.id)
    }

    /// What came after the event of this id.
    pub(super) fn after(&self, heard: &str) -> Result<Vec<Event>, Gap> {
        let heard: EventId = heard.parse().map_err(|_| Gap::Unknown)?;
        let known =
            |first: usize| self.kept.iter().skip(first).filter_map(|kept| kept.event.clone()).collect();
        if heard == self.base {
            return Ok(known(0));
        }
        // Positions have no gaps, so the place follows from the number.
        let place = heard.position().0.checked_sub(self.base.position().0.saturating_add(1));
        let Some(place) = place else {
            return Err(if heard.is_of(self.me) { Gap::TooOld } else { Gap::Unknown });
        };
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        match self.kept.get(place) {
            Some(kept) if kept.id == heard => Ok(known(place.saturating_add(1))),
            Some(_) | None => Err(Gap::Unknown),
        }
    }
}
