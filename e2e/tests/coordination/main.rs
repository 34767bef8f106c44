//! A cluster with three real etcd members: they choose the coordinator while they are there, nobody misses them while
//! they are away, and nobody believes them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod documented;
mod electing;
mod hostile;
mod mirroring;
mod outage;

use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, ClusterView, NodeProcess, wait_for};
use mpc_wallet_e2e::servers::etcd::Etcd;
use mpc_wallet_e2e::suite::{Expected, mining_options, pay_at_once};

/// Far beyond what any step takes; a busy machine may need some of it.
const SOON: Duration = Duration::from_secs(60);

/// Until a lease is followed: after a role has moved too often that takes a minute.
const LEASE_WITHIN: Duration = Duration::from_secs(120);

/// A cluster with etcd, a key and `coins` coins of 50,000 sat, coordinated by lease.
fn funded(coins: u32) -> (Etcd, Cluster) {
    let etcd = Etcd::start().unwrap();
    let cluster = funded_on(&etcd, coins);
    (etcd, cluster)
}

/// The same on an etcd of the test's choice.
fn funded_on(etcd: &Etcd, coins: u32) -> Cluster {
    let cluster = Cluster::start(&mining_options().with_etcd(etcd)).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(50_000, coins).unwrap();
    wait_for_lease(&cluster);
    cluster
}

fn running(cluster: &Cluster) -> impl Iterator<Item = &NodeProcess> {
    cluster.nodes().iter().filter(|node| node.is_running())
}

/// What all running nodes say of the cluster, as far as they agree about the coordinator; errors while they do not.
fn agreed(cluster: &Cluster) -> anyhow::Result<ClusterView> {
    let mut views = Vec::new();
    for node in running(cluster) {
        views.push(node.api().cluster()?);
    }
    let first = views[0].clone();
    let same = |view: &ClusterView| {
        (view.coordinator, &view.coordination) == (first.coordinator, &first.coordination)
    };
    anyhow::ensure!(views.iter().all(same), "the nodes say {views:?}");
    Ok(first)
}

/// Waits until all running nodes name the same coordinator by the same lease. Returns the coordinator and the epoch.
fn wait_for_lease(cluster: &Cluster) -> (u16, u64) {
    wait_for("one coordinator by lease", LEASE_WITHIN, || {
        let view = agreed(cluster)?;
        let epoch = view.coordination.epoch.filter(|_| view.coordination.by == "lease");
        let holder = view.coordinator.filter(|holder| running(cluster).any(|node| node.id() == *holder));
        holder.zip(epoch).ok_or_else(|| anyhow::anyhow!("{view:?}"))
    })
    .unwrap()
}

/// Waits until all running nodes name the lowest of them, by the embedded rule.
fn wait_for_embedded_rule(cluster: &Cluster) {
    let lowest = running(cluster).map(NodeProcess::id).next();
    wait_for("the embedded rule at every node", SOON, || {
        let view = agreed(cluster)?;
        anyhow::ensure!(view.coordination.by == "embedded_rule" && view.coordinator == lowest, "{view:?}");
        Ok(())
    })
    .unwrap();
}

/// Has every running node make a payment, all at once, and waits until all running nodes have seen them in a block.
fn pay_everywhere(cluster: &Cluster, tag: &str) -> Vec<Expected> {
    let orders: Vec<(u16, u64)> =
        running(cluster).map(|node| (node.id(), 5_000 + u64::from(node.id()))).collect();
    let payments = pay_at_once(cluster, tag, &orders, SOON).unwrap();
    for payment in &payments {
        for node in running(cluster) {
            cluster.wait_state(node.id(), &payment.txid, "confirmed", SOON).unwrap();
        }
    }
    payments
}

/// What a node says is degraded, at both probes; errors unless it is ready.
fn degraded(node: &NodeProcess) -> anyhow::Result<Vec<String>> {
    let read = |path: &str| -> anyhow::Result<(u16, Vec<String>)> {
        let reply = node.api().get(path)?;
        let notes = reply.body["degraded"].as_array().cloned().unwrap_or_default();
        Ok((reply.status, notes.iter().map(|note| note.as_str().unwrap_or_default().to_owned()).collect()))
    };
    let (alive, ready) = (read("/health")?, read("/health/ready")?);
    anyhow::ensure!((alive.0, ready.0) == (200, 200), "{alive:?} {ready:?}");
    anyhow::ensure!(alive.1.len() == ready.1.len(), "{alive:?} {ready:?}");
    Ok(ready.1)
}

/// The value of a metric without labels.
fn metric(node: &NodeProcess, name: &str) -> Option<String> {
    let text = node.api().get("/metrics").unwrap().text;
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")))?;
    line.split_whitespace().nth(1).map(str::to_owned)
}
