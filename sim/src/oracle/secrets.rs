//! Secrets stay home. The mock scheme marks its secrets, so a search finds them.

use mpc_wallet_core::codec;

use super::{Observed, Oracle};

/// First bytes of every secret of the mock scheme, restated here.
const MARK: &[u8; 16] = b"MOCK-SECRET-LEAK";

/// No marked secret in any message or journal.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecretLeaves;

/// The same bytes as CBOR writes a list of numbers from 24 to 255, which is how sealed shares are written.
const MARK_IN_CBOR: &[u8; 32] =
    b"\x18M\x18O\x18C\x18K\x18-\x18S\x18E\x18C\x18R\x18E\x18T\x18-\x18L\x18E\x18A\x18K";

fn leaks(bytes: &[u8]) -> bool {
    bytes.windows(MARK.len()).any(|window| window == MARK)
        || bytes.windows(MARK_IN_CBOR.len()).any(|window| window == MARK_IN_CBOR)
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
            | Observed::Stolen { .. }
            | Observed::Accused { .. }
            | Observed::Restored { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }
}
