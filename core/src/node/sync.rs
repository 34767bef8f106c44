//! Catching up. Two ways, both made of [`Bundle`]s whose every part proves itself:
//!
//! - *Since*: each journal numbers its changes, so a peer asks for everything after the last position it saw. Done
//!   when a peer appears, and now and then for repair.
//! - *Push*: a transaction that has not moved for a while is told to everybody as a whole; whoever knows more answers
//!   with his own bundle.

use std::collections::BTreeMap;

use bitcoin::Txid;
use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    codec,
    ids::{LogIndex, NodeId},
    message::{Bundle, Message, PAGE_BUNDLES, PAGE_BYTES, SyncPage},
    record::Fact,
    sometimes,
    time::{Millis, Timestamp},
    tx,
};

/// Between two looks at whether a peer knows something new that was lost on the way.
pub(super) const REPAIR_INTERVAL: Millis = Millis(5_000);

/// Longest pause between two pushes of one stalled transaction.
const LONGEST_PUSH_PAUSE: Millis = Millis(10_000);

/// The same while it waits for people, which may take days.
const LONGEST_PUSH_PAUSE_OF_PEOPLE: Millis = Millis(60_000);

/// Volatile state of catching up.
#[derive(Default)]
pub(super) struct Sync {
    /// How often a stalled transaction was told, and when it may be told again.
    pushes: BTreeMap<Txid, (u32, Timestamp)>,
    /// Positions of peers seen in this boot; only those that brought something are made durable.
    seen: BTreeMap<NodeId, LogIndex>,
}

impl Sync {
    pub(super) fn forget(&mut self, txid: Txid) {
        self.pushes.remove(&txid);
    }
}

impl Node {
    pub(super) fn ask_for_changes(&mut self, peer: NodeId) {
        let since = self.seen_of(peer);
        let challenge = self.challenge();
        self.asked(peer);
        self.send(peer, Message::SyncRequest { since, challenge });
    }

    fn seen_of(&self, peer: NodeId) -> LogIndex {
        let seen = self.sync.seen.get(&peer).copied().unwrap_or_default();
        seen.max(self.state.cursor(peer))
    }

    /// The peer's journal is not what it was: everything is asked for again.
    pub(super) fn start_over_with(&mut self, peer: NodeId) {
        self.sync.seen.remove(&peer);
        if self.state.cursor(peer) > LogIndex(0) {
            self.record(Fact::Synced { peer, position: LogIndex(0) });
        }
    }

    /// Nothing is known of any peer's journal any more.
    pub(super) fn forget_peers_journals(&mut self) {
        self.sync.seen.clear();
    }

    pub(super) fn repair(&mut self) {
        self.keep_marks();
        let behind: Vec<NodeId> = self
            .live()
            .into_iter()
            .filter(|node| self.peer(*node).is_some_and(|peer| peer.position > self.seen_of(*node)))
            .collect();
        for peer in behind {
            self.ask_for_changes(peer);
        }
        self.timers.set(Timer::Sync, self.now.plus(REPAIR_INTERVAL));
    }

    pub(super) fn on_sync_request(&mut self, from: NodeId, since: LogIndex, challenge: u64) {
        let mut bundles = Vec::new();
        let mut bytes = 0_usize;
        let mut next = self.state.position();
        let mut more = false;
        for (index, tx) in self.state.changed_since(since) {
            if bundles.len() == PAGE_BUNDLES || bytes >= PAGE_BYTES {
                more = true;
                break;
            }
            next = index;
            let bundle = tx.bundle();
            bytes = bytes.saturating_add(codec::encode(&bundle).map_or(0, |encoded| encoded.len()));
            bundles.push(bundle);
        }
        if !more {
            next = self.state.position();
        }
        let page = SyncPage {
            bundles,
            evidence: if more { Vec::new() } else { self.state.evidence().cloned().collect() },
            keys: self.state.keys().map(|(_, proof)| proof.clone()).collect(),
            next,
            more,
            challenge,
            shown: self.highest_mark(from),
        };
        self.answer_with_freezes(from, challenge);
        self.send(from, Message::SyncPage(page));
    }

    pub(super) fn on_sync_page(&mut self, from: NodeId, page: SyncPage, entropy: &mut dyn CryptoRngCore) {
        // An answer to an earlier boot's question may leave out what this boot does not know.
        if page.challenge != self.challenge() {
            return;
        }
        if let Some(mark) = &page.shown {
            self.on_own_mark(from, mark);
        }
        for proof in &page.keys {
            self.on_key_proof(proof);
        }
        for evidence in page.evidence {
            self.on_accusation(from, evidence);
        }
        let news = !page.bundles.is_empty();
        for bundle in page.bundles {
            if self.is_banned(from) {
                return;
            }
            self.merge(from, bundle, entropy);
        }
        // What came with this page has shown this node that it is behind: everything is asked for again.
        if page.challenge != self.challenge() {
            return;
        }
        if page.next > self.seen_of(from) {
            self.sync.seen.insert(from, page.next);
            if news {
                self.record(Fact::Synced { peer: from, position: page.next });
            }
            if page.more {
                self.ask_for_changes(from);
            }
        }
        if !page.more {
            self.on_all_told(from, entropy);
        }
    }

    pub(super) fn on_bundle(&mut self, from: NodeId, bundle: Bundle, entropy: &mut dyn CryptoRngCore) {
        let (txid, digest) = (bundle.proposal.body.txid(), bundle.proposal.body.digest());
        let theirs = knowledge(&bundle);
        sometimes!(
            TalliesDiverge,
            self.state
                .transaction(txid)
                .map(|tx| knowledge(&tx.bundle()))
                .is_some_and(|mine| { mine.knows_more_than(&theirs) && theirs.knows_more_than(&mine) })
        );
        self.merge(from, bundle, entropy);
        if let Some(tx) = self.state.transaction(txid) {
            let mine = tx.bundle();
            // Votes on another proposal of the same transaction mean nothing to the peer, and would come back for ever.
            let useful = tx.digest == digest || (mine.finished.is_some() && !theirs.finished);
            if useful && knowledge(&mine).knows_more_than(&theirs) {
                self.send(from, Message::Bundle(Box::new(mine)));
            }
        }
    }

    fn merge(&mut self, from: NodeId, bundle: Bundle, entropy: &mut dyn CryptoRngCore) {
        let txid = bundle.proposal.body.txid();
        self.adopt(from, bundle.proposal);
        for vote in bundle.votes {
            self.count_vote(from, vote);
        }
        for promise in bundle.promises {
            self.count_promise(from, promise);
        }
        for decision in bundle.decisions {
            self.on_operator_decision(from, decision, entropy);
        }
        if let Some(finished) = bundle.finished {
            self.on_finished(finished, entropy);
        }
        self.attend(txid, entropy);
    }

    pub(super) fn on_transaction_timer(&mut self, txid: Txid, entropy: &mut dyn CryptoRngCore) {
        self.attend(txid, entropy);
        let stalled = self
            .state
            .transaction(txid)
            .filter(|tx| tx.state.is_unsigned())
            .map(|tx| (tx.bundle(), self.now.since(tx.since) >= self.config.timing.stalled));
        match stalled {
            Some((bundle, true)) => {
                let longest = self.longest_push_pause(txid);
                let (times, due) = self.sync.pushes.get(&txid).copied().unwrap_or_default();
                if self.now >= due {
                    self.broadcast(Message::Bundle(Box::new(bundle)));
                    let pause = self.config.timing.stalled.0.saturating_mul(1 << times.min(6));
                    let pause = Millis(pause.min(longest.0));
                    self.sync.pushes.insert(txid, (times.saturating_add(1), self.now.plus(pause)));
                }
                self.watch(txid);
            }
            Some((_, false)) => self.watch(txid),
            None => {}
        }
    }

    fn longest_push_pause(&self, txid: Txid) -> Millis {
        if self.state.transaction(txid).is_some_and(|tx| self.awaits_people(tx)) {
            LONGEST_PUSH_PAUSE_OF_PEOPLE
        } else {
            LONGEST_PUSH_PAUSE
        }
    }

    /// Has the transaction looked at again soon, and told to peers if it has not moved by then.
    pub(super) fn watch(&mut self, txid: Txid) {
        if self.state.transaction(txid).is_some_and(|tx| tx.state != tx::State::Broadcasting) {
            self.timers.set_by(Timer::Transaction(txid), self.now.plus(self.config.timing.stalled));
        }
    }
}

/// How much a bundle says, in a form that compares.
struct Knowledge {
    votes: Vec<NodeId>,
    promises: Vec<NodeId>,
    decisions: Vec<NodeId>,
    finished: bool,
}

impl Knowledge {
    fn knows_more_than(&self, other: &Self) -> bool {
        (self.finished && !other.finished)
            || self.votes.iter().any(|node| !other.votes.contains(node))
            || self.promises.iter().any(|node| !other.promises.contains(node))
            || self.decisions.iter().any(|node| !other.decisions.contains(node))
    }
}

fn knowledge(bundle: &Bundle) -> Knowledge {
    Knowledge {
        votes: bundle.votes.iter().map(|vote| vote.body.voter).collect(),
        promises: bundle.promises.iter().map(|promise| promise.body.node).collect(),
        decisions: bundle.decisions.iter().map(|decision| decision.body.node).collect(),
        finished: bundle.finished.is_some(),
    }
}
