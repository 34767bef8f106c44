//! A payment that no block takes, and the dearer transaction in its place.

use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, Kind, PaymentView, Reply, TransactionView, wait_for};
use mpc_wallet_e2e::suite::{Expected, check_books, check_timeline, options, payee};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);

/// Pays from node 2 at the least rate that is relayed, and waits until every node has sent it.
fn stuck(cluster: &Cluster, sats: u64) -> Expected {
    let payee = payee("bumping", 0).unwrap();
    let body = json!({ "recipient": payee.to_string(), "amount_sats": sats, "fee_rate": 1 });
    let posted = cluster.node(2).unwrap().api().post("/api/v1/transactions", &body).unwrap();
    let txid = posted.read::<PaymentView>().unwrap().txid;
    cluster.wait_on_chain(&txid, SOON).unwrap();
    wait_at_every_node(cluster, &txid, |seen| seen.sub_status == "in_mempool");
    Expected { txid, payee, sats }
}

fn bump(cluster: &Cluster, node: u16, txid: &str, sat_vb: u64) -> Reply {
    let path = format!("/api/v1/transactions/{txid}/bump");
    cluster.node(node).unwrap().api().post(&path, &json!({ "fee_rate": sat_vb })).unwrap()
}

fn wait_at_every_node(cluster: &Cluster, txid: &str, is: impl Fn(&TransactionView) -> bool) {
    for node in cluster.nodes() {
        wait_for(&format!("{txid} to be so at node {}", node.id()), SOON, || {
            let seen = node.api().transaction(txid)?;
            anyhow::ensure!(is(&seen), "it is {}, replaced by {:?}", seen.standing(), seen.replaced_by);
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn a_payment_that_no_block_takes_is_made_by_a_dearer_one_that_another_node_proposes() {
    let cluster = Cluster::start(&options()).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(100_000, 1).unwrap();
    let original = stuck(&cluster, 40_000);

    let cheap = bump(&cluster, 4, &original.txid, 1);
    assert_eq!((cheap.status, cheap.code()), (422, "replacement_too_cheap"), "{}", cheap.text);
    let bumped = bump(&cluster, 4, &original.txid, 5);
    assert_eq!(bumped.status, 201, "{}", bumped.text);
    assert_eq!(bumped.body["replaces"], original.txid);
    let replacement = bumped.read::<PaymentView>().unwrap().txid;
    cluster.wait_on_chain(&replacement, SOON).unwrap();
    assert_eq!(cluster.chain().mempool().unwrap(), [replacement.parse().unwrap()]);
    wait_at_every_node(&cluster, &original.txid, |seen| {
        seen.sub_status == "being_replaced" && seen.replaced_by.as_ref() == Some(&replacement)
    });
    let again = bump(&cluster, 1, &original.txid, 9);
    assert_eq!((again.status, again.code()), (409, "replaced_before"), "{}", again.text);
    assert!(again.detail().starts_with(&replacement), "{}", again.text);

    cluster.chain().mine(1).unwrap();
    for node in cluster.nodes() {
        let made = cluster.wait_state(node.id(), &replacement, "confirmed", SOON).unwrap();
        check_timeline(&made).unwrap();
        assert_eq!(made.replaces.as_ref(), Some(&original.txid), "node {}", node.id());
        let lost = cluster.wait_state(node.id(), &original.txid, "failed", SOON).unwrap();
        check_timeline(&lost).unwrap();
        assert_eq!((lost.sub_status.as_str(), lost.replaced_by.as_ref()), ("replaced", Some(&replacement)));
    }
    let made = Expected { txid: replacement.clone(), ..original.clone() };
    let fee = check_books(&cluster, 100_000, std::slice::from_ref(&made)).unwrap();
    assert_eq!(bumped.body["fee_sats"], fee);
    cluster.wait_for_balance(Kind::Taproot, 100_000 - 40_000 - fee).unwrap();

    let confirmed = bump(&cluster, 3, &replacement, 9);
    assert_eq!((confirmed.status, confirmed.code()), (409, "not_replaceable"), "{}", confirmed.text);
    assert!(confirmed.detail().contains("its fee cannot be raised any more"), "{}", confirmed.text);
    let failed = bump(&cluster, 3, &original.txid, 9);
    assert_eq!((failed.status, failed.body["state"].as_str()), (409, Some("failed")), "{}", failed.text);

    // The change of the replacement is money like any other.
    let payee = payee("bumping", 1).unwrap();
    let next = cluster.pay(5, &payee, 50_000).unwrap();
    cluster.wait_on_chain(&next.txid, SOON).unwrap();
    cluster.chain().mine(1).unwrap();
    for node in cluster.nodes() {
        cluster.wait_state(node.id(), &next.txid, "confirmed", SOON).unwrap();
    }
    let next = Expected { txid: next.txid, payee, sats: 50_000 };
    check_books(&cluster, 100_000, &[made, next]).unwrap();
}
