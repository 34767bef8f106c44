//! Scenes of the wallet whose signatures take presignatures.

use super::quiet;
use crate::{
    FaultPlan,
    plan::{ChainPlan, Deviation, DiskFault, DiskTrouble, Lease, Payment, Stop, Traitor},
};

/// Presignatures that the group in use has when its stock is full.
const FULL: u16 = 4;

/// A SegWit wallet with these coins.
fn funded(seed: u64, coins: Vec<u64>) -> FaultPlan {
    let plan = quiet(seed);
    FaultPlan { chain: ChainPlan { segwit_funds: coins, ..plan.chain }, ..plan }
}

/// The same with so many coins, each enough for a payment, and a payment of each from this moment on.
fn paying(seed: u64, from: u64, payments: u16) -> FaultPlan {
    let asked = |n: u16| Payment::new(from + 20 * u64::from(n), 1 + n % 5, 100_000).from_segwit();
    FaultPlan {
        payments: (0..payments).map(asked).collect(),
        ..funded(seed, vec![2_000_000; usize::from(payments)])
    }
}

/// Nothing goes wrong, and more is to be paid at once than there is stock for, from either wallet.
pub(super) fn second_wallet(seed: u64) -> FaultPlan {
    let calm = FaultPlan::quiet(seed).network;
    let mut plan = FaultPlan { network: calm, ..paying(seed, 10_000, 3 * FULL) };
    plan.payments.extend((0..4).map(|n| Payment::new(10_000 + 20 * n, 2, 100_000)));
    plan
}

/// More is paid than can be presigned in that time, and any payment could be made of several small coins or of one large
/// one.
pub(super) fn many_small_coins(seed: u64) -> FaultPlan {
    let asked = |n: u16| Payment::new(10_000 + 60 * u64::from(n), 1 + n % 5, 100_000).from_segwit();
    let coins = [vec![60_000; 12], vec![2_000_000; 40]].concat();
    FaultPlan { payments: (0..40).map(asked).collect(), ..funded(seed, coins) }
}

/// A signer is stopped when stock is full, and started again.
pub(super) fn stopped_in_order(seed: u64) -> FaultPlan {
    let mut plan = paying(seed, 20_000, 2);
    plan.stops = vec![Stop { at: 10_000, node: 2, down_for: 2_000 }];
    plan
}

/// A signer's machine is replaced by a backup from a moment when it was stopped, with the file that it had left.
pub(super) fn replaced_machine(seed: u64) -> FaultPlan {
    let mut plan = paying(seed, 14_000, 2);
    plan.stops = vec![Stop { at: 10_000, node: 2, down_for: 2_000 }];
    plan.disks = vec![DiskFault { at: 20_000, node: 2, fault: DiskTrouble::Restored { age: 9_000 } }];
    plan.payments.extend(paying(seed, 30_000, 2).payments);
    plan
}

/// A signer sends what does not verify, while presignatures are made in place of those that were used.
pub(super) fn cheat_in_presigning(seed: u64) -> FaultPlan {
    let mut plan = paying(seed, 10_000, 4 * FULL);
    plan.traitors = vec![Traitor { node: 3, deviation: Deviation::BadShare, from: 0 }];
    plan
}

/// Two members each believe to coordinate, and reach for the same presignatures.
pub(super) fn two_leaders(seed: u64) -> FaultPlan {
    let leads = |node: u16| if node % 2 == 1 { 1 } else { 2 };
    let leases = (1..=5).map(|node| Lease { at: 5_000, node, holder: Some(leads(node)) }).collect();
    FaultPlan { leases, ..paying(seed, 10_000, FULL) }
}
