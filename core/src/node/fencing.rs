//! Leases from outside: whom they make coordinator, and which words of a coordinator are late.
//!
//! Whoever gives the role away (etcd) is believed for convenience only (I8). A lease decides who is asked for coins, and
//! its epoch which answers are of an earlier term: a coordinator that lost the role and got it back has forgotten what it
//! granted before, and somebody else may have granted the same coins meanwhile.
//!
//! What a lie costs is bounded. A holder that is not here is no coordinator. An answer of an earlier term is asked for
//! again once for each payment, a round trip, and then heeded: it may be this node that has been told a wrong epoch. And
//! who changes the holder more than [`CHANGES`] times in [`WINDOW`] is not listened to until that is over: every change
//! makes the new coordinator listen before it grants, so one a second would leave nobody to ask.

use std::collections::VecDeque;

use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    ids::{FencingEpoch, Lease, NodeId, PaymentId},
    sometimes,
    time::{Millis, Timestamp},
};

/// Changes of the holder within [`WINDOW`] that are followed: a role that moves more often helps nobody.
const CHANGES: usize = 6;

/// The time in which they are counted.
const WINDOW: Millis = Millis(60_000);

/// What was said about the coordinator's role.
#[derive(Default)]
pub(super) struct Fencing {
    /// Last told from outside.
    told: Option<Lease>,
    /// When another holder was told, oldest first; no more than one beyond [`CHANGES`].
    changes: VecDeque<Timestamp>,
    /// The latest term heard of, from outside or from its holder.
    term: Option<Lease>,
}

impl Node {
    pub(super) fn on_lease(&mut self, lease: Option<Lease>, entropy: &mut dyn CryptoRngCore) {
        let holder = |lease: Option<Lease>| lease.map(|lease| lease.holder);
        if holder(self.fencing.told) != holder(lease) {
            self.fencing.changes.push_back(self.now);
            if self.fencing.changes.len() > CHANGES.saturating_add(1) {
                self.fencing.changes.pop_front();
            }
        }
        self.fencing.told = lease;
        self.fencing.term = lease;
        self.on_lease_timer(entropy);
    }

    /// Whether leases are heeded may have changed.
    pub(super) fn on_lease_timer(&mut self, entropy: &mut dyn CryptoRngCore) {
        if let Some(end) = self.leases_ignored_until() {
            sometimes!(LeasesIgnored);
            self.timers.set(Timer::Lease, end);
        }
        self.on_membership_change(entropy);
    }

    fn leases_ignored_until(&self) -> Option<Timestamp> {
        let changes = &self.fencing.changes;
        let end = changes.front().filter(|_| changes.len() > CHANGES)?.plus(WINDOW);
        (self.now < end).then_some(end)
    }

    /// The lease that names the coordinator; `None` while the embedded rule does.
    pub(super) fn lease_in_force(&self) -> Option<Lease> {
        let lease = self.fencing.told.filter(|lease| self.is_live(lease.holder))?;
        self.leases_ignored_until().is_none().then_some(lease)
    }

    /// The term under which this node answers requests for coins.
    pub(super) fn own_epoch(&self) -> FencingEpoch {
        let own = self.fencing.told.filter(|lease| lease.holder == self.config.me);
        own.map(|lease| lease.epoch).unwrap_or_default()
    }

    /// Whether an answer about coins is of an earlier term and has been asked for again.
    pub(super) fn puts_off_late_answer(
        &mut self,
        from: NodeId,
        payment: PaymentId,
        epoch: FencingEpoch,
    ) -> bool {
        let late = self.fencing.term.is_some_and(|term| term.holder == from && epoch < term.epoch);
        if late && self.ask_anew(payment) {
            sometimes!(AnswerOfEarlierTerm);
            return true;
        }
        self.fencing.term = Some(Lease { holder: from, epoch });
        false
    }
}
