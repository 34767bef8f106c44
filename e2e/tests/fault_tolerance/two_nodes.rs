//! Two of five die: payments wait, in plain sight and in peace.

use std::time::Duration;

use mpc_wallet_e2e::cluster::{hold_for, wait_for};
use mpc_wallet_e2e::suite::{check_books, check_timeline, pay_with_patience};

use super::{SOON, check_logs, funded, log_lengths};

/// Lines that a node may log in three seconds of waiting: a few a second about peers that do not answer.
const QUIET: usize = 60;

#[test]
fn with_two_nodes_dead_a_payment_waits_visibly_and_ends_when_one_returns() {
    let cluster = funded(4);
    cluster.wait_until_connected().unwrap();
    for victim in [4, 5] {
        cluster.node(victim).unwrap().kill9().unwrap();
    }
    wait_for("three nodes to notice", SOON, || {
        for id in 1..=3 {
            let online = cluster.node(id)?.api().cluster()?.online_nodes;
            anyhow::ensure!(online == 3, "node {id} sees {online}");
        }
        Ok(())
    })
    .unwrap();

    let payment = pay_with_patience(&cluster, "two dead", 0, 2, 20_000, SOON).unwrap();
    let waits = || {
        let seen = cluster.transaction(2, &payment.txid)?;
        anyhow::ensure!(seen.sub_status == "waiting_for_quorum", "it is {}", seen.standing());
        Ok(())
    };
    wait_for("the payment to say what it waits for", SOON, waits).unwrap();
    let lengths = log_lengths(&cluster);
    hold_for("the payment waits", Duration::from_secs(3), waits).unwrap();
    check_logs(&cluster, &lengths, QUIET);

    cluster.node(5).unwrap().start().unwrap();
    for id in [1, 2, 3, 5] {
        let seen = wait_for("the returned node to know the payment", SOON, || {
            cluster.transaction(id, &payment.txid)?;
            cluster.wait_state(id, &payment.txid, "confirmed", SOON)
        })
        .unwrap();
        check_timeline(&seen).unwrap();
    }
    check_books(&cluster, 4 * 50_000, &[payment]).unwrap();
}
