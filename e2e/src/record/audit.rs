//! The audit log against itself and against the rows it is about.

use std::collections::BTreeMap;

use mpc_wallet_shell::postgres::audit;
use postgres::Client;

use super::Comparison;
use super::rows::Record;

pub(super) fn compare(database: &mut Client, record: &Record, found: &mut Comparison) -> anyhow::Result<()> {
    let mut export = String::new();
    for row in database.query("SELECT line FROM audit_export ORDER BY id", &[])? {
        export.push_str(row.get(0));
        export.push('\n');
    }
    match audit::verify(export.as_bytes()) {
        Ok(chain) => found.audit_rows = chain.rows,
        Err(error) => found.differences.push(format!("audit chain: {error}")),
    }

    let mut last = BTreeMap::<String, String>::new();
    for row in database.query(
        "SELECT coalesce(txid, ''), details ->> 'from', details ->> 'to' FROM audit_log
          WHERE event_type IN ('transaction_proposed', 'state_changed') ORDER BY id",
        &[],
    )? {
        let (txid, from, to): (String, Option<String>, String) = (row.get(0), row.get(1), row.get(2));
        let before = last.insert(txid.clone(), to);
        found.check(before == from, || {
            format!("audit log: {txid} leaves {from:?} after it came to {before:?}")
        });
    }
    for (txid, row) in &record.transactions {
        let audited = last.remove(txid).unwrap_or_default();
        found.check(audited == row.state, || {
            format!("{txid} is recorded as {}; the audit log ends with {audited:?}", row.state)
        });
    }
    for txid in last.into_keys() {
        found.differences.push(format!("the audit log tells of {txid}, which is not recorded"));
    }
    let votes: i64 =
        database.query_one("SELECT count(*) FROM audit_log WHERE event_type = 'vote_received'", &[])?.get(0);
    found.check(usize::try_from(votes) == Ok(record.votes.len()), || {
        format!("the audit log has {votes} votes; {} are recorded", record.votes.len())
    });
    Ok(())
}
