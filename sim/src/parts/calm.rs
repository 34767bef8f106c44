//! The calm before the plan: from cold machines to a wallet that holds its funds.

use mpc_wallet_core::WalletKey;

use super::outcome::defect;
use crate::oracle::Breach;

/// Between two looks at a cluster that gets ready, in milliseconds.
pub(crate) const BETWEEN_LOOKS: u64 = 500;

/// How long a calm cluster may take to get ready, in milliseconds.
pub(crate) const PATIENCE: u64 = 120_000;

/// Machines are switched on within this time, in milliseconds.
pub(crate) const SWITCH_ON: u64 = 200;

/// The key that every member holds.
///
/// # Errors
/// Members that hold different keys or none.
pub(crate) fn one_key(keys: &[WalletKey]) -> Result<WalletKey, Breach> {
    let first = keys.first().ok_or_else(|| defect("no member holds a key"))?;
    if keys.iter().any(|key| key != first) {
        return Err(defect("the members hold different keys"));
    }
    Ok(*first)
}
