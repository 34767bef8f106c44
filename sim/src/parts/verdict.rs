//! What the end of a run is judged by, for every lane: how transactions ended, what clients may expect, and the books.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{ScriptBuf, Txid};
use mpc_wallet_core::{NodeId, Scheme, overview::Overview, state::State};

use super::{
    chain::Chain,
    client::{Client, ClientState},
    exempt::Hostages,
};
use crate::{
    oracle::{
        Books, Breach, Expected, NodeEnd, TransactionEnd, confirmed_is_true, conservation, convergence,
    },
    plan::{DiskTrouble, FaultPlan},
    world::Counts,
};

/// Between two looks at a cluster that recovers, in milliseconds.
pub(crate) const BETWEEN_LOOKS: u64 = 1_000;

/// Whether every honest node and every client has come to an end, the same one, and a true one.
///
/// # Errors
/// What has not ended, or not well.
pub(crate) fn converged(
    ends: &BTreeMap<NodeId, NodeEnd>,
    clients: &[Expected],
    on_chain: &BTreeSet<Txid>,
) -> Result<(), Breach> {
    convergence(ends, clients)
        .and_then(|()| confirmed_is_true(ends, on_chain))
        .map_err(|unfinished| Breach { oracle: "convergence", detail: unfinished.to_string() })
}

/// The script of each wallet that has a key.
pub(crate) type Scripts = BTreeMap<Scheme, ScriptBuf>;

/// Whether the books of every wallet balance.
///
/// # Errors
/// Money that is lost, invented or in the wrong place.
pub(crate) fn balanced(books: &[Books]) -> Result<(), Breach> {
    let breach = |detail| Breach { oracle: "conservation", detail };
    books.iter().try_for_each(|books| conservation(books).map_err(breach))
}

/// Counts how the clients' payments ended.
pub(crate) fn count(clients: &[Expected], tally: &mut Counts) {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    tally.accepted = number(clients.iter().filter(|client| client.answer.is_ok()).count());
    tally.paid = number(clients.iter().filter(|client| client.paid).count());
}

/// How a node sees its transactions, but for those of which nothing is demanded.
pub(crate) fn end(state: &State, hostages: &Hostages) -> NodeEnd {
    let transactions = state
        .transactions()
        .filter(|(txid, _)| !hostages.contains(txid))
        .map(|(txid, tx)| {
            let end = TransactionEnd {
                state: tx.state.name(),
                sub_status: tx.sub_status.to_string(),
                spends: tx.proposal.body.coins().collect(),
            };
            (txid, end)
        })
        .collect();
    NodeEnd { transactions }
}

/// What each client may expect of its payment, but for those that are excused.
pub(crate) fn expectations(
    plan: &FaultPlan,
    clients: &[Client],
    chain: &Chain,
    excused: impl Fn(usize, &Client) -> bool,
) -> Vec<Expected> {
    let paid: BTreeMap<_, Txid> = chain
        .confirmed()
        .flat_map(|(txid, transaction, _)| {
            transaction.output.iter().map(move |output| (&output.script_pubkey, txid))
        })
        .collect();
    let untroubled = plan.is_untroubled();
    let restored = plan.disks.iter().any(|disk| matches!(disk.fault, DiskTrouble::Restored { .. }));
    clients
        .iter()
        .enumerate()
        .filter(|(index, client)| client.state != ClientState::Unsure && !excused(*index, client))
        .map(|(_, client)| Expected {
            label: client.label.clone(),
            answer: match &client.state {
                ClientState::Accepted { txid } => Ok(*txid),
                ClientState::Idle { last } => {
                    Err(last.clone().unwrap_or_else(|| String::from("it has not asked yet")))
                }
                ClientState::Asked { node, .. } => Err(format!("{node} has not answered")),
                ClientState::Unsure => Err(String::from("it lost its answer")),
            },
            may_be_lost: restored,
            must_confirm: untroubled || client.payment.at >= plan.heal_at,
            paid: paid.contains_key(&client.recipient),
        })
        .collect()
}

/// The books of a wallet, all but what the nodes say.
pub(crate) fn books(
    plan: &FaultPlan,
    scheme: Scheme,
    wallets: &Scripts,
    world: (&[Client], &Chain),
) -> Books {
    let (clients, chain) = world;
    let funds = plan.chain.funds_of(scheme).iter().sum();
    let Some(wallet) = wallets.get(&scheme) else { return Books { funds, ..Books::default() } };
    let mut books = Books { funds, stolen: chain.stolen(wallet), ..Books::default() };
    for (_, transaction, _) in chain.confirmed() {
        let coins: Vec<_> =
            transaction.input.iter().filter_map(|input| chain.coin(&input.previous_output)).collect();
        // What funds the wallet spends coins this chain has never seen, and the other wallet keeps its own books.
        if !coins.iter().any(|coin| coin.script_pubkey == *wallet) {
            continue;
        }
        let received: u64 = coins.iter().map(|coin| coin.value.to_sat()).sum();
        let sent: u64 = transaction.output.iter().map(|output| output.value.to_sat()).sum();
        books.fees += received.saturating_sub(sent);
        for output in &transaction.output {
            if clients.iter().any(|client| client.recipient == output.script_pubkey) {
                books.paid += output.value.to_sat();
            } else if output.script_pubkey != *wallet {
                books.strangers.push(output.script_pubkey.clone());
            }
        }
    }
    books.on_chain = chain.balance(wallet);
    books
}

/// What a node says its wallet of this kind holds, in satoshis, mempool included.
pub(crate) fn total(overview: &Overview, scheme: Scheme) -> u64 {
    let of_wallet = |wallet: &mpc_wallet_core::overview::WalletView| {
        let balance = wallet.balance;
        balance.confirmed.to_sat()
            + balance.trusted_pending.to_sat()
            + balance.untrusted_pending.to_sat()
            + balance.immature.to_sat()
    };
    overview.wallets.iter().filter(|wallet| wallet.scheme() == scheme).map(of_wallet).sum()
}
