//! Scenes of operators that stop all signing.

use super::quiet;
use crate::{
    FaultPlan,
    plan::{Crash, CrashPoint, Filter, Freeze, Lift, Payment, Unsynced},
};

/// All must sign, one does not hear another, and the cluster is frozen when shares have left.
pub(super) fn frozen_after_share(seed: u64) -> FaultPlan {
    FaultPlan {
        threshold: 5,
        payments: vec![Payment::new(5_000, 1, 900_000)],
        filters: vec![Filter {
            from: 0,
            to: 20_000,
            sender: Some(2),
            receiver: Some(3),
            kind: String::from("Mpc"),
        }],
        freezes: vec![Freeze { at: 6_500, node: 4 }],
        lifts: (1..=5).map(|node| Lift { at: 12_000, node }).collect(),
        ..quiet(seed)
    }
}

/// A freeze falls into a payment's session, a little later with each seed.
pub(super) fn frozen_inside_session(seed: u64) -> FaultPlan {
    let payment = |n: u64| Payment::new(5_000 + 70 * n, 1, 100_000);
    FaultPlan {
        payments: (0..4).map(payment).collect(),
        freezes: vec![Freeze { at: 5_200 + 40 * (seed % 5), node: 4 }],
        lifts: (1..=4).map(|node| Lift { at: 9_000, node }).collect(),
        ..quiet(seed)
    }
}

/// Two freeze at once while one is away; another is away when it is lifted.
pub(super) fn frozen_and_asleep(seed: u64) -> FaultPlan {
    let asleep = |at, node| Crash {
        at,
        node,
        down_for: 3_000,
        when: CrashPoint::Now,
        entering: None,
        unsynced: Unsynced::Prefix,
    };
    FaultPlan {
        payments: vec![Payment::new(5_000, 1, 100_000)],
        crashes: vec![asleep(5_000, 3), asleep(10_000, 4)],
        freezes: vec![Freeze { at: 5_500, node: 1 }, Freeze { at: 5_500, node: 2 }],
        lifts: [1, 2, 3, 5].map(|node| Lift { at: 11_000, node }).to_vec(),
        ..quiet(seed)
    }
}
