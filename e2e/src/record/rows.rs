//! Rows against stories.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::hex::DisplayHex as _;
use postgres::Client;
use serde_json::Value;
use time::OffsetDateTime;

use super::Comparison;
use super::story::{Story, list, moment, number, text};

/// The database, read in one snapshot.
pub(super) struct Record {
    pub(super) transactions: BTreeMap<String, Transaction>,
    pub(super) votes: BTreeMap<(String, i64, i32), Vote>,
    rounds: Vec<Round>,
    pub(super) views: BTreeMap<(String, i32), (String, String)>,
    presignatures: BTreeMap<String, (String, i64)>,
    violations: Vec<Violation>,
    members: Vec<(i32, i64, i64)>,
}

pub(super) struct Transaction {
    pub(super) state: String,
    pub(super) signed_tx: Option<Vec<u8>>,
    pub(super) recipient: String,
    pub(super) amount_sats: i64,
    pub(super) updated_at: OffsetDateTime,
    fixed: Vec<(&'static str, String)>,
    confirmations: i32,
}

pub(super) struct Vote {
    pub(super) approve: bool,
    pub(super) reason: String,
    pub(super) signature: String,
}

struct Round {
    txid: String,
    number: i64,
    sizes: (i32, i32),
    votes_received: i32,
    flags: (bool, bool),
}

struct Violation {
    accused: i32,
    kind: String,
    reported_by: Option<i32>,
    evidence: Value,
}

impl Record {
    pub(super) fn read(database: &mut Client) -> anyhow::Result<Self> {
        let mut tx = database.build_transaction().read_only(true).start()?;
        tx.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
        let mut transactions = BTreeMap::new();
        for row in tx.query(
            "SELECT txid, state::text, signed_tx, recipient, amount_sats, fee_sats, coalesce(metadata, ''),
                    coalesce(proposed_by, 0), coalesce(digest, ''), unsigned_tx, (extract(epoch FROM created_at) * 1000)::bigint,
                    coalesce((extract(epoch FROM expires_at) * 1000)::bigint, 0), scheme, confirmations,
                    (extract(epoch FROM updated_at))::bigint, coalesce(external_id, ''), coalesce(replaces, '')
               FROM transactions",
            &[],
        )? {
            let (amount_sats, unsigned): (i64, Vec<u8>) = (row.get(4), row.get(9));
            let recipient: String = row.get(3);
            let fixed = vec![
                ("recipient", recipient.clone()),
                ("amount_sats", amount_sats.to_string()),
                ("fee_sats", row.get::<_, i64>(5).to_string()),
                ("metadata", row.get(6)),
                ("proposed_by", row.get::<_, i32>(7).to_string()),
                ("digest", row.get(8)),
                ("unsigned_tx", unsigned.to_lower_hex_string()),
                ("created_at", row.get::<_, i64>(10).to_string()),
                ("expires_at", row.get::<_, i64>(11).to_string()),
                ("type", row.get(12)),
                ("external_id", row.get(15)),
                ("replaces", row.get(16)),
            ];
            let found = Transaction {
                state: row.get(1),
                signed_tx: row.get(2),
                recipient,
                amount_sats,
                updated_at: OffsetDateTime::from_unix_timestamp(row.get(14))?,
                fixed,
                confirmations: row.get(13),
            };
            transactions.insert(row.get(0), found);
        }
        let votes = tx.query(
            "SELECT tx.txid, round.round_number, vote.node_id, vote.approve, coalesce(vote.reason, ''), vote.signature
               FROM votes vote JOIN voting_rounds round ON round.id = vote.round_id
               JOIN transactions tx ON tx.id = round.tx_id",
            &[],
        )?;
        let rounds = tx.query(
            "SELECT tx.txid, round_number, threshold, total_nodes, votes_received, completed, approved
               FROM voting_rounds round JOIN transactions tx ON tx.id = round.tx_id",
            &[],
        )?;
        let views = tx.query(
            "SELECT tx.txid, seen.node_id, seen.state::text, seen.sub_status
               FROM transaction_views seen JOIN transactions tx ON tx.id = seen.tx_id",
            &[],
        )?;
        let presignatures = tx.query(
            "SELECT presignature, tx.txid, generation_time_ms
               FROM presignature_usage JOIN transactions tx ON tx.id = transaction_id",
            &[],
        )?;
        let violations = tx.query(
            "SELECT node_id, violation_type::text, reported_by, evidence FROM byzantine_violations",
            &[],
        )?;
        let members = tx.query("SELECT node_id, total_votes, total_violations FROM node_status", &[])?;
        Ok(Self {
            transactions,
            votes: votes
                .iter()
                .map(|row| {
                    let vote = Vote { approve: row.get(3), reason: row.get(4), signature: row.get(5) };
                    ((row.get(0), row.get(1), row.get(2)), vote)
                })
                .collect(),
            rounds: rounds
                .iter()
                .map(|row| Round {
                    txid: row.get(0),
                    number: row.get(1),
                    sizes: (row.get(2), row.get(3)),
                    votes_received: row.get(4),
                    flags: (row.get(5), row.get(6)),
                })
                .collect(),
            views: views.iter().map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3)))).collect(),
            presignatures: presignatures.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect(),
            violations: violations
                .iter()
                .map(|row| Violation {
                    accused: row.get(0),
                    kind: row.get(1),
                    reported_by: row.get(2),
                    evidence: row.get(3),
                })
                .collect(),
            members: members.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect(),
        })
    }
}

pub(super) fn compare(record: &Record, stories: &BTreeMap<u16, Story>, found: &mut Comparison) {
    let told: BTreeSet<&String> = stories.values().flat_map(|story| story.transactions.keys()).collect();
    for txid in record.transactions.keys().filter(|txid| !told.contains(txid)) {
        found.differences.push(format!("no node knows transaction {txid}"));
    }
    for (node, story) in stories {
        for (txid, document) in &story.transactions {
            match record.transactions.get(txid) {
                None => found
                    .differences
                    .push(format!("node {node} tells transaction {txid}; it is not recorded")),
                Some(row) => transaction(record, (*node, txid, document), row, found),
            }
        }
        violations(record, *node, story, found);
    }
    for (txid, row) in &record.transactions {
        standing(txid, row, stories, found);
    }
    votes(record, stories, found);
    rounds(record, stories, found);
    presignatures(record, stories, found);
    for (node, votes, violations) in &record.members {
        let cast = record.votes.keys().filter(|(_, _, voter)| voter == node).count();
        let broken = record.violations.iter().filter(|violation| violation.accused == *node).count();
        found.check(usize::try_from(*votes) == Ok(cast) && usize::try_from(*violations) == Ok(broken), || {
            format!("node_status counts {votes} votes and {violations} violations of node {node}; there are {cast} and {broken}")
        });
    }
}

/// What was proposed, as this node has it, and where this node says it stands.
fn transaction(
    record: &Record,
    (node, txid, document): (u16, &str, &Value),
    row: &Transaction,
    found: &mut Comparison,
) {
    for (member, recorded) in &row.fixed {
        let told = match *member {
            "created_at" | "expires_at" => moment(document, member).unwrap_or(-1).to_string(),
            "amount_sats" | "fee_sats" | "proposed_by" => number(document, member).to_string(),
            _ => text(document, member).to_owned(),
        };
        found.check(told == *recorded, || {
            format!("{txid}: {member} is recorded as {recorded:?}; node {node} tells {told:?}")
        });
    }
    let told = (text(document, "state").to_owned(), text(document, "sub_status").to_owned());
    let view = record.views.get(&(txid.to_owned(), i32::from(node)));
    found.check(view == Some(&told), || {
        format!("{txid}: node {node} tells {told:?}; recorded as its word is {view:?}")
    });
}

/// The shared state is one that a node tells, and no node that went on from it is left behind.
fn standing(txid: &str, row: &Transaction, stories: &BTreeMap<u16, Story>, found: &mut Comparison) {
    let told: Vec<(&str, i64)> = stories
        .values()
        .filter_map(|story| story.transactions.get(txid))
        .map(|document| (text(document, "state"), number(document, "confirmations")))
        .collect();
    found.check(told.iter().any(|(state, _)| *state == row.state), || {
        format!("{txid} is recorded as {}; the nodes tell {told:?}", row.state)
    });
    found.check(row.state == "confirmed" || told.iter().all(|(state, _)| *state != "confirmed"), || {
        format!("{txid} is recorded as {}; a node tells that it is confirmed", row.state)
    });
    found.check(told.iter().any(|(_, depth)| *depth == i64::from(row.confirmations)), || {
        format!("{txid} is recorded with {} confirmations; the nodes tell {told:?}", row.confirmations)
    });
}

fn votes(record: &Record, stories: &BTreeMap<u16, Story>, found: &mut Comparison) {
    let mut told = BTreeMap::<(String, i64, i32), Vec<(bool, &str, &str)>>::new();
    for (txid, document) in stories.values().flat_map(|story| &story.transactions) {
        for vote in list(document, "votes") {
            let voter = i32::try_from(number(vote, "node_id")).unwrap_or(-1);
            let approve = vote.get("approve").and_then(Value::as_bool).unwrap_or_default();
            told.entry((txid.clone(), number(vote, "round"), voter)).or_default().push((
                approve,
                text(vote, "reason"),
                text(vote, "signature"),
            ));
        }
    }
    for (place, vote) in &record.votes {
        let recorded = (vote.approve, vote.reason.as_str(), vote.signature.as_str());
        found.check(told.get(place).is_some_and(|told| told.contains(&recorded)), || {
            format!(
                "no node tells the recorded vote of node {} on {} (approve: {})",
                place.2, place.0, vote.approve
            )
        });
    }
    for place in told.keys().filter(|place| !record.votes.contains_key(*place)) {
        found.differences.push(format!("the vote of node {} on {} is not recorded", place.2, place.0));
    }
}

fn rounds(record: &Record, stories: &BTreeMap<u16, Story>, found: &mut Comparison) {
    for Round { txid, number, sizes, votes_received, flags } in &record.rounds {
        let counted =
            record.votes.keys().filter(|(voted, round, _)| voted == txid && round == number).count();
        found.check(usize::try_from(*votes_received) == Ok(counted), || {
            format!("round {number} of {txid} counts {votes_received} votes; there are {counted}")
        });
        let (completed, approved) = *flags;
        let state = record.transactions.get(txid).map_or("", |row| row.state.as_str());
        found.check(completed != matches!(state, "pending" | "voting"), || {
            format!("round {number} of {txid} is completed: {completed}, while the transaction is {state}")
        });
        found.check(approved || !matches!(state, "signed" | "broadcasting" | "confirmed"), || {
            format!("round {number} of {txid} is not approved, while the transaction is {state}")
        });
        for (node, story) in stories {
            let told = (i32::from(story.threshold.0), i32::from(story.threshold.1));
            found.check(told == *sizes, || {
                format!("round {number} of {txid} is of {sizes:?}; node {node} tells {told:?}")
            });
        }
    }
    for txid in record.transactions.keys() {
        let state = record.transactions.get(txid).map_or("", |row| row.state.as_str());
        found.check(state == "pending" || record.rounds.iter().any(|round| round.txid == *txid), || {
            format!("{txid} is {state} and has no voting round")
        });
    }
}

fn presignatures(record: &Record, stories: &BTreeMap<u16, Story>, found: &mut Comparison) {
    let mut told = BTreeMap::new();
    for (txid, document) in stories.values().flat_map(|story| &story.transactions) {
        for used in list(document, "presignatures") {
            told.insert(text(used, "id").to_owned(), (txid.clone(), number(used, "generation_time_ms")));
        }
    }
    let ids: BTreeSet<&String> = told.keys().chain(record.presignatures.keys()).collect();
    for id in ids {
        let (recorded, told) = (record.presignatures.get(id), told.get(id));
        // Signers wait for each other, so each has its own time for the making.
        let same = recorded.map(|(txid, _)| txid) == told.map(|(txid, _)| txid);
        found.check(same, || {
            format!("presignature {id} is recorded as used for {recorded:?}; told is {told:?}")
        });
    }
}

fn violations(record: &Record, node: u16, story: &Story, found: &mut Comparison) {
    for told in &story.violations {
        let (accused, kind) = (number(told, "node_id"), text(told, "violation_type"));
        let proven = told.get("evidence").is_some_and(Value::is_string);
        let recorded = record.violations.iter().any(|row| {
            let same = i64::from(row.accused) == accused && row.kind == kind;
            let proof = row.evidence.get("kind").is_some();
            let own = row.reported_by == Some(i32::from(node))
                && text(&row.evidence, "detail") == text(told, "detail");
            same && if proven { proof } else { own }
        });
        found.check(recorded, || {
            format!(
                "node {node} tells a {kind} of node {accused} ({}); it is not recorded",
                text(told, "detail")
            )
        });
    }
}
