//! Whether this node may speak (I7): a node whose journal was replaced by an older one must know it.
//!
//! Its journal is a node's word: what it voted, promised and signed. Put an old one in its place, and an honest node
//! votes twice, promises what it has broken already, and is banned for it. So a node that starts says nothing that
//! binds it (no vote, promise, share, proposal, grant, ceremony) until its peers have told what they saw of it.
//!
//! **What peers keep.** Every heartbeat of a node that takes part carries a [`Mark`]: boot and number of deeds (own
//! proposals, votes, promises, shares), signed. It goes out in the very step of a deed. Peers keep the highest, on disk
//! with each new boot and every few seconds while it grows, beside the votes and promises themselves.
//!
//! **The question.** Each request for changes carries a number drawn in this boot, and each page of the answer repeats
//! it and the highest mark; so an answer is younger than the boot. A peer has told everything when its last page is
//! here, and what it knows to be frozen: then this node has seen each of its own votes and promises that this peer came to know since they last spoke.
//! It is behind if somebody shows a mark above its journal's, or a vote, promise or proposal signed by itself that it
//! does not know. Its own signature proves either, so a liar cannot send a node into quarantine, for a moment or for
//! ever: a forged mark is a strike against the liar, and a huge number in it means nothing.
//!
//! **How many.** `t − 1` peers, so that `n − t` dead ones stop nothing, and nothing could be signed with fewer anyway.
//! Whatever the node said was heard by all but `n − t` of its peers when the cluster worked, and by all who are heard
//! now but another `n − t`: at least `2t − n − 1 ≥ f` peers are in both, and one who is honest is enough. With five and
//! four that is two, of which one may lie. Where all were there it is every one of them. Answers beyond `t − 1` are not
//! waited for, but heeded whenever they come. If even so a statement stays unknown, its author is one faulty member, and
//! `f` of those break nothing but its own reputation. Peers in quarantine answer too: else a cluster that was restored
//! as a whole would wait for ever.
//!
//! **Quarantine** is a record. Sessions with their nonces, ceremonies, grants and waiting clients are dropped; all peers
//! are asked for everything from the beginning; own votes and promises in their bundles, which prove themselves, go
//! back into the journal and commit coins as they did. The node rejoins when all peers have told everything, or `t − 1`
//! have and [`PATIENCE`] is over, so nobody can hold it by talking slowly. It rejoins in a new era of boots, above all
//! that anybody can have seen: no session name and no place in one is ever used twice (I4), and peers read its journal
//! from the beginning.
//!
//! **Doubt.** What cannot be recovered cannot be ruled out. On a transaction proposed before it rejoined the node only
//! repeats itself: it never votes, and never promises, as if a share had left, unless its refusal or promise was
//! recovered (I5, I6). It signs what it is known to have approved. Coins of such a transaction count as committed
//! until it ends (I2). Others end it, as they do when a node is dead.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    identity::Signed,
    ids::{BootId, NodeId},
    message::{Mark, Place, Standing as Said},
    mutant,
    overview::StandingView,
    record::Fact,
    refusal::Refusal,
    step::{Alert, Effect},
    time::{Millis, Timestamp},
    vote::Violation,
};

/// Between two questions to a peer that does not answer: longer than an answer takes, shorter than anyone notices.
const ASK_AGAIN: Millis = Millis(500);

/// How long a recovering node waits for the last of its peers once enough have told everything.
const PATIENCE: Millis = Millis(5_000);

/// Volatile state of standing.
#[derive(Default)]
pub(super) struct Standing {
    challenge: u64,
    /// When this node began to ask.
    since: Timestamp,
    asked: BTreeMap<NodeId, Timestamp>,
    /// Peers whose last page has come in answer to this challenge.
    paged: BTreeSet<NodeId>,
    /// Peers that have told in answer to it what is frozen.
    told_freezes: BTreeSet<NodeId>,
    /// The highest boot of this node that a valid mark has shown since it started.
    highest: BootId,
    mark: Option<Signed<Mark>>,
}

impl Standing {
    /// Whether a peer has told everything in answer to this challenge.
    fn has_told(&self, peer: NodeId) -> bool {
        self.paged.contains(&peer) && self.told_freezes.contains(&peer)
    }

    /// How many have.
    fn told(&self) -> usize {
        self.paged.intersection(&self.told_freezes).count()
    }
}

/// What is known of what the peers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inquiry {
    /// Whether something was shown that the journal does not hold.
    quarantined: bool,
    /// Peers that have told everything.
    told: usize,
    /// Peers that can be asked: members that are not shut out.
    peers: usize,
    /// t − 1
    needed: usize,
    /// Whether a recovering node has waited long enough for the last ones.
    patient: bool,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ruling {
    /// Say nothing that binds.
    Wait,
    /// Nothing was forgotten: take part.
    Speak,
    /// What can be recovered is recovered: take part in a new era.
    Rejoin,
}

impl Inquiry {
    const fn rule(self) -> Ruling {
        if self.told < self.needed {
            Ruling::Wait
        } else if !self.quarantined {
            Ruling::Speak
        } else if self.told >= self.peers || self.patient {
            Ruling::Rejoin
        } else {
            Ruling::Wait
        }
    }
}

impl Node {
    pub(super) fn start_standing(&mut self, entropy: &mut dyn CryptoRngCore) {
        self.standing.challenge = entropy.next_u64();
        self.standing.since = self.now;
        self.timers.set(Timer::Standing, self.now.plus(ASK_AGAIN));
    }

    /// Whether this node takes part.
    pub(super) const fn is_sound(&self) -> bool {
        self.started.is_some() && self.state.past().speaks()
    }

    /// Whether this node knows for certain what it has said about a transaction, and may say more.
    pub(super) fn may_commit(&self, txid: bitcoin::Txid) -> bool {
        self.is_sound()
            && self.state.transaction(txid).is_some_and(|tx| !self.state.is_doubtful(self.config.me, tx))
    }

    /// Goes with every question, and tells which page is an answer to it.
    pub(super) const fn challenge(&self) -> u64 {
        self.standing.challenge
    }

    pub(super) fn asked(&mut self, peer: NodeId) {
        self.standing.asked.insert(peer, self.now);
    }

    /// What this node says of itself in its heartbeats.
    pub(super) fn said_of_itself(&mut self) -> Said {
        let past = self.state.past();
        if past.quarantine().is_some() {
            return Said::Quarantined;
        }
        if !past.speaks() {
            return Said::Confirming;
        }
        let mark = Mark { cluster: self.config.cluster.id(), node: self.config.me, place: past.shown() };
        match &self.standing.mark {
            Some(signed) if signed.body == mark => Said::Sound(signed.clone()),
            Some(_) | None => {
                let signed = Signed::new(mark, &self.identity);
                self.standing.mark = Some(signed.clone());
                Said::Sound(signed)
            }
        }
    }

    /// A peer shows the highest mark that it holds of this node.
    pub(super) fn on_own_mark(&mut self, from: NodeId, mark: &Signed<Mark>) {
        let Place { boot, .. } = mark.body.place;
        let known = mark.body.place <= self.state.past().shown();
        let recovering = self.state.past().quarantine().is_some() && boot <= self.standing.highest;
        if known || recovering {
            return;
        }
        let mine = mark.body.node == self.config.me
            && mark.body.cluster == self.config.cluster.id()
            && mark.verify(&self.identity.public());
        if !mine {
            let detail = "a mark of this node that it did not sign";
            self.strike(from, Violation::InvalidSignature, None, detail);
            return;
        }
        self.standing.highest = self.standing.highest.max(boot);
        self.fall_behind(&format!(
            "{from} has seen it in boot {} with {} deeds",
            boot.0, mark.body.place.deeds
        ));
    }

    /// A statement under this node's own signature that its journal does not hold, and that it has no reason to doubt.
    pub(super) fn on_forgotten(&mut self, what: &str) {
        self.fall_behind(&format!("it does not remember its own {what}"));
    }

    fn fall_behind(&mut self, detail: &str) {
        if self.state.past().quarantine().is_some() {
            return;
        }
        let shown = self.state.past().boot().max(self.standing.highest);
        self.record(Fact::Quarantined { shown });
        self.alert_standing(format!(
            "its journal is older than what it has shown ({detail}): restored from a backup? It recovers from its peers \
             and takes no part until then"
        ));
        // Pages under way answer another question.
        self.standing.challenge = self.standing.challenge.wrapping_add(1);
        self.standing.since = self.now;
        self.standing.paged.clear();
        self.standing.told_freezes.clear();
        self.standing.asked.clear();
        self.forget_peers_journals();
        self.drop_all_sessions();
        self.drop_presignatures("this node's journal is behind what it has shown");
        self.fail_keygen("this node's journal is behind");
        self.refuse_waiting_clients(&Refusal::Quarantined);
        self.resign_as_coordinator();
        self.timers.set(Timer::Standing, self.now);
        self.timers.set(Timer::Heartbeat, self.now);
    }

    fn alert_standing(&mut self, detail: String) {
        self.effects.push(Effect::Alert(Alert::Configuration { node: self.config.me, detail }));
    }

    /// A peer's last page is here.
    pub(super) fn on_all_told(&mut self, from: NodeId, entropy: &mut dyn CryptoRngCore) {
        if !self.is_sound() {
            self.standing.paged.insert(from);
            self.review_standing(entropy);
        }
    }

    /// What a peer knows to be frozen is here.
    pub(super) fn on_freezes_told(&mut self, from: NodeId, entropy: &mut dyn CryptoRngCore) {
        if !self.is_sound() {
            self.standing.told_freezes.insert(from);
            self.review_standing(entropy);
        }
    }

    /// Asks those who have not answered, and looks whether those who have are enough.
    pub(super) fn on_standing_timer(&mut self, entropy: &mut dyn CryptoRngCore) {
        if self.is_sound() {
            return;
        }
        let due: Vec<NodeId> = self
            .reachable()
            .into_iter()
            .filter(|peer| {
                let waiting = self.standing.asked.get(peer).is_some_and(|at| self.now.since(*at) < ASK_AGAIN);
                *peer != self.config.me && !waiting && !self.standing.has_told(*peer)
            })
            .collect();
        for peer in due {
            self.ask_for_changes(peer);
        }
        self.timers.set(Timer::Standing, self.now.plus(ASK_AGAIN));
        self.on_membership_change(entropy);
        self.review_standing(entropy);
    }

    fn inquiry(&self) -> Inquiry {
        let peers = self.config.cluster.members().filter(|node| *node != self.config.me);
        let quorum = if mutant!(SpeaksUnasked) { 1 } else { usize::from(self.config.cluster.threshold()) };
        Inquiry {
            quarantined: self.state.past().quarantine().is_some(),
            told: self.standing.told(),
            peers: peers.filter(|node| !self.is_banned(*node)).count(),
            needed: quorum.saturating_sub(1),
            patient: self.now.since(self.standing.since) >= PATIENCE,
        }
    }

    fn review_standing(&mut self, entropy: &mut dyn CryptoRngCore) {
        match self.inquiry().rule() {
            Ruling::Wait => return,
            Ruling::Speak => {
                self.record(Fact::Confirmed);
                self.release_kept();
            }
            Ruling::Rejoin => {
                let past = self.state.past();
                let shown = past.boot().max(self.standing.highest).max(past.quarantine().unwrap_or_default());
                self.boot = shown.next_era();
                self.record(Fact::Rejoined { boot: self.boot });
                let doubtful = self.state.open().filter(|(_, tx)| self.state.is_doubtful(self.config.me, tx));
                let detail = format!(
                    "it has recovered from {} peers and takes part again, in era {}; on {} open transactions it can \
                     only repeat itself",
                    self.standing.told(),
                    self.boot.era(),
                    doubtful.count()
                );
                self.alert_standing(detail);
            }
        }
        self.timers.clear(Timer::Standing);
        self.timers.set(Timer::Heartbeat, self.now);
        self.on_membership_change(entropy);
    }

    /// Why nothing new can be begun here now, if so.
    pub(super) fn unsound(&self) -> Option<Refusal> {
        let Inquiry { quarantined, told, needed, .. } = self.inquiry();
        let number = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        match (self.is_sound(), quarantined) {
            (true, _) => None,
            (false, true) => Some(Refusal::Quarantined),
            (false, false) => Some(Refusal::Confirming { told: number(told), needed: number(needed) }),
        }
    }

    pub(super) fn standing_view(&self) -> StandingView {
        let Inquiry { quarantined, told, needed, .. } = self.inquiry();
        match (self.is_sound(), quarantined) {
            (true, _) => StandingView::Sound,
            (false, true) => StandingView::Quarantined { told, needed },
            (false, false) => StandingView::Confirming { told, needed },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOUND: Inquiry = Inquiry { quarantined: false, told: 0, peers: 4, needed: 3, patient: false };
    const BEHIND: Inquiry = Inquiry { quarantined: true, ..SOUND };

    #[test]
    fn four_of_five_speak_and_rejoin_exactly_when_the_table_says() {
        let told = |inquiry: Inquiry, told| Inquiry { told, ..inquiry };
        let patient = |inquiry: Inquiry| Inquiry { patient: true, ..inquiry };
        for (desc, inquiry, ruling) in [
            ("nobody has answered", SOUND, Ruling::Wait),
            ("two dead and two answers", told(SOUND, 2), Ruling::Wait),
            ("time alone confirms nothing", patient(told(SOUND, 2)), Ruling::Wait),
            ("one dead", told(SOUND, 3), Ruling::Speak),
            ("all answered", told(SOUND, 4), Ruling::Speak),
            ("behind, and the last peer may still come", told(BEHIND, 3), Ruling::Wait),
            ("behind, and it does not come", patient(told(BEHIND, 3)), Ruling::Rejoin),
            ("behind, and all have told everything", told(BEHIND, 4), Ruling::Rejoin),
            ("behind, and too few", patient(told(BEHIND, 2)), Ruling::Wait),
        ] {
            assert_eq!(inquiry.rule(), ruling, "{desc}");
        }
    }

    #[test]
    fn with_one_peer_shut_out_the_others_are_all_there_are() {
        assert_eq!(Inquiry { peers: 3, told: 3, ..BEHIND }.rule(), Ruling::Rejoin);
        assert_eq!(Inquiry { peers: 3, told: 3, ..SOUND }.rule(), Ruling::Speak);
        assert_eq!(Inquiry { peers: 2, told: 2, ..BEHIND }.rule(), Ruling::Wait, "t is t");
    }

    #[test]
    fn a_new_era_is_above_every_boot_of_the_last() {
        for boot in [0, 1, 6, 7_000_000, u64::from(u32::MAX)] {
            let next = BootId(boot).next_era();
            assert_eq!((BootId(boot).era(), next.era()), (0, 1), "{boot}");
            assert!(next > BootId(boot + 4_000) || boot + 4_000 > u64::from(u32::MAX), "{boot}");
            assert!(next > BootId(boot) && next.next().era() == 1, "{boot}");
        }
    }

    proptest! {
        #[test]
        fn more_answers_never_take_the_word_away(
            quarantined: bool, patient: bool, told in 0_usize..8, peers in 1_usize..8, needed in 1_usize..8
        ) {
            let inquiry = Inquiry { quarantined, told, peers, needed, patient };
            let more = Inquiry { told: told + 1, ..inquiry };
            let later = Inquiry { patient: true, ..inquiry };
            if inquiry.rule() != Ruling::Wait {
                prop_assert_eq!(more.rule(), inquiry.rule());
                prop_assert_eq!(later.rule(), inquiry.rule());
            }
        }

        #[test]
        fn nobody_speaks_on_fewer_answers_than_a_quorum_needs_and_the_quarantined_only_rejoin(
            quarantined: bool, patient: bool, told in 0_usize..8, peers in 1_usize..8, needed in 1_usize..8
        ) {
            let ruling = Inquiry { quarantined, told, peers, needed, patient }.rule();
            prop_assert!(told >= needed || ruling == Ruling::Wait);
            let never = if quarantined { Ruling::Speak } else { Ruling::Rejoin };
            prop_assert_ne!(ruling, never);
        }
    }
}
