//! Real packets between real processes are cut, delayed and lost: nobody signs without a quorum, nobody honest is blamed,
//! nothing is paid twice, and after the heal all nodes know the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod losing;
mod splitting;

use std::time::Duration;

use mpc_wallet_e2e::between::Between;
use mpc_wallet_e2e::cluster::{Cluster, ClusterOptions, wait_for};
use mpc_wallet_e2e::suite::{Expected, check_books, check_confirmed, mining_options};

/// Far beyond what any step takes; a busy machine may need some of it.
const SOON: Duration = Duration::from_secs(60);

/// The promise: after the heal a node knows what the others know within this.
const CATCH_UP: Duration = Duration::from_secs(60);

/// After so long a node that gets no coins says so; a test waits for that.
const COIN_WAIT_MS: u64 = 3_000;

/// Every coin given to a wallet.
const COIN: u64 = 50_000;

/// A cluster whose wires can be cut, with a key and `coins` coins.
fn funded(coins: u32) -> Cluster {
    let options = ClusterOptions { between: Between::Wires, ..mining_options() }.set(
        "timing",
        "coin_wait",
        COIN_WAIT_MS,
    );
    let cluster = Cluster::start(&options).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(COIN, coins).unwrap();
    cluster
}

/// Waits until these nodes see so many online, themselves included.
fn wait_until_online(cluster: &Cluster, nodes: &[u16], online: u16) {
    wait_for(&format!("nodes {nodes:?} to see {online} online"), SOON, || {
        for id in nodes {
            let seen = cluster.node(*id)?.api().cluster()?.online_nodes;
            anyhow::ensure!(seen == online, "node {id} sees {seen}");
        }
        Ok(())
    })
    .unwrap();
}

/// No node has shut another out, and no node holds more against another than silence.
fn check_nobody_is_blamed(cluster: &Cluster) {
    for node in cluster.nodes() {
        for member in node.api().members().unwrap().nodes {
            assert!(
                member.status != "banned" && member.banned_until.is_none(),
                "node {} about {member:?}",
                node.id()
            );
        }
        let blamed = node.api().violations().unwrap();
        let silent = blamed.iter().all(|one| one["violation_type"] == "timeout");
        assert!(silent, "node {} holds {blamed:?}", node.id());
    }
}

/// Waits until every node shows every payment as confirmed, then asks the chain what was paid.
fn check_all_paid_once(cluster: &Cluster, coins: u64, payments: &[Expected], within: Duration) {
    for payment in payments {
        for node in cluster.nodes() {
            check_confirmed(cluster, node.id(), payment, within).unwrap();
        }
    }
    check_books(cluster, coins * COIN, payments).unwrap();
    check_nobody_is_blamed(cluster);
}
