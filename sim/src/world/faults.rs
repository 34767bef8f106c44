//! What goes wrong: crashes, restarts, cuts; and how nodes notice.

use mpc_wallet_core::{NodeId, step::Input};

use super::{CALM_NETWORK, ClientState, Crash, CrashPoint, Event, Host, Outcome, PAUSE, Phase, World};
use crate::oracle::Observed;

/// How long it takes to notice that a connection broke: from a reset to the end of an idle timeout.
const NOTICE_LOSS: u64 = 2_000;

/// How long it takes to connect.
const NOTICE_CONNECT: u64 = 300;

impl World {
    pub(super) fn crash_is_due(&mut self, crash: Crash) -> Outcome {
        if self.phase != Phase::Trouble {
            return Ok(());
        }
        let node = NodeId::new(crash.node);
        if crash.when == CrashPoint::Now {
            return self.crash(node, crash.down_for, "now");
        }
        if let Some(host) = self.hosts.get_mut(&node) {
            host.armed.push(crash);
        }
        Ok(())
    }

    /// The machine loses power; it is switched on again after `down_for` milliseconds.
    pub(super) fn crash(&mut self, node: NodeId, down_for: u64, moment: &str) -> Outcome {
        let Some(host) = self.hosts.get_mut(&node) else { return Ok(()) };
        if host.live.is_none() {
            return Ok(());
        }
        // A step that never reached the disk is in the node and not in the journal: no comparison then.
        let digests = if moment == "before append" { None } else { host.digests()? };
        host.live = None;
        // The node says again whom it shuts out when it is back.
        self.bans.retain(|(by, _)| *by != node);
        let kept = host.disk.crash();
        self.tally.crashes += 1;
        self.note(node, format_args!("crash {moment}, {kept} floating records survive"));
        if let Some((node_digest, journal_digest)) = digests {
            let moment = "at its crash";
            self.observe(&Observed::Compared { node, moment, node_digest, journal_digest })?;
        }
        self.show_durable(node)?;
        self.notice_soon(node, NOTICE_LOSS);
        self.queue.after(down_for.max(1), Event::Restart(node));
        let lost: Vec<usize> = self
            .clients
            .iter()
            .enumerate()
            .filter(|(_, client)| matches!(client.state, ClientState::Asked { node: at, .. } if at == node))
            .map(|(index, _)| index)
            .collect();
        for index in lost {
            if self.clients.get_mut(index).is_some_and(super::Client::lose_answer) {
                self.queue.after(PAUSE, Event::Submit { client: index });
            }
        }
        Ok(())
    }

    pub(super) fn restart(&mut self, node: NodeId) -> Outcome {
        let Some(host) = self.hosts.get_mut(&node) else { return Ok(()) };
        if host.live.is_some() {
            return Ok(());
        }
        let boot = host.boot()?.boot;
        let digests = host.digests()?;
        self.note(node, format_args!("boot {boot}"));
        if let Some((node_digest, journal_digest)) = digests {
            let moment = "after its restart";
            self.observe(&Observed::Compared { node, moment, node_digest, journal_digest })?;
        }
        self.notice_soon(node, NOTICE_CONNECT);
        self.input(node, Input::Tick)
    }

    pub(super) fn cut(&mut self, number: usize) {
        let Some(partition) = self.plan.partitions.get(number) else { return };
        if self.phase != Phase::Trouble {
            return;
        }
        let group = partition.group.iter().map(|node| NodeId::new(*node)).collect();
        self.note_world(format_args!("cut {number} {group:?}"));
        self.network.cut(number, group);
        self.notice_all(NOTICE_LOSS);
    }

    pub(super) fn mend(&mut self, number: usize) {
        self.note_world(format_args!("mend {number}"));
        self.network.mend(number);
        self.notice_all(NOTICE_CONNECT);
    }

    /// Faults end: links are good, nobody dies any more, and who is down comes back.
    pub(super) fn heal(&mut self) -> Outcome {
        self.note_world(format_args!("heal"));
        self.phase = Phase::Recovery;
        self.network.set_profile(CALM_NETWORK);
        self.network.mend_all();
        for host in self.hosts.values_mut() {
            host.armed.clear();
        }
        for node in self.nodes() {
            self.restart(node)?;
        }
        self.notice_all(NOTICE_CONNECT);
        self.queue.after(super::finish::BETWEEN_LOOKS, Event::Judge);
        Ok(())
    }

    /// Whether words of one node get to another: no cut lies between them, and neither refuses the other.
    pub(super) fn reaches(&self, from: NodeId, to: NodeId) -> bool {
        self.network.connects(from, to)
            && !self.bans.contains(&(from, to))
            && !self.bans.contains(&(to, from))
    }

    /// A host closes its connections with a member and takes no more.
    pub(super) fn shut_out(&mut self, by: NodeId, member: NodeId) {
        if self.bans.insert((by, member)) {
            self.notice_soon(member, NOTICE_CONNECT);
        }
    }

    fn notice_all(&mut self, within: u64) {
        for node in self.nodes() {
            self.notice_soon(node, within);
        }
    }

    /// Within so many milliseconds, both ends of every link of a node look whether it is up.
    pub(super) fn notice_soon(&mut self, node: NodeId, within: u64) {
        for peer in self.nodes() {
            if peer != node {
                for (node, peer) in [(node, peer), (peer, node)] {
                    let delay = self.random.between(1, within);
                    self.queue.after(delay, Event::Notice { node, peer });
                }
            }
        }
    }

    pub(super) fn notice(&mut self, node: NodeId, peer: NodeId) -> Outcome {
        let reachable = self.reaches(node, peer);
        let peer_boot = self.hosts.get(&peer).and_then(Host::boot_number).filter(|_| reachable);
        let Some(live) = self.hosts.get_mut(&node).and_then(|host| host.live.as_mut()) else { return Ok(()) };
        let told = live.connected.get(&peer).copied();
        if told == peer_boot {
            return Ok(());
        }
        if told.is_some() {
            live.connected.remove(&peer);
            self.note(node, format_args!("lost {peer}"));
            self.input(node, Input::PeerDown(peer))?;
        }
        let Some(boot) = peer_boot else { return Ok(()) };
        // The loss may have crashed it.
        let Some(live) = self.hosts.get_mut(&node).and_then(|host| host.live.as_mut()) else { return Ok(()) };
        live.connected.insert(peer, boot);
        self.note(node, format_args!("connected {peer}"));
        self.input(node, Input::PeerUp(peer))
    }
}
