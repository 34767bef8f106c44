//! A look at the record's server for an operator; changes nothing there.

use mpc_wallet_core::{NodeId, Timestamp};
use tokio_postgres::Client;

use super::{fault::Fault, migrations, pool, pool::SetupError};
use crate::config::PostgresSettings;

/// What a look showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Version of the schema; 0 before any node has made one.
    pub schema: i32,
    /// Version that this software makes.
    pub known: i32,
    /// The cluster whose record it is, hexadecimal; `None` before any node has come.
    pub cluster: Option<String>,
    /// The server's clock.
    pub clock: Timestamp,
}

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No connection can be tried.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The server does not answer, or refuses.
    #[error("{0}")]
    Server(String),
}

impl From<Fault> for ProbeError {
    fn from(fault: Fault) -> Self {
        Self::Server(fault.to_string())
    }
}

/// Connects as a node would, and looks.
///
/// # Errors
/// [`ProbeError`], within the node's own time limits.
pub async fn probe(settings: &PostgresSettings, me: NodeId) -> Result<Probe, ProbeError> {
    let pool = pool::open(settings, me)?;
    let client = pool.get().await.map_err(Fault::from)?;
    Ok(look(&client).await.map_err(Fault::from)?)
}

async fn look(client: &Client) -> Result<Probe, tokio_postgres::Error> {
    let there: (bool, bool, i64) = {
        let row = client
            .query_one(
                "SELECT to_regclass('refinery_schema_history') IS NOT NULL, to_regclass('cluster') IS NOT NULL,
                        (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
                &[],
            )
            .await?;
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)
    };
    let (migrated, claimed, clock) = there;
    let schema = if migrated {
        let newest = "SELECT coalesce(max(version), 0)::int FROM refinery_schema_history";
        client.query_one(newest, &[]).await?.try_get(0)?
    } else {
        0
    };
    let cluster = if claimed {
        let row = client.query_opt("SELECT cluster_id FROM cluster", &[]).await?;
        row.map(|row| row.try_get(0)).transpose()?
    } else {
        None
    };
    let clock = Timestamp(u64::try_from(clock).unwrap_or(0));
    Ok(Probe { schema, known: migrations::newest(), cluster, clock })
}
