//! `node_status`: how this node is, by its own word, every few seconds.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::Pool;
use mpc_wallet_core::{NodeId, overview::Overview};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{fault::Fault, status::Status};

/// Between two heartbeats; the view `node_health` calls a node offline after five of them.
const BETWEEN: Duration = Duration::from_secs(3);

/// Seconds after which any node may mark a silent one as offline.
const SILENT: i32 = 15;

/// What tells.
pub(super) struct Heart {
    pub(super) pool: Pool,
    pub(super) me: NodeId,
    pub(super) overview: watch::Receiver<Arc<Overview>>,
    pub(super) status: Status,
}

impl Heart {
    /// Beats until `stop`, then says that the node is offline. A beat that fails is lost: the next one tells more.
    pub(super) async fn beat(self, stop: CancellationToken) {
        loop {
            if self.status.is_up()
                && let Err(error) = self.tell(false).await
            {
                tracing::debug!(%error, "heartbeat was not recorded");
            }
            tokio::select! {
                () = tokio::time::sleep(BETWEEN) => {}
                () = stop.cancelled() => break,
            }
        }
        if self.status.is_up() {
            // The node ends either way; the others will mark it.
            let _ = self.tell(true).await;
        }
    }

    async fn tell(&self, ending: bool) -> Result<(), Fault> {
        let (status, stock, position) = {
            let overview = self.overview.borrow();
            let status = match (ending, overview.standing.is_sound()) {
                (true, _) => "offline",
                (false, true) => "online",
                (false, false) => "degraded",
            };
            let stock = overview.presignatures.as_ref().map(|pool| pool.available());
            let stock = stock.map(|count| i32::try_from(count).unwrap_or(i32::MAX));
            (status, stock, i64::try_from(overview.position.0).unwrap_or(i64::MAX))
        };
        let client = self.pool.get().await?;
        let beat = client
            .prepare_cached(
                "UPDATE node_status
                    SET status = CASE WHEN banned_until > now() THEN 'banned' ELSE $2::text::node_state END,
                        last_heartbeat = now(), updated_at = now(), version = $3, presignatures_available = $4,
                        journal_position = $5
                  WHERE node_id = $1",
            )
            .await?;
        let me = i32::from(self.me.get());
        client.execute(&beat, &[&me, &status, &env!("CARGO_PKG_VERSION"), &stock, &position]).await?;
        let mark = client
            .prepare_cached(
                "UPDATE node_status SET status = 'offline', updated_at = now()
                  WHERE status IN ('online', 'degraded') AND last_heartbeat < now() - make_interval(secs => $1)",
            )
            .await?;
        client.execute(&mark, &[&f64::from(SILENT)]).await?;
        Ok(())
    }
}
