//! How far the cluster's record is behind; shown by a node that feeds one.

use prometheus::Error;

use super::Sheet;
use crate::postgres::Report;

pub(super) fn show(sheet: &Sheet, record: &Report) -> Result<(), Error> {
    sheet.gauge("mpc_wallet_postgres_connections", "Open connections to PostgreSQL.", record.connections)?;
    sheet.gauge(
        "mpc_wallet_postgres_outbox_records",
        "Records of the journal that are not in PostgreSQL yet.",
        record.waiting,
    )?;
    sheet.gauge(
        "mpc_wallet_postgres_away_seconds",
        "Seconds since facts could last be written to PostgreSQL; 0 while they can.",
        record.away.as_secs(),
    )
}
