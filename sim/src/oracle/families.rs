//! What makes two transactions kin, read off the transactions: what replaces one, and what it replaces.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction};

use super::Payments;

/// The coins that a transaction spends.
pub(super) fn coins(transaction: &Transaction) -> BTreeSet<OutPoint> {
    transaction.input.iter().map(|input| input.previous_output).collect()
}

/// Whether two transactions are the same payment for another fee: they spend exactly the same coins, so that at most one of
/// them ever confirms; they pay the same to the same clients; and one of them pays nobody whom the other does not.
pub(super) fn are_kin(asked: &Payments, one: &Transaction, other: &Transaction) -> bool {
    let pays = |transaction: &Transaction| {
        let mut paid: BTreeMap<ScriptBuf, Vec<Amount>> = BTreeMap::new();
        for output in transaction.output.iter().filter(|output| asked.contains_key(&output.script_pubkey)) {
            paid.entry(output.script_pubkey.clone()).or_default().push(output.value);
        }
        paid
    };
    let paid = pays(one);
    let (ours, theirs) = (receivers(one), receivers(other));
    coins(one) == coins(other)
        && !paid.is_empty()
        && paid == pays(other)
        && (ours.is_subset(&theirs) || theirs.is_subset(&ours))
}

fn receivers(transaction: &Transaction) -> BTreeSet<&ScriptBuf> {
    transaction.output.iter().map(|output| &output.script_pubkey).collect()
}
