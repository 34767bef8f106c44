//! What Prometheus is told. `docs/metrics.md` lists every metric; a test holds the two together, both ways.
//!
//! | part | where its values come from | after a restart |
//! |---|---|---|
//! | [`present`] | copied from the node's view of the present at each scrape, so it cannot drift | as the journal has it |
//! | [`records`] | counted from records once they are durable; those of the past are not counted again | counters begin at 0, open transactions are known |
//! | [`chain`] | counted at the port to the chain backend | begins at 0 |
//! | [`requests`] | counted where requests are answered | begins at 0 |
//! | [`peers`], [`queues`], [`backup`], [`process`], [`certificates`], [`database`] | asked of their owners at each scrape | as they are |
//!
//! Labels have few values, known beforehand: members, states, kinds, routes. Never a txid, an address or a key.

pub mod backup;
mod buckets;
mod certificates;
pub mod chain;
mod database;
pub mod peers;
mod present;
pub mod process;
pub mod queues;
pub mod records;
pub mod requests;
mod sheet;

use std::sync::Arc;

use mpc_wallet_core::{Timestamp, overview::Overview, tx::State};
use prometheus::{Registry, TextEncoder};

pub use chain::{ChainMetrics, Timed};
pub use records::{Counted, RecordMetrics};
pub use requests::RequestMetrics;
pub use sheet::Sheet;

use crate::{postgres::Report, quic::CertificateReport};

type Source = Arc<dyn Fn(&Sheet) -> Result<(), prometheus::Error> + Send + Sync>;

/// What is asked for its numbers at each scrape.
#[derive(Clone, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Asks `source`, too. It must not wait.
    pub fn add(&mut self, source: impl Fn(&Sheet) -> Result<(), prometheus::Error> + Send + Sync + 'static) {
        self.0.push(Arc::new(source));
    }
}

/// What a scrape shows, gathered by who answers it.
pub struct Scrape<'a> {
    /// The present.
    pub overview: &'a Overview,
    /// The moment of the scrape.
    pub now: Timestamp,
    /// Transactions by state.
    pub counts: &'a [(State, u64)],
    /// How the cluster's record is, on a node that feeds one.
    pub record: Option<&'a Report>,
    /// The certificates, on a node with a network.
    pub certificates: Option<&'a CertificateReport>,
    /// What else is asked.
    pub sources: &'a Sources,
    /// What counts by itself.
    pub registry: &'a Registry,
}

/// All metrics in Prometheus' text format.
///
/// # Errors
/// If two parts claim one name.
pub fn render(scrape: &Scrape<'_>) -> Result<String, prometheus::Error> {
    let sheet = Sheet::default();
    present::show(&sheet, scrape.overview, scrape.now, scrape.counts)?;
    if let Some(record) = scrape.record {
        database::show(&sheet, record)?;
    }
    if let Some(certificates) = scrape.certificates {
        certificates::show(&sheet, certificates)?;
    }
    for source in &scrape.sources.0 {
        source(&sheet)?;
    }
    let mut families = sheet.families();
    families.extend(scrape.registry.gather());
    TextEncoder::new().encode_to_string(&families)
}
