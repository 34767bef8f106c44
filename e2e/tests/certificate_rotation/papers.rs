//! What nodes show, and say of it.

use std::path::PathBuf;

use anyhow::Context as _;
use mpc_wallet_e2e::cluster::{Cluster, NodeProcess, wait_for};
use mpc_wallet_e2e::hostile::{Papers, shown_by};
use mpc_wallet_shell::quic::inspect::certificates_of;
use serde_json::Value;

use super::SOON;

pub(crate) const EXPIRY: &str = "mpc_wallet_certificate_expiry_timestamp_seconds";

/// The folder that all nodes read their certificates from.
pub(crate) fn certs(cluster: &Cluster) -> PathBuf {
    cluster.folder().join("certs")
}

/// End of the certificate that lies on disk for a node, in unix seconds.
pub(crate) fn end_on_disk(cluster: &Cluster, node: u16) -> i64 {
    let listed = certificates_of(&certs(cluster).join(format!("node{node}.crt"))).unwrap();
    listed[0].not_after
}

/// A sample of a node's metrics, by its name and labels as they are written there.
pub(crate) fn metric(node: &NodeProcess, sample: &str) -> anyhow::Result<i64> {
    let text = node.api().get("/metrics")?.text;
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    let value = value.with_context(|| format!("node {} has no {sample}", node.id()))?;
    Ok(value.parse()?)
}

pub(crate) fn own_expiry(node: &NodeProcess) -> anyhow::Result<i64> {
    metric(node, &format!("{EXPIRY}{{node=\"{}\",which=\"own\"}}", node.id()))
}

/// How often a node has taken new files.
pub(crate) fn taken(node: &NodeProcess) -> anyhow::Result<i64> {
    metric(node, "mpc_wallet_certificate_reloads_total{result=\"taken\"}")
}

/// A node's health in a word, and what is wrong.
pub(crate) fn health(node: &NodeProcess) -> anyhow::Result<(String, Vec<String>)> {
    let body: Value = node.api().get("/health")?.read()?;
    let status = body["status"].as_str().context("no status")?.to_owned();
    Ok((status, serde_json::from_value(body["degraded"].clone())?))
}

pub(crate) fn wait_healthy(node: &NodeProcess) {
    wait_for(&format!("node {} to be healthy", node.id()), SOON, || {
        let (status, notes) = health(node)?;
        anyhow::ensure!(status == "healthy" && notes.is_empty(), "{status}: {notes:?}");
        Ok(())
    })
    .unwrap();
}

/// Waits until a node tells that something of its certificates is wrong, in its health and in its log.
pub(crate) fn wait_degraded(node: &NodeProcess, words: &str) {
    wait_for(&format!("node {} to say: {words}", node.id()), SOON, || {
        let (status, notes) = health(node)?;
        anyhow::ensure!(status == "degraded" && notes.iter().any(|note| note.contains(words)), "{notes:?}");
        anyhow::ensure!(node.logged(&["certificates need an operator", words]) > 0, "nothing in its log");
        Ok(())
    })
    .unwrap();
}

/// Waits until a node shows to others, and tells of, the certificate that lies on disk for it.
pub(crate) fn wait_in_use(cluster: &Cluster, node: &NodeProcess) {
    let (papers, end) =
        (Papers::stolen(&certs(cluster), node.id()).unwrap(), end_on_disk(cluster, node.id()));
    wait_for(&format!("node {} to show its new certificate", node.id()), SOON, || {
        anyhow::ensure!(own_expiry(node)? == end, "its metric says {}", own_expiry(node)?);
        anyhow::ensure!(shown_by(node.quic())? == papers.leaf()?, "it shows another one");
        let members = node.api().get("/api/v1/cluster/nodes")?.body;
        let own = &members["nodes"][usize::from(node.id() - 1)]["certificate_expires_at"];
        let told = time::OffsetDateTime::parse(
            own.as_str().context("the API tells no end")?,
            &time::format_description::well_known::Rfc3339,
        )?;
        anyhow::ensure!(told.unix_timestamp() == end, "the API tells {own}");
        Ok(())
    })
    .unwrap();
}

/// Waits until every connection between a node and its peers was made with what lies on disk now.
pub(crate) fn wait_connected_anew(cluster: &Cluster, node: &NodeProcess) {
    wait_for(&format!("node {}'s connections to be of the new certificates", node.id()), SOON, || {
        for peer in cluster.nodes().iter().filter(|peer| peer.id() != node.id()) {
            for (here, there) in [(node, peer), (peer, node)] {
                let seen = metric(here, &format!("{EXPIRY}{{node=\"{}\",which=\"peer\"}}", there.id()))?;
                let end = end_on_disk(cluster, there.id());
                anyhow::ensure!(seen == end, "node {} sees {seen} of node {}", here.id(), there.id());
            }
        }
        Ok(())
    })
    .unwrap();
}

/// Connections that have ended so far, as the nodes logged them.
pub(crate) fn ended_connections(cluster: &Cluster) -> usize {
    cluster.nodes().iter().map(|node| node.logged(&["peer is down"])).sum()
}
