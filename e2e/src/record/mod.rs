//! The cluster's record compared with what it is a record of: each node's own story (REST), the chain, the copies in etcd,
//! and itself.
//!
//! Every row must be told by a node, everything that a node tells must be a row, what is confirmed must stand in a block,
//! counts must be what was counted, and the audit chain must hold and tell the same states. The rules are restated here
//! and share no code with the feed, but for the verification of the chain, which is the product's own.

mod audit;
mod chain;
mod mirrors;
mod rows;
mod story;

use std::collections::BTreeMap;
use std::time::Duration;

use postgres::Client;

use crate::cluster::{Api, Cluster, wait_for};
use crate::servers::Postgres;
use crate::servers::etcd::Etcd;

pub use mirrors::Mirrors;
use rows::Record;
use story::Story;

/// `etcd.mirror_life_s` of nodes that were not told another.
pub const MIRROR_LIFE: Duration = Duration::from_secs(86_400);

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Everything that does not agree, a sentence each.
    pub differences: Vec<String>,
    /// Transactions compared.
    pub transactions: usize,
    /// Votes compared.
    pub votes: usize,
    /// Rows of the audit chain.
    pub audit_rows: u64,
    /// Votes and states in etcd.
    pub mirrors: usize,
}

impl Comparison {
    fn check(&mut self, holds: bool, difference: impl FnOnce() -> String) {
        if !holds {
            self.differences.push(difference());
        }
    }

    /// Errors with every difference.
    pub fn agreed(self) -> anyhow::Result<Self> {
        anyhow::ensure!(
            self.differences.is_empty(),
            "{} differences:\n  {}",
            self.differences.len(),
            self.differences.join("\n  ")
        );
        Ok(self)
    }
}

/// Compares a database with the nodes that feed it, by their numbers, with the chain behind an Esplora URL,
/// and with etcd if the nodes have one. The cluster must be at rest: while a payment is under way its rows and its nodes
/// are read at different moments. Errors when one of them cannot be read.
pub fn compare(
    database: &mut Client,
    nodes: &[(u16, Api)],
    esplora: &str,
    mirrors: Option<&Mirrors>,
) -> anyhow::Result<Comparison> {
    let mut comparison = Comparison::default();
    let record = Record::read(database)?;
    let mut stories = BTreeMap::new();
    for (id, api) in nodes {
        stories.insert(*id, Story::read(api)?);
    }
    rows::compare(&record, &stories, &mut comparison);
    audit::compare(database, &record, &mut comparison)?;
    chain::compare(&record, esplora, &mut comparison)?;
    if let Some(mirrors) = mirrors {
        mirrors::compare(&record, mirrors, &mut comparison);
    }
    comparison.transactions = record.transactions.len();
    comparison.votes = record.votes.len();
    Ok(comparison)
}

/// Compares what the running nodes of a cluster feed.
pub fn compare_cluster(
    cluster: &Cluster,
    postgres: &Postgres,
    etcd: Option<&Etcd>,
) -> anyhow::Result<Comparison> {
    let running = cluster.nodes().iter().filter(|node| node.is_running());
    let nodes: Vec<(u16, Api)> = running.map(|node| (node.id(), node.api().clone())).collect();
    let mirrors = etcd
        .map(|etcd| Mirrors::read(MIRROR_LIFE, |prefix| etcd.ctl(&["get", "--prefix", prefix])))
        .transpose()?;
    compare(&mut postgres.admin()?, &nodes, &cluster.chain().url(), mirrors.as_ref())
}

/// Waits until every fact has arrived and everything agrees. Errors with what still differs after `within`.
pub fn wait_until_agreed(
    cluster: &Cluster,
    postgres: &Postgres,
    etcd: Option<&Etcd>,
    within: Duration,
) -> anyhow::Result<Comparison> {
    wait_for("record, nodes, chain and copies to agree", within, || {
        compare_cluster(cluster, postgres, etcd)?.agreed()
    })
}
