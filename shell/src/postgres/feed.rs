//! The task that tells.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{Client, Object, Pool};
use mpc_wallet_core::LogIndex;
use tokio_util::sync::CancellationToken;

use super::{Teller, facts::Scribe, fault::Fault, migrations, status::Status};
use crate::{
    journal::{Outbox, OutboxEntry},
    read::ReadError,
};

/// Between two looks at a journal that had nothing new: one indexed read of the newest position.
const LOOK: Duration = Duration::from_millis(200);
/// First wait after a failure; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// An operator who has repaired PostgreSQL waits no longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Longest that one batch may take, turns of the other nodes included: beyond the server's own limits, which a frozen server
/// does not keep.
const BATCH_WITHIN: Duration = Duration::from_secs(20);

/// Of the lock that makes feeders take turns; the audit chain's trigger takes the same.
const TURN: i64 = 7_885_050_123_021;

/// Reads here, writes there.
pub(super) struct Feed {
    pool: Pool,
    teller: Teller,
    outbox: Arc<Outbox>,
    batch_size: usize,
    status: Status,
}

impl Feed {
    pub(super) fn new(pool: Pool, teller: Teller, outbox: Outbox, batch_size: usize, status: Status) -> Self {
        Self { pool, teller, outbox: Arc::new(outbox), batch_size, status }
    }

    /// Tells until `stop`, through every outage.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut wait = FIRST_WAIT;
        loop {
            let Err(fault) = self.session(&stop, &mut wait).await else { return };
            if self.status.lost(&fault) {
                match &fault {
                    Fault::Away(reason) => tracing::warn!(
                        %reason,
                        "PostgreSQL is away; payments go on, facts wait in the journal"
                    ),
                    Fault::Refused(reason) => tracing::error!(
                        %reason,
                        "PostgreSQL refuses; payments go on, facts wait in the journal until this is put right"
                    ),
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        }
    }

    /// One connection's life. Returns when everything is told after `stop`.
    async fn session(&self, stop: &CancellationToken, wait: &mut Duration) -> Result<(), Fault> {
        let mut client = self.pool.get().await?;
        let told = self.tell_all(&mut client, stop, wait).await;
        if told.is_err() {
            // Whatever state it is in, the next session begins with a new connection.
            drop(Object::take(client));
        }
        told
    }

    async fn tell_all(
        &self,
        client: &mut Client,
        stop: &CancellationToken,
        wait: &mut Duration,
    ) -> Result<(), Fault> {
        in_time(migrations::prepare(client, &self.teller)).await?;
        let mut cursor = in_time(self.cursor(client)).await?;
        if let Some(away) = self.status.told(cursor) {
            let (position, away_s) = (cursor.0, away.as_secs());
            tracing::info!(position, away_s, "PostgreSQL is up; the record goes on from here");
        }
        *wait = FIRST_WAIT;
        loop {
            let (after, limit) = (cursor, self.batch_size);
            let entries = self.read(move |outbox| outbox.after(after, limit)).await?;
            if let Some(last) = entries.last().map(|entry| entry.position) {
                in_time(self.write(client, &entries)).await?;
                cursor = last;
                self.status.told(cursor);
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return Ok(()),
            }
            // A connection that died in silence is noticed now, and not at the next payment.
            if client.is_closed() {
                return Err(Fault::Away("the connection was closed".to_owned()));
            }
        }
    }

    /// Where to go on: at the database's cursor if this journal has been there, else at the beginning.
    async fn cursor(&self, client: &Client) -> Result<LogIndex, Fault> {
        let me = i32::from(self.teller.me.get());
        let row = client
            .query_opt(
                "SELECT journal_id, position, record_digest FROM feed_cursors WHERE node_id = $1",
                &[&me],
            )
            .await?;
        let Some(row) = row else { return Ok(LogIndex::default()) };
        let (journal, position, digest): (String, i64, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let position = LogIndex(u64::try_from(position).unwrap_or(0));
        let (first, at) = self
            .read(move |outbox| Ok((outbox.digest_at(LogIndex(1))?, outbox.digest_at(position)?)))
            .await?;
        if first.as_ref() == Some(&journal) && at.as_ref() == Some(&digest) {
            return Ok(position);
        }
        tracing::warn!(
            position = position.0,
            "this journal has never been where PostgreSQL's cursor is: it was put back or replaced; all of it is told again"
        );
        Ok(LogIndex::default())
    }

    /// One batch and the cursor behind it, or nothing.
    async fn write(&self, client: &mut Client, entries: &[OutboxEntry]) -> Result<(), Fault> {
        let Some(last) = entries.last() else { return Ok(()) };
        let journal = self.read(|outbox| outbox.digest_at(LogIndex(1))).await?.unwrap_or_default();
        let tx = client.transaction().await?;
        tx.execute("SELECT pg_advisory_xact_lock($1)", &[&TURN]).await?;
        let scribe = Scribe::new(&tx, &self.teller);
        for entry in entries {
            scribe.write(entry).await?;
        }
        let cursor = tx
            .prepare_cached(
                "INSERT INTO feed_cursors (node_id, journal_id, position, record_digest) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (node_id) DO UPDATE
                    SET journal_id = $2, position = $3, record_digest = $4, updated_at = now()",
            )
            .await?;
        let (me, position) =
            (i32::from(self.teller.me.get()), i64::try_from(last.position.0).unwrap_or(i64::MAX));
        tx.execute(&cursor, &[&me, &journal, &position, &last.digest]).await?;
        Ok(tx.commit().await?)
    }

    /// Reads the journal, off the event loop.
    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Outbox) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Fault> {
        let outbox = Arc::clone(&self.outbox);
        let answer = tokio::task::spawn_blocking(move || question(&outbox));
        answer
            .await
            .map_err(|error| Fault::Refused(format!("a reader of the journal died: {error}")))?
            .map_err(Fault::from)
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    tokio::time::timeout(BATCH_WITHIN, work)
        .await
        .unwrap_or_else(|_| Err(Fault::Away(format!("no answer within {} s", BATCH_WITHIN.as_secs()))))
}
