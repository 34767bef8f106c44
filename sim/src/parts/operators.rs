//! Operators: what they say when they stop all signing, and whether they are to lift it.

use mpc_wallet_core::{NodeId, overview::Overview};

/// Between two looks at whether something is still frozen, in milliseconds, once all faults are over.
pub(crate) const BETWEEN_LIFTS: u64 = 2_000;

/// Who speaks at a node.
pub(crate) fn operator(node: NodeId) -> String {
    format!("operator of {node}")
}

/// Why signing is to stop.
pub(crate) fn reason() -> String {
    String::from("a drill")
}

/// Whether a node sees a freeze that it has not lifted itself.
pub(crate) fn is_asked_to_lift(overview: &Overview) -> bool {
    overview.freezes.iter().any(|freeze| !freeze.lifted_by.contains(&overview.me))
}
