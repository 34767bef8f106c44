//! Somebody with access to etcd writes what he likes: no decision changes, and no payment stops.

use mpc_wallet_e2e::cluster::wait_for;
use mpc_wallet_e2e::suite::check_books;
use serde_json::json;

use super::mirroring::wait_until_mirrored;
use super::{SOON, degraded, funded, pay_everywhere, running, wait_for_lease};

#[test]
fn forged_coordinators_stop_no_payment_and_are_replaced() {
    let (etcd, cluster) = funded(40);
    let (_, epoch) = wait_for_lease(&cluster);
    let mut payments = Vec::new();
    for (tag, forged) in [
        ("not a member", json!({ "node_id": 9 }).to_string()),
        ("no number", json!({ "node_id": "node-1" }).to_string()),
        ("no sense", "{{{".to_owned()),
        ("a member that knows of nothing", json!({ "node_id": 3 }).to_string()),
    ] {
        etcd.put("/mpc/coordinator", &forged).unwrap();
        payments.extend(pay_everywhere(&cluster, tag));
        let (holder, replaced) = wait_for_lease(&cluster);
        assert!(replaced > epoch);
        wait_for("the key to name the coordinator again", SOON, || {
            let named = etcd.get_json("/mpc/coordinator")?;
            anyhow::ensure!(named["node_id"] == holder, "{named}");
            Ok(())
        })
        .unwrap();
    }
    check_books(&cluster, 40 * 50_000, &payments).unwrap();
}

#[test]
fn a_dead_node_that_a_living_lease_names_stops_no_payment() {
    let (etcd, cluster) = funded(20);
    let (holder, _) = wait_for_lease(&cluster);
    cluster.node(holder).unwrap().kill9().unwrap();
    let granted = etcd.ctl(&["lease", "grant", "3600"]).unwrap();
    let lease = granted.split_whitespace().nth(1).unwrap();
    let forged = json!({ "node_id": holder }).to_string();
    etcd.ctl(&["put", "--lease", lease, "/mpc/coordinator", &forged]).unwrap();
    let payments = pay_everywhere(&cluster, "a dead coordinator for an hour");
    super::wait_for_embedded_rule(&cluster);
    check_books(&cluster, 20 * 50_000, &payments).unwrap();
}

#[test]
fn a_coordinator_that_changes_all_the_time_stops_no_payment() {
    let (etcd, cluster) = funded(30);
    let granted = etcd.ctl(&["lease", "grant", "3600"]).unwrap();
    let lease = granted.split_whitespace().nth(1).unwrap().to_owned();
    let payments = std::thread::scope(|scope| {
        let payer = scope.spawn(|| pay_everywhere(&cluster, "restless"));
        for node in (1..=5u16).cycle().take_while(|_| !payer.is_finished()) {
            let forged = json!({ "node_id": node }).to_string();
            etcd.ctl(&["put", "--lease", &lease, "/mpc/coordinator", &forged]).unwrap();
        }
        payer.join().unwrap()
    });
    check_books(&cluster, 30 * 50_000, &payments).unwrap();
}

#[test]
fn forged_votes_states_and_manifests_change_no_decision() {
    let (etcd, cluster) = funded(20);
    let forged = json!({ "cluster": "ff", "network": "regtest", "threshold": 1, "members": [] });
    etcd.put("/mpc/cluster/manifest", &forged.to_string()).unwrap();
    wait_for("every node to tell of the other manifest", SOON, || {
        for node in running(&cluster) {
            let notes = degraded(node)?;
            let told = notes.iter().any(|note| note.contains("/mpc/cluster/manifest"));
            anyhow::ensure!(told && node.logged(&["another manifest"]) == 1, "{notes:?}");
        }
        Ok(())
    })
    .unwrap();

    let payments = pay_everywhere(&cluster, "votes forged");
    wait_until_mirrored(&etcd, &cluster, &payments);
    let txid = &payments[0].txid;
    let before = cluster.transaction(1, txid).unwrap();
    let refusal =
        json!({ "node_id": 2, "round": 2, "decision": "reject", "reason": "forged", "signature": "00" });
    for node in 1..=5 {
        etcd.put(&format!("/mpc/votes/{txid}/{node}"), &refusal.to_string()).unwrap();
    }
    etcd.put(&format!("/mpc/tx/{txid}/state"), &json!({ "state": "failed", "node_id": 9 }).to_string())
        .unwrap();
    let more = pay_everywhere(&cluster, "after the forgery");
    let after = cluster.transaction(1, txid).unwrap();
    assert_eq!((after.votes, after.state, after.timeline), (before.votes, before.state, before.timeline));
    let view = cluster.node(1).unwrap().api().cluster().unwrap();
    assert_eq!((view.threshold, view.total_nodes, view.online_nodes), (4, 5, 5));

    etcd.ctl(&["del", "/mpc/cluster/manifest"]).unwrap();
    wait_for("the manifest to be published again and every node to be well", SOON, || {
        anyhow::ensure!(etcd.get_json("/mpc/cluster/manifest")?["threshold"] == 4, "another one");
        for node in running(&cluster) {
            let notes = degraded(node)?;
            anyhow::ensure!(notes.is_empty(), "{notes:?}");
        }
        Ok(())
    })
    .unwrap();
    let all: Vec<_> = payments.into_iter().chain(more).collect();
    check_books(&cluster, 20 * 50_000, &all).unwrap();
}
