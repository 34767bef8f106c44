//! Bad certificates, put in place by mistake or shown by somebody else.

use std::time::Duration;

use mpc_wallet_e2e::cluster::Cluster;
use mpc_wallet_e2e::hostile::{Papers, Validity, intrude, shown_by};
use mpc_wallet_e2e::suite::options;
use time::OffsetDateTime;

use super::papers::{certs, ended_connections, wait_degraded, wait_healthy, wait_in_use};

const HOUR: time::Duration = time::Duration::HOUR;

fn expired(cluster: &Cluster, name: &str) -> Papers {
    let now = OffsetDateTime::now_utc();
    let validity = Validity { begin: now - HOUR * 2, end: now - HOUR };
    Papers::of_cluster_ca_within(&certs(cluster), name, validity).unwrap()
}

fn early(cluster: &Cluster, name: &str) -> Papers {
    let now = OffsetDateTime::now_utc();
    let validity = Validity { begin: now + HOUR, end: now + HOUR * 2 };
    Papers::of_cluster_ca_within(&certs(cluster), name, validity).unwrap()
}

#[test]
fn bad_files_are_refused_with_their_reason_and_the_old_certificate_stays_in_use() {
    let cluster = Cluster::start(&options().set("tls", "check_s", 1)).unwrap();
    cluster.wait_until_connected().unwrap();
    let (three, certs, before) = (cluster.node(3).unwrap(), certs(&cluster), ended_connections(&cluster));
    let good = Papers::stolen(&certs, 3).unwrap();
    let of_cluster = |name: &str| Papers::of_cluster_ca(&certs, name, 30).unwrap();
    for (papers, reason) in [
        (expired(&cluster, "node-3"), "has expired"),
        (early(&cluster, "node-3"), "is not valid yet"),
        (of_cluster("node-3").with_key_of(&of_cluster("node-3")), "does not belong to certificate"),
        (of_cluster("node-2"), "does not name node-3"),
        (Papers::of_foreign_ca("node-3").unwrap(), "not signed by this cluster's CA"),
    ] {
        papers.install(&certs, 3).unwrap();
        wait_degraded(three, reason);
        assert_eq!(shown_by(three.quic()).unwrap(), good.leaf().unwrap(), "{reason}");
    }
    good.install(&certs, 3).unwrap();
    wait_healthy(three);

    let fresh = Papers::of_cluster_ca(&certs, "node-3", 30).unwrap();
    fresh.install(&certs, 3).unwrap();
    wait_in_use(&cluster, three);
    wait_healthy(three);
    assert_eq!(ended_connections(&cluster), before);
}

#[test]
fn peers_with_expired_or_early_certificates_are_refused() {
    let cluster = Cluster::start(&options()).unwrap();
    cluster.wait_until_connected().unwrap();
    let five = cluster.node(5).unwrap();
    for (papers, reason) in
        [(expired(&cluster, "node-1"), "has expired"), (early(&cluster, "node-1"), "is not valid yet")]
    {
        let encounter = intrude(five.quic(), &papers, b"hello").unwrap();
        assert!(!encounter.admitted, "{reason}: {encounter:?}");
        mpc_wallet_e2e::cluster::wait_for(reason, Duration::from_secs(10), || {
            anyhow::ensure!(five.logged(&["refused a peer", reason]) > 0, "not in the log");
            Ok(())
        })
        .unwrap();
    }
    cluster.wait_until_connected().unwrap();
}
