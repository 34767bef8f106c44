//! I1: a payment is paid at most once, and as its client asked.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, ScriptBuf, Txid};

use super::{Observed, Oracle, families::coins};

/// What clients ask for, by recipient: every client of this world pays a script of its own, so the chain itself
/// tells which payment an output belongs to.
pub type Payments = BTreeMap<ScriptBuf, (String, u64)>;

/// Recounts on the chain: no recipient is paid by two transactions, twice in one, or another amount. After a reorganisation
/// another of a family may be in the place of the first: of exactly the same coins, so that the chain never has both.
pub struct PaidOnce {
    asked: Payments,
    paid: BTreeMap<ScriptBuf, (Txid, BTreeSet<OutPoint>)>,
}

impl PaidOnce {
    /// For these payments.
    #[must_use]
    pub const fn new(asked: Payments) -> Self {
        Self { asked, paid: BTreeMap::new() }
    }
}

impl Oracle for PaidOnce {
    fn name(&self) -> &'static str {
        "paid_once"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        let Observed::Confirmed { transaction } = seen else { return Ok(()) };
        let txid = transaction.compute_txid();
        let mut here = BTreeSet::new();
        for output in &transaction.output {
            let Some((label, amount)) = self.asked.get(&output.script_pubkey) else { continue };
            if output.value.to_sat() != *amount {
                return Err(format!("{txid} pays {} to {label}, which asked for {amount} sat", output.value));
            }
            if !here.insert(&output.script_pubkey) {
                return Err(format!("{txid} pays {label} twice"));
            }
            // After a reorganisation the same transaction is confirmed again, or one that could not be with it.
            let spent = coins(transaction);
            match self.paid.insert(output.script_pubkey.clone(), (txid, spent.clone())) {
                Some((first, before)) if first != txid && before != spent => {
                    return Err(format!("{label} is paid by {first} and by {txid}"));
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }
}
