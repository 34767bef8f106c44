//! What the node wants to be woken for. Setting a timer replaces it, so there is nothing to cancel and nothing leaks.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;

use crate::{
    ids::{NodeId, PaymentId, SessionId},
    time::Timestamp,
};

/// Something to wake up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Heartbeat,
    PeerSilent(NodeId),
    CoordinatorGrace,
    ChainPoll,
    CoinQueue,
    OwnGrants,
    Request(PaymentId),
    Transaction(Txid),
    Session(SessionId),
    SessionRepeat(SessionId),
    Keygen,
    KeygenRepeat,
    Sync,
}

impl Timer {
    const fn reason(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat due",
            Self::PeerSilent(_) => "a peer may have gone silent",
            Self::CoordinatorGrace => "coordinator's grace ends",
            Self::ChainPoll => "look at the chain",
            Self::CoinQueue => "a request for coins runs out of time",
            Self::OwnGrants => "coins granted to this node",
            Self::Request(_) => "a client waits for coins",
            Self::Transaction(_) => "a transaction wants attention",
            Self::Session(_) => "a signing session runs out of time",
            Self::SessionRepeat(_) => "repeat what was said in a session",
            Self::Keygen => "a key generation runs out of time",
            Self::KeygenRepeat => "repeat what was said in a key generation",
            Self::Sync => "ask peers what changed",
        }
    }
}

/// All timers.
#[derive(Default)]
pub(super) struct Timers {
    due: BTreeSet<(Timestamp, Timer)>,
    at: BTreeMap<Timer, Timestamp>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Timestamp) {
        self.clear(timer);
        self.due.insert((at, timer));
        self.at.insert(timer, at);
    }

    /// Sets the timer unless it already rings no later.
    pub(super) fn set_by(&mut self, timer: Timer, at: Timestamp) {
        if self.at.get(&timer).is_none_or(|set| *set > at) {
            self.set(timer, at);
        }
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.at.remove(&timer) {
            self.due.remove(&(at, timer));
        }
    }

    pub(super) fn next(&self) -> Option<(Timestamp, &'static str)> {
        self.due.first().map(|(at, timer)| (*at, timer.reason()))
    }

    /// Takes the earliest timer that is due.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Timer> {
        let (at, timer) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }
}
