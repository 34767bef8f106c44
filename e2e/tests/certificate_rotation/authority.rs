//! A new CA takes over from the old one.

use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, wait_for};
use mpc_wallet_e2e::hostile::{Papers, intrude};

use super::documented::{blocks, run, run_at_each};
use super::papers::{certs, ended_connections, taken, wait_connected_anew, wait_healthy, wait_in_use};
use super::traffic::while_payments_flow;
use super::{SOON, funded};

/// Shows papers to node 5, which refuses them for this reason.
fn refused(cluster: &Cluster, papers: &Papers, reason: &str) {
    let five = cluster.node(5).unwrap();
    let before = five.logged(&["refused a peer", reason]);
    let encounter = intrude(five.quic(), papers, b"hello").unwrap();
    assert!(!encounter.admitted, "{reason}: {encounter:?}");
    wait_for(&format!("node 5 to log: {reason}"), Duration::from_secs(10), || {
        anyhow::ensure!(five.logged(&["refused a peer", reason]) > before, "it has not");
        Ok(())
    })
    .unwrap();
}

/// Waits until a node has taken new files so often.
fn wait_taken(cluster: &Cluster, node: u16, times: i64) {
    let node = cluster.node(node).unwrap();
    wait_for(&format!("node {} to take files {times} times", node.id()), SOON, || {
        anyhow::ensure!(taken(node)? >= times, "{} times", taken(node)?);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_ca_is_changed_as_documented_while_payments_flow_and_the_old_one_ends_up_untrusted() {
    let cluster = funded(3_600);
    let stranger = Papers::of_cluster_ca(&certs(&cluster), "node-9", 30).unwrap();
    let member = Papers::of_cluster_ca(&certs(&cluster), "node-1", 30).unwrap();
    let [begin, trust_both, one_by_one, end, trust_one] =
        blocks("### Changing the CA").try_into().expect("five blocks");
    let before = ended_connections(&cluster);
    while_payments_flow(&cluster, "change of CA", |traffic| {
        traffic.wait_for_more(2);
        run(&cluster, &begin, None);
        run_at_each(&cluster, &trust_both, |node| wait_taken(&cluster, node, 1));
        run_at_each(&cluster, &one_by_one, |node| {
            wait_in_use(&cluster, cluster.node(node).unwrap());
            traffic.wait_for_more(1);
        });
        assert_eq!(ended_connections(&cluster), before, "both CAs are trusted: nothing ends");
        refused(&cluster, &stranger, "node-9 is not in the manifest");

        run(&cluster, &end, None);
        run_at_each(&cluster, &trust_one, |node| {
            wait_taken(&cluster, node, 3);
            wait_connected_anew(&cluster, cluster.node(node).unwrap());
            traffic.wait_for_more(1);
        });
        traffic.wait_for_more(3);
    });
    for papers in [&stranger, &member] {
        refused(&cluster, papers, "not signed by this cluster's CA");
    }
    cluster.wait_until_connected().unwrap();
    cluster.nodes().iter().for_each(wait_healthy);
}
