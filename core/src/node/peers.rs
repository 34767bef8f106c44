//! Who is here, and who coordinates.
//!
//! A heartbeat says that its sender is alive and how it sees the world. The coordinator hands out coins and leads
//! signing: the member that a lease names, or else the lowest that is alive. Two at once cost a retry, never money.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    ids::{BootId, LogIndex, NodeId},
    message::{Heartbeat, Message},
    mutant, sometimes,
    step::{Alert, Effect},
    time::Timestamp,
};

/// What is known of the peers of this boot.
#[derive(Default)]
pub(super) struct Peers {
    seen: BTreeMap<NodeId, Peer>,
    lease: Option<NodeId>,
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
        let shown: Vec<(NodeId, LogIndex)> =
            self.config.cluster.members().map(|node| (node, self.state.cursor(node))).collect();
        for (node, position) in shown {
            self.peers.seen.entry(node).or_default().position = position;
        }
    }

    pub(super) fn on_peer_up(&mut self, peer: NodeId, entropy: &mut dyn CryptoRngCore) {
        let heartbeat = self.heartbeat();
        self.send(peer, Message::Heartbeat(heartbeat));
        self.ask_for_changes(peer);
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

    pub(super) fn on_lease(&mut self, holder: Option<NodeId>, entropy: &mut dyn CryptoRngCore) {
        self.peers.lease = holder;
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
        let (position, boot) = (heartbeat.position, heartbeat.boot);
        let peer = self.peers.seen.entry(from).or_default();
        let late = boot == peer.boot && position < peer.position;
        sometimes!(HeartbeatOfEarlierBoot, boot < peer.boot);
        if boot < peer.boot || late {
            // Overtaken by a newer one. A member that stays at an earlier boot was restored: it is not counted as here.
            if !late && !was_live {
                self.warn_once(
                    from,
                    "it speaks from an earlier boot than it has shown: restored from a backup?",
                );
            }
            return;
        }
        let rebooted = boot > peer.boot;
        let shorter = position < peer.position;
        peer.connected = true;
        peer.heard_at = Some(self.now);
        peer.boot = boot;
        peer.position = position;
        peer.last = Some(heartbeat);
        self.timers.set(Timer::PeerSilent(from), self.now.plus(self.config.timing.offline_after));
        if shorter {
            sometimes!(PeerShowsLess);
            self.effects.push(Effect::Alert(Alert::Configuration {
                node: from,
                detail: "its journal is shorter than it has been: it was restored from a backup".to_owned(),
            }));
            self.start_over_with(from);
        }
        if !was_live || rebooted {
            self.ask_for_changes(from);
            self.on_membership_change(entropy);
        }
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

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            cluster: self.config.cluster.id(),
            boot: self.boot,
            position: self.state.position(),
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
        for txid in self.open_transactions() {
            self.attend(txid, entropy);
        }
    }

    /// Whether a member is reachable now and not shut out.
    pub(super) fn is_live(&self, node: NodeId) -> bool {
        if node == self.config.me {
            return true;
        }
        !self.is_banned(node)
            && self.peers.seen.get(&node).is_some_and(|peer| {
                peer.connected
                    && peer.heard_at.is_some_and(|at| self.now.since(at) < self.config.timing.offline_after)
            })
    }

    /// Members reachable now, this node included.
    pub(super) fn live(&self) -> BTreeSet<NodeId> {
        self.config.cluster.members().filter(|node| self.is_live(*node)).collect()
    }

    pub(super) fn online(&self) -> u16 {
        u16::try_from(self.live().len()).unwrap_or(u16::MAX)
    }

    pub(super) fn has_quorum(&self) -> bool {
        self.online() >= self.config.cluster.threshold()
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
        match self.peers.lease {
            Some(holder) if self.is_live(holder) => holder,
            Some(_) | None => self.live().first().copied().unwrap_or(self.config.me),
        }
    }

    /// Whether this node coordinates and has listened long enough to know what its predecessor granted.
    pub(super) fn may_grant(&self) -> bool {
        self.peers
            .coordinating_since
            .is_some_and(|since| self.now.since(since) >= self.config.timing.coordinator_grace)
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
