//! Many payments at once do not get in each other's way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, Kind};
use mpc_wallet_e2e::suite::{Expected, check_books, check_timeline, mining_options, pay_at_once};

/// Far beyond what twenty payments take; a busy machine may need some of it.
const SOON: Duration = Duration::from_secs(60);

/// Twenty payments of different amounts, four at each node.
fn orders() -> Vec<(u16, u64)> {
    (0..20u16).map(|number| (number % 5 + 1, 10_000 + u64::from(number))).collect()
}

/// Each payment is confirmed at each node, by legal steps, with enough votes.
fn check_confirmed(cluster: &Cluster, payments: &[Expected]) {
    for node in cluster.nodes() {
        for payment in payments {
            let seen = cluster.wait_state(node.id(), &payment.txid, "confirmed", SOON).unwrap();
            check_timeline(&seen).unwrap();
            assert!(seen.votes.iter().filter(|vote| vote.approve).count() >= 4, "{:?}", seen.votes);
        }
        assert_eq!(node.api().transactions().unwrap().len(), payments.len(), "node {}", node.id());
        assert!(
            node.api().violations().unwrap().is_empty(),
            "node {} accuses an honest member: {:?}",
            node.id(),
            node.api().violations()
        );
    }
}

#[test]
fn twenty_payments_from_five_nodes_with_ample_coins_all_confirm() {
    let cluster = Cluster::start(&mining_options()).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(50_000, 40).unwrap();
    let payments = pay_at_once(&cluster, "ample", &orders(), SOON).unwrap();
    check_confirmed(&cluster, &payments);
    let fees = check_books(&cluster, 40 * 50_000, &payments).unwrap();
    let paid: u64 = payments.iter().map(|payment| payment.sats).sum();
    cluster.wait_for_balance(Kind::Taproot, 40 * 50_000 - paid - fees).unwrap();
}

#[test]
fn twenty_payments_from_two_coins_chain_their_change_and_all_confirm() {
    let cluster = Cluster::start(&mining_options()).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(1_000_000, 2).unwrap();
    let payments = pay_at_once(&cluster, "scarce", &orders(), SOON).unwrap();
    check_confirmed(&cluster, &payments);
    check_books(&cluster, 2 * 1_000_000, &payments).unwrap();
}
