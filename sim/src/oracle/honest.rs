//! A property of each honest node by itself: what traitors do or write down is not shown to it.

use mpc_wallet_core::NodeId;

use super::{Honest, Observed, Oracle};

/// An oracle that sees honest nodes only.
pub struct OfHonest<O> {
    honest: Honest,
    oracle: O,
}

impl<O: Oracle + 'static> OfHonest<O> {
    /// `oracle`, for these nodes.
    #[must_use]
    pub const fn new(honest: Honest, oracle: O) -> Self {
        Self { honest, oracle }
    }

    pub(super) fn boxed(honest: &Honest, oracle: O) -> Box<dyn Oracle> {
        Box::new(Self::new(honest.clone(), oracle))
    }
}

/// Whose doing it is; nobody's for what the chain does.
const fn doer(seen: &Observed<'_>) -> Option<NodeId> {
    match seen {
        Observed::Durable { node, .. }
        | Observed::Released { node, .. }
        | Observed::Sent { from: node, .. }
        | Observed::Heard { node, .. }
        | Observed::Restored { node, .. }
        | Observed::Promised { node, .. }
        | Observed::Broadcast { node, .. }
        | Observed::Accused { by: node, .. }
        | Observed::Compared { node, .. } => Some(*node),
        Observed::Confirmed { .. } | Observed::Stolen { .. } => None,
    }
}

impl<O: Oracle> Oracle for OfHonest<O> {
    fn name(&self) -> &'static str {
        self.oracle.name()
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        if doer(seen).is_none_or(|node| self.honest.contains(&node)) {
            self.oracle.observe(seen)
        } else {
            Ok(())
        }
    }

    fn owed(&self) -> Option<String> {
        self.oracle.owed()
    }
}
