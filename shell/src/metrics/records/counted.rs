//! A journal whose records are counted.

use std::time::Instant;

use mpc_wallet_core::{Node, record::Record, step::Receipt};

use super::{RecordMetrics, story::Sight};
use crate::ports::{Journal, JournalFailure};

/// Counts what another journal has made durable. What it could not is not counted.
pub struct Counted<J> {
    journal: J,
    metrics: RecordMetrics,
}

impl<J> Counted<J> {
    /// Counts the records of this journal.
    pub const fn new(journal: J, metrics: RecordMetrics) -> Self {
        Self { journal, metrics }
    }
}

impl<J: Journal> Journal for Counted<J> {
    async fn append(&mut self, records: Vec<Record>) -> Result<Receipt, JournalFailure> {
        let sights: Vec<Sight> = records.iter().filter_map(Sight::of).collect();
        let began = Instant::now();
        let receipt = self.journal.append(records).await?;
        self.metrics.appended(began.elapsed(), &sights);
        Ok(receipt)
    }

    fn settled(&mut self, node: &Node) {
        self.journal.settled(node);
    }
}
