//! Networks that work, badly.

use std::time::Duration;

use mpc_wallet_e2e::between::Weather;
use mpc_wallet_e2e::cluster::{Cluster, wait_for};
use mpc_wallet_e2e::suite::{Expected, check_confirmed, pay_at_any_of, pay_at_once, pay_insistently};

use super::{CATCH_UP, SOON, check_all_paid_once, funded};

/// A fifth of all datagrams, in parts per million.
const A_FIFTH: u32 = 200_000;

/// Longest that a payment may take where a fifth of everything is lost.
const WITH_LOSS: Duration = Duration::from_secs(90);

/// How a payment ends at a node that may not know of it yet.
fn end_at(cluster: &Cluster, node: u16, payment: &Expected) -> String {
    wait_for("the payment to be known", CATCH_UP, || cluster.transaction(node, &payment.txid)).unwrap();
    cluster.wait_final(node, &payment.txid, CATCH_UP).unwrap().state
}

#[test]
fn payments_complete_where_one_hears_another_and_is_not_heard() {
    let cluster = funded(10);
    let coordinator = cluster.wait_until_connected().unwrap();
    let deaf = if coordinator == 2 { 3 } else { 2 };
    let wires = cluster.wires().unwrap();
    wires.set(coordinator, deaf, Weather { cut: true, ..Weather::default() });
    wait_for("the two to lose each other, and nobody else", SOON, || {
        for id in 1..=5 {
            let online = cluster.node(id)?.api().cluster()?.online_nodes;
            let expected = if id == coordinator || id == deaf { 4 } else { 5 };
            anyhow::ensure!(online == expected, "node {id} sees {online}");
        }
        Ok(())
    })
    .unwrap();
    let mut paid = Vec::new();
    for (number, node) in (0..).zip(1..=5) {
        let payment = pay_at_any_of(&cluster, "one way", number, &[node], 10_000, SOON).unwrap();
        for node in cluster.nodes() {
            check_confirmed(&cluster, node.id(), &payment, SOON).unwrap();
        }
        paid.push(payment);
    }
    // Each of the two has a coordinator of its own, who may grant what the other has granted. What is approved by just
    // those who include both waits for the heal.
    let orders: Vec<(u16, u64)> = (1..=5).map(|id| (id, 5_000 + u64::from(id))).collect();
    let contending = pay_at_once(&cluster, "one way, at once", &orders, SOON).unwrap();
    assert!(wires.traffic(coordinator, deaf).dropped > 0);
    assert_eq!(wires.traffic(deaf, coordinator).dropped, 0);
    wires.heal();
    cluster.wait_until_connected().unwrap();
    for payment in contending {
        let ends: Vec<String> =
            cluster.nodes().iter().map(|node| end_at(&cluster, node.id(), &payment)).collect();
        assert!(ends.iter().all(|end| *end == ends[0]), "{}: {ends:?}", payment.txid);
        assert!(matches!(ends[0].as_str(), "confirmed" | "rejected"), "{}: {ends:?}", payment.txid);
        if ends[0] == "confirmed" {
            paid.push(payment);
        }
    }
    check_all_paid_once(&cluster, 10, &paid, CATCH_UP);
}

#[test]
fn payments_complete_where_every_fifth_datagram_is_lost() {
    let cluster = funded(10);
    let wires = cluster.wires().unwrap();
    wires.set_all(Weather { loss: A_FIFTH, delay: Duration::from_millis(5), cut: false });
    let orders: Vec<(u16, u64)> = (1..=5).map(|id| (id, 10_000 + u64::from(id))).collect();
    // Who misses heartbeats for a while takes another for the coordinator.
    let payments = pay_insistently(&cluster, "lossy", &orders, WITH_LOSS).unwrap().paid;
    check_all_paid_once(&cluster, 10, &payments, WITH_LOSS);
    let (mut carried, mut dropped) = (0, 0);
    for (from, to) in (1..=5).flat_map(|from| (1..=5).map(move |to| (from, to))) {
        let traffic = wires.traffic(from, to);
        (carried, dropped) = (carried + traffic.carried, dropped + traffic.dropped);
    }
    assert!(dropped > 0 && dropped * 10 > carried, "{dropped} lost of {carried}");
}
