//! What the node wants to be woken for. Setting a timer replaces it, so there is nothing to cancel and nothing leaks.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Txid;

use crate::{
    ids::{NodeId, PaymentId, SessionId},
    mutant, sometimes,
    time::Timestamp,
};

/// Something to wake up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Heartbeat,
    PeerSilent(NodeId),
    CoordinatorGrace,
    Lease,
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
    Standing,
    Stock,
    Primes,
    Presigning,
    Freezes,
}

impl Timer {
    const fn reason(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat due",
            Self::PeerSilent(_) => "a peer may have gone silent",
            Self::CoordinatorGrace => "coordinator's grace ends",
            Self::Lease => "leases are heeded again",
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
            Self::Standing => "ask peers what they saw of this node",
            Self::Primes => "primes may be missing",
            Self::Stock => "tell what is in stock",
            Self::Presigning => "presignatures may be missing",
            Self::Freezes => "active freezes are said again",
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
        if mutant!(RetryTimerNotArmed) && matches!(timer, Timer::Transaction(_)) {
            return;
        }
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
        sometimes!(TimerAtItsMoment, at == now);
        sometimes!(TimerLate, at < now);
        self.clear(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Timestamp = Timestamp(100);

    fn drain(timers: &mut Timers, now: Timestamp) -> Vec<Timer> {
        std::iter::from_fn(|| timers.pop(now)).collect()
    }

    #[test]
    fn setting_a_timer_again_replaces_it() {
        let mut timers = Timers::default();
        timers.set(Timer::Heartbeat, Timestamp(5));
        timers.set(Timer::Heartbeat, Timestamp(9));
        assert_eq!(timers.next(), Some((Timestamp(9), "heartbeat due")));
        assert_eq!(timers.pop(Timestamp(8)), None);
        assert_eq!(drain(&mut timers, LATE), [Timer::Heartbeat]);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn timers_ring_in_order_of_time_each_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Sync, Timestamp(7));
        timers.set(Timer::Keygen, Timestamp(3));
        timers.set(Timer::ChainPoll, Timestamp(5));
        timers.set(Timer::Heartbeat, Timestamp(101));
        assert_eq!(drain(&mut timers, LATE), [Timer::Keygen, Timer::ChainPoll, Timer::Sync]);
        assert_eq!(timers.next().map(|(at, _)| at), Some(Timestamp(101)));
    }

    #[test]
    fn a_timer_rings_at_its_moment_and_not_before() {
        let mut timers = Timers::default();
        timers.set(Timer::Sync, Timestamp(7));
        assert_eq!(timers.pop(Timestamp(6)), None);
        assert_eq!(timers.pop(Timestamp(7)), Some(Timer::Sync));
    }

    #[test]
    fn set_by_only_ever_brings_a_timer_forward() {
        let mut timers = Timers::default();
        for (at, rings) in [(7, 7), (9, 7), (3, 3), (7, 3)] {
            timers.set_by(Timer::CoinQueue, Timestamp(at));
            assert_eq!(timers.next().map(|(at, _)| at), Some(Timestamp(rings)), "after {at}");
        }
        assert_eq!(drain(&mut timers, LATE), [Timer::CoinQueue], "and it rings once");
    }

    #[test]
    fn a_cleared_timer_does_not_ring_and_its_neighbours_do() {
        let mut timers = Timers::default();
        let (one, other) = (Timer::PeerSilent(NodeId::new(1)), Timer::PeerSilent(NodeId::new(2)));
        timers.set(one, Timestamp(1));
        timers.set(other, Timestamp(1));
        timers.clear(one);
        timers.clear(Timer::Keygen);
        assert_eq!(drain(&mut timers, LATE), [other]);
    }
}
