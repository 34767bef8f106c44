//! The rows against the copies in etcd.
//!
//! Copies end with their lives, so a missing one is a difference only while it must still be there.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Comparison;
use super::rows::{Record, Transaction};
use super::story::{number, text};

const VOTES: &str = "/mpc/votes/";
const STATES: &str = "/mpc/tx/";

/// What etcd shows of payments.
pub struct Mirrors {
    /// By transaction and voter.
    votes: BTreeMap<(String, i32), Value>,
    /// By transaction.
    states: BTreeMap<String, Value>,
    /// How long a copy is certain to be there.
    life: Duration,
}

impl Mirrors {
    /// Reads all copies. `get_prefix` does what `etcdctl get --prefix` does: a line with the key, a line with the value.
    /// The nodes' `etcd.mirror_life_s` is `life`. Errors when etcd does not answer, or something else stands there.
    pub fn read(life: Duration, get_prefix: impl Fn(&str) -> anyhow::Result<String>) -> anyhow::Result<Self> {
        let (mut votes, mut states) = (BTreeMap::new(), BTreeMap::new());
        for (key, value) in pairs(&get_prefix(VOTES)?)? {
            let place = key.strip_prefix(VOTES).and_then(|place| place.split_once('/'));
            let (txid, voter) = place.with_context(|| format!("{key} is no vote's place"))?;
            votes.insert((txid.to_owned(), voter.parse().with_context(|| key.clone())?), value);
        }
        for (key, value) in pairs(&get_prefix(STATES)?)? {
            let txid = key.strip_prefix(STATES).and_then(|place| place.strip_suffix("/state"));
            states.insert(txid.with_context(|| format!("{key} is no state's place"))?.to_owned(), value);
        }
        // Leases are replaced at half of the life.
        Ok(Self { votes, states, life: life / 2 })
    }
}

/// Keys and values of alternate lines.
fn pairs(lines: &str) -> anyhow::Result<Vec<(String, Value)>> {
    let mut lines = lines.lines();
    let mut found = Vec::new();
    while let Some(key) = lines.next() {
        let value = lines.next().with_context(|| format!("{key} has no value"))?;
        let value = serde_json::from_str(value).with_context(|| format!("{key} holds {value}"))?;
        found.push((key.to_owned(), value));
    }
    Ok(found)
}

pub(super) fn compare(record: &Record, mirrors: &Mirrors, found: &mut Comparison) {
    let certain = |txid: &str| {
        let row = record.transactions.get(txid);
        row.is_some_and(|row| OffsetDateTime::now_utc() - row.updated_at < mirrors.life)
    };
    votes(record, mirrors, certain, found);
    for (txid, row) in &record.transactions {
        match mirrors.states.get(txid) {
            Some(shown) => state(record, (txid, row), shown, found),
            None if certain(txid) => {
                found.differences.push(format!("{txid} is recorded as {}; etcd does not show it", row.state));
            }
            None => {}
        }
    }
    for txid in mirrors.states.keys().filter(|txid| !record.transactions.contains_key(*txid)) {
        found.differences.push(format!("etcd shows {txid}, which is not recorded"));
    }
    found.mirrors = mirrors.votes.len().saturating_add(mirrors.states.len());
}

/// etcd has the last vote of each voter on each transaction, word for word.
fn votes(record: &Record, mirrors: &Mirrors, certain: impl Fn(&str) -> bool, found: &mut Comparison) {
    let mut last = BTreeMap::new();
    // In order of rounds.
    for ((txid, round, voter), vote) in &record.votes {
        let told = json!({
            "node_id": voter,
            "round": round,
            "decision": if vote.approve { "approve" } else { "reject" },
            "reason": vote.reason,
            "signature": vote.signature,
        });
        last.insert((txid.clone(), *voter), told);
    }
    for ((txid, voter), recorded) in &last {
        match mirrors.votes.get(&(txid.clone(), *voter)) {
            Some(shown) => found.check(same_vote(shown, recorded), || {
                format!("{txid}: the vote of node {voter} is recorded as {recorded}; etcd shows {shown}")
            }),
            None => found.check(!certain(txid), || {
                format!("{txid}: the vote of node {voter} is recorded; etcd does not show it")
            }),
        }
    }
    for (txid, voter) in mirrors.votes.keys().filter(|place| !last.contains_key(*place)) {
        found.differences.push(format!("{txid}: etcd shows a vote of node {voter}; it is not recorded"));
    }
}

/// PostgreSQL has no reason where etcd has an empty one.
fn same_vote(shown: &Value, recorded: &Value) -> bool {
    ["node_id", "round"].iter().all(|member| number(shown, member) == number(recorded, member))
        && ["decision", "reason", "signature"]
            .iter()
            .all(|member| text(shown, member) == text(recorded, member))
}

/// etcd shows the recorded state, as the word of a node that says so.
fn state(record: &Record, (txid, row): (&str, &Transaction), shown: &Value, found: &mut Comparison) {
    found.check(text(shown, "state") == row.state, || {
        format!("{txid} is recorded as {}; etcd shows {shown}", row.state)
    });
    let by = i32::try_from(number(shown, "node_id")).unwrap_or_default();
    let view = record.views.get(&(txid.to_owned(), by));
    found.check(view.is_some_and(|(state, _)| state == text(shown, "state")), || {
        format!("{txid}: etcd shows {shown}; recorded as the word of node {by} is {view:?}")
    });
}
