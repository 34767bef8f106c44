//! From POST to confirmed, once, and after a reorganisation again.

use std::time::Duration;

use bitcoin::consensus::encode::serialize_hex;
use mpc_wallet_e2e::cluster::{Cluster, PaymentView, wait_for};
use mpc_wallet_e2e::suite::{Expected, check_books, check_timeline, fee_of, options, payee};

const SOON: Duration = Duration::from_secs(20);

/// Mines once the transaction is in the mempool, and waits until every node calls it confirmed.
fn confirm(cluster: &Cluster, txid: &str) {
    cluster.wait_on_chain(txid, SOON).unwrap();
    cluster.chain().mine(1).unwrap();
    for node in cluster.nodes() {
        cluster.wait_state(node.id(), txid, "confirmed", SOON).unwrap();
    }
}

#[test]
fn a_payment_posted_at_node_four_is_confirmed_and_every_node_tells_the_same_story() {
    let cluster = Cluster::start(&options()).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(100_000, 3).unwrap();
    let payee = payee("lifecycle", 0).unwrap();

    let payment = cluster.pay(4, &payee, 120_000).unwrap();
    assert_eq!((payment.amount_sats, &payment.recipient), (120_000, &payee.to_string()));
    let tx = cluster.wait_on_chain(&payment.txid, SOON).unwrap();
    assert!(tx.input.iter().all(|input| input.witness.len() == 1), "key path spends: {}", serialize_hex(&tx));
    confirm(&cluster, &payment.txid);

    let fee = fee_of(&cluster, &payment.txid.parse().unwrap()).unwrap();
    assert_eq!(payment.fee_sats, Some(fee));
    for node in cluster.nodes() {
        let seen = wait_for("five votes", SOON, || {
            let seen = node.api().transaction(&payment.txid)?;
            anyhow::ensure!(seen.votes.len() == 5, "node {} has {:?}", node.id(), seen.votes);
            Ok(seen)
        })
        .unwrap();
        let mut voters: Vec<u16> = seen.votes.iter().map(|vote| vote.node_id).collect();
        voters.sort_unstable();
        assert_eq!(voters, [1, 2, 3, 4, 5]);
        assert!(seen.votes.iter().filter(|vote| vote.approve).count() >= 4, "{:?}", seen.votes);
        assert_eq!((seen.amount_sats, seen.fee_sats, seen.proposed_by), (120_000, fee, 4));
        assert_eq!(seen.recipient, payee.to_string());
        check_timeline(&seen).unwrap();
    }
    let own = cluster.transaction(4, &payment.txid).unwrap();
    for state in ["pending", "voting", "threshold_reached", "approved", "signed", "broadcasting", "confirmed"]
    {
        assert!(own.entered(state).is_some(), "{state} is not in {:?}", own.timeline);
    }
    // One of five does not sign, and goes from approved to signed by what the others tell.
    let signing = |id: &u16| cluster.transaction(*id, &payment.txid).unwrap().entered("signing").is_some();
    let signers = (1..=5).filter(signing).count();
    assert!(signers >= 4, "{signers} nodes took part in the signature");
    let made = Expected { txid: payment.txid, payee, sats: 120_000 };
    assert_eq!(check_books(&cluster, 300_000, &[made]).unwrap(), fee);
}

#[test]
fn an_idempotency_key_means_one_payment_at_every_node() {
    let cluster = Cluster::start(&options()).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(100_000, 3).unwrap();
    let payee = payee("idempotency", 0).unwrap().to_string();

    let first = cluster.node(1).unwrap().api().pay_keyed(&payee, 20_000, "invoice 7").unwrap();
    assert_eq!(first.status, 201, "{}", first.text);
    let txid = first.read::<PaymentView>().unwrap().txid;
    for node in [1, 3, 5] {
        let api = cluster.node(node).unwrap().api();
        let again = wait_for("the same answer", SOON, || {
            let again = api.pay_keyed(&payee, 20_000, "invoice 7")?;
            anyhow::ensure!(again.code() != "idempotency_in_progress", "{}", again.text);
            Ok(again)
        })
        .unwrap();
        assert_eq!(again.read::<PaymentView>().unwrap().txid, txid, "node {node}: {}", again.text);
        let other = api.pay_keyed(&payee, 20_001, "invoice 7").unwrap();
        assert_eq!(
            (other.status, other.code()),
            (422, "idempotency_key_reused"),
            "node {node}: {}",
            other.text
        );
    }
    confirm(&cluster, &txid);
    for node in cluster.nodes() {
        assert_eq!(node.api().transactions().unwrap().len(), 1);
    }
}

#[test]
fn a_payment_whose_block_is_reorganised_away_waits_and_confirms_again() {
    let cluster = Cluster::start(&options()).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(100_000, 1).unwrap();
    let payee = payee("reorganisation", 0).unwrap();
    let payment = cluster.pay(2, &payee, 50_000).unwrap();
    confirm(&cluster, &payment.txid);

    cluster.chain().invalidate(1).unwrap();
    for node in cluster.nodes() {
        cluster.wait_reopened(node.id(), &payment.txid, SOON).unwrap();
    }
    cluster.wait_on_chain(&payment.txid, SOON).unwrap();
    cluster.chain().mine(2).unwrap();
    for node in cluster.nodes() {
        let seen = cluster.wait_state(node.id(), &payment.txid, "confirmed", SOON).unwrap();
        check_timeline(&seen).unwrap();
        let times = seen
            .timeline
            .iter()
            .filter(|step| step.to == "confirmed" && step.from.as_deref() != Some("confirmed"));
        assert_eq!(times.count(), 2, "node {}: {:?}", node.id(), seen.timeline);
    }
    let made = Expected { txid: payment.txid, payee, sats: 50_000 };
    check_books(&cluster, 100_000, &[made]).unwrap();
}
