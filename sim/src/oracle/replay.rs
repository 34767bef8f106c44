//! A restarted node is the node that crashed: its state is its journal, applied.

use super::{Observed, Oracle};

/// At every crash, restart and at the end, the node's state has the digest of its journal applied to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplayEqualsLive;

impl Oracle for ReplayEqualsLive {
    fn name(&self) -> &'static str {
        "replay_equals_live"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Compared { node, moment, node_digest, journal_digest }
                if node_digest != journal_digest =>
            {
                Err(format!("{moment}, the state of {node} is not what its journal says"))
            }
            Observed::Compared { .. }
            | Observed::Restored { .. }
            | Observed::Durable { .. }
            | Observed::Released { .. }
            | Observed::Sent { .. }
            | Observed::Heard { .. }
            | Observed::Promised { .. }
            | Observed::Broadcast { .. }
            | Observed::Confirmed { .. }
            | Observed::Stolen { .. }
            | Observed::Accused { .. } => Ok(()),
        }
    }
}
