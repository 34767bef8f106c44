//! Secrets stay home. The mock scheme marks its secrets, so a search finds them.

use mpc_wallet_core::codec;

use super::{Observed, Oracle};

/// First bytes of every secret of the mock scheme, restated here.
const MARK: &[u8; 16] = b"MOCK-SECRET-LEAK";

/// No marked secret in any message or journal.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecretLeaves;

fn leaks(bytes: &[u8]) -> bool {
    bytes.windows(MARK.len()).any(|window| window == MARK)
}

impl Oracle for NoSecretLeaves {
    fn name(&self) -> &'static str {
        "no_secret_leaves"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Sent { from, bytes, .. } if leaks(bytes) => {
                Err(format!("{from} sent a secret over the network"))
            }
            Observed::Durable { node, record } if codec::encode(record).is_ok_and(|bytes| leaks(&bytes)) => {
                Err(format!("{node} wrote a secret into its journal"))
            }
            Observed::Sent { .. }
            | Observed::Durable { .. }
            | Observed::Released { .. }
            | Observed::Heard { .. }
            | Observed::Promised { .. }
            | Observed::Broadcast { .. }
            | Observed::Confirmed { .. }
            | Observed::Accused { .. }
            | Observed::Restored { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }
}
