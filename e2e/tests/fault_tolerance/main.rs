//! Nodes die, the chain backend goes away, and payments end all the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod all_nodes;
mod backend;
mod freezing;
mod one_node;
mod two_nodes;

use std::time::Duration;

use mpc_wallet_e2e::cluster::Cluster;
use mpc_wallet_e2e::suite::mining_options;

/// Far beyond what any step takes; a busy machine may need some of it.
const SOON: Duration = Duration::from_secs(60);

/// A cluster with a key and `coins` coins of 50,000 sat.
fn funded(coins: u32) -> Cluster {
    let cluster = Cluster::start(&mining_options()).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(50_000, coins).unwrap();
    cluster
}

/// No node has logged an error, and none more than `lines` lines since the counts given.
fn check_logs(cluster: &Cluster, since: &[usize], lines: usize) {
    for (node, before) in cluster.nodes().iter().zip(since) {
        let log = node.log();
        let fresh: Vec<&str> = log.lines().skip(*before).collect();
        let errors = fresh.iter().filter(|line| line.contains("\"level\":\"ERROR\"")).count();
        assert_eq!(errors, 0, "node {}:\n{}", node.id(), fresh.join("\n"));
        assert!(
            fresh.len() <= lines,
            "node {} logged {} lines:\n{}",
            node.id(),
            fresh.len(),
            fresh.join("\n")
        );
    }
}

/// How long each node's log is.
fn log_lengths(cluster: &Cluster) -> Vec<usize> {
    cluster.nodes().iter().map(|node| node.log().lines().count()).collect()
}
