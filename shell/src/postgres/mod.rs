//! The cluster's record in PostgreSQL: fed from the journal, read by people, believed by nobody (I8).
//!
//! **The journal is the outbox.** A task beside the driver loop reads the journal through a connection of its own and
//! writes facts to PostgreSQL, in order, in batches. How far it has come, the cursor, is a row in PostgreSQL, changed in the
//! SQL transaction that writes the facts: after a crash of either side, or a database put back from a backup, the node
//! goes on exactly where the database is. Nothing waits in a queue, so an outage costs neither memory nor disk, and the
//! payment path neither waits for PostgreSQL nor knows of it.
//!
//! | rule | what goes wrong without it |
//! |---|---|
//! | facts and cursor are one SQL transaction | a fact is lost, or told twice |
//! | the cursor names the record it stands on by its digest | a journal put back from a backup is told from a place where it never was |
//! | feeders of one database take turns, by a lock that ends with the SQL transaction | rows locked in different orders: deadlocks; an audit chain that forks |
//! | a row moves only along the lifecycle, see `merge` | a node that lags writes history backwards |
//! | a fact that a row does not take is done with | one node's odd story holds up all its later facts |
//! | no share, nonce, key or private message is written | the record of a signature tells the key |
//!
//! Parts: `pool` connects, `migrations` keep the schema, `feed` is the task and `facts`, `transactions`, `violations` are
//! what it writes, `heartbeat` tells how the node is, `status` how the record is, `audit` verifies the chain offline,
//! `probe` looks at a server for an operator.

pub mod audit;
mod facts;
mod fault;
mod feed;
mod freezes;
mod heartbeat;
mod merge;
mod migrations;
mod pool;
mod probe;
mod status;
mod transactions;
mod violations;

use std::{sync::Arc, time::Duration};

use mpc_wallet_core::{Cluster, Millis, NodeId, overview::Overview};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{config::PostgresSettings, journal::Outbox};

pub use pool::SetupError;
pub use probe::{Probe, ProbeError, probe};
pub use status::{Condition, Report, Status};

use feed::Feed;
use heartbeat::Heart;

/// Longest wait at the end for facts that are not told yet; what is left is told at the next start.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Who feeds.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    pub(crate) me: NodeId,
    pub(crate) cluster: Cluster,
    /// How long a round of voting lasts.
    pub(crate) voting_round: Millis,
}

/// The running feed of one node.
pub struct Feeder {
    status: Status,
    stop: CancellationToken,
    feed: JoinHandle<()>,
    heart: JoinHandle<()>,
}

impl Feeder {
    /// Starts to feed. Returns at once, whether or not PostgreSQL is there.
    ///
    /// # Errors
    /// [`SetupError`] if the certificate authority cannot be read.
    pub fn start(
        settings: PostgresSettings,
        (me, cluster, voting_round): (NodeId, Cluster, Millis),
        outbox: Outbox,
        overview: watch::Receiver<Arc<Overview>>,
    ) -> Result<Self, SetupError> {
        let pool = pool::open(&settings, me)?;
        let status = Status::new(pool.clone());
        let stop = CancellationToken::new();
        let teller = Teller { me, cluster, voting_round };
        let heart = Heart { pool: pool.clone(), me, overview, status: status.clone() };
        let feed = Feed::new(pool, teller, outbox, settings.batch_size, status.clone());
        Ok(Self {
            status,
            feed: tokio::spawn(feed.run(stop.clone())),
            heart: tokio::spawn(heart.beat(stop.clone())),
            stop,
        })
    }

    /// How the record is, at any time.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Tells what is left, if PostgreSQL takes it at once, and ends.
    pub async fn stop(self) {
        self.stop.cancel();
        let (feed, heart) = (self.feed.abort_handle(), self.heart.abort_handle());
        let ends = async {
            // A task that died has been reported by the runtime.
            let _ = self.feed.await;
            let _ = self.heart.await;
        };
        if tokio::time::timeout(LAST_WORDS, ends).await.is_err() {
            feed.abort();
            heart.abort();
        }
    }
}
