//! The emergency freeze: while one is active, no money leaves.
//!
//! **What stops.** A node that knows of an active freeze casts no approving vote (it may still refuse), passes no
//! re-check, starts and joins no signing session of a payment, and ends those under way, so that no share leaves and
//! none is said again. It grants no coins and takes no payments. Nothing is lost: transactions wait as `frozen`, expire
//! and are given up as ever, and go on when the freeze is lifted. With `n − t + 1` honest members told, nothing can be
//! signed, whatever the others know.
//!
//! **What does not.** What is signed already is sent and followed: a signature cannot be called back. Keys and
//! presignatures are made as ever, because they move no money.
//!
//! **How it spreads.** It is on disk before it is said. Whoever hears something new passes it on, once; all that is
//! active is said again to every peer that appears, and every [`TELL_AGAIN`] to all, because messages get lost. Who tells
//! of a freeze that is lifted is answered with the lifts, so that a node that was away is not frozen alone for ever. And
//! it is part of the answer that a starting node waits for before it speaks (see [`super::standing`]): a node whose
//! journal was replaced signs nothing before its peers have told it what is frozen.
//!
//! **What a liar can do.** Freeze in its own name, which is every member's right and has its signature under it; again
//! and again, until its peers' operators stop the machine. A later freeze takes the place of an active one only after
//! [`HEARD_ANEW`], so it fills no journal.

use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    freeze::{Freeze, FreezeNotice, Lift, SignedFreeze, SignedLift, check_operator},
    identity::Signed,
    ids::{FreezeId, NodeId},
    message::{FreezeNotices, Message},
    mutant,
    overview::FreezeView,
    record::Fact,
    refusal::Refusal,
    sometimes,
    state::Frozen,
    step::{Alert, Effect, Outcome},
    time::Millis,
    vote::Violation,
};

/// Between two times that active freezes are said again: some heartbeats, so that a lost word costs seconds.
const TELL_AGAIN: Millis = Millis(3_000);

/// How long a member's active freeze is kept before a later one of it is heard.
const HEARD_ANEW: Millis = Millis(10_000);

impl Node {
    /// Whether signing is stopped, as far as this node knows.
    pub(super) fn is_frozen(&self) -> bool {
        self.active_freezes().next().is_some()
    }

    /// Whether nothing of a payment may be signed.
    pub(super) fn signing_is_frozen(&self) -> bool {
        self.is_frozen() && !mutant!(SignsWhileFrozen)
    }

    fn active_freezes(&self) -> impl Iterator<Item = &Frozen> {
        self.state.freezes().active(&self.config.cluster)
    }

    pub(super) fn start_freezing(&mut self) {
        if self.is_frozen() {
            sometimes!(WokeFrozen);
            self.timers.set(Timer::Freezes, self.now);
        }
    }

    /// A client stops all signing.
    pub(super) fn on_freeze_command(
        &mut self,
        operator: String,
        reason: String,
        entropy: &mut dyn CryptoRngCore,
    ) -> Outcome {
        let me = self.config.me;
        let last = self.state.freezes().of(me);
        if let Some(active) = last.filter(|last| last.is_active(&self.config.cluster)) {
            return Outcome::Refused(Refusal::AlreadyFrozen(active.freeze.body.id()));
        }
        let later = last.map(|last| last.freeze.body.at.plus(Millis(1))).unwrap_or_default();
        let cluster = self.config.cluster.id();
        let freeze = Freeze { cluster, node: me, operator, reason, at: self.now.max(later) };
        if let Err(error) = freeze.check() {
            return Outcome::Refused(Refusal::Words(error));
        }
        let id = freeze.id();
        let was_frozen = self.is_frozen();
        self.record_freeze(Signed::new(freeze, &self.identity));
        self.pass_on(&[me]);
        self.on_freezes_changed(was_frozen, entropy);
        Outcome::Frozen { freeze: id }
    }

    /// A client lifts what is frozen, as far as this node is asked. Asked again it says the same again.
    pub(super) fn on_lift_command(&mut self, operator: &str, entropy: &mut dyn CryptoRngCore) -> Outcome {
        if let Err(error) = check_operator(operator) {
            return Outcome::Refused(Refusal::Words(error));
        }
        let (cluster, node) = (self.config.cluster.id(), self.config.me);
        let active: Vec<SignedFreeze> = self.active_freezes().map(|frozen| frozen.freeze.clone()).collect();
        if active.is_empty() {
            return Outcome::Refused(Refusal::NotFrozen);
        }
        for freeze in &active {
            let Freeze { node: frozen_by, at: up_to, .. } = freeze.body;
            if !self.lifts(node, frozen_by) {
                let lift = Lift { cluster, frozen_by, up_to, node, operator: operator.to_owned() };
                self.record(Fact::Lifted(Signed::new(lift, &self.identity)));
            }
        }
        let authors: Vec<NodeId> = active.iter().map(|freeze| freeze.body.node).collect();
        self.pass_on(&authors);
        self.on_freezes_changed(true, entropy);
        Outcome::Lifted { freezes: active.iter().map(|freeze| freeze.body.id()).collect() }
    }

    /// Whether a member has lifted the last freeze of another.
    fn lifts(&self, node: NodeId, frozen_by: NodeId) -> bool {
        let frozen = self.state.freezes().of(frozen_by);
        frozen.is_some_and(|frozen| frozen.lifted_by().any(|lifter| lifter == node))
    }

    pub(super) fn on_freezes(&mut self, from: NodeId, told: FreezeNotices, entropy: &mut dyn CryptoRngCore) {
        if told.notices.len() > usize::from(self.config.cluster.total()) {
            self.strike(from, Violation::ProtocolViolation, None, "more freezes than there are members");
            return;
        }
        let answered = told.answers == Some(self.challenge());
        let was_frozen = self.is_frozen();
        let (mut news, mut stale) = (Vec::new(), Vec::new());
        for notice in told.notices {
            let author = notice.freeze.body.node;
            if self.is_banned(from) {
                break;
            }
            let heard = self.hear_notice(from, &notice);
            sometimes!(LiftLearntLate, heard > 1 && was_frozen && !self.is_frozen());
            if heard > 0 {
                news.push(author);
            } else if self.knows_more_than(&notice) {
                stale.push(author);
            }
        }
        sometimes!(FreezeLearntByAsking, answered && !was_frozen && self.is_frozen());
        self.pass_on(&news);
        if !stale.is_empty() {
            let notices = self.notices_of(&stale);
            self.send(from, Message::Freezes(FreezeNotices { answers: None, notices }));
        }
        self.on_freezes_changed(was_frozen, entropy);
        if answered {
            self.on_freezes_told(from, entropy);
        }
    }

    /// Takes a freeze and its lifts into the books, whoever brought them; says how many statements were news.
    fn hear_notice(&mut self, from: NodeId, notice: &FreezeNotice) -> usize {
        let mut heard = 0_usize;
        if self.is_later_freeze(&notice.freeze) && self.is_genuine_freeze(from, &notice.freeze) {
            self.record_freeze(notice.freeze.clone());
            heard = 1;
        }
        let most = usize::from(self.config.cluster.total());
        for lift in notice.lifts.iter().take(most) {
            let about_it = lift.body.frozen_by == notice.freeze.body.node;
            if about_it && self.is_new_lift(lift) && self.is_genuine_lift(from, lift) {
                self.record(Fact::Lifted(lift.clone()));
                heard = heard.saturating_add(1);
            }
        }
        heard
    }

    /// Whether a freeze takes the place of what is known of its author.
    fn is_later_freeze(&self, freeze: &SignedFreeze) -> bool {
        self.state.freezes().of(freeze.body.node).is_none_or(|known| {
            let settled = !known.is_active(&self.config.cluster);
            let due = settled || self.now.since(known.learned) >= HEARD_ANEW;
            freeze.body.at > known.freeze.body.at && due
        })
    }

    fn is_genuine_freeze(&mut self, from: NodeId, freeze: &SignedFreeze) -> bool {
        let body = &freeze.body;
        if body.cluster != self.config.cluster.id()
            || !self.config.cluster.key(body.node).is_some_and(|key| freeze.verify(key))
        {
            let detail = format!("a freeze {} did not sign", body.node);
            self.strike(from, Violation::InvalidSignature, None, &detail);
            return false;
        }
        if let Err(error) = body.check() {
            let detail = format!("a freeze in unfit words: {error}");
            self.strike(body.node, Violation::ProtocolViolation, None, &detail);
            return false;
        }
        true
    }

    /// Whether a lift counts for a freeze that is known, and has not been counted.
    fn is_new_lift(&self, lift: &SignedLift) -> bool {
        let Lift { frozen_by, up_to, node, .. } = lift.body;
        let covers = |known: &Frozen| up_to >= known.freeze.body.at;
        self.state.freezes().of(frozen_by).is_some_and(covers) && !self.lifts(node, frozen_by)
    }

    fn is_genuine_lift(&mut self, from: NodeId, lift: &SignedLift) -> bool {
        let body = &lift.body;
        if body.cluster != self.config.cluster.id()
            || !self.config.cluster.key(body.node).is_some_and(|key| lift.verify(key))
        {
            let detail = format!("a lift {} did not sign", body.node);
            self.strike(from, Violation::InvalidSignature, None, &detail);
            return false;
        }
        if let Err(error) = check_operator(&body.operator) {
            let detail = format!("a lift in unfit words: {error}");
            self.strike(body.node, Violation::ProtocolViolation, None, &detail);
            return false;
        }
        true
    }

    /// Whether this node knows of a later freeze of the same member, or of lifts that the notice lacks.
    fn knows_more_than(&self, notice: &FreezeNotice) -> bool {
        let theirs = &notice.freeze.body;
        self.state.freezes().of(theirs.node).is_some_and(|known| {
            let told = |node: NodeId| notice.lifts.iter().any(|lift| lift.body.node == node);
            let at = known.freeze.body.at;
            at > theirs.at || (at == theirs.at && known.lifted_by().any(|node| !told(node)))
        })
    }

    fn record_freeze(&mut self, freeze: SignedFreeze) {
        sometimes!(
            FrozenTwice,
            self.active_freezes().any(|known| known.freeze.body.node != freeze.body.node)
        );
        let Freeze { node, operator, reason, .. } = &freeze.body;
        let detail = format!("{operator} freezes the cluster: {reason}");
        self.effects.push(Effect::Alert(Alert::Freeze { node: *node, detail }));
        self.record(Fact::Frozen(Box::new(freeze)));
        self.timers.set_by(Timer::Freezes, self.now.plus(TELL_AGAIN));
    }

    /// Tells everybody what is known of these members' freezes.
    fn pass_on(&mut self, authors: &[NodeId]) {
        if !authors.is_empty() {
            let notices = self.notices_of(authors);
            self.broadcast(Message::Freezes(FreezeNotices { answers: None, notices }));
        }
    }

    fn notices_of(&self, authors: &[NodeId]) -> Vec<FreezeNotice> {
        authors.iter().filter_map(|author| self.state.freezes().of(*author)).map(Frozen::notice).collect()
    }

    /// What is active, to be said again.
    fn active_notices(&self) -> Vec<FreezeNotice> {
        if mutant!(FreezesToldOnce) {
            return Vec::new();
        }
        self.active_freezes().map(Frozen::notice).collect()
    }

    /// A peer that appears may have missed a freeze.
    pub(super) fn tell_freezes_to(&mut self, peer: NodeId) {
        let notices = self.active_notices();
        if !notices.is_empty() {
            self.send(peer, Message::Freezes(FreezeNotices { answers: None, notices }));
        }
    }

    /// The part of the answer to a request for changes that must not be missed.
    pub(super) fn answer_with_freezes(&mut self, peer: NodeId, challenge: u64) {
        let notices = self.active_notices();
        self.send(peer, Message::Freezes(FreezeNotices { answers: Some(challenge), notices }));
    }

    pub(super) fn repeat_freezes(&mut self) {
        let notices = self.active_notices();
        if !notices.is_empty() {
            self.broadcast(Message::Freezes(FreezeNotices { answers: None, notices }));
            self.timers.set(Timer::Freezes, self.now.plus(TELL_AGAIN));
        }
    }

    fn on_freezes_changed(&mut self, was_frozen: bool, entropy: &mut dyn CryptoRngCore) {
        match (was_frozen, self.is_frozen()) {
            (false, true) => self.stop_signing(),
            (true, false) => {
                sometimes!(FreezeLifted);
                let detail = "every freeze is lifted: signing goes on".to_owned();
                self.effects.push(Effect::Alert(Alert::Freeze { node: self.config.me, detail }));
                self.timers.clear(Timer::Freezes);
            }
            (true, true) | (false, false) => return,
        }
        for txid in self.open_transactions() {
            self.attend(txid, entropy);
        }
    }

    fn stop_signing(&mut self) {
        sometimes!(
            FrozenAfterShare,
            self.state.open().any(|(_, tx)| tx.share_released && tx.finished.is_none())
        );
        sometimes!(
            FrozenAfterConsent,
            self.state.open().any(|(_, tx)| matches!(
                tx.state,
                crate::tx::State::ThresholdReached | crate::tx::State::Approved
            ))
        );
        sometimes!(FrozenDuringVote, self.state.open().any(|(_, tx)| tx.state == crate::tx::State::Voting));
        if self.signing_is_frozen() {
            self.drop_payment_sessions();
        }
        if let Some(refusal) = self.frozen() {
            self.refuse_waiting_clients(&refusal);
            self.refuse_coin_queue(&refusal);
        }
    }

    /// Why no payment can be begun, if a freeze is why: the one that this node has known longest.
    pub(super) fn frozen(&self) -> Option<Refusal> {
        let first = self.active_freezes().min_by_key(|frozen| frozen.learned)?;
        let Freeze { node, operator, reason, at, .. } = first.freeze.body.clone();
        Some(Refusal::Frozen { node, operator, reason, at, needed: self.config.cluster.threshold() })
    }

    pub(super) fn freeze_views(&self) -> Vec<FreezeView> {
        self.active_freezes()
            .map(|frozen| {
                let id: FreezeId = frozen.freeze.body.id();
                let Freeze { node, operator, reason, at, .. } = frozen.freeze.body.clone();
                FreezeView { id, node, operator, reason, at, lifted_by: frozen.lifted_by().collect() }
            })
            .collect()
    }
}
