//! One of five dies: nobody notices, and it comes back.

use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, wait_for};
use mpc_wallet_e2e::suite::{Expected, check_books, pay_at_once, pay_until_voted};

use super::{SOON, funded};

/// The promise: a restarted node knows what the others know within this.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Kills `victim` while ten payments are under way, restarts it, and has it take part again.
fn payments_survive(cluster: &Cluster, victim: u16, tag: &str) {
    let orders: Vec<(u16, u64)> =
        (0..10u16).map(|number| (number % 5 + 1, 10_000 + u64::from(number))).collect();
    let mut payments: Vec<Expected> = std::thread::scope(|scope| {
        let clients = scope.spawn(|| pay_at_once(cluster, tag, &orders, SOON));
        wait_for("the first payment to be signed somewhere", SOON, || {
            let seen = cluster.node(if victim == 1 { 2 } else { 1 })?.api().transactions()?;
            anyhow::ensure!(
                seen.iter().any(|one| matches!(one.state.as_str(), "signing" | "signed" | "broadcasting")),
                "{} payments",
                seen.len()
            );
            Ok(())
        })
        .unwrap();
        cluster.node(victim).unwrap().kill9().unwrap();
        clients.join().unwrap().unwrap()
    });
    let survivors: Vec<u16> = (1..=5).filter(|id| *id != victim).collect();
    for payment in &payments {
        for survivor in &survivors {
            cluster.wait_state(*survivor, &payment.txid, "confirmed", SOON).unwrap();
        }
    }

    let node = cluster.node(victim).unwrap();
    node.start().unwrap();
    wait_for("the restarted node to know what the others know", CATCH_UP, || {
        for payment in &payments {
            let seen = node.api().transaction(&payment.txid)?;
            anyhow::ensure!(seen.state == "confirmed", "{} is {}", payment.txid, seen.standing());
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(node.api().transactions().unwrap().len(), payments.len());

    cluster.wait_until_connected().unwrap();
    let again = format!("{tag}, then back");
    payments.extend(pay_until_voted(cluster, &again, victim, survivors[0], SOON).unwrap());
    check_books(cluster, 30 * 50_000, &payments).unwrap();
}

#[test]
fn payments_go_on_when_the_coordinator_is_killed_and_it_rejoins_within_ten_seconds() {
    let cluster = funded(30);
    let coordinator = cluster.wait_until_connected().unwrap();
    payments_survive(&cluster, coordinator, "coordinator killed");
}

#[test]
fn payments_go_on_when_another_node_is_killed_and_it_rejoins_within_ten_seconds() {
    let cluster = funded(30);
    let coordinator = cluster.wait_until_connected().unwrap();
    payments_survive(&cluster, if coordinator == 3 { 4 } else { 3 }, "member killed");
}
