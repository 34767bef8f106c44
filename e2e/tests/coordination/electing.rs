//! Who coordinates, and who takes over.

use mpc_wallet_e2e::cluster::wait_for;
use mpc_wallet_e2e::servers::etcd::Etcd;
use mpc_wallet_e2e::suite::check_books;
use serde_json::Value;

use super::mirroring::wait_until_mirrored;
use super::{SOON, agreed, degraded, funded, funded_on, metric, pay_everywhere, running, wait_for_lease};

/// The revision at which a key was last written.
fn revision(etcd: &Etcd, key: &str) -> Option<u64> {
    let found: Value = serde_json::from_str(&etcd.ctl(&["get", "-w", "json", key]).unwrap()).unwrap();
    found["kvs"][0]["mod_revision"].as_u64()
}

#[test]
fn a_coordinator_is_elected_and_another_takes_over_when_its_node_is_killed() {
    let (etcd, cluster) = funded(20);
    let (holder, epoch) = wait_for_lease(&cluster);
    assert_eq!(etcd.get_json("/mpc/coordinator").unwrap()["node_id"], holder);
    assert_eq!(revision(&etcd, "/mpc/coordinator"), Some(epoch));
    for node in running(&cluster) {
        let entry = etcd.get_json(&format!("/mpc/nodes/{}", node.id())).unwrap();
        assert_eq!(entry["node_id"], node.id());
        assert_eq!(entry["quic"], node.quic().to_string());
        assert_eq!(format!("http://{}", entry["rest"].as_str().unwrap()), node.url());
        assert!(entry["boot"].as_u64() >= Some(1) && entry["tip_height"].is_u64(), "{entry}");
        assert_eq!(metric(node, "mpc_wallet_etcd_health").as_deref(), Some("1"));
        assert!(degraded(node).unwrap().is_empty());
    }
    let manifest = etcd.get_json("/mpc/cluster/manifest").unwrap();
    assert_eq!((&manifest["threshold"], &manifest["network"]), (&4.into(), &"regtest".into()));

    cluster.node(holder).unwrap().kill9().unwrap();
    let mut payments = pay_everywhere(&cluster, "coordinator killed");
    let (next, next_epoch) = wait_for_lease(&cluster);
    assert_ne!(next, holder);
    assert!(next_epoch > epoch, "{next_epoch} after {epoch}");
    wait_for("the killed node's registration to end", SOON, || {
        let left = etcd.get(&format!("/mpc/nodes/{holder}"))?;
        anyhow::ensure!(left.is_none(), "{left:?}");
        Ok(())
    })
    .unwrap();

    cluster.node(holder).unwrap().start().unwrap();
    cluster.wait_until_connected().unwrap();
    payments.extend(pay_everywhere(&cluster, "back"));
    assert_eq!(wait_for_lease(&cluster), (next, next_epoch), "who comes back takes nothing away");
    check_books(&cluster, 20 * 50_000, &payments).unwrap();
}

#[test]
fn a_coordinator_that_stops_in_order_hands_over_at_once() {
    let (etcd, cluster) = funded(5);
    let (holder, epoch) = wait_for_lease(&cluster);
    cluster.node(holder).unwrap().terminate(SOON).unwrap();
    assert_eq!(etcd.get(&format!("/mpc/nodes/{holder}")).unwrap(), None);
    let (next, next_epoch) = wait_for_lease(&cluster);
    assert_ne!(next, holder);
    assert!(next_epoch > epoch);
    assert!(agreed(&cluster).unwrap().online_nodes == 4);
    pay_everywhere(&cluster, "handed over");
}

#[test]
fn an_etcd_behind_tls_and_a_password_serves_as_well_and_nothing_shows_the_password() {
    let etcd = Etcd::start_guarded().unwrap();
    let cluster = funded_on(&etcd, 5);
    let (holder, _) = wait_for_lease(&cluster);
    assert_eq!(etcd.get_json("/mpc/coordinator").unwrap()["node_id"], holder);
    let payments = pay_everywhere(&cluster, "guarded");
    wait_until_mirrored(&etcd, &cluster, &payments);
    assert!(!cluster.nodes().iter().any(|node| node.log().contains("correct horse")));
}
