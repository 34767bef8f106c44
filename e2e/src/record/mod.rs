//! The cluster's record compared with what it is a record of: each node's own story (REST), the chain, and itself.
//!
//! Every row must be told by a node, everything that a node tells must be a row, what is confirmed must stand in a block,
//! counts must be what was counted, and the audit chain must hold and tell the same states. The rules are restated here
//! and share no code with the feed, but for the verification of the chain, which is the product's own.

mod audit;
mod chain;
mod rows;
mod story;

use std::collections::BTreeMap;

use postgres::Client;

use crate::cluster::Api;

use rows::Record;
use story::Story;

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

/// Compares a database with the nodes that feed it, by their numbers, and with the chain behind an Esplora URL. The cluster
/// must be at rest: while a payment is under way its rows and its nodes are read at different moments. Errors when one
/// of them cannot be read.
pub fn compare(database: &mut Client, nodes: &[(u16, Api)], esplora: &str) -> anyhow::Result<Comparison> {
    let mut comparison = Comparison::default();
    let record = Record::read(database)?;
    let mut stories = BTreeMap::new();
    for (id, api) in nodes {
        stories.insert(*id, Story::read(api)?);
    }
    rows::compare(&record, &stories, &mut comparison);
    audit::compare(database, &record, &mut comparison)?;
    chain::compare(&record, esplora, &mut comparison)?;
    comparison.transactions = record.transactions.len();
    comparison.votes = record.votes.len();
    Ok(comparison)
}
