//! Who has no right to be a peer does not become one, and is seen trying.

use std::path::PathBuf;
use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, wait_for};
use mpc_wallet_e2e::hostile::{Papers, intrude};
use mpc_wallet_e2e::suite::options;

const SOON: Duration = Duration::from_secs(10);

fn certs(cluster: &Cluster) -> PathBuf {
    cluster.folder().join("certs")
}

/// The node has logged a line with these words.
fn wait_logged(cluster: &Cluster, node: u16, words: &[&str]) {
    wait_for(&format!("node {node} to log {words:?}"), SOON, || {
        anyhow::ensure!(cluster.node(node)?.logged(words) > 0, "it has not");
        Ok(())
    })
    .unwrap();
}

#[test]
fn peers_without_valid_papers_are_refused_and_logged_and_the_node_lives() {
    let cluster = Cluster::start(&options()).unwrap();
    cluster.wait_until_connected().unwrap();
    let certs = certs(&cluster);
    let target = cluster.node(5).unwrap().quic();
    let intruders = [
        (Papers::of_foreign_ca("node-1"), "not signed by this cluster's CA"),
        (Papers::of_cluster_ca(&certs, "node-9", 30), "node-9 is not in the manifest"),
        (Papers::of_cluster_ca(&certs, "backup-service", 30), "not of the form node-N"),
        (Papers::of_cluster_ca(&certs, "node-5", 30), "this node's own name"),
        (Papers::of_cluster_ca(&certs, "node-1", -1), "has expired"),
    ];
    for (papers, reason) in intruders {
        let encounter = intrude(target, &papers.unwrap(), b"hello").unwrap();
        assert!(!encounter.admitted, "{reason}: {encounter:?}");
        wait_logged(&cluster, 5, &["refused a peer", reason]);
    }
    cluster.wait_until_connected().unwrap();
}

#[test]
fn a_member_that_sends_garbage_is_cut_off_and_logged_and_the_node_lives() {
    let cluster = Cluster::start(&options()).unwrap();
    cluster.wait_until_connected().unwrap();
    let stolen = Papers::stolen(&certs(&cluster), 1).unwrap();
    cluster.node(1).unwrap().kill9().unwrap();
    let target = cluster.node(5).unwrap().quic();

    let header = *b"mpcw\x01\x02";
    let oversized = [header.as_slice(), &u32::MAX.to_be_bytes()].concat();
    let empty = [header.as_slice(), &[0; 4]].concat();
    for (bytes, reason) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "instead of the magic"),
        (b"mpcw\x63\x01".to_vec(), "speaks version 99"),
        (b"mpcw\x01\x63".to_vec(), "channel 99, which does not exist"),
        (oversized, "frame of 4294967295 bytes"),
        (empty, "empty frame"),
    ] {
        let encounter = intrude(target, &stolen, &bytes).unwrap();
        assert!(encounter.admitted, "a member's papers are good: {encounter:?}");
        wait_logged(&cluster, 5, &["peer misbehaved; connection closed", reason]);
    }
    // Four members are alive and see each other, whatever they now think of the first.
    wait_for("four members to see each other", SOON, || {
        for id in 2..=5 {
            let members = cluster.node(id)?.api().members()?.nodes;
            let online = members.iter().filter(|member| member.status == "online").count();
            anyhow::ensure!(online >= 4, "node {id}: {members:?}");
        }
        Ok(())
    })
    .unwrap();
}
