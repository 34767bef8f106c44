//! Everything that one node tells, as its API's documents have it.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;

use crate::cluster::Api;

/// One node's story.
pub(super) struct Story {
    /// Each transaction's whole document, by txid.
    pub(super) transactions: BTreeMap<String, Value>,
    /// The newest violations it holds.
    pub(super) violations: Vec<Value>,
    /// t and n
    pub(super) threshold: (u16, u16),
}

impl Story {
    pub(super) fn read(api: &Api) -> anyhow::Result<Self> {
        let mut transactions = BTreeMap::new();
        for listed in api.transactions()? {
            let document: Value = api.get(&format!("/api/v1/transactions/{}", listed.txid))?.read()?;
            transactions.insert(listed.txid, document);
        }
        let cluster = api.cluster()?;
        let threshold = (cluster.threshold, cluster.total_nodes);
        Ok(Self { transactions, violations: api.violations()?, threshold })
    }
}

/// A string member; empty if it is missing or null.
pub(super) fn text<'a>(document: &'a Value, member: &str) -> &'a str {
    document.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// A whole number; -1 if it is missing.
pub(super) fn number(document: &Value, member: &str) -> i64 {
    document.get(member).and_then(Value::as_i64).unwrap_or(-1)
}

/// A list; empty if it is missing.
pub(super) fn list<'a>(document: &'a Value, member: &str) -> &'a [Value] {
    document.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A moment in milliseconds since 1970.
pub(super) fn moment(document: &Value, member: &str) -> anyhow::Result<i64> {
    let format = &time::format_description::well_known::Rfc3339;
    let at = time::OffsetDateTime::parse(text(document, member), format)?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).context("beyond all clocks")
}
