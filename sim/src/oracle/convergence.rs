//! Liveness: once the faults are over, every accepted payment ends, and ends alike everywhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bitcoin::{OutPoint, Txid};
use mpc_wallet_core::NodeId;

/// How a node sees its transactions at the end: state, sub-status, and whether it is final.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeEnd {
    /// By transaction.
    pub transactions: BTreeMap<Txid, TransactionEnd>,
}

/// How a node sees one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionEnd {
    /// The state's name.
    pub state: &'static str,
    /// The reason behind it.
    pub sub_status: String,
    /// The coins it spends.
    pub spends: BTreeSet<OutPoint>,
}

impl TransactionEnd {
    fn is_final(&self) -> bool {
        ["confirmed", "rejected", "failed", "aborted_byzantine"].contains(&self.state)
    }
}

/// What a client may expect of its payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The payment.
    pub label: String,
    /// What the client was told: a transaction, or why not.
    pub answer: Result<Txid, String>,
    /// Whether nothing stood in its way, so that it must be confirmed.
    pub must_confirm: bool,
    /// Whether its node may have lost it before anybody else heard of it: no backup holds what came after it.
    pub may_be_lost: bool,
    /// Whether the chain has paid it.
    pub paid: bool,
}

/// What has not ended, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished(pub Vec<String>);

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// Whether everything has ended: each transaction is known to all nodes, final at all, confirmed at all or at none;
/// of those that spend the same coins one at most is confirmed, and one where another is replaced, not robbed; each client has its
/// transaction, and its money was sent where nothing stood in the way.
///
/// # Errors
/// What has not, by transaction and node.
pub fn convergence(nodes: &BTreeMap<NodeId, NodeEnd>, clients: &[Expected]) -> Result<(), Unfinished> {
    let mut problems = vec![];
    let known: BTreeSet<Txid> = nodes.values().flat_map(|node| node.transactions.keys().copied()).collect();
    for txid in known {
        let views: Vec<_> = nodes.iter().map(|(node, end)| (*node, end.transactions.get(&txid))).collect();
        let ended = views.iter().all(|(_, view)| view.is_some_and(TransactionEnd::is_final));
        let confirmed = views.iter().filter(|(_, view)| view.is_some_and(|view| view.state == "confirmed"));
        let confirmed = confirmed.count();
        if !ended || (confirmed != 0 && confirmed != nodes.len()) {
            let views: Vec<String> = views
                .iter()
                .map(|(node, view)| match view {
                    Some(view) => format!("{node} {}/{}", view.state, view.sub_status),
                    None => format!("{node} unknown"),
                })
                .collect();
            problems.push(format!("{txid}: {}", views.join(", ")));
        }
    }
    problems.extend(nodes.iter().flat_map(|(node, end)| rivals(*node, end)));
    for client in clients {
        match &client.answer {
            Err(reason) => problems.push(format!("{} was never accepted: {reason}", client.label)),
            Ok(txid) if client.must_confirm && !client.paid => {
                problems.push(format!("{} is not paid, accepted as {txid}", client.label));
            }
            Ok(txid)
                if !client.may_be_lost
                    && !nodes.values().any(|node| node.transactions.contains_key(txid)) =>
            {
                problems.push(format!("{} was accepted as {txid}, which nobody knows", client.label));
            }
            Ok(_) => {}
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Unfinished(problems)) }
}

/// What a node says of transactions that spend the same coins and cannot be true: a family pays once.
fn rivals(node: NodeId, end: &NodeEnd) -> Vec<String> {
    let confirmed: Vec<_> = end.transactions.iter().filter(|(_, view)| view.state == "confirmed").collect();
    let beside = |txid: &Txid, spends: &BTreeSet<OutPoint>| {
        confirmed
            .iter()
            .find(|(other, view)| *other != txid && view.spends == *spends)
            .map(|(other, _)| **other)
    };
    let problem = |(txid, view): (&Txid, &TransactionEnd)| match (
        view.state,
        view.sub_status.as_str(),
        beside(txid, &view.spends),
    ) {
        ("confirmed", _, Some(other)) => Some(format!("{node} calls {txid} and its rival {other} confirmed")),
        ("failed", "replaced", None) => {
            Some(format!("{node} calls {txid} replaced, and nothing with its coins is confirmed"))
        }
        ("failed", "input_spent", Some(other)) => {
            Some(format!("{node} calls {txid} robbed, whose coins went to its own rival {other}"))
        }
        _ => None,
    };
    end.transactions.iter().filter_map(problem).collect()
}

/// Whether what a node calls confirmed is in the chain.
///
/// # Errors
/// What is not, by transaction and node.
pub fn confirmed_is_true(
    nodes: &BTreeMap<NodeId, NodeEnd>,
    on_chain: &BTreeSet<Txid>,
) -> Result<(), Unfinished> {
    let problems: Vec<String> = nodes
        .iter()
        .flat_map(|(node, end)| end.transactions.iter().map(move |(txid, view)| (node, txid, view)))
        .filter(|(_, txid, view)| view.state == "confirmed" && !on_chain.contains(*txid))
        .map(|(node, txid, _)| format!("{node} calls {txid} confirmed, which is not in the chain"))
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(Unfinished(problems)) }
}
