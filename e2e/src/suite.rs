//! What the end-to-end suites share: the chain they run on, payees, and oracles.
//!
//! The oracles read blocks and the API's words, and restate the rules; they share no code with the wallet.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use anyhow::Context as _;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::{Address, Amount, Network, OutPoint, Txid};

use crate::chain::Backend;
use crate::cluster::{Cluster, ClusterOptions, NodeProcess, PaymentView, TransactionView, wait_for};

/// Names the folder of a real node, as `scripts/install-bitcoind.sh` fills it.
const BITCOIND: &str = "MPC_WALLET_BITCOIND_DIR";

/// The suites' chain: a real node where one is installed, else the embedded chain; which, is said on stderr.
pub fn backend() -> Backend {
    static SAID: Once = Once::new();
    let dir = std::env::var_os(BITCOIND).map(PathBuf::from);
    SAID.call_once(|| {
        let note = match &dir {
            Some(dir) => format!("chain of this suite: bitcoind in {}\n", dir.display()),
            None => format!("chain of this suite: EMBEDDED; set {BITCOIND} to run it on a real node\n"),
        };
        // Past the test harness's capture, and of no consequence if nobody reads it.
        let _ = std::io::stderr().write_all(note.as_bytes());
    });
    dir.map_or(Backend::Embedded, |dir| Backend::Bitcoind { dir })
}

/// Five nodes, four needed, that look at the chain often. Blocks come when a test asks for one.
pub fn options() -> ClusterOptions {
    ClusterOptions { chain: backend(), ..ClusterOptions::default() }.set("chain", "poll_ms", 200)
}

/// As [`options`], with a block every second while a transaction waits.
pub fn mining_options() -> ClusterOptions {
    ClusterOptions { auto_mine: Some(Duration::from_secs(1)), ..options() }
}

/// An address that only this call's `tag` and `number` give; nobody can spend from it, and nothing else pays it.
pub fn payee(tag: &str, number: u32) -> anyhow::Result<Address> {
    let name = PushBytesBuf::try_from(format!("{tag} {number}").into_bytes())?;
    Ok(Address::p2wsh(&Builder::new().push_slice(name).into_script(), Network::Regtest))
}

/// Posts payments at once, each at its node, under an idempotency key of its own, as a careful client does: what
/// was not answered, or was put off, is posted again, at the next node if need be. Returns them in the order given.
/// Errors when a payment is refused or not taken within `within`.
pub fn pay_at_once(
    cluster: &Cluster,
    tag: &str,
    orders: &[(u16, u64)],
    within: Duration,
) -> anyhow::Result<Vec<Expected>> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..)
            .zip(orders)
            .map(|(number, (node, sats))| {
                scope.spawn(move || pay_with_patience(cluster, tag, number, *node, *sats, within))
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
            .collect()
    })
}

/// One careful client, and payee `number` of `tag`.
pub fn pay_with_patience(
    cluster: &Cluster,
    tag: &str,
    number: u32,
    node: u16,
    sats: u64,
    within: Duration,
) -> anyhow::Result<Expected> {
    let all = cluster.nodes().iter().map(NodeProcess::id);
    let (before, from): (Vec<u16>, Vec<u16>) = all.partition(|id| *id < node);
    pay_at_any_of(cluster, tag, number, &[from, before].concat(), sats, within)
}

/// As [`pay_with_patience`], asking these nodes only, one after the other.
pub fn pay_at_any_of(
    cluster: &Cluster,
    tag: &str,
    number: u32,
    nodes: &[u16],
    sats: u64,
    within: Duration,
) -> anyhow::Result<Expected> {
    order(cluster, &payee(tag, number)?, &format!("{tag}-{number}"), nodes, sats, within)
}

/// Has one payee paid under an idempotency key.
fn order(
    cluster: &Cluster,
    payee: &Address,
    key: &str,
    nodes: &[u16],
    sats: u64,
    within: Duration,
) -> anyhow::Result<Expected> {
    let address = payee.to_string();
    let mut nodes = nodes.iter().cycle();
    let reply = wait_for(&format!("payment {key} to be taken"), within, || {
        let node = cluster.node(*nodes.next().context("nobody is to be asked")?)?;
        let reply = node.api().pay_keyed(&address, sats, key)?;
        // In progress, unavailable, late: another try is in order. All else is an answer.
        anyhow::ensure!(
            !matches!(reply.status, 409 | 503 | 504),
            "node {}: {}",
            node.id(),
            reply.text.trim()
        );
        Ok(reply)
    })?;
    anyhow::ensure!(reply.status == 201, "payment {key} was refused: {} {}", reply.status, reply.text.trim());
    Ok(Expected { txid: reply.read::<PaymentView>()?.txid, payee: payee.clone(), sats })
}

/// What insistent clients achieved.
#[derive(Debug, Default)]
pub struct Insisted {
    /// Each order as it was paid in the end.
    pub paid: Vec<Expected>,
    /// Transactions that the members refused meanwhile.
    pub refused: Vec<String>,
}

/// Orders at once, each at its own node alone, and again what the members refuse: while nodes choose coins apart from each
/// other, two payments may want one coin, and one of them is turned down. Errors when a payment ends in another way, or
/// is not confirmed at its node within `within`.
pub fn pay_insistently(
    cluster: &Cluster,
    tag: &str,
    orders: &[(u16, u64)],
    within: Duration,
) -> anyhow::Result<Insisted> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..)
            .zip(orders)
            .map(|(number, (node, sats))| {
                scope.spawn(move || insist(cluster, tag, number, *node, *sats, within))
            })
            .collect();
        let mut all = Insisted::default();
        for client in clients {
            let (paid, refused) = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
            all.paid.push(paid);
            all.refused.extend(refused);
        }
        Ok(all)
    })
}

/// One insistent client: its payment, and what was refused before.
fn insist(
    cluster: &Cluster,
    tag: &str,
    number: u32,
    node: u16,
    sats: u64,
    within: Duration,
) -> anyhow::Result<(Expected, Vec<String>)> {
    let payee = payee(tag, number)?;
    let mut refused = Vec::new();
    let (payment, end) = wait_for(&format!("order {number} of {tag} to be paid"), within, || {
        let key = format!("{tag}-{number}-{}", refused.len());
        let payment = order(cluster, &payee, &key, &[node], sats, within)?;
        let end = cluster.wait_final(node, &payment.txid, within)?;
        if end.state == "rejected" {
            refused.push(payment.txid);
            anyhow::bail!("try {} ended as {}", refused.len(), end.standing());
        }
        Ok((payment, end))
    })?;
    anyhow::ensure!(end.state == "confirmed", "{} ended as {}", payment.txid, end.standing());
    Ok((payment, refused))
}

/// Waits until a node, which may not know of a payment yet, shows it as confirmed, and checks its way there.
pub fn check_confirmed(
    cluster: &Cluster,
    node: u16,
    payment: &Expected,
    within: Duration,
) -> anyhow::Result<()> {
    let known = format!("node {node} to know {}", payment.txid);
    wait_for(&known, within, || cluster.transaction(node, &payment.txid))?;
    check_timeline(&cluster.wait_state(node, &payment.txid, "confirmed", within)?)
}

/// Pays until `voter`'s approval is counted by `witness`, and returns the payments, all confirmed at `voter`. One
/// payment may not suffice: the other members can be quicker than the voter, and then its vote is not needed.
pub fn pay_until_voted(
    cluster: &Cluster,
    tag: &str,
    voter: u16,
    witness: u16,
    within: Duration,
) -> anyhow::Result<Vec<Expected>> {
    let mut payments = Vec::new();
    wait_for(&format!("node {witness} to count a vote of node {voter}"), within, || {
        let number = u32::try_from(payments.len())?;
        let payment = pay_with_patience(cluster, tag, number, voter, 5_000, within)?;
        let txid = payment.txid.clone();
        payments.push(payment);
        cluster.wait_state(voter, &txid, "confirmed", within)?;
        let votes = cluster.transaction(witness, &txid)?.votes;
        anyhow::ensure!(votes.iter().any(|vote| vote.node_id == voter && vote.approve), "{votes:?}");
        Ok(())
    })?;
    Ok(payments)
}

/// A payment as a test knows it.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The transaction that the API named.
    pub txid: String,
    /// Who is to be paid.
    pub payee: Address,
    /// How much.
    pub sats: u64,
}

/// Checks by the blocks that each payment was made exactly once and in full by the transaction named, that no coin
/// was spent twice, and that the wallet holds the rest: `funded − paid − fees`. Returns the fees.
pub fn check_books(cluster: &Cluster, funded: u64, payments: &[Expected]) -> anyhow::Result<u64> {
    let chain = cluster.chain();
    let (mut paid, mut fees, mut spent) = (0u64, 0u64, BTreeSet::new());
    for payment in payments {
        let txid: Txid = payment.txid.parse()?;
        let made = chain.payments_to(&payment.payee.script_pubkey())?;
        anyhow::ensure!(
            made.len() == 1 && made.iter().all(|one| one.outpoint.txid == txid),
            "{} should be paid once by {txid}; the chain has {made:?}",
            payment.payee
        );
        let amount: u64 = made.iter().map(|one| one.amount.to_sat()).sum();
        anyhow::ensure!(
            amount == payment.sats,
            "{} got {amount} instead of {} sat",
            payment.payee,
            payment.sats
        );
        paid = paid.saturating_add(amount);
        fees = fees.saturating_add(fee_of(cluster, &txid)?);
        for coin in inputs(cluster, &txid)? {
            anyhow::ensure!(spent.insert(coin), "coin {coin} is an input of two payments");
            let spenders = chain.spends_of(&coin)?;
            anyhow::ensure!(spenders == [txid], "coin {coin} of {txid} is spent by {spenders:?}");
        }
    }
    let script = cluster.address()?.script_pubkey();
    let held = chain.balance(&script)?.to_sat();
    let rest = funded.saturating_sub(paid).saturating_sub(fees);
    anyhow::ensure!(held == rest, "the wallet holds {held} sat; {funded} − {paid} − {fees} = {rest}");
    Ok(fees)
}

/// The coins that a transaction of the chain or mempool spends.
pub fn inputs(cluster: &Cluster, txid: &Txid) -> anyhow::Result<Vec<OutPoint>> {
    let tx = cluster.chain().transaction(txid)?.with_context(|| format!("{txid} is not on the chain"))?;
    Ok(tx.input.iter().map(|input| input.previous_output).collect())
}

/// What a transaction of the chain or mempool leaves to the miners, in satoshi.
pub fn fee_of(cluster: &Cluster, txid: &Txid) -> anyhow::Result<u64> {
    let chain = cluster.chain();
    let tx = chain.transaction(txid)?.with_context(|| format!("{txid} is not on the chain"))?;
    let mut fee = Amount::ZERO;
    for input in &tx.input {
        let coin = input.previous_output;
        let parent = chain.transaction(&coin.txid)?.with_context(|| format!("{} is unknown", coin.txid))?;
        let output = parent.output.get(usize::try_from(coin.vout)?).context("no such output")?;
        fee = fee.checked_add(output.value).context("more than there is")?;
    }
    for output in &tx.output {
        fee = fee.checked_sub(output.value).context("it pays more than it spends")?;
    }
    Ok(fee.to_sat())
}

/// Moves of the lifecycle, as spec and API documentation tell them. A finished signature may arrive from peers in
/// any unsigned state.
const MOVES: [(&str, &[&str]); 8] = [
    ("pending", &["voting", "rejected"]),
    ("voting", &["threshold_reached", "signed", "rejected", "failed"]),
    ("threshold_reached", &["approved", "signed", "failed"]),
    ("approved", &["signing", "signed", "failed"]),
    ("signing", &["signed", "failed", "aborted_byzantine"]),
    ("signed", &["broadcasting", "failed"]),
    ("broadcasting", &["confirmed", "failed"]),
    ("confirmed", &["broadcasting"]),
];

/// Checks that a timeline has no gap, no illegal move and no step back in time, and ends where the transaction is.
pub fn check_timeline(transaction: &TransactionView) -> anyhow::Result<()> {
    let (mut state, mut clock) = (None, i64::MIN);
    for step in &transaction.timeline {
        anyhow::ensure!(
            step.from.as_deref() == state,
            "{}: a step from {:?} follows {state:?}",
            transaction.txid,
            step.from
        );
        let legal = match state {
            None => true,
            Some(from) if from == step.to => true,
            Some(from) => MOVES.iter().any(|(known, to)| *known == from && to.contains(&step.to.as_str())),
        };
        anyhow::ensure!(
            legal,
            "{}: from {state:?} to {} is no move of the lifecycle",
            transaction.txid,
            step.to
        );
        let at = step.at_ms().with_context(|| format!("{} is not a time", step.at))?;
        anyhow::ensure!(
            at >= clock,
            "{}: {} at {} came before its predecessor",
            transaction.txid,
            step.to,
            step.at
        );
        (state, clock) = (Some(step.to.as_str()), at);
    }
    anyhow::ensure!(
        state == Some(transaction.state.as_str()),
        "{} is {} but its timeline ends in {state:?}",
        transaction.txid,
        transaction.state
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;

    fn with_steps(state: &str, steps: &[(Option<&str>, &str, &str)]) -> TransactionView {
        let steps = steps.iter().map(|(from, to, second)| {
            serde_json::json!({
                "from": from, "to": to, "sub_status": "", "at": format!("2026-01-01T00:00:{second}Z"),
            })
        });
        serde_json::from_value(serde_json::json!({
            "txid": "t", "state": state, "sub_status": "", "recipient": "", "amount_sats": 1, "fee_sats": 1,
            "confirmations": 0, "proposed_by": 1, "timeline": steps.collect::<Vec<_>>(),
        }))
        .unwrap()
    }

    #[test]
    fn the_timeline_oracle_finds_each_kind_of_fault() {
        let good =
            [(None, "pending", "01"), (Some("pending"), "voting", "01.5"), (Some("voting"), "voting", "02")];
        check_timeline(&with_steps("voting", &good)).unwrap();
        for (fault, state, steps) in [
            ("no move", "signed", vec![(None, "pending", "01"), (Some("pending"), "signed", "02")]),
            ("follows", "voting", vec![(None, "pending", "01"), (Some("approved"), "voting", "02")]),
            ("came before", "voting", vec![(None, "pending", "02"), (Some("pending"), "voting", "01")]),
            ("ends in", "voting", vec![(None, "pending", "02")]),
        ] {
            let error = check_timeline(&with_steps(state, &steps)).unwrap_err().to_string();
            assert!(error.contains(fault), "{fault}: {error}");
        }
    }

    #[test]
    fn payees_differ() {
        let payees = [("a", 1), ("a", 2), ("b", 1)].map(|(tag, number)| payee(tag, number).unwrap());
        assert_eq!(BTreeSet::from(payees.map(|payee| payee.to_string())).len(), 3);
    }
}
