//! A power cut: all five at once, in the middle of twenty payments.

use mpc_wallet_e2e::cluster::wait_for;
use mpc_wallet_e2e::suite::{check_books, check_timeline, pay_at_once};

use super::{SOON, funded};

#[test]
fn after_all_five_are_killed_amid_twenty_payments_each_payment_ends_and_none_is_paid_twice() {
    let cluster = funded(40);
    let orders: Vec<(u16, u64)> =
        (0..20u16).map(|number| (number % 5 + 1, 10_000 + u64::from(number))).collect();
    let payments = std::thread::scope(|scope| {
        let clients = scope.spawn(|| pay_at_once(&cluster, "power cut", &orders, SOON));
        let signed = wait_for("payments in several states", SOON, || {
            let seen = cluster.node(1)?.api().transactions()?;
            let signed =
                seen.iter().filter(|one| one.state == "signed" || one.state == "broadcasting").count();
            anyhow::ensure!(seen.len() >= 5 && signed >= 1, "{} payments, {signed} signed", seen.len());
            Ok(signed)
        })
        .unwrap();
        for node in cluster.nodes() {
            node.kill9().unwrap();
        }
        assert!(signed < orders.len(), "the power cut came too late to prove anything");
        cluster.start_all().unwrap();
        clients.join().unwrap().unwrap()
    });

    let (mut confirmed, mut ended_otherwise) = (Vec::new(), Vec::new());
    for payment in payments {
        let end = cluster.wait_final(1, &payment.txid, SOON).unwrap();
        for node in cluster.nodes() {
            let seen = cluster.wait_final(node.id(), &payment.txid, SOON).unwrap();
            assert_eq!(seen.state, end.state, "node {} about {}", node.id(), payment.txid);
            check_timeline(&seen).unwrap();
        }
        if end.state == "confirmed" { confirmed.push(payment) } else { ended_otherwise.push((payment, end)) }
    }
    // Nothing stood in the way of any payment but the power cut, and that must not cost one.
    assert!(ended_otherwise.is_empty(), "{ended_otherwise:?}");
    check_books(&cluster, 40 * 50_000, &confirmed).unwrap();
}
