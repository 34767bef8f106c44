//! What an operator does to a node: end it, start it, configure it wrongly.

use std::time::Duration;

use mpc_wallet_e2e::cluster::Cluster;
use mpc_wallet_e2e::suite::{mining_options, options, pay_until_voted, payee};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn sigterm_ends_a_node_in_order_and_its_restart_keeps_key_and_history() {
    let cluster = Cluster::start(&mining_options()).unwrap();
    let address = cluster.run_dkg().unwrap();
    cluster.fund(100_000, 8).unwrap();
    let payment = cluster.pay(3, &payee("restart", 0).unwrap(), 30_000).unwrap();
    cluster.wait_state(3, &payment.txid, "confirmed", SOON).unwrap();
    let three = cluster.node(3).unwrap();
    let before = three.api().transaction(&payment.txid).unwrap();

    let status = three.terminate(Duration::from_secs(10)).unwrap();
    assert_eq!(status.code(), Some(0));
    cluster.start_all().unwrap();
    cluster.wait_until_connected().unwrap();

    assert_eq!(cluster.address().unwrap(), address);
    let after = three.api().transaction(&payment.txid).unwrap();
    assert_eq!((&after.state, &after.votes), (&before.state, &before.votes));
    assert!(after.timeline.starts_with(&before.timeline), "{after:?}");

    pay_until_voted(&cluster, "restarted", 3, 1, SOON).unwrap();
    cluster.stop().unwrap();
}

#[test]
fn all_configuration_errors_are_listed_at_once_and_the_node_does_not_start() {
    let cluster = Cluster::start(&options()).unwrap();
    let node = cluster.node(2).unwrap();
    node.terminate(SOON).unwrap();
    let wrong = [
        ("MPC_WALLET_NODE_ID", "17"),
        ("MPC_WALLET_CHAIN_ESPLORA", "not a url"),
        ("MPC_WALLET_REST_LISTEN", "nowhere"),
        ("MPC_WALLET_TLS_CA", "missing.crt"),
        ("MPC_WALLET_TIMING_HEARTBEET", "250"),
    ];
    let output = node.command().envs(wrong).output().unwrap();
    assert!(output.status.code().is_some_and(|code| code != 0), "{:?}", output.status);
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    for words in ["node.id", "chain.esplora", "rest.listen", "tls.ca", "timing.heartbeet"] {
        assert!(said.contains(words), "{words} is not in:\n{said}");
    }
}
