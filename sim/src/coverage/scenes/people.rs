//! Scenes of payments that wait for people.

use super::quiet;
use crate::{
    FaultPlan,
    plan::{Deviation, Filter, Payment, People, Traitor, Visit},
};

fn visit(at: u64, node: u16, approve: bool) -> Visit {
    Visit { at, node, approve }
}

/// Four payments, and two people to ask about each.
fn asked(seed: u64, visits: Vec<Visit>) -> FaultPlan {
    FaultPlan {
        payments: (0..4_u16).map(|n| Payment::new(5_000, 1 + n, 200_000 + u64::from(n))).collect(),
        people: Some(People { above: 100_000, operators: 2, wait: 20_000, visits }),
        ..quiet(seed)
    }
}

/// Two approve.
pub(super) fn approved(seed: u64) -> FaultPlan {
    asked(seed, vec![visit(7_000, 1, true), visit(8_000, 4, true)])
}

/// One approves and one refuses.
pub(super) fn rejected(seed: u64) -> FaultPlan {
    asked(seed, vec![visit(7_000, 1, true), visit(8_000, 4, false)])
}

/// One approves, and no second comes.
pub(super) fn late(seed: u64) -> FaultPlan {
    asked(seed, vec![visit(7_000, 1, true)])
}

/// Two approve, and what one of them says is heard by way of others only.
pub(super) fn hearsay(seed: u64) -> FaultPlan {
    let mute = |receiver| Filter {
        from: 0,
        to: 30_000,
        sender: Some(4),
        receiver: Some(receiver),
        kind: String::from("OperatorDecision"),
    };
    let deaf = |kind: &str| Filter {
        from: 0,
        to: 30_000,
        sender: Some(4),
        receiver: Some(5),
        kind: kind.to_owned(),
    };
    let mut filters: Vec<Filter> = [1, 2, 5].into_iter().map(mute).collect();
    filters.extend(["Bundle", "SyncPage"].map(deaf));
    FaultPlan { filters, ..approved(seed) }
}

/// A member speaks in the names of others.
pub(super) fn forged(seed: u64) -> FaultPlan {
    let visits = (0..8).map(|n| visit(6_000 + 1_500 * n, 2, true)).collect();
    let payments = (0..12_u64).map(|n| Payment::new(5_000 + 1_000 * n, 1, 200_000 + n)).collect();
    let traitors = vec![Traitor { node: 2, deviation: Deviation::Impersonator, from: 0 }];
    FaultPlan { payments, traitors, ..asked(seed, visits) }
}
