//! Cuts that leave no side, or one, with a quorum.

use std::time::{Duration, Instant};

use mpc_wallet_e2e::between::Weather;
use mpc_wallet_e2e::cluster::{Cluster, hold_for, wait_for};
use mpc_wallet_e2e::suite::{pay_at_any_of, pay_at_once, payee};

use super::{CATCH_UP, SOON, check_all_paid_once, check_nobody_is_blamed, funded, wait_until_online};

/// Longer than a silent connection lives, than a voting round repeats itself, than a coordinator listens.
const LONG: Duration = Duration::from_secs(4);

/// Between the two sides before the cut: a proposal takes it once, and a signature on it three times.
const ON_THE_WAY: Duration = Duration::from_millis(900);

/// These nodes say that they are frozen, and no payment they know of is signed.
fn check_frozen(cluster: &Cluster, nodes: &[u16]) -> anyhow::Result<()> {
    for id in nodes {
        let status = cluster.node(*id)?.api().get("/api/v1/cluster/status")?.body;
        anyhow::ensure!(status["frozen"] == true, "node {id}: {status}");
        for seen in cluster.node(*id)?.api().transactions()? {
            let signed = matches!(seen.state.as_str(), "signed" | "broadcasting" | "confirmed");
            anyhow::ensure!(!signed, "node {id}: {seen:?}");
        }
    }
    Ok(())
}

/// Asks a node that has no majority in sight to pay payee `number` of `tag`: it says that it cannot, now.
fn check_put_off(cluster: &Cluster, node: u16, tag: &str, number: u32, sats: u64) {
    let address = payee(tag, number).unwrap().to_string();
    let reply =
        cluster.node(node).unwrap().api().pay_keyed(&address, sats, &format!("{tag}-{number}")).unwrap();
    assert!(matches!(reply.status, 409 | 503 | 504), "node {node} said {} {}", reply.status, reply.text);
}

#[test]
fn cut_in_three_and_two_both_sides_freeze_and_every_payment_ends_after_the_heal() {
    let cluster = funded(8);
    let coordinator = cluster.wait_until_connected().unwrap();
    let other = if coordinator == 5 { 4 } else { 5 };
    let (two, three): (Vec<u16>, Vec<u16>) = (1..=5).partition(|id| [coordinator, other].contains(id));
    let wires = cluster.wires().unwrap();

    // The side of two proposes while its words are on their way: they arrive, and no answer comes back.
    for (from, to) in two.iter().flat_map(|from| three.iter().map(move |to| (*from, *to))) {
        wires.set(from, to, Weather { delay: ON_THE_WAY, ..Weather::default() });
        wires.set(to, from, Weather { delay: ON_THE_WAY, ..Weather::default() });
    }
    let tag = "three and two";
    let of_two = pay_at_any_of(&cluster, tag, 0, &[coordinator], 10_000, SOON).unwrap();
    wait_for("the side of three to know of it", SOON, || {
        three.iter().try_for_each(|id| cluster.transaction(*id, &of_two.txid).map(drop))
    })
    .unwrap();
    wires.isolate(&two);
    wait_until_online(&cluster, &three, 3);
    wait_until_online(&cluster, &two, 2);

    let of_three = pay_at_any_of(&cluster, tag, 1, &three, 11_000, SOON).unwrap();
    check_put_off(&cluster, coordinator, tag, 2, 12_000);
    wait_for("the payment to say what it waits for", SOON, || {
        let seen = cluster.transaction(three[0], &of_three.txid)?;
        anyhow::ensure!(seen.sub_status == "waiting_for_quorum", "it is {}", seen.standing());
        Ok(())
    })
    .unwrap();
    hold_for("nobody signs and the chain sees nothing", LONG, || {
        check_frozen(&cluster, &[1, 2, 3, 4, 5])?;
        for number in [0, 1, 2] {
            let paid = cluster.chain().payments_to(&payee(tag, number)?.script_pubkey())?;
            anyhow::ensure!(paid.is_empty(), "payee {number} got {paid:?}");
        }
        Ok(())
    })
    .unwrap();
    check_nobody_is_blamed(&cluster);
    assert!(wires.traffic(two[0], three[0]).dropped > 0 && wires.traffic(three[0], two[0]).dropped > 0);

    wires.heal();
    let put_off = pay_at_any_of(&cluster, tag, 2, &two, 12_000, SOON).unwrap();
    check_all_paid_once(&cluster, 8, &[of_two, of_three, put_off], CATCH_UP);
}

#[test]
fn four_go_on_without_the_coordinator_which_signs_nothing_and_catches_up() {
    let cluster = funded(10);
    let coordinator = cluster.wait_until_connected().unwrap();
    let four: Vec<u16> = (1..=5).filter(|id| *id != coordinator).collect();
    let wires = cluster.wires().unwrap();
    wires.isolate(&[coordinator]);
    wait_until_online(&cluster, &four, 4);
    wait_until_online(&cluster, &[coordinator], 1);

    let tag = "four and one";
    check_put_off(&cluster, coordinator, tag, 9, 11_000);
    let orders: Vec<(u16, u64)> = four.iter().map(|id| (*id, 10_000 + u64::from(*id))).collect();
    let mut payments = pay_at_once(&cluster, tag, &orders, SOON).unwrap();
    for payment in &payments {
        for id in &four {
            cluster.wait_state(*id, &payment.txid, "confirmed", SOON).unwrap();
        }
    }
    check_frozen(&cluster, &[coordinator]).unwrap();
    let seen = cluster.node(coordinator).unwrap().api().transactions().unwrap();
    assert!(seen.is_empty(), "who is cut off cannot know {seen:?}");
    check_nobody_is_blamed(&cluster);
    let paid = cluster.chain().payments_to(&payee(tag, 9).unwrap().script_pubkey()).unwrap();
    assert!(paid.is_empty(), "{paid:?}");

    let healed = Instant::now();
    wires.heal();
    for payment in &payments {
        let rest = CATCH_UP.saturating_sub(healed.elapsed());
        wait_for("the one to know what the four did", rest, || {
            let seen = cluster.transaction(coordinator, &payment.txid)?;
            anyhow::ensure!(seen.state == "confirmed", "it is {}", seen.standing());
            Ok(())
        })
        .unwrap();
    }
    payments.push(pay_at_any_of(&cluster, tag, 9, &[coordinator], 11_000, SOON).unwrap());
    check_all_paid_once(&cluster, 10, &payments, SOON);
}
