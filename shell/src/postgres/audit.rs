//! The audit chain, verified from an export with nothing but the export.
//!
//! Each row's hash is SHA-256 over the hash of the row before it (32 zero bytes for the first) and its fields in this order:
//! id, event_type, node_id, tx_id, txid, details (JSON as PostgreSQL prints it), timestamp (microseconds since 1970). Each
//! field is its length in bytes (4 bytes, big-endian) and its UTF-8; a NULL is the four bytes `ffffffff`. Numbers are
//! decimal. Ids count 1, 2, 3, …
//!
//! What this proves: no row was altered, inserted or taken out between two rows that stand. What it does not: whoever can
//! write the database as its owner can write a whole chain anew, or cut its end off. Against that, keep a hash that an
//! earlier verification printed, somewhere else: [`Verified::contains`] tells whether the chain still has it.

use std::{collections::BTreeSet, io::BufRead};

use bitcoin::{
    hashes::{Hash, HashEngine, sha256},
    hex::{DisplayHex, FromHex},
};
use serde::Deserialize;

/// Longest line that is read: evidence is bounded far below.
const MAX_LINE: usize = 4 * 1024 * 1024;

/// One row as the view `audit_export` prints it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: u64,
    event_type: String,
    node_id: Option<i64>,
    tx_id: Option<i64>,
    txid: Option<String>,
    details: String,
    timestamp_us: String,
    prev_hash: String,
    hash: String,
}

/// A chain that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Rows in it.
    pub rows: u64,
    /// Hash of the last, 64 hexadecimal digits; 64 zeros for none.
    pub head: String,
    hashes: BTreeSet<[u8; 32]>,
}

impl Verified {
    /// Whether a row has this hash: the chain then begins with all that it began with when the hash was noted.
    #[must_use]
    pub fn contains(&self, hash: &str) -> bool {
        <[u8; 32]>::from_hex(hash).is_ok_and(|hash| self.hashes.contains(&hash))
    }
}

/// Where a chain breaks.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The export cannot be read.
    #[error("line {line} cannot be read: {reason}")]
    Unreadable {
        /// Which, from 1.
        line: u64,
        /// Why.
        reason: String,
    },
    /// A row is missing, or one too many.
    #[error("row {found} stands where row {expected} belongs: rows were taken out, inserted or moved")]
    OutOfOrder {
        /// The id that belongs there.
        expected: u64,
        /// The id found.
        found: u64,
    },
    /// A row does not continue the one before it.
    #[error("row {id} does not continue row {}: one of the two was replaced", id.saturating_sub(1))]
    Unlinked {
        /// The row.
        id: u64,
    },
    /// A row is not what was hashed.
    #[error("row {id} was altered: its fields do not have its hash")]
    Altered {
        /// The row.
        id: u64,
    },
}

/// Verifies an export: a row a line, the first first.
///
/// # Errors
/// The first line that does not fit.
pub fn verify(export: impl BufRead) -> Result<Verified, AuditError> {
    let (mut head, mut hashes, mut rows) = ([0; 32], BTreeSet::new(), 0_u64);
    for (number, line) in (1_u64..).zip(export.split(b'\n')) {
        let unreadable = |reason: String| AuditError::Unreadable { line: number, reason };
        let line = line.map_err(|error| unreadable(error.to_string()))?;
        if line.is_empty() {
            continue;
        }
        if line.len() > MAX_LINE {
            return Err(unreadable(format!("it has {} bytes, the limit is {MAX_LINE}", line.len())));
        }
        let row: Row = serde_json::from_slice(&line).map_err(|error| unreadable(error.to_string()))?;
        let expected = rows.saturating_add(1);
        if row.id != expected {
            return Err(AuditError::OutOfOrder { expected, found: row.id });
        }
        if row.prev_hash != head.to_lower_hex_string() {
            return Err(AuditError::Unlinked { id: row.id });
        }
        head = hash(&head, &row);
        if row.hash != head.to_lower_hex_string() {
            return Err(AuditError::Altered { id: row.id });
        }
        hashes.insert(head);
        rows = expected;
    }
    Ok(Verified { rows, head: head.to_lower_hex_string(), hashes })
}

fn hash(previous: &[u8; 32], row: &Row) -> [u8; 32] {
    let mut engine = sha256::Hash::engine();
    engine.input(previous);
    let number = |value: Option<i64>| value.map(|value| value.to_string());
    for field in [
        Some(row.id.to_string()),
        Some(row.event_type.clone()),
        number(row.node_id),
        number(row.tx_id),
        row.txid.clone(),
        Some(row.details.clone()),
        Some(row.timestamp_us.clone()),
    ] {
        match field {
            None => engine.input(&[0xff; 4]),
            Some(text) => {
                engine.input(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
                engine.input(text.as_bytes());
            }
        }
    }
    sha256::Hash::from_engine(engine).to_byte_array()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// As PostgreSQL 15 exported it.
    const EXPORT: &str = include_str!("../../tests/data/audit.jsonl");

    fn verified(text: &str) -> Result<Verified, AuditError> {
        verify(text.as_bytes())
    }

    #[test]
    fn what_postgresql_hashed_verifies_here() {
        let chain = verified(EXPORT).unwrap();
        assert_eq!(chain.rows, 4);
        assert!(EXPORT.contains(&chain.head));
        let second = "877c46592c755a90258de5fb03552d38e3c9bcdc9609e41d9a23973f9906be3d";
        assert!(chain.contains(second) && !chain.contains(&"ab".repeat(32)));
        assert_eq!(verified("").unwrap().rows, 0);
    }

    #[test]
    fn an_altered_field_of_any_row_is_found_and_the_row_is_named() {
        for (from, to, error) in [
            ("\"event_type\" : \"state_changed\"", "\"event_type\" : \"state_chanted\"", "row 2 was altered"),
            ("\\\"to\\\": \\\"voting\\\"", "\\\"to\\\": \\\"signed\\\"", "row 2 was altered"),
            (
                "\"timestamp_us\" : \"1795288431590636\"",
                "\"timestamp_us\" : \"1795288431590637\"",
                "row 3 was",
            ),
            ("\"id\" : 2, \"event_type\"", "\"id\" : 5, \"event_type\"", "row 5 stands where row 2 belongs"),
            ("\"node_id\" : null", "\"node_id\" : 3", "row 1 was altered"),
        ] {
            assert!(EXPORT.contains(from), "{from}");
            let told = verified(&EXPORT.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(told.contains(error), "{from}: {told}");
        }
    }

    #[test]
    fn a_row_taken_out_or_replaced_with_its_hash_is_found() {
        let lines: Vec<&str> = EXPORT.lines().collect();
        let without_second = [lines[0], lines[2], lines[3]].join("\n");
        let told = verified(&without_second).unwrap_err().to_string();
        assert!(told.contains("row 3 stands where row 2 belongs"), "{told}");

        let mut row: Row = serde_json::from_str(lines[1]).unwrap();
        row.event_type = "something_else".to_owned();
        let previous = <[u8; 32]>::from_hex(&row.prev_hash).unwrap();
        let forged = lines[1]
            .replace("state_changed", "something_else")
            .replace(&row.hash, &hash(&previous, &row).to_lower_hex_string());
        let told = verified(&[lines[0], &forged, lines[2]].join("\n")).unwrap_err().to_string();
        assert!(told.contains("row 3 does not continue row 2"), "{told}");
    }
}
