//! What etcd shows of payments is what the nodes show.

use mpc_wallet_e2e::cluster::{Cluster, wait_for};
use mpc_wallet_e2e::servers::etcd::Etcd;
use mpc_wallet_e2e::suite::Expected;
use serde_json::{Value, json};

use super::{SOON, funded, pay_everywhere, running, wait_for_embedded_rule, wait_for_lease};

/// The votes of a transaction in etcd, by node.
fn votes_in_etcd(etcd: &Etcd, txid: &str) -> anyhow::Result<Vec<Value>> {
    let text = etcd.ctl(&["get", "--prefix", "--print-value-only", &format!("/mpc/votes/{txid}/")])?;
    let mut votes: Vec<Value> =
        text.lines().filter(|line| !line.is_empty()).map(serde_json::from_str).collect::<Result<_, _>>()?;
    votes.sort_by_key(|vote| vote["node_id"].as_u64());
    Ok(votes)
}

/// The same, as the voters' own REST shows them.
fn votes_at_nodes(cluster: &Cluster, txid: &str) -> anyhow::Result<Vec<Value>> {
    let mut votes = Vec::new();
    for node in running(cluster) {
        for vote in node.api().transaction(txid)?.votes {
            if vote.node_id == node.id() {
                votes.push(json!({
                    "node_id": vote.node_id,
                    "round": vote.round,
                    "decision": if vote.approve { "approve" } else { "reject" },
                    "reason": vote.reason,
                    "signature": vote.signature,
                }));
            }
        }
    }
    Ok(votes)
}

/// Waits until etcd shows exactly the votes and the state that the nodes show, no vote less than a certificate has.
pub(super) fn wait_until_mirrored(etcd: &Etcd, cluster: &Cluster, payments: &[Expected]) {
    wait_for("mirrors that equal the nodes' record", SOON, || {
        for Expected { txid, .. } in payments {
            let (shown, own) = (votes_in_etcd(etcd, txid)?, votes_at_nodes(cluster, txid)?);
            anyhow::ensure!(shown == own && shown.len() >= 4, "etcd shows {shown:#?}, the nodes {own:#?}");
            let state = etcd.get_json(&format!("/mpc/tx/{txid}/state"))?;
            anyhow::ensure!(state["state"] == "confirmed", "{state}");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn votes_and_states_in_etcd_equal_those_at_the_nodes_also_after_outages_of_either() {
    let (etcd, cluster) = funded(30);
    let mut payments = pay_everywhere(&cluster, "all here");
    wait_until_mirrored(&etcd, &cluster, &payments);

    for member in 1..=3 {
        etcd.kill(member).unwrap();
    }
    payments.extend(pay_everywhere(&cluster, "etcd away"));
    wait_for_embedded_rule(&cluster);
    // A node that dies before it could show its votes shows them when it is back.
    cluster.node(2).unwrap().kill9().unwrap();
    for member in 1..=3 {
        etcd.start_member(member).unwrap();
    }
    etcd.wait_until_serving().unwrap();
    cluster.node(2).unwrap().start().unwrap();
    cluster.wait_until_connected().unwrap();
    wait_for_lease(&cluster);
    wait_until_mirrored(&etcd, &cluster, &payments);
}

#[test]
fn every_mirrored_key_ends_by_itself() {
    let (etcd, cluster) = funded(5);
    let payments = pay_everywhere(&cluster, "mortal");
    wait_until_mirrored(&etcd, &cluster, &payments);
    for prefix in ["/mpc/votes/", "/mpc/tx/", "/mpc/nodes/", "/mpc/coordinator"] {
        let found: Value =
            serde_json::from_str(&etcd.ctl(&["get", "--prefix", "-w", "json", prefix]).unwrap()).unwrap();
        let keys = found["kvs"].as_array().unwrap();
        // etcdctl leaves out what is zero.
        assert!(!keys.is_empty() && keys.iter().all(|key| key["lease"].is_i64()), "{prefix}: {keys:?}");
    }
}
