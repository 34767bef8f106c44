//! Members of etcd die, all but a minority or all: payments do not notice.

use mpc_wallet_e2e::cluster::{Cluster, wait_for};
use mpc_wallet_e2e::suite::check_books;

use super::mirroring::wait_until_mirrored;
use super::{
    SOON, degraded, funded, metric, pay_everywhere, running, wait_for_embedded_rule, wait_for_lease,
};

/// Lines that say that etcd went, and that it came, at every node.
fn comings_and_goings(cluster: &Cluster) -> Vec<(usize, usize)> {
    running(cluster).map(|node| (node.logged(&["etcd is away"]), node.logged(&["etcd answers"]))).collect()
}

#[test]
fn one_member_is_not_missed_and_without_a_quorum_the_embedded_rule_serves_until_it_is_back() {
    let (etcd, cluster) = funded(40);
    let before = wait_for_lease(&cluster);

    let leader = etcd.leader().unwrap();
    etcd.kill(leader).unwrap();
    let mut payments = pay_everywhere(&cluster, "one member gone");
    assert_eq!(wait_for_lease(&cluster), before, "nothing happened");
    assert_eq!(comings_and_goings(&cluster), [(0, 1); 5]);

    let second = if leader == 1 { 2 } else { 1 };
    etcd.kill(second).unwrap();
    payments.extend(pay_everywhere(&cluster, "while quorum is being missed"));
    wait_for_embedded_rule(&cluster);
    for node in running(&cluster) {
        let notes = degraded(node).unwrap();
        let told =
            notes.iter().any(|note| note.starts_with("etcd away for ") && note.ends_with(": embedded rule"));
        assert!(told && notes.len() == 1, "{notes:?}");
        assert_eq!(metric(node, "mpc_wallet_etcd_health").as_deref(), Some("0"));
    }
    payments.extend(pay_everywhere(&cluster, "without etcd"));
    assert_eq!(comings_and_goings(&cluster), [(1, 1); 5]);

    etcd.start_member(leader).unwrap();
    etcd.start_member(second).unwrap();
    etcd.wait_until_serving().unwrap();
    let (_, epoch) = wait_for_lease(&cluster);
    assert!(epoch >= before.1, "{epoch} after {before:?}");
    wait_for("every node to be well again", SOON, || {
        for node in running(&cluster) {
            let notes = degraded(node)?;
            anyhow::ensure!(notes.is_empty(), "{notes:?}");
        }
        Ok(())
    })
    .unwrap();
    payments.extend(pay_everywhere(&cluster, "etcd back"));
    assert_eq!(comings_and_goings(&cluster), [(1, 2); 5]);
    check_books(&cluster, 40 * 50_000, &payments).unwrap();
}

#[test]
fn a_cluster_whose_etcd_never_comes_up_starts_and_pays() {
    let (etcd, cluster) = funded(5);
    for node in 1..=5 {
        cluster.node(node).unwrap().terminate(SOON).unwrap();
    }
    for member in 1..=3 {
        etcd.kill(member).unwrap();
    }
    cluster.start_all().unwrap();
    cluster.wait_until_connected().unwrap();
    wait_for_embedded_rule(&cluster);
    pay_everywhere(&cluster, "without etcd from the start");
}

#[test]
fn an_etcd_that_has_lost_its_data_counts_epochs_anew_and_is_filled_again() {
    let (etcd, cluster) = funded(30);
    let (first, _) = wait_for_lease(&cluster);
    let mut payments = pay_everywhere(&cluster, "before");
    // A later term has a revision that an empty etcd does not reach soon.
    cluster.node(first).unwrap().terminate(SOON).unwrap();
    let (_, epoch) = wait_for_lease(&cluster);
    cluster.node(first).unwrap().start().unwrap();
    cluster.wait_until_connected().unwrap();

    etcd.wipe().unwrap();
    for member in 1..=3 {
        etcd.start_member(member).unwrap();
    }
    etcd.wait_until_serving().unwrap();
    payments.extend(pay_everywhere(&cluster, "after"));
    wait_for("a coordinator in the new count", SOON, || {
        let lower = wait_for_lease(&cluster).1;
        anyhow::ensure!(lower < epoch, "{lower} after {epoch}");
        Ok(())
    })
    .unwrap();
    payments.extend(pay_everywhere(&cluster, "in the new count"));
    wait_until_mirrored(&etcd, &cluster, &payments);
    check_books(&cluster, 30 * 50_000, &payments).unwrap();
}
