//! The way from an empty cluster to a confirmed payment, shown as it happens.

use std::time::Duration;

use bitcoin::Address;
use mpc_wallet_e2e::cluster::{Api, Cluster, Kind, TransactionView, wait_for};
use mpc_wallet_e2e::suite::payee;

use super::screen::Screen;

/// The first coins: several, so that payments need not wait for change.
const COINS: (u64, u32) = (10_000_000, 10);
/// What the first payment sends.
pub(crate) const PAYMENT_SATS: u64 = 50_000;
/// Longest wait for the first presignatures: seconds of processor time at each of four nodes.
const STOCK_WITHIN: Duration = Duration::from_secs(300);
/// Longest that one state of the first payment may last before the tour gives up, beside its blocks.
const PATIENCE: Duration = Duration::from_secs(60);
/// Blocks that a state may wait for: a node asks for one on regtest, and one may have come just before.
const BLOCKS: u32 = 2;

/// Makes a wallet's key and funds it, if that was not done in an earlier run.
pub(crate) fn open(cluster: &Cluster, screen: &Screen, kind: Kind) -> anyhow::Result<()> {
    let wallet = kind.name();
    let address = make_key(cluster, screen, kind)?;

    let stage = screen.stage(&format!("funding the {wallet} wallet"));
    if cluster.chain().balance(&address.script_pubkey())?.to_sat() < 2 * PAYMENT_SATS {
        let (sats, coins) = COINS;
        cluster.fund_wallet(kind, sats, coins)?;
        stage.done(&format!("{wallet} wallet funded with {coins} coins of {sats} sat"));
    } else {
        stage.done(&format!("{wallet} wallet has coins"));
    }
    Ok(())
}

/// Pays once from a wallet, on a chain with blocks at this interval. Returns the payment's transaction id.
pub(crate) fn pay(
    cluster: &Cluster,
    screen: &Screen,
    kind: Kind,
    block_every: Duration,
) -> anyhow::Result<String> {
    let wallet = kind.name();
    // The highest node but one, to show that any will do.
    let last = u16::try_from(cluster.nodes().len())?;
    let proposer = last.saturating_sub(1).max(1);
    let api = cluster.node(proposer)?.api();
    let number = u32::try_from(api.transactions()?.len())?;
    let stage =
        screen.stage(&format!("paying {PAYMENT_SATS} sat from the {wallet} wallet through node {proposer}"));
    let payment = cluster.pay_from(kind, proposer, &payee("devnet", number)?, PAYMENT_SATS)?;
    stage.line(&format!("  payment {} posted at node {proposer}", payment.txid));
    let patience = PATIENCE.saturating_add(block_every.saturating_mul(BLOCKS));
    let seen = follow(api, &payment.txid, patience, |text| stage.line(text))?;
    anyhow::ensure!(seen.state == "confirmed", "the payment ended as {}", seen.standing());
    let approvals = seen.votes.iter().filter(|vote| vote.approve).count();
    stage.done(&format!(
        "{} sat paid for a fee of {} sat; {approvals} of {last} nodes approved",
        seen.amount_sats, seen.fee_sats
    ));
    Ok(payment.txid)
}

fn make_key(cluster: &Cluster, screen: &Screen, kind: Kind) -> anyhow::Result<Address> {
    let wallet = kind.name();
    let nodes = cluster.nodes().len();
    let work = format!("generating the {wallet} wallet's key ({nodes} nodes compute, none holds it whole)");
    let stage = screen.stage(&work);
    if cluster.node(1)?.api().dkg()?.has(kind) {
        let address = cluster.address_of(kind)?;
        stage.done(&format!("key found; the {wallet} wallet's address is {address}"));
        return Ok(address);
    }
    let address = cluster.make_key(kind, |run| {
        if let Some(step) = &run.stage {
            stage.now(&format!("{work}: {}, round {} of {}", step.name, step.round, step.rounds));
        }
    })?;
    stage.done(&format!("key generated; the {wallet} wallet's address is {address}"));
    Ok(address)
}

/// Waits for the first presignatures, so that the first payment shows what they are for.
pub(crate) fn await_stock(cluster: &Cluster, screen: &Screen) -> anyhow::Result<()> {
    let stage = screen.stage("making presignatures (in the background, whenever nobody pays)");
    cluster.wait_for_stock(1, STOCK_WITHIN)?;
    stage.done("presignatures in stock");
    Ok(())
}

/// Shows each state as it is entered, with the time since the first by the node's own clock, until the last.
fn follow(api: &Api, txid: &str, patience: Duration, show: impl Fn(&str)) -> anyhow::Result<TransactionView> {
    let mut shown = 0;
    loop {
        let seen = wait_for("the payment's next state", patience, || {
            let seen = api.transaction(txid)?;
            anyhow::ensure!(seen.timeline.len() > shown || seen.is_final(), "it is {}", seen.standing());
            Ok(seen)
        })?;
        let start = seen.timeline.first().and_then(|step| step.at_ms()).unwrap_or_default();
        for step in seen.timeline.iter().skip(shown) {
            let since = step.at_ms().unwrap_or(start).saturating_sub(start);
            let (whole, millis) = (since / 1_000, since % 1_000);
            let text = format!("  {whole:>3}.{millis:03} s  {:<18} {}", step.to, step.sub_status);
            show(text.trim_end());
        }
        shown = seen.timeline.len();
        if seen.is_final() {
            return Ok(seen);
        }
    }
}

/// Says where everything is and what can be done with it.
pub(crate) fn explain(cluster: &Cluster, screen: &Screen, paid: Option<&str>) -> anyhow::Result<()> {
    let url = cluster.node(1)?.url();
    let (chain, address) = (cluster.chain().url(), cluster.address()?);
    screen.line("");
    for node in cluster.nodes() {
        screen.line(&format!("  node {}   {}", node.id(), node.url()));
    }
    screen.line(&format!("  chain    {chain} (Esplora; a block comes while a transaction waits)"));
    screen.line(&format!("  folder   {} (logs in logs/)", cluster.folder().display()));
    screen.line("\n  look:  ");
    if let Some(txid) = paid {
        screen.line(&format!("    curl -s {url}/api/v1/transactions/{txid}"));
    }
    screen.line(&format!("    curl -s {url}/api/v1/cluster/status"));
    screen.line(&format!("    curl -s {url}/api/v1/wallet/balance"));
    screen.line(&format!("    curl -s {url}/api/v1/presignatures"));
    screen.line("  pay (\"type\": \"segwit\" pays from the other wallet):");
    screen.line(&format!(
        "    curl -s {url}/api/v1/transactions -H 'content-type: application/json' \\\n      \
         -d '{{\"recipient\":\"{}\",\"amount_sats\":25000}}'",
        payee("devnet by hand", 0)?
    ));
    screen.line(&format!(
        "    cargo run -q -p mpc-wallet-shell --bin mpc-wallet-cli -- --node {url} wallet balance"
    ));
    screen.line("  more coins:");
    screen.line(&format!(
        "    curl -s {chain}/regtest/faucet -H 'content-type: application/json' \\\n      \
         -d '{{\"address\":\"{address}\",\"amount_sats\":1000000}}'"
    ));
    screen.line("  kill a node, and start it again:");
    let config = cluster.node(2)?.config().to_owned();
    let server = mpc_wallet_e2e::cluster::server_binary()?;
    screen.line(&format!("    pkill -9 -f {}", config.display()));
    screen.line(&format!("    {} --config {}", server.display(), config.display()));
    screen.line("\nCtrl-C ends everything.");
    Ok(())
}
