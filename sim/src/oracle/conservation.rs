//! No coin is lost: what the wallet had, less what it paid and the fees, is what it has.

use std::collections::BTreeMap;

use bitcoin::ScriptBuf;
use mpc_wallet_core::NodeId;

/// The books at the end of a run, all in satoshis, each figure counted on its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Given to the wallet at the start.
    pub funds: u64,
    /// Taken from it by another hand.
    pub stolen: u64,
    /// Received by the clients' recipients.
    pub paid: u64,
    /// Inputs less outputs of the wallet's transactions.
    pub fees: u64,
    /// Unspent outputs of the wallet on the chain.
    pub on_chain: u64,
    /// What each node says the wallet holds.
    pub by_node: BTreeMap<NodeId, u64>,
    /// Outputs of the wallet's transactions that are neither a payment nor the wallet's own.
    pub strangers: Vec<ScriptBuf>,
}

/// Whether the books balance.
///
/// # Errors
/// Which figure does not fit.
pub fn conservation(books: &Books) -> Result<(), String> {
    if let Some(script) = books.strangers.first() {
        return Err(format!("the wallet paid {}, which nobody asked for", script.to_hex_string()));
    }
    let spent = books.paid.checked_add(books.fees).and_then(|spent| spent.checked_add(books.stolen));
    let expected = spent.and_then(|spent| books.funds.checked_sub(spent));
    if expected != Some(books.on_chain) {
        return Err(format!(
            "{} sat funds less {} paid less {} fees less {} stolen are not the {} on the chain",
            books.funds, books.paid, books.fees, books.stolen, books.on_chain
        ));
    }
    match books.by_node.iter().find(|(_, says)| **says != books.on_chain) {
        Some((node, says)) => Err(format!("{node} sees {says} sat, the chain holds {}", books.on_chain)),
        None => Ok(()),
    }
}
