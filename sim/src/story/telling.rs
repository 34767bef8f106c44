//! The words of a story: who does what, and when.

use mpc_wallet_core::tx::State as TxState;

use super::{Ending, Story};
use crate::{
    plan::{
        Crash, CrashPoint, Deviation, Direction, DiskFault, DiskTrouble, FaultPlan, Partition, Payment,
        Reorg, Traitor, Unsynced, Wallet,
    },
    profile::RECOVERY,
};

/// When whatever still goes wrong in a story ends: the last of seven crashes in a row waits for a block.
const LONGEST: u64 = 60_000;

/// How long a node of a story stays down.
const DOWN: u64 = 2_000;

/// Something that happens at a moment of a story.
pub(super) enum Happening {
    Asks { node: u16, amount: u64, wallet: Wallet },
    Cut { group: Vec<u16>, direction: Direction, lasts: u64 },
    Dies { node: u16, entering: Option<TxState>, when: CrashPoint },
    Disk { node: u16, fault: DiskTrouble },
    Reorganisation { depth: u32, forgets: bool },
}

/// A client asks a node for a payment, and will ask again under the same key if it must.
pub(super) const fn asks(node: u16, amount: u64) -> Happening {
    Happening::Asks { node, amount, wallet: Wallet::Taproot }
}

/// The same, from the SegWit wallet.
pub(super) const fn asks_segwit(node: u16, amount: u64) -> Happening {
    Happening::Asks { node, amount, wallet: Wallet::Segwit }
}

/// A group is cut off for some milliseconds.
pub(super) fn cut(group: &[u16], direction: Direction, lasts: u64) -> Happening {
    Happening::Cut { group: group.to_vec(), direction, lasts }
}

/// A node dies at the next such point of its work, and is back two seconds later.
pub(super) const fn dies(node: u16, entering: Option<TxState>, when: CrashPoint) -> Happening {
    Happening::Dies { node, entering, when }
}

/// Something is wrong with a node's disk.
pub(super) const fn disk(node: u16, fault: DiskTrouble) -> Happening {
    Happening::Disk { node, fault }
}

/// Blocks are undone, and what was in them forgotten or not.
pub(super) const fn reorganisation(depth: u32, forgets: bool) -> Happening {
    Happening::Reorganisation { depth, forgets }
}

/// A story that is being told.
pub(super) struct Teller {
    name: &'static str,
    plan: FaultPlan,
    ending: Ending,
}

/// Once upon a time there were five nodes.
pub(super) fn tell(name: &'static str) -> Teller {
    let plan = FaultPlan { heal_at: LONGEST, until: LONGEST + RECOVERY, ..FaultPlan::quiet(42) };
    Teller { name, plan, ending: Ending::default() }
}

impl Teller {
    /// Something happens, so many milliseconds after the cluster is ready.
    pub(super) fn at(mut self, at: u64, what: Happening) -> Self {
        let Self { plan, ending, .. } = &mut self;
        match what {
            Happening::Asks { node, amount, wallet } => {
                let idempotency_key = Some(format!("story-{}", plan.payments.len()));
                plan.payments.push(Payment { idempotency_key, wallet, ..Payment::new(at, node, amount) });
                ending.paid += 1;
            }
            Happening::Cut { group, direction, lasts } => {
                plan.partitions.push(Partition { from: at, to: at + lasts, group, direction });
            }
            Happening::Dies { node, entering, when } => {
                let unsynced = Unsynced::Subset;
                plan.crashes.push(Crash { at, node, down_for: DOWN, when, entering, unsynced });
                ending.crashes += 1;
            }
            Happening::Disk { node, fault } => plan.disks.push(DiskFault { at, node, fault }),
            Happening::Reorganisation { depth, forgets } => {
                plan.chain.reorgs.push(Reorg { at, depth, forgets });
            }
        }
        self
    }

    /// There is a SegWit wallet, with as many coins as the other.
    pub(super) fn with_segwit(mut self) -> Self {
        self.plan.chain.segwit_funds.clone_from(&self.plan.chain.funds);
        self
    }

    /// So many nodes die of their disks.
    pub(super) const fn crashed_by_its_disk(mut self, nodes: u64) -> Self {
        self.ending.crashes += nodes;
        self
    }

    /// A member lies, from the start.
    pub(super) fn traitor(mut self, node: u16, deviation: Deviation) -> Self {
        self.plan.traitors.push(Traitor { node, deviation, from: 0 });
        self
    }

    /// In the end somebody is shut out.
    pub(super) const fn bans(mut self) -> Self {
        self.ending.banned = true;
        self
    }

    /// The moral.
    pub(super) fn proves(mut self, proves: &'static str) -> Story {
        self.plan.why = Some(self.name.to_owned());
        Story { name: self.name, proves, plan: self.plan, ending: self.ending }
    }
}
