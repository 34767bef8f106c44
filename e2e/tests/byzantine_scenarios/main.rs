//! One member of five runs a hostile program in place of the server: it is found out, proven, shut out where it can be,
//! and payments go on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod forging;
mod lying;
mod sharing;
mod voting;

use std::time::Duration;

use mpc_wallet_e2e::cluster::Cluster;
use mpc_wallet_e2e::servers::Postgres;
use mpc_wallet_e2e::suite::{Expected, check_books, check_confirmed, mining_options, pay_at_any_of};

/// Far beyond what any step takes; a busy machine may need some of it.
const SOON: Duration = Duration::from_secs(60);

/// Every coin given to the wallet.
const COIN: u64 = 50_000;

/// Faults that shut a member out, as these clusters are configured; not the default, to see that it is obeyed.
const STRIKES: usize = 3;

/// A PostgreSQL server, and a cluster that feeds it, with a key and `coins` coins.
fn funded(coins: u32) -> (Postgres, Cluster) {
    let postgres = Postgres::start().unwrap();
    let options = mining_options().with_postgres(&postgres).set("limits", "strikes", STRIKES);
    let cluster = Cluster::start(&options).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(COIN, coins).unwrap();
    (postgres, cluster)
}

/// Everybody but the traitor.
fn honest(traitor: u16) -> Vec<u16> {
    (1..=5).filter(|id| *id != traitor).collect()
}

/// Has each of these nodes make a payment, and waits until all of them see all in a block.
fn pay_each(cluster: &Cluster, tag: &str, nodes: &[u16]) -> Vec<Expected> {
    let payments: Vec<Expected> = (0..)
        .zip(nodes)
        .map(|(number, id)| {
            pay_at_any_of(cluster, tag, number, &[*id], 5_000 + u64::from(*id), SOON).unwrap()
        })
        .collect();
    wait_until_confirmed(cluster, nodes, &payments);
    payments
}

fn wait_until_confirmed(cluster: &Cluster, nodes: &[u16], payments: &[Expected]) {
    for payment in payments {
        for id in nodes {
            check_confirmed(cluster, *id, payment, SOON).unwrap();
        }
    }
}

/// Whether `witness` has shut `member` out.
fn is_banned(cluster: &Cluster, witness: u16, member: u16) -> anyhow::Result<bool> {
    let members = cluster.node(witness)?.api().members()?.nodes;
    Ok(members.iter().any(|seen| seen.node_id == member && seen.status == "banned"))
}

/// Types of the violations that `witness` holds against `member`.
fn violations(cluster: &Cluster, witness: u16, member: u16) -> anyhow::Result<Vec<String>> {
    let all = cluster.node(witness)?.api().violations()?;
    let of_member = all.iter().filter(|one| one["node_id"] == member);
    Ok(of_member.map(|one| one["violation_type"].as_str().unwrap_or_default().to_owned()).collect())
}

/// No honest node has shut out another, nor holds more against it than silence, and the record says the same; each
/// payment was made once.
fn check_the_honest(postgres: &Postgres, cluster: &Cluster, traitor: u16, coins: u64, payments: &[Expected]) {
    let honest = honest(traitor);
    for witness in &honest {
        for member in &honest {
            assert!(!is_banned(cluster, *witness, *member).unwrap(), "node {witness} shut node {member} out");
            let held = violations(cluster, *witness, *member).unwrap();
            assert!(
                held.iter().all(|kind| kind == "timeout"),
                "node {witness} about node {member}: {held:?}"
            );
        }
    }
    let banned =
        format!("SELECT node_id FROM node_status WHERE banned_until IS NOT NULL AND node_id <> {traitor}");
    assert_eq!(postgres.psql(&banned).unwrap(), "");
    check_books(cluster, coins * COIN, payments).unwrap();
}

/// The hostile program has deviated.
fn check_betrayed(cluster: &Cluster, traitor: u16) {
    assert!(cluster.node(traitor).unwrap().logged(&["deviates"]) > 0, "node {traitor} was honest");
}
