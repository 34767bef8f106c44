//! Payments that people are asked about.

use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, NodeProcess, Reply, wait_for};
use mpc_wallet_e2e::suite::{check_timeline, options, payee};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);

fn decide(node: &NodeProcess, txid: &str, verb: &str) -> Reply {
    let path = format!("/api/v1/transactions/{txid}/{verb}");
    node.api().post(&path, &json!({ "comment": "as ordered" })).unwrap()
}

/// Waits until these nodes leave a payment to people.
fn wait_for_people(cluster: &Cluster, nodes: &[u16], txid: &str) {
    wait_for("a payment that waits for people", SOON, || {
        for id in nodes {
            let seen = cluster.transaction(*id, txid)?;
            anyhow::ensure!(seen.sub_status == "awaiting_approval", "node {id}: {}", seen.standing());
        }
        Ok(())
    })
    .unwrap();
}

fn pay(cluster: &Cluster, number: u32, sats: u64) -> String {
    cluster.pay(1, &payee("asking", number).unwrap(), sats).unwrap().txid
}

#[test]
fn people_decide_about_large_payments_and_small_ones_go_by_themselves() {
    let options =
        options().set("policy", "approval_above_sats", 50_000).set("policy", "approval_operators", 2);
    let cluster = Cluster::start(&options).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(100_000, 4).unwrap();

    let large = pay(&cluster, 0, 50_001);
    wait_for_people(&cluster, &[1, 2, 3, 4, 5], &large);
    let small = pay(&cluster, 1, 50_000);
    cluster.wait_on_chain(&small, SOON).unwrap();

    // A node that is away hears of the decisions when it is back.
    let away = cluster.node(5).unwrap();
    away.kill9().unwrap();
    let two = cluster.node(2).unwrap();
    let shown = decide(two, &large, "approve");
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert_eq!(shown.body["approval"]["missing"], 1);
    assert_eq!(shown.body["approval"]["decisions"][0]["comment"], "as ordered");
    assert!(shown.body["inputs"][0]["amount_sats"].as_u64().unwrap() > 0, "{}", shown.text);
    assert_eq!(decide(two, &large, "approve").status, 200, "the same again");
    let contrary = decide(two, &large, "reject");
    assert_eq!((contrary.status, contrary.code()), (409, "already_decided"));
    wait_for_people(&cluster, &[1, 2, 3, 4], &large);
    assert!(cluster.transaction(3, &large).unwrap().votes.is_empty());

    assert_eq!(decide(cluster.node(4).unwrap(), &large, "approve").status, 200);
    cluster.wait_on_chain(&large, SOON).unwrap();
    cluster.chain().mine(1).unwrap();
    away.start().unwrap();
    for node in cluster.nodes() {
        let seen = cluster.wait_state(node.id(), &large, "confirmed", SOON).unwrap();
        check_timeline(&seen).unwrap();
    }
    wait_for("both decisions at the node that was away", SOON, || {
        let shown = away.api().get(&format!("/api/v1/transactions/{large}"))?;
        let decisions = shown.body["approval"]["decisions"].as_array().cloned().unwrap_or_default();
        let nodes: Vec<_> = decisions.iter().map(|decision| decision["node_id"].clone()).collect();
        anyhow::ensure!(nodes == [2, 4], "{}", shown.text);
        Ok(())
    })
    .unwrap();
    let late = decide(cluster.node(3).unwrap(), &large, "reject");
    assert_eq!((late.status, late.code()), (409, "invalid_state"));
    let unasked = decide(cluster.node(3).unwrap(), &small, "approve");
    assert_eq!((unasked.status, unasked.code()), (409, "approval_not_required"));
}

#[test]
fn one_person_who_says_no_ends_a_payment_everywhere_and_its_coins_are_free() {
    let options = options().set("policy", "approval_above_sats", 0);
    let cluster = Cluster::start(&options).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(100_000, 1).unwrap();
    let refused = pay(&cluster, 0, 60_000);
    wait_for_people(&cluster, &[1, 2, 3, 4, 5], &refused);
    assert_eq!(decide(cluster.node(4).unwrap(), &refused, "reject").status, 200);
    for node in cluster.nodes() {
        let seen = cluster.wait_state(node.id(), &refused, "rejected", SOON).unwrap();
        assert_eq!(seen.sub_status, "votes:operator_rejected", "node {}", node.id());
    }
    // The one coin pays again, and of one operator there is one to ask.
    let again = pay(&cluster, 1, 60_000);
    wait_for_people(&cluster, &[1, 2, 3, 4, 5], &again);
    let waiting = cluster.node(5).unwrap().api().get("/api/v1/transactions?awaiting=approval").unwrap();
    assert_eq!(waiting.body["items"].as_array().map(Vec::len), Some(1), "{}", waiting.text);
    assert_eq!(decide(cluster.node(5).unwrap(), &again, "approve").status, 200);
    cluster.wait_on_chain(&again, SOON).unwrap();
}
