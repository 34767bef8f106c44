//! The journal as the driver's port, on a disk that outlives the host.
//!
//! An append is written, then flushed for as long as the plan's fsync takes, and only then promised. A crash during the
//! flush leaves of the records what the disk decides; a crash before or after it is a return that never comes.

use std::{future::pending, time::Duration};

use mpc_wallet_core::{Node, record::Record, step::Receipt};
use mpc_wallet_shell::ports::{Journal, JournalFailure};

use super::stage::{Hand, Machine, Power, Seen, Sighting, Stage};
use crate::{
    plan::{Crash, CrashPoint, DiskTrouble},
    world::faults::Death,
};

/// Most effects that get out before a crash between effects.
const MOST_EFFECTS: u64 = 8;

/// One boot's journal.
pub(super) struct DiskJournal {
    hand: Hand,
}

/// What an append has to wait for.
struct Flush {
    millis: u64,
    crash: Option<Crash>,
}

impl DiskJournal {
    pub(super) const fn new(hand: Hand) -> Self {
        Self { hand }
    }

    /// Writes without promising. `None` if the machine dies before anything reaches the disk.
    fn write(&self, records: &[Record]) -> Result<Option<Flush>, JournalFailure> {
        let written = self.hand.machine(|machine| {
            let crash = machine.triggered(records);
            if let Some(crash) = crash
                && crash.when == CrashPoint::BeforeAppend
            {
                machine.die(Death::of(crash));
                return Ok(None);
            }
            trouble(machine, records)?;
            machine.disk.append(records).map_err(|error| JournalFailure(error.to_string()))?;
            Ok(Some(Flush { millis: machine.disk.start_flush().unwrap_or(0), crash }))
        });
        written.unwrap_or(Ok(None))
    }

    /// The flush returned. `None` if the machine dies before it can say so.
    fn promise(&self, crash: Option<Crash>) -> Option<Receipt> {
        self.hand.with(|stage, now| {
            let me = self.hand.me;
            let machine = stage.machines.get_mut(&me)?;
            machine.disk.finish_flush(now);
            let receipt = machine.disk.receipt();
            if let Some(crash) = crash {
                match crash.when {
                    CrashPoint::AfterAppend | CrashPoint::AfterBurn => machine.die(Death::of(crash)),
                    CrashPoint::BetweenEffects => {
                        let some = machine.adapter.below(MOST_EFFECTS);
                        machine.allowance = Some((crash, some));
                    }
                    CrashPoint::Now | CrashPoint::BeforeAppend => {}
                }
            }
            let lives = machine.power == Power::On;
            show_durable(stage, me, now);
            lives.then_some(receipt)
        })?
    }
}

/// What is wrong with the disk happens to this append.
fn trouble(machine: &mut Machine, records: &[Record]) -> Result<(), JournalFailure> {
    match machine.failing.take() {
        None | Some(DiskTrouble::Restored { .. }) => Ok(()),
        Some(DiskTrouble::Stalls { millis }) => {
            machine.disk.stall(millis);
            Ok(())
        }
        Some(DiskTrouble::Refuses | DiskTrouble::Unknown { kept: false }) => {
            Err(JournalFailure(String::from("the disk refuses")))
        }
        Some(DiskTrouble::Unknown { kept: true }) => {
            machine.disk.append(records).map_err(|error| JournalFailure(error.to_string()))?;
            machine.disk.keep_all();
            Err(JournalFailure(String::from("the disk does not answer")))
        }
    }
}

impl Journal for DiskJournal {
    async fn append(&mut self, records: Vec<Record>) -> Result<Receipt, JournalFailure> {
        let Some(Flush { millis, crash }) = self.write(&records)? else { return pending().await };
        tokio::time::sleep(Duration::from_millis(millis)).await;
        match self.promise(crash) {
            Some(receipt) => Ok(receipt),
            None => pending().await,
        }
    }

    fn settled(&mut self, node: &Node) {
        let needs = node.position();
        let durable = self.hand.machine(|machine| {
            machine.settled = Some((needs, node.state().digest()));
            machine.disk.durable()
        });
        if let Some(durable) = durable {
            self.hand.show(Seen::Released { needs, durable });
        }
    }
}

/// Shows what became durable, and follows it.
pub(super) fn show_durable(stage: &mut Stage, node: mpc_wallet_core::NodeId, at: u64) {
    let Some(machine) = stage.machines.get_mut(&node) else { return };
    let records = match machine.disk.read(machine.shown) {
        Ok(records) => records,
        Err(error) => return stage.fail("replay_equals_live", format!("{node}: journal: {error}")),
    };
    machine.shown += records.len();
    for record in records {
        let Some(machine) = stage.machines.get_mut(&node) else { return };
        let cluster = machine.config.cluster.clone();
        if let Err(error) = machine.shadow.apply(node, &cluster, &record) {
            return stage.fail("replay_equals_live", format!("{node}: journal: {error}"));
        }
        stage.seen.push(Sighting { at, node, what: Seen::Durable(Box::new(record)) });
    }
}
