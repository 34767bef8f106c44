//! The cluster's record in a real PostgreSQL: it tells what the nodes tell, catches up after every outage, refuses what
//! breaks a rule, and decides nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod breaking;
mod outage;
mod recording;
mod telling;

use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, wait_for};
use mpc_wallet_e2e::record::{Comparison, compare_cluster, wait_until_agreed};
use mpc_wallet_e2e::servers::Postgres;
use mpc_wallet_e2e::suite::mining_options;

/// Far beyond what any step takes; a busy machine may need some of it.
const SOON: Duration = Duration::from_secs(60);

/// A server, and a cluster that feeds it, with a key and `coins` coins of 50,000 sat.
fn funded(coins: u32) -> (Postgres, Cluster) {
    let postgres = Postgres::start().unwrap();
    let cluster = Cluster::start(&mining_options().with_postgres(&postgres)).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(50_000, coins).unwrap();
    (postgres, cluster)
}

fn compared(postgres: &Postgres, cluster: &Cluster) -> anyhow::Result<Comparison> {
    compare_cluster(cluster, postgres, None)
}

fn agreed(postgres: &Postgres, cluster: &Cluster) -> Comparison {
    wait_until_agreed(cluster, postgres, None, SOON).unwrap()
}

/// Waits until a node calls its record so.
fn wait_for_record(cluster: &Cluster, node: u16, status: &str) -> serde_json::Value {
    let api = cluster.node(node).unwrap().api();
    wait_for(&format!("the record to be {status}"), SOON, || {
        let health = api.get("/health")?.body;
        anyhow::ensure!(health["postgres"]["status"] == status, "{health}");
        Ok(health)
    })
    .unwrap()
}
