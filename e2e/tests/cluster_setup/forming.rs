//! Five processes become one wallet.

use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, Kind, wait_for};
use mpc_wallet_e2e::suite::options;

#[test]
fn five_nodes_see_each_other_and_one_coordinator() {
    let cluster = Cluster::start(&options()).unwrap();
    let coordinator = cluster.wait_until_connected().unwrap();
    assert!((1..=5).contains(&coordinator));
    for node in cluster.nodes() {
        let view = node.api().cluster().unwrap();
        assert_eq!((view.total_nodes, view.online_nodes, view.threshold), (5, 5, 4), "node {}", node.id());
        // A member counts as degraded until its first look at the chain.
        let members = wait_for("five members in order", Duration::from_secs(20), || {
            let members = node.api().members()?.nodes;
            anyhow::ensure!(members.iter().all(|member| member.status == "online"), "{members:?}");
            Ok(members)
        })
        .unwrap();
        let ids: Vec<u16> = members.iter().map(|member| member.node_id).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5]);
    }
    cluster.stop().unwrap();
}

#[test]
fn key_generation_gives_one_address_at_all_nodes_and_runs_once() {
    let cluster = Cluster::start(&options()).unwrap();
    cluster.wait_until_connected().unwrap();
    for node in cluster.nodes() {
        let before = node.api().get("/api/v1/wallet/address?type=taproot").unwrap();
        assert_eq!((before.status, before.code()), (409, "no_key"), "{}", before.text);
    }
    let address = cluster.run_dkg().unwrap();
    assert!(address.script_pubkey().is_p2tr());
    for node in cluster.nodes() {
        let second = node.api().start_dkg(Kind::Taproot).unwrap();
        assert_eq!((second.status, second.code()), (409, "key_exists"), "{}", second.text);
    }
    assert_eq!(cluster.address().unwrap(), address);
}
