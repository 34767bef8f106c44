//! What goes wrong with the machines and the cables: crashes, restarts, cuts, and the end of all faults.

use std::collections::{BTreeMap, BTreeSet};

use mpc_wallet_core::NodeId;
use tokio::sync::mpsc;

use super::{
    Event, Hosted, Outcome, Phase, journal,
    stage::{Power, locked},
};
use crate::{
    oracle::Observed,
    parts::{operators::BETWEEN_LIFTS, verdict::BETWEEN_LOOKS},
    plan::{Crash, CrashPoint, Direction, DiskFault, DiskTrouble, Lease, Stop},
    profile::CALM_NETWORK,
    world::{faults::Death, host::HostError},
};

/// How often, in parts per million, a machine loses power rather than its process ending: then nobody hears its last
/// packets, and its peers notice by silence.
const SILENT: u32 = 500_000;

/// One direction between two nodes.
type Cable = (NodeId, NodeId);

/// Which cables are cut.
#[derive(Default)]
pub(super) struct Cuts {
    by_number: BTreeMap<usize, BTreeSet<Cable>>,
    /// As the simulated network was told.
    told: BTreeSet<Cable>,
}

impl Hosted {
    pub(super) fn crash_is_due(&mut self, crash: Crash) -> Outcome {
        if self.phase != Phase::Trouble {
            return Ok(());
        }
        let node = NodeId::new(crash.node);
        if let Some(machine) = locked(&self.stage).machines.get_mut(&node) {
            if crash.when == CrashPoint::Now {
                machine.die(Death::of(crash));
            } else {
                machine.armed.push(crash);
            }
        }
        self.bury()
    }

    /// Production's own order to stop: the loop lets sessions end, takes no new work, and returns.
    pub(super) fn stop_is_due(&mut self, stop: Stop) {
        if self.phase != Phase::Trouble {
            return;
        }
        let mut stage = locked(&self.stage);
        let machine = stage.machines.get_mut(&NodeId::new(stop.node));
        let Some(machine) = machine.filter(|machine| machine.power == Power::On) else { return };
        if let Some(door) = &machine.door {
            machine.stopping = Some(stop.down_for);
            door.stop.cancel();
        }
    }

    pub(super) fn disk_fails(&mut self, fault: DiskFault) -> Outcome {
        if self.phase != Phase::Trouble {
            return Ok(());
        }
        let node = NodeId::new(fault.node);
        if let DiskTrouble::Restored { age } = fault.fault {
            return self.restore_backup(node, age);
        }
        if let Some(machine) = locked(&self.stage).machines.get_mut(&node) {
            machine.failing = Some(fault.fault);
        }
        Ok(())
    }

    /// The machine is replaced by one that starts from an old copy of the journal.
    fn restore_backup(&mut self, node: NodeId, age: u64) -> Outcome {
        if let Some(machine) = locked(&self.stage).machines.get_mut(&node) {
            machine.die(Death::of_disk("of its machine", false));
        }
        self.bury()?;
        self.observe()?;
        let since = self.queue.now().saturating_sub(age).max(self.origin);
        let (gone, records) = {
            let mut stage = locked(&self.stage);
            let Some(machine) = stage.machines.get_mut(&node) else { return Ok(()) };
            let gone = machine.disk.restore(since);
            let records = machine.disk.read(0).map_err(HostError::from)?;
            machine.shadow = machine.follow(&records)?;
            machine.shown = records.len();
            (gone, records)
        };
        self.note(node, format_args!("restored from a backup {age} ms old, {gone} records are gone"));
        self.oracles.observe(&Observed::Restored { node, records: &records })
    }

    /// Takes the hosts of dying machines away.
    pub(super) fn bury(&mut self) -> Outcome {
        let mut dying: Vec<(NodeId, Death)> = vec![];
        for (node, machine) in &mut locked(&self.stage).machines {
            // A crash between effects hits at the end of the turn at the latest.
            if let Some((crash, _)) = machine.allowance.take() {
                machine.die(Death::of(crash));
            }
            if let Power::Dying(death) = machine.power {
                dying.push((*node, death));
            }
        }
        for (node, death) in dying {
            self.crash(node, death)?;
        }
        Ok(())
    }

    fn crash(&mut self, node: NodeId, death: Death) -> Outcome {
        let silent = self.random.chance(SILENT);
        if silent {
            self.lay_cables(Some(node));
        }
        self.sim.crash(node.to_string());
        if silent {
            self.lay_cables(None);
        }
        let (kept, digests) = {
            let mut stage = locked(&self.stage);
            let Some(machine) = stage.machines.get_mut(&node) else { return Ok(()) };
            machine.power = Power::Off;
            machine.door = None;
            let settled = machine.settled.take();
            let digests = settled.map(|settled| machine.replayed(settled)).transpose()?;
            let kept = machine.disk.crash(death.unsynced);
            let now = self.queue.now();
            journal::show_durable(&mut stage, node, now);
            (kept, digests)
        };
        death.count(&mut self.tally);
        // The node says again whom it shuts out when it is back.
        self.bans.retain(|(by, _)| *by != node);
        let how = if silent { ", unheard" } else { "" };
        self.note(node, format_args!("crash {}{how}, {kept} floating records survive", death.moment));
        self.compare(node, "at its crash", digests)?;
        self.queue.after(death.down_for.max(1), Event::Restart(node));
        self.hang_up(node);
        Ok(())
    }

    pub(super) fn restart(&mut self, node: NodeId) -> Outcome {
        let boot = {
            let mut stage = locked(&self.stage);
            let Some(machine) = stage.machines.get_mut(&node) else { return Ok(()) };
            if machine.power != Power::Off {
                return Ok(());
            }
            machine.power = Power::On;
            machine.stopping = None;
            machine.boots += 1;
            machine.boots
        };
        self.note(node, format_args!("boot {boot}"));
        self.sim.bounce(node.to_string());
        // The host first runs in the simulation's next step, and shows itself then.
        self.queue.after(2, Event::Booted(node));
        Ok(())
    }

    /// A node that has just read its journal back is compared with it.
    pub(super) fn booted(&mut self, node: NodeId) -> Outcome {
        let digests = {
            let stage = locked(&self.stage);
            let Some(machine) = stage.machines.get(&node).filter(|machine| machine.power == Power::On) else {
                return Ok(());
            };
            machine.settled.map(|settled| machine.replayed(settled)).transpose()?
        };
        self.compare(node, "after its restart", digests)
    }

    pub(super) fn compare(
        &mut self,
        node: NodeId,
        moment: &'static str,
        digests: Option<([u8; 32], [u8; 32])>,
    ) -> Outcome {
        let Some((node_digest, journal_digest)) = digests else { return Ok(()) };
        self.oracles.observe(&Observed::Compared { node, moment, node_digest, journal_digest })
    }

    pub(super) fn cut(&mut self, number: usize) {
        if self.phase != Phase::Trouble {
            return;
        }
        let Some(partition) = self.plan.partitions.get(number).cloned() else { return };
        let group: BTreeSet<NodeId> = partition.group.iter().map(|node| NodeId::new(*node)).collect();
        self.note_world(format_args!("cut {number} {group:?} {:?}", partition.direction));
        let (outward, inward) = match partition.direction {
            Direction::Both => (true, true),
            Direction::Outward => (true, false),
            Direction::Inward => (false, true),
        };
        let mut cables = BTreeSet::new();
        for inside in &group {
            for outside in self.nodes().iter().filter(|node| !group.contains(node)) {
                cables.extend(outward.then_some((*inside, *outside)));
                cables.extend(inward.then_some((*outside, *inside)));
            }
        }
        self.cuts.by_number.insert(number, cables);
        self.lay_cables(None);
    }

    pub(super) fn mend(&mut self, number: usize) {
        self.note_world(format_args!("mend {number}"));
        self.cuts.by_number.remove(&number);
        self.lay_cables(None);
    }

    /// Tells the simulated network which cables are cut now; everything a silent node says, too.
    fn lay_cables(&mut self, silent: Option<NodeId>) {
        let mut wanted: BTreeSet<Cable> = self.cuts.by_number.values().flatten().copied().collect();
        if let Some(silent) = silent {
            wanted.extend(self.nodes().into_iter().filter(|peer| *peer != silent).map(|peer| (silent, peer)));
        }
        for (from, to) in wanted.difference(&self.cuts.told) {
            self.sim.partition_oneway(from.to_string(), to.to_string());
        }
        for (from, to) in self.cuts.told.difference(&wanted) {
            self.sim.repair_oneway(from.to_string(), to.to_string());
        }
        self.cuts.told = wanted;
    }

    pub(super) fn tell_lease(&mut self, lease: Lease) {
        if self.phase == Phase::Trouble {
            self.tell_holder(NodeId::new(lease.node), lease.told());
        }
    }

    fn tell_holder(&mut self, node: NodeId, lease: Option<mpc_wallet_core::Lease>) {
        let told = {
            let stage = locked(&self.stage);
            let door = stage.machines.get(&node).and_then(|machine| machine.door.as_ref());
            let leases: Option<&mpsc::Sender<_>> = door.map(|door| &door.leases);
            leases.is_some_and(|leases| leases.try_send(lease).is_ok())
        };
        if told {
            self.note(node, format_args!("is told of the lease {lease:?}"));
        }
    }

    /// Faults end: links are good, nobody dies any more, and who is down comes back.
    pub(super) fn heal(&mut self) -> Outcome {
        self.note_world(format_args!("heal"));
        self.phase = Phase::Recovery;
        self.cuts.by_number.clear();
        self.lay_cables(None);
        {
            let mut stage = locked(&self.stage);
            stage.troubled = false;
            stage.weather.set_profile(CALM_NETWORK);
            stage.backend.heal();
            for machine in stage.machines.values_mut() {
                machine.armed.clear();
                machine.failing = None;
            }
        }
        for node in self.nodes() {
            self.restart(node)?;
            if self.plan.leases.iter().any(|lease| NodeId::new(lease.node) == node) {
                self.tell_holder(node, None);
            }
        }
        if !self.plan.freezes.is_empty() {
            self.queue.after(BETWEEN_LIFTS, Event::Thaw);
        }
        self.queue.after(BETWEEN_LOOKS, Event::Judge);
        Ok(())
    }
}
