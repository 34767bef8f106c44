//! A certificate that nobody renewed in time.

use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, wait_for};
use mpc_wallet_e2e::hostile::{Papers, Validity};
use mpc_wallet_e2e::suite::{pay_until_voted, pay_with_patience};

use super::papers::{certs, wait_degraded, wait_healthy, wait_in_use};
use super::{SOON, funded};

/// Life of the certificate: a restart on a busy machine must fit in.
const LIFE: Duration = Duration::from_secs(20);

/// Waits until a node sees another in a state.
fn wait_seen(cluster: &Cluster, by: u16, of: u16, status: &str) {
    wait_for(&format!("node {by} to see node {of} {status}"), SOON, || {
        let members = cluster.node(by)?.api().members()?.nodes;
        let seen = members.iter().find(|member| member.node_id == of).map(|member| member.status.as_str());
        anyhow::ensure!(seen == Some(status), "it sees {seen:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_node_whose_certificate_expires_is_shut_out_visibly_and_comes_back_with_a_new_one() {
    let cluster = funded(1);
    let (three, certs) = (cluster.node(3).unwrap(), certs(&cluster));
    let short = Validity::until(LIFE).unwrap();
    Papers::of_cluster_ca_within(&certs, "node-3", short).unwrap().install(&certs, 3).unwrap();
    three.terminate(SOON).unwrap();
    cluster.start_all().unwrap();
    cluster.wait_until_connected().unwrap();
    wait_degraded(three, "this node's certificate expires on");

    wait_degraded(three, "this node's certificate has expired on");
    for peer in [1, 2, 4, 5] {
        wait_seen(&cluster, peer, 3, "offline");
    }
    let meanwhile = pay_with_patience(&cluster, "without node 3", 0, 1, 20_000, SOON).unwrap();
    cluster.wait_state(1, &meanwhile.txid, "confirmed", SOON).unwrap();

    Papers::of_cluster_ca(&certs, "node-3", 30).unwrap().install(&certs, 3).unwrap();
    wait_in_use(&cluster, three);
    cluster.wait_until_connected().unwrap();
    wait_healthy(three);
    cluster.wait_state(3, &meanwhile.txid, "confirmed", SOON).unwrap();
    pay_until_voted(&cluster, "with node 3 again", 3, 1, SOON).unwrap();
}
