//! What is made ahead and used once: primes for a key generation, presignatures for payments.
//!
//! All of it is volatile. Presignatures alone outlive an orderly stop: the host seals them, and deletes them before it
//! gives them to the next boot. They come back into the pool when peers have confirmed that this journal is the node's
//! latest (I7), and never if it is not.
//!
//! Members tell each other what they hold. Nothing rests on its being true: a presignature that a signer turns out to
//! lack is lost, and another attempt is made.

use std::collections::BTreeSet;

use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    ids::{JobId, KeyId, NodeId, PresignatureId, Scheme},
    message::{Message, SigningSession, Stock as Told},
    mpc::{RefusedParams, Suite, ecdsa::Primes},
    mutant,
    pool::{KeptPresignatures, Pool, Stocked},
    sometimes,
    step::{Alert, Effect, Priority, Work},
    time::{Millis, Timestamp},
};

/// Between a change of the stock and its being told: several changes are told at once.
const TELL_AFTER: Millis = Millis(50);

/// Between two repetitions of what is in stock.
const TELL_AGAIN: Millis = Millis(5_000);

/// Most presignatures heard of one member.
const MOST_HEARD: usize = 8_192;

/// Volatile state of what is in stock.
#[derive(Default)]
pub(super) struct Stock {
    pub(super) pool: Pool,
    primes: Option<Primes>,
    /// The search for primes under way, and since when.
    searching: Option<(JobId, Timestamp)>,
    /// Peers that have primes.
    primes_of: BTreeSet<NodeId>,
    /// From before the start, until peers confirm this node.
    kept: Option<KeptPresignatures>,
    /// What was told last.
    told: Told,
}

impl Node {
    /// Gives the node primes found ahead, for its next key generation. They are used once.
    #[must_use]
    pub fn with_primes(mut self, primes: Primes) -> Self {
        self.stock.primes = Some(primes);
        self
    }

    /// Gives the node the presignatures that its last orderly stop kept, which the host has deleted, durably, before.
    #[must_use]
    pub fn with_presignatures(mut self, kept: KeptPresignatures) -> Self {
        self.stock.kept = Some(kept);
        self
    }

    /// Moves the presignatures out, to be sealed: for an orderly stop, after the last step. `None` if there are none.
    #[must_use]
    pub fn keep_presignatures(&mut self) -> Option<KeptPresignatures> {
        if !self.is_sound() || self.stock.pool.is_empty() {
            return None;
        }
        let stock = self.stock.pool.drain();
        Some(KeptPresignatures { boot: self.boot, position: self.state.position(), stock })
    }

    /// Whether what was kept belongs to the journal as it is: nothing was recorded since.
    fn kept_fits(&self, kept: &KeptPresignatures) -> bool {
        let past = self.state.past();
        rollback_is_ignored() || (kept.boot == past.boot() && kept.position == self.state.position())
    }

    /// Before the boot is recorded.
    pub(super) fn check_kept(&mut self) {
        let Some(kept) = self.stock.kept.take() else { return };
        if self.kept_fits(&kept) {
            self.stock.kept = Some(kept);
        } else {
            self.alert_dropped(kept.stock.len(), "they were kept at another place of this node's journal");
        }
    }

    pub(super) fn start_stock(&mut self, entropy: &mut dyn CryptoRngCore) {
        self.find_primes(entropy);
        self.timers.set(Timer::Stock, self.now.plus(TELL_AFTER));
        self.timers.set(Timer::Presigning, self.now);
    }

    /// Peers have confirmed this node: what was kept is good.
    pub(super) fn release_kept(&mut self) {
        let Some(kept) = self.stock.kept.take() else { return };
        let mut count = 0_usize;
        for stocked in kept.stock {
            let used = self.state.is_used(&stocked.id()) && !rollback_is_ignored();
            if !used && self.stock.pool.add(stocked) {
                count = count.saturating_add(1);
            }
        }
        sometimes!(KeptPresignaturesReturn, count > 0);
        self.stock_changed();
    }

    /// Moves a session's presignatures out, all or none; never one that this node has used.
    pub(super) fn take_presignatures(&mut self, session: &SigningSession) -> Option<Vec<Stocked>> {
        let fresh = session.presignatures.iter().all(|id| !self.state.is_used(id));
        let taken = self.stock.pool.take(session.key, &session.signers, &session.presignatures)?;
        #[cfg(feature = "mutants")]
        if mutant!(PresignatureReused) {
            let copies = taken.iter().filter_map(Stocked::copy_for_a_planted_bug).collect::<Vec<_>>();
            for copy in copies {
                self.stock.pool.add(copy);
            }
            return Some(taken);
        }
        (fresh || rollback_is_ignored()).then_some(taken)
    }

    /// Drops all presignatures, for good.
    pub(super) fn drop_presignatures(&mut self, why: &str) {
        if rollback_is_ignored() {
            self.release_kept();
            return;
        }
        let kept = self.stock.kept.take().map_or(0, |kept| kept.stock.len());
        let count = self.stock.pool.clear().saturating_add(kept);
        if count > 0 {
            sometimes!(PresignaturesDropped);
            self.alert_dropped(count, why);
            self.stock_changed();
        }
    }

    fn alert_dropped(&mut self, count: usize, why: &str) {
        let detail = format!("{count} presignatures are dropped: {why}; others are made");
        self.effects.push(Effect::Alert(Alert::Configuration { node: self.config.me, detail }));
    }

    /// The suite whose keys take primes and presignatures, if one is configured.
    pub(super) fn presigning_suite(&self, scheme: Scheme) -> Option<Suite> {
        Some(self.config.suites.of(scheme)).filter(|suite| suite.presigns())
    }

    /// The active key that signs with presignatures.
    pub(super) fn presigning_key(&self) -> Option<KeyId> {
        let with_key = |scheme: Scheme| self.state.current_key(scheme).map(|proof| proof.request.key);
        Scheme::ALL.into_iter().filter(|scheme| self.presigning_suite(*scheme).is_some()).find_map(with_key)
    }

    /// Looks for primes while a key is to be made that needs them.
    pub(super) fn find_primes(&mut self, entropy: &mut dyn CryptoRngCore) {
        let wanted = Scheme::ALL.into_iter().find(|scheme| {
            self.presigning_suite(*scheme).is_some() && self.state.current_key(*scheme).is_none()
        });
        let Some(suite) = wanted.and_then(|scheme| self.presigning_suite(scheme)) else { return };
        // A search that takes as long as a whole ceremony may has died with its worker.
        let life = self.config.timing.ecdsa_key_generation;
        let searches = self.stock.searching.is_some_and(|(_, since)| self.now < since.plus(life));
        if self.stock.primes.is_some() || searches || self.is_making_presigning_key() {
            return;
        }
        let mut seed = [0; 32];
        entropy.fill_bytes(&mut seed);
        let job = self.next_job();
        self.stock.searching = Some((job, self.now));
        self.timers.set(Timer::Primes, self.now.plus(life));
        let work = Work::FindPrimes { suite, seed };
        self.effects.push(Effect::Compute { job, work, priority: Priority::Background });
    }

    pub(super) fn on_primes(
        &mut self,
        job: JobId,
        primes: Result<Primes, RefusedParams>,
        entropy: &mut dyn CryptoRngCore,
    ) {
        if self.stock.searching.is_none_or(|(search, _)| search != job) {
            return;
        }
        self.stock.searching = None;
        if let Ok(primes) = primes {
            self.stock.primes = Some(primes);
            self.stock_changed();
            self.attend_wanted_key(entropy);
        }
    }

    pub(super) const fn take_primes(&mut self) -> Option<Primes> {
        self.stock.primes.take()
    }

    /// Members that have no primes yet, as far as this node knows.
    pub(super) fn without_primes(&self) -> Vec<NodeId> {
        let has = |node: &NodeId| {
            if *node == self.config.me {
                self.stock.primes.is_some()
            } else {
                self.stock.primes_of.contains(node)
            }
        };
        self.config.cluster.members().filter(|node| !has(node)).collect()
    }

    pub(super) fn stock_changed(&mut self) {
        self.timers.set_by(Timer::Stock, self.now.plus(TELL_AFTER));
        self.timers.set_by(Timer::Presigning, self.now);
    }

    fn stock_told(&self) -> Told {
        Told { primes: self.stock.primes.is_some(), presignatures: self.stock.pool.ids().collect() }
    }

    /// Tells everybody what is in stock. That there is nothing is worth telling where there could be something: what a
    /// restarted signer has lost, the others drop and make again.
    pub(super) fn tell_stock(&mut self) {
        let told = self.stock_told();
        let empty = told == Told::default() && self.stock.told == Told::default();
        if empty && self.presigning_key().is_none() {
            return;
        }
        if self.is_sound() {
            self.stock.told = told.clone();
            self.broadcast(Message::Stock(told));
        }
        self.timers.set(Timer::Stock, self.now.plus(TELL_AGAIN));
    }

    pub(super) fn tell_stock_to(&mut self, peer: NodeId) {
        let told = self.stock_told();
        let worth = told != Told::default() || self.presigning_key().is_some();
        if worth && self.is_sound() {
            self.send(peer, Message::Stock(told));
        }
    }

    pub(super) fn on_stock(&mut self, from: NodeId, told: Told, entropy: &mut dyn CryptoRngCore) {
        if told.presignatures.len() > MOST_HEARD {
            return;
        }
        if told.primes {
            self.stock.primes_of.insert(from);
        } else {
            self.stock.primes_of.remove(&from);
        }
        let holds: BTreeSet<PresignatureId> = told.presignatures.into_iter().collect();
        // A signer has a presignature at most this much later than another.
        let life = self.config.timing.presigning;
        let made_before = Timestamp(self.now.0.saturating_sub(life.0));
        self.stock.pool.hear(from, holds, made_before);
        self.timers.set_by(Timer::Presigning, self.now);
        self.attend_wanted_key(entropy);
        self.attend_those_without_presignatures(entropy);
    }

    /// A member that restarts has lost what it held, unless it says otherwise.
    pub(super) fn forget_stock_of(&mut self, node: NodeId) {
        self.stock.pool.forget_member(node);
        self.stock.primes_of.remove(&node);
    }
}

/// What [`Mutant::RollbackIgnored`](crate::mutant::Mutant) breaks.
#[allow(clippy::missing_const_for_fn, reason = "with bugs planted it is a question")]
fn rollback_is_ignored() -> bool {
    mutant!(RollbackIgnored)
}
