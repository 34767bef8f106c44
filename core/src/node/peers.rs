//! Who is here, and who coordinates.
//!
//! A heartbeat says that its sender is alive and how it sees the world. The coordinator hands out coins and leads
//! signing: the member that a lease names, or else the lowest that is alive. Two at once cost a retry, never money.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    identity::Signed,
    ids::{BootId, LogIndex, NodeId},
    message::{Heartbeat, Mark, Message, Standing},
    mutant,
    record::Fact,
    sometimes,
    step::{Alert, Effect},
    time::Timestamp,
    vote::Violation,
};

/// What is known of the peers of this boot.
#[derive(Default)]
pub(super) struct Peers {
    seen: BTreeMap<NodeId, Peer>,
    /// Since when this node believes to coordinate.
    coordinating_since: Option<Timestamp>,
    /// Since when a quorum has been here without a break.
    quorum_since: Option<Timestamp>,
    /// Who was here, and who coordinated, when it was last looked at.
    last_view: (BTreeSet<NodeId>, Option<NodeId>),
}

/// One peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    connected: bool,
    heard_at: Option<Timestamp>,
    boot: BootId,
    pub(super) position: LogIndex,
    pub(super) last: Option<Heartbeat>,
    /// Whether it takes part; who has just started or recovers is heard, and counts for nothing yet.
    sound: bool,
    /// The highest mark it has shown.
    mark: Option<Signed<Mark>>,
    warned: bool,
}

impl Peer {
    pub(super) const fn heard_at(&self) -> Option<Timestamp> {
        self.heard_at
    }
}

impl Node {
    pub(super) fn start_peers(&mut self) {
        self.timers.set(Timer::Heartbeat, self.now);
        self.timers.set(Timer::CoordinatorGrace, self.now.plus(self.config.timing.coordinator_grace));
        self.peers.coordinating_since = Some(self.now);
        // What a peer had shown before this node restarted counts as shown.
        for node in self.config.cluster.members() {
            let peer = self.peers.seen.entry(node).or_default();
            peer.position = self.state.cursor(node);
            peer.mark = self.state.mark_of(node).cloned();
            peer.boot = peer.mark.as_ref().map(|mark| mark.body.place.boot).unwrap_or_default();
        }
    }

    pub(super) fn on_peer_up(&mut self, peer: NodeId, entropy: &mut dyn CryptoRngCore) {
        let heartbeat = self.heartbeat();
        self.send(peer, Message::Heartbeat(heartbeat));
        self.ask_for_changes(peer);
        self.tell_freezes_to(peer);
        let known = self.peers.seen.entry(peer).or_default();
        known.connected = true;
        self.on_membership_change(entropy);
    }

    pub(super) fn on_peer_down(&mut self, peer: NodeId, entropy: &mut dyn CryptoRngCore) {
        if let Some(known) = self.peers.seen.get_mut(&peer) {
            known.connected = false;
        }
        self.on_membership_change(entropy);
    }

    pub(super) fn on_heartbeat(
        &mut self,
        from: NodeId,
        heartbeat: Heartbeat,
        entropy: &mut dyn CryptoRngCore,
    ) {
        if heartbeat.cluster != self.config.cluster.id() {
            self.warn_once(from, "it belongs to another cluster: compare the manifests");
            return;
        }
        if heartbeat.policy != self.config.policy.version() {
            self.warn_once(from, "it judges by another policy: compare the policy sections");
        }
        let was_live = self.is_live(from);
        let sound = matches!(heartbeat.standing, Standing::Sound(_));
        let (position, boot) = (heartbeat.position, heartbeat.boot);
        let peer = self.peers.seen.entry(from).or_default();
        let late = boot == peer.boot && position < peer.position;
        sometimes!(HeartbeatOfEarlierBoot, boot < peer.boot);
        if boot < peer.boot || late {
            // Overtaken by a newer one; or the member was restored, and will hear so from this node.
            return;
        }
        let rebooted = boot > peer.boot;
        let first = peer.heard_at.is_none();
        // What it numbers now is another journal.
        let another = position < peer.position || boot.era() > peer.boot.era();
        peer.connected = true;
        peer.heard_at = Some(self.now);
        peer.boot = boot;
        peer.position = position;
        peer.sound = sound;
        peer.last = Some(heartbeat.clone());
        self.timers.set(Timer::PeerSilent(from), self.now.plus(self.config.timing.offline_after));
        if another {
            sometimes!(PeerShowsLess);
            self.effects.push(Effect::Alert(Alert::Configuration {
                node: from,
                detail: "its journal is not the one it was: it was restored from a backup".to_owned(),
            }));
            self.start_over_with(from);
        }
        if let Standing::Sound(mark) = heartbeat.standing {
            self.see_mark(from, mark, rebooted);
        }
        if rebooted && !first {
            self.forget_stock_of(from);
        }
        if (sound && !was_live) || rebooted {
            self.ask_for_changes(from);
            self.tell_stock_to(from);
        }
        if sound != was_live || rebooted {
            self.on_membership_change(entropy);
        }
    }

    /// Keeps the highest mark of a peer, durably with each of its boots.
    fn see_mark(&mut self, from: NodeId, mark: Signed<Mark>, rebooted: bool) {
        let peer = self.peers.seen.entry(from).or_default();
        let higher = peer.mark.as_ref().is_none_or(|known| known.body.place < mark.body.place);
        if higher && mark.body.node == from {
            peer.mark = Some(mark);
        }
        let durable = self.state.mark_of(from).map(|mark| mark.body.place.boot);
        if rebooted || durable != Some(self.boot_of(from)) {
            self.keep_mark(from);
        }
    }

    /// Makes durable what the peers have shown since it was last done.
    pub(super) fn keep_marks(&mut self) {
        for node in self.config.cluster.members().collect::<Vec<_>>() {
            self.keep_mark(node);
        }
    }

    fn keep_mark(&mut self, node: NodeId) {
        let Some(mark) = self.peers.seen.get(&node).and_then(|peer| peer.mark.clone()) else { return };
        if self.state.mark_of(node).is_some_and(|known| mark.body.place <= known.body.place) {
            return;
        }
        if self.config.cluster.key(node).is_some_and(|key| mark.verify(key)) {
            self.record(Fact::Shown(mark));
        } else {
            self.peers.seen.entry(node).or_default().mark = self.state.mark_of(node).cloned();
            self.strike(node, Violation::InvalidSignature, None, "a mark of its own that it did not sign");
        }
    }

    /// The highest mark this node holds of a peer, to be shown when it asks.
    pub(super) fn highest_mark(&self, node: NodeId) -> Option<Signed<Mark>> {
        self.peers.seen.get(&node).and_then(|peer| peer.mark.clone())
    }

    pub(super) fn on_other_version(&mut self, from: NodeId, version: u8) {
        let detail = format!("it speaks version {version} of the encoding: upgrade the older of the two");
        self.warn_once(from, &detail);
    }

    fn warn_once(&mut self, node: NodeId, detail: &str) {
        let peer = self.peers.seen.entry(node).or_default();
        if !peer.warned {
            peer.warned = true;
            self.effects.push(Effect::Alert(Alert::Configuration { node, detail: detail.to_owned() }));
        }
    }

    fn heartbeat(&mut self) -> Heartbeat {
        let standing = self.said_of_itself();
        Heartbeat {
            cluster: self.config.cluster.id(),
            boot: self.boot,
            position: self.state.position(),
            standing,
            at: self.now,
            tip_height: self.settling.tip_height(),
            policy: self.config.policy.version(),
            version: if mutant!(SecretInHeartbeat) {
                mutant::told_aloud(self.shares.values().next().map(AsRef::as_ref))
            } else {
                env!("CARGO_PKG_VERSION").to_owned()
            },
        }
    }

    pub(super) fn send_heartbeat(&mut self) {
        let heartbeat = self.heartbeat();
        self.broadcast(Message::Heartbeat(heartbeat));
        self.timers.set(Timer::Heartbeat, self.now.plus(self.config.timing.heartbeat));
    }

    /// Somebody came, went, or changed roles: waiting transactions may move, or must say that they wait.
    pub(super) fn on_membership_change(&mut self, entropy: &mut dyn CryptoRngCore) {
        let view = (self.live(), Some(self.coordinator()));
        if view == self.peers.last_view {
            return;
        }
        self.peers.last_view = view;
        match (self.has_quorum(), self.peers.quorum_since) {
            (true, None) => self.peers.quorum_since = Some(self.now),
            (false, Some(_)) => self.peers.quorum_since = None,
            (true, Some(_)) | (false, None) => {}
        }
        match (self.coordinator() == self.config.me, self.peers.coordinating_since) {
            (true, None) => {
                self.peers.coordinating_since = Some(self.now);
                self.timers.set(Timer::CoordinatorGrace, self.now.plus(self.config.timing.coordinator_grace));
            }
            (false, Some(_)) => {
                self.peers.coordinating_since = None;
                self.resign_as_coordinator();
            }
            (true, Some(_)) | (false, None) => {}
        }
        self.ask_coordinator_again();
        self.timers.set_by(Timer::CoinQueue, self.now);
        self.timers.set_by(Timer::Presigning, self.now);
        for txid in self.open_transactions() {
            self.attend(txid, entropy);
        }
    }

    /// Whether a member is reachable now, not shut out, and takes part.
    pub(super) fn is_live(&self, node: NodeId) -> bool {
        if node == self.config.me {
            return self.is_sound();
        }
        self.is_heard(node) && self.peers.seen.get(&node).is_some_and(|peer| peer.sound)
    }

    /// Whether a peer is reachable now and not shut out.
    pub(super) fn is_heard(&self, node: NodeId) -> bool {
        !self.is_banned(node)
            && self.peers.seen.get(&node).is_some_and(|peer| {
                peer.connected
                    && peer.heard_at.is_some_and(|at| self.now.since(at) < self.config.timing.offline_after)
            })
    }

    /// Peers that can be asked something: connected, as far as is known, and not shut out.
    pub(super) fn reachable(&self) -> Vec<NodeId> {
        let connected = |node: &NodeId| self.peers.seen.get(node).is_some_and(|peer| peer.connected);
        self.config.cluster.members().filter(|node| connected(node) && !self.is_banned(*node)).collect()
    }

    /// Members that take part now.
    pub(super) fn live(&self) -> BTreeSet<NodeId> {
        self.config.cluster.members().filter(|node| self.is_live(*node)).collect()
    }

    /// How many take part now, this node included even while it is confirmed.
    pub(super) fn online(&self) -> u16 {
        let peers = self.live().into_iter().filter(|node| *node != self.config.me).count();
        u16::try_from(peers).unwrap_or(u16::MAX).saturating_add(1)
    }

    pub(super) fn has_quorum(&self) -> bool {
        self.is_sound() && self.online() >= self.config.cluster.threshold()
    }

    /// More than half of the members, so that at most one side of a partition goes on handing out coins.
    pub(super) fn has_majority(&self) -> bool {
        self.online() > self.config.cluster.total() / 2
    }

    pub(super) const fn quorum_since(&self) -> Option<Timestamp> {
        self.peers.quorum_since
    }

    /// The lease's holder while it is alive, else the lowest live member.
    pub(super) fn coordinator(&self) -> NodeId {
        match self.lease_in_force() {
            Some(lease) => lease.holder,
            None => self.live().first().copied().unwrap_or(self.config.me),
        }
    }

    /// Whether this node coordinates and has listened long enough to know what its predecessor granted.
    pub(super) fn may_grant(&self) -> bool {
        self.peers
            .coordinating_since
            .is_some_and(|since| self.now.since(since) >= self.config.timing.coordinator_grace)
            && self.is_sound()
    }

    /// The boot a member was last heard in.
    pub(super) fn boot_of(&self, node: NodeId) -> BootId {
        if node == self.config.me {
            return self.boot;
        }
        self.peers.seen.get(&node).map(|peer| peer.boot).unwrap_or_default()
    }

    pub(super) fn peer(&self, node: NodeId) -> Option<&Peer> {
        self.peers.seen.get(&node)
    }

    pub(super) fn is_banned(&self, node: NodeId) -> bool {
        self.state.is_banned(node, self.now)
    }
}
