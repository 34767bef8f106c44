//! An operator stops everything at one node; it takes four to go on.

use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, Reply, hold_for, wait_for};
use mpc_wallet_e2e::suite::{check_books, check_timeline, pay_with_patience};
use serde_json::{Value, json};

use super::{SOON, funded};

const REASON: &str = "a laptop is lost";

/// All that a status says of freezes.
fn freezes(cluster: &Cluster, node: u16) -> anyhow::Result<Value> {
    let status: Value = cluster.node(node)?.api().get("/api/v1/cluster/status")?.read()?;
    Ok(status["freezes"].clone())
}

fn wait_frozen(cluster: &Cluster, nodes: &[u16], lifted_by: &[u16]) {
    wait_for("every node to know the freeze and its lifts", SOON, || {
        for node in nodes {
            let seen = freezes(cluster, *node)?;
            let fits = seen[0]["node_id"] == 2
                && seen[0]["reason"] == REASON
                && seen[0]["lifted_by"] == json!(lifted_by);
            anyhow::ensure!(fits, "node {node} sees {seen}");
        }
        Ok(())
    })
    .unwrap();
}

fn lift(cluster: &Cluster, node: u16) -> Reply {
    cluster.node(node).unwrap().api().post("/api/v1/cluster/lift", &json!({})).unwrap()
}

/// Every node refuses a payment, and says who stopped it and why.
fn check_refusals(cluster: &Cluster, nodes: &[u16]) {
    let recipient = cluster.address().unwrap().to_string();
    for node in nodes {
        let api = cluster.node(*node).unwrap().api().clone();
        let body = json!({ "recipient": recipient, "amount_sats": 20_000 });
        let refused = api.post("/api/v1/transactions", &body).unwrap();
        assert_eq!((refused.status, refused.code()), (409, "cluster_frozen"), "{}", refused.text);
        assert_eq!(refused.body["node_id"], 2);
        assert_eq!(refused.body["operator"], "unauthenticated");
        assert_eq!(refused.body["reason"], REASON);
        assert_eq!(api.get("/health").unwrap().status, 200);
        assert_eq!(api.get("/health/ready").unwrap().status, 503);
    }
}

#[test]
fn a_freeze_at_one_node_stops_all_through_restarts_until_four_lift_it() {
    let cluster = funded(4);
    cluster.wait_until_connected().unwrap();
    // A payment that is open and cannot end before the freeze: two nodes are away, and the clock of its round stands still.
    for victim in [4, 5] {
        cluster.node(victim).unwrap().kill9().unwrap();
    }
    wait_for("three nodes to notice", SOON, || {
        let online = cluster.node(1)?.api().cluster()?.online_nodes;
        anyhow::ensure!(online == 3, "node 1 sees {online}");
        Ok(())
    })
    .unwrap();
    let payment = pay_with_patience(&cluster, "frozen", 0, 1, 20_000, SOON).unwrap();

    let frozen = cluster.node(2).unwrap().api().post("/api/v1/cluster/freeze", &json!({ "reason": REASON }));
    let frozen = frozen.unwrap();
    assert_eq!(frozen.status, 200, "{}", frozen.text);
    assert_eq!(frozen.body["frozen_because"], "operator");
    let again = cluster.node(2).unwrap().api().post("/api/v1/cluster/freeze", &json!({ "reason": "again" }));
    assert_eq!(again.unwrap().code(), "already_frozen");
    wait_frozen(&cluster, &[1, 2, 3], &[]);
    check_refusals(&cluster, &[1, 2, 3]);
    for node in [1, 2, 3] {
        assert_eq!(lift(&cluster, node).status, 200);
    }
    wait_frozen(&cluster, &[1, 2, 3], &[1, 2, 3]);

    for victim in [1, 2, 3] {
        cluster.node(victim).unwrap().kill9().unwrap();
    }
    cluster.start_all().unwrap();
    cluster.wait_until_connected().unwrap();
    wait_frozen(&cluster, &[1, 2, 3, 4, 5], &[1, 2, 3]);
    let waits = || {
        for node in [1, 2, 3] {
            let seen = cluster.transaction(node, &payment.txid)?;
            anyhow::ensure!(seen.sub_status == "frozen", "node {node} says {}", seen.standing());
        }
        Ok(())
    };
    wait_for("the payment to say what it waits for", SOON, waits).unwrap();
    hold_for("the payment waits although all five are here", Duration::from_secs(3), waits).unwrap();
    check_refusals(&cluster, &[1, 2, 3, 4, 5]);

    assert_eq!(lift(&cluster, 4).status, 200);
    for node in cluster.nodes() {
        let seen = cluster.wait_state(node.id(), &payment.txid, "confirmed", SOON).unwrap();
        check_timeline(&seen).unwrap();
        assert_eq!(freezes(&cluster, node.id()).unwrap(), json!([]));
    }
    assert_eq!(lift(&cluster, 1).code(), "not_frozen");
    check_books(&cluster, 4 * 50_000, &[payment]).unwrap();
}
