//! What goes wrong: crashes, restarts, cuts; and how nodes notice.

use mpc_wallet_core::{NodeId, message::Message, mutant, record::Record, sometimes, step::Input};

use super::{
    CALM_NETWORK, Counts, Crash, CrashPoint, Event, Host, Outcome, Phase, World, driver, host::HostError,
};
use crate::{
    oracle::Observed,
    parts::{operators::BETWEEN_LIFTS, verdict::BETWEEN_LOOKS},
    plan::{DiskFault, DiskTrouble, Filter, Lease, Stop, Unsynced},
};

/// How long it takes to notice that a connection broke: from a reset to the end of an idle timeout.
const NOTICE_LOSS: u64 = 2_000;

/// How long it takes to connect.
const NOTICE_CONNECT: u64 = 300;

/// How long a process that ended because of its disk takes to be started again.
const SUPERVISOR: u64 = 1_000;

/// When a node dies that was told to stop.
const BY_ORDER: &str = "by order";

/// How a node dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Death {
    /// Where it hits the driver's loop, for the trace.
    pub(crate) moment: &'static str,
    /// How long it stays down.
    pub(crate) down_for: u64,
    /// What becomes of writes that no fsync covers.
    pub(crate) unsynced: Unsynced,
    /// Whether its last step is in the node and was never given to the disk, so that the two cannot be compared.
    pub(crate) step_missing: bool,
}

impl Death {
    /// By a crash of the plan.
    pub(crate) const fn of(crash: Crash) -> Self {
        let moment = match crash.when {
            CrashPoint::Now => "now",
            CrashPoint::BeforeAppend => "before append",
            CrashPoint::AfterAppend => "after append",
            CrashPoint::BetweenEffects => "between effects",
            CrashPoint::AfterBurn => "after burn",
        };
        let step_missing = matches!(crash.when, CrashPoint::BeforeAppend);
        Self { moment, down_for: crash.down_for, unsynced: crash.unsynced, step_missing }
    }

    /// In order: there is nothing that no fsync covers.
    pub(crate) const fn by_order(down_for: u64) -> Self {
        Self { moment: BY_ORDER, down_for, unsynced: Unsynced::Lost, step_missing: false }
    }

    /// Counts it as what it is.
    pub(crate) fn count(self, tally: &mut Counts) {
        if self.moment == BY_ORDER {
            tally.stops += 1;
        } else {
            tally.crashes += 1;
        }
    }

    /// By its disk, or with its process: a supervisor starts it again.
    pub(crate) const fn of_disk(moment: &'static str, step_missing: bool) -> Self {
        Self { moment, down_for: SUPERVISOR, unsynced: Unsynced::Prefix, step_missing }
    }
}

/// Whether a directed link loses this kind of message at this moment of the plan.
pub(crate) fn loses(filters: &[Filter], now: u64, link: (NodeId, NodeId), message: &Message) -> bool {
    let is = |number: Option<u16>, node: NodeId| number.is_none_or(|number| NodeId::new(number) == node);
    let kind = driver::name(message);
    filters.iter().any(|filter| {
        (filter.from..filter.to).contains(&now)
            && is(filter.sender, link.0)
            && is(filter.receiver, link.1)
            && filter.kind == kind
    })
}

impl World {
    pub(super) fn disk_fails(&mut self, fault: DiskFault) -> Outcome {
        if self.phase != Phase::Trouble {
            return Ok(());
        }
        let node = NodeId::new(fault.node);
        if let DiskTrouble::Restored { age } = fault.fault {
            return self.restore_backup(node, age);
        }
        if let Some(host) = self.hosts.get_mut(&node) {
            host.failing = Some(fault.fault);
        }
        Ok(())
    }

    /// The machine is replaced by one that starts from an old copy of the journal.
    fn restore_backup(&mut self, node: NodeId, age: u64) -> Outcome {
        self.crash(node, Death::of_disk("of its machine", false))?;
        let since = self.queue.now().saturating_sub(age).max(self.origin);
        let Some(host) = self.hosts.get_mut(&node) else { return Ok(()) };
        sometimes!(BackupRestored);
        let gone = host.disk.restore(since);
        host.shown = host.shown.min(usize::try_from(host.disk.durable().0).unwrap_or(usize::MAX));
        let records = host.disk.read(0).map_err(HostError::from)?;
        self.note(node, format_args!("restored from a backup {age} ms old, {gone} records are gone"));
        self.observe(&Observed::Restored { node, records: &records })
    }

    /// An append goes wrong. Production ends the process, which then finds out what is really on disk.
    pub(super) fn fail_append(&mut self, node: NodeId, trouble: DiskTrouble, records: &[Record]) -> Outcome {
        let Some(host) = self.hosts.get_mut(&node) else { return Ok(()) };
        match trouble {
            DiskTrouble::Unknown { .. } if mutant!(UnknownCommitContinued) => Ok(()),
            DiskTrouble::Refuses | DiskTrouble::Unknown { kept: false } => {
                sometimes!(UnknownAppendLost, trouble == DiskTrouble::Unknown { kept: false });
                self.crash(node, Death::of_disk("as its disk refuses", true))
            }
            DiskTrouble::Unknown { kept: true } => {
                sometimes!(UnknownAppendKept);
                host.disk.append(records).map_err(HostError::from)?;
                host.disk.keep_all();
                self.crash(node, Death::of_disk("as its disk does not answer", false))
            }
            DiskTrouble::Stalls { .. } | DiskTrouble::Restored { .. } => Ok(()),
        }
    }

    pub(super) fn crash_is_due(&mut self, crash: Crash) -> Outcome {
        if self.phase != Phase::Trouble {
            return Ok(());
        }
        let node = NodeId::new(crash.node);
        if crash.when == CrashPoint::Now {
            return self.crash(node, Death::of(crash));
        }
        if let Some(host) = self.hosts.get_mut(&node) {
            host.armed.push(crash);
        }
        Ok(())
    }

    /// A node is told to stop: it takes nothing more in, and goes when all it has done is on disk.
    pub(super) fn stop_is_due(&mut self, stop: Stop) -> Outcome {
        let node = NodeId::new(stop.node);
        let live = self.hosts.get_mut(&node).and_then(|host| host.live.as_mut());
        let Some(live) = live.filter(|_| self.phase == Phase::Trouble) else { return Ok(()) };
        live.stopping = Some(stop.down_for);
        self.release(node)
    }

    /// A node that was told to stop has nothing left to do.
    pub(super) fn stop(&mut self, node: NodeId) -> Outcome {
        let now = self.queue.now();
        let Some(host) = self.hosts.get_mut(&node) else { return Ok(()) };
        let Some(live) = &mut host.live else { return Ok(()) };
        let down_for = live.stopping.unwrap_or_default();
        let kept = live.node.keep_presignatures();
        let count = kept.as_ref().map_or(0, |kept| kept.stock.len());
        if let Some(kept) = kept {
            host.disk.keep(now, kept.to_secret_bytes().map_err(HostError::from)?.to_vec());
        }
        self.note(node, format_args!("stops in order and keeps {count} presignatures"));
        self.crash(node, Death::by_order(down_for))
    }

    /// The machine goes down; it is switched on again later.
    pub(super) fn crash(&mut self, node: NodeId, death: Death) -> Outcome {
        let Some(host) = self.hosts.get_mut(&node) else { return Ok(()) };
        if host.live.is_none() {
            return Ok(());
        }
        let digests = if death.step_missing { None } else { host.digests()? };
        let in_signing = host.live.iter().any(|live| {
            live.node.state().open().any(|(_, tx)| tx.state == mpc_wallet_core::tx::State::Signing)
        });
        host.live = None;
        // The node says again whom it shuts out when it is back.
        self.bans.retain(|(by, _)| *by != node);
        let kept = host.disk.crash(death.unsynced);
        death.count(&mut self.tally);
        sometimes!(DiedBetweenRecordAndEffect, ["after append", "after burn"].contains(&death.moment));
        let asleep = self.hosts.values().all(|host| host.live.is_none());
        sometimes!(Blackout, asleep);
        sometimes!(BlackoutInsideSigning, asleep && in_signing);
        self.note(node, format_args!("crash {}, {kept} floating records survive", death.moment));
        if let Some((node_digest, journal_digest)) = digests {
            let moment = "at its crash";
            self.observe(&Observed::Compared { node, moment, node_digest, journal_digest })?;
        }
        self.show_durable(node)?;
        self.notice_soon(node, NOTICE_LOSS);
        self.queue.after(death.down_for.max(1), Event::Restart(node));
        self.hang_up(node);
        Ok(())
    }

    pub(super) fn restart(&mut self, node: NodeId) -> Outcome {
        let Some(host) = self.hosts.get_mut(&node) else { return Ok(()) };
        if host.live.is_some() {
            return Ok(());
        }
        let boot = host.boot(self.queue.now())?.boot;
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
        let direction = partition.direction;
        self.note_world(format_args!("cut {number} {group:?} {direction:?}"));
        self.network.cut(number, group, direction);
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
            host.failing = None;
        }
        self.backend.heal();
        for node in self.nodes() {
            self.restart(node)?;
            if self.plan.leases.iter().any(|lease| NodeId::new(lease.node) == node) {
                self.input(node, Input::Lease(None))?;
            }
        }
        self.notice_all(NOTICE_CONNECT);
        if !self.plan.freezes.is_empty() {
            self.queue.after(BETWEEN_LIFTS, Event::Thaw);
        }
        self.queue.after(BETWEEN_LOOKS, Event::Judge);
        Ok(())
    }

    /// Whether words of one node get to another: no cut swallows them, and neither refuses the other.
    pub(super) fn carries(&self, from: NodeId, to: NodeId) -> bool {
        self.network.carries(from, to) && !self.refuses(from, to)
    }

    /// Whether one of two members has shut the other out.
    fn refuses(&self, a: NodeId, b: NodeId) -> bool {
        self.bans.contains(&(a, b)) || self.bans.contains(&(b, a))
    }

    /// A host closes its connections with a member and takes no more.
    pub(super) fn shut_out(&mut self, by: NodeId, member: NodeId) {
        if self.bans.insert((by, member)) {
            self.notice_soon(member, NOTICE_CONNECT);
        }
    }

    /// Whether a link loses this kind of message now.
    pub(super) fn is_filtered(&self, from: NodeId, to: NodeId, message: &Message) -> bool {
        if self.plan.filters.is_empty() || self.phase != Phase::Trouble {
            return false;
        }
        let now = self.queue.now().saturating_sub(self.origin);
        loses(&self.plan.filters, now, (from, to), message)
    }

    pub(super) fn tell_lease(&mut self, lease: Lease) -> Outcome {
        if self.phase != Phase::Trouble {
            return Ok(());
        }
        let (node, told) = (NodeId::new(lease.node), lease.told());
        self.note(node, format_args!("is told of the lease {told:?}"));
        self.input(node, Input::Lease(told))
    }

    /// A tick that nobody asked for.
    pub(super) fn tick(&mut self, node: NodeId) -> Outcome {
        if self.phase != Phase::Trouble {
            return Ok(());
        }
        let every = self.hosts.get(&node).map_or(0, |host| host.clock.spurious());
        self.queue.after(every.max(1), Event::Tick(node));
        self.input(node, Input::Tick)
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
        let reachable = self.network.connects(node, peer) && !self.refuses(node, peer);
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
