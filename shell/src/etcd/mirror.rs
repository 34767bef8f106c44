//! What etcd shows of payments: how this node voted, and where transactions stand. A copy for people and tools; no node
//! reads it back.
//!
//! The journal tells which transactions changed since a position, the read model what is to be shown of them, so writing
//! twice is harmless and nothing needs to be remembered: a node that starts writes what happened within the life of a
//! mirror once more. Keys hang on a lease of that life, replaced at half of it.
//!
//! A vote is its voter's to write. All nodes write states, and one that is behind must not take back what another has
//! said: a node replaces what says less, and its own words.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use bitcoin::Txid;
use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp};
use mpc_wallet_core::{LogIndex, NodeId, Timestamp, overview::Overview, record::Fact, tx::State};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    election::commit,
    keeper::whole_seconds,
    keys,
    link::{EtcdError, Link},
    pause::Pause,
};
use crate::{
    journal::Outbox,
    read::{Queries, ReadError, TransactionDetail},
    units,
};

/// Records read at a time.
const BATCH: usize = 256;

/// From a change to its writing: a payment passes most of its states within this, and what is written later does not
/// compete with it for processors.
const GATHER: Duration = Duration::from_millis(500);

/// Keys whose value is remembered, to spare writing it again.
const REMEMBERED: usize = 8_192;

/// How often a state is written against others who write it at the same time.
const ATTEMPTS: usize = 4;

/// Writes the mirrors of one node.
pub(super) struct Mirror {
    link: Link,
    me: NodeId,
    outbox: Arc<Outbox>,
    queries: Arc<dyn Queries>,
    overview: watch::Receiver<Arc<Overview>>,
    /// Everything up to here is written; `None` before the first look.
    position: Option<LogIndex>,
    /// The lease that keys hang on, and when it was granted.
    lease: Option<(i64, Instant)>,
    written: BTreeMap<String, String>,
}

impl Mirror {
    pub(super) fn new(
        link: Link,
        me: NodeId,
        outbox: Arc<Outbox>,
        queries: Arc<dyn Queries>,
        overview: watch::Receiver<Arc<Overview>>,
    ) -> Self {
        let (position, lease, written) = (None, None, BTreeMap::new());
        Self { link, me, outbox, queries, overview, position, lease, written }
    }

    /// Writes until `stop`. While etcd is away nothing is lost: the journal keeps it.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut pause = Pause::default();
        loop {
            let attempt = tokio::select! {
                () = stop.cancelled() => return,
                attempt = self.catch_up() => attempt,
            };
            match attempt {
                Ok(()) => pause = Pause::default(),
                Err(EtcdError::LeaseLost) => {
                    // Whatever hung on it is gone.
                    (self.position, self.lease) = (None, None);
                    self.written.clear();
                }
                Err(error) => {
                    tracing::debug!(%error, "mirrors in etcd wait");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause.next()) => {}
                    }
                }
            }
            let written = self.position;
            tokio::select! {
                () = stop.cancelled() => return,
                more = self.overview.wait_for(|overview| Some(overview.position) != written) => if more.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(GATHER) => {}
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), EtcdError> {
        let mut position = match self.position {
            Some(position) => position,
            None => self.first_position().await?,
        };
        loop {
            let outbox = Arc::clone(&self.outbox);
            let entries = off_the_loop(move || outbox.after(position, BATCH)).await?;
            let Some(last) = entries.last().map(|entry| entry.position) else {
                self.position = Some(position);
                return Ok(());
            };
            let changed: BTreeSet<Txid> =
                entries.iter().filter_map(|entry| changed(&entry.record.fact)).collect();
            for txid in changed {
                let (queries, asked) = (Arc::clone(&self.queries), txid.to_string());
                if let Some(detail) = off_the_loop(move || queries.transaction(&asked)).await? {
                    self.mirror(&txid, &detail).await?;
                }
            }
            position = last;
            self.position = Some(position);
        }
    }

    /// Where what is to be shown begins.
    async fn first_position(&self) -> Result<LogIndex, EtcdError> {
        let life = u64::try_from(self.link.settings().mirror_life.as_millis()).unwrap_or(u64::MAX);
        let oldest = Timestamp(units::now().since(Timestamp(life)).0);
        let outbox = Arc::clone(&self.outbox);
        Ok(off_the_loop(move || outbox.before(oldest)).await?)
    }

    async fn mirror(&mut self, txid: &Txid, detail: &TransactionDetail) -> Result<(), EtcdError> {
        let own = detail.votes.iter().filter(|vote| vote.node == self.me).max_by_key(|vote| vote.round);
        if let Some(vote) = own {
            let (key, value) = (keys::vote(txid, self.me), keys::vote_value(vote).to_string());
            if self.written.get(&key) != Some(&value) {
                let lease = self.lease().await?;
                self.link
                    .ask(|client: Client| {
                        let (key, value) = (key.clone(), value.clone());
                        let bound = PutOptions::new().with_lease(lease);
                        async move { client.kv_client().put(key, value, Some(bound)).await }
                    })
                    .await?;
                self.remember(key, value);
            }
        }
        let key = keys::state(txid);
        let value = keys::state_value(detail, self.me).to_string();
        if self.written.get(&key) != Some(&value) {
            self.say_state(&key, detail.row.state, &value).await?;
            self.remember(key, value);
        }
        Ok(())
    }

    /// Writes a state, unless another node has said more. Who loses [`ATTEMPTS`] races leaves it to the winners.
    async fn say_state(&mut self, key: &str, state: State, value: &str) -> Result<(), EtcdError> {
        let lease = self.lease().await?;
        for _ in 0..ATTEMPTS {
            let found = self
                .link
                .ask(|client: Client| {
                    let key = key.to_owned();
                    async move { client.kv_client().get(key, None).await }
                })
                .await?;
            let found = found.kvs().first();
            // What no lease bounds was not written by a node.
            let said =
                found.filter(|found| found.lease() != 0).and_then(|found| keys::parse_state(found.value()));
            if said.is_some_and(|(said, by)| by != self.me.get() && weight(said) >= weight(state)) {
                return Ok(());
            }
            let revision = found.map_or(0, etcd_client::KeyValue::mod_revision);
            let word = Txn::new()
                .when([Compare::mod_revision(key, CompareOp::Equal, revision)])
                .and_then([TxnOp::put(key, value, Some(PutOptions::new().with_lease(lease)))]);
            if self.link.ask(|client: Client| commit(client, word.clone())).await?.succeeded() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn lease(&mut self) -> Result<i64, EtcdError> {
        let life = self.link.settings().mirror_life;
        if let Some((lease, granted)) = self.lease
            && granted.elapsed() < life / 2
        {
            return Ok(lease);
        }
        let ttl = whole_seconds(life);
        let granted = self
            .link
            .ask(|client: Client| async move { client.lease_client().grant(ttl, None).await })
            .await?;
        self.lease = Some((granted.id(), Instant::now()));
        Ok(granted.id())
    }

    fn remember(&mut self, key: String, value: String) {
        if self.written.len() >= REMEMBERED {
            self.written.clear();
        }
        self.written.insert(key, value);
    }
}

/// Who has seen a transaction in a block has seen more than who has given it up.
fn weight(state: State) -> usize {
    let place = State::ALL.iter().position(|known| *known == state).unwrap_or_default();
    if state == State::Confirmed { State::ALL.len() } else { place }
}

async fn off_the_loop<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    match tokio::task::spawn_blocking(question).await {
        Ok(answer) => answer,
        Err(error) => Err(ReadError(error.to_string())),
    }
}

/// The transaction that a fact changes, if the mirrors show any of that.
fn changed(fact: &Fact) -> Option<Txid> {
    match fact {
        Fact::Proposed(proposal) => Some(proposal.body.txid()),
        Fact::Voted(vote) => Some(vote.body.txid),
        Fact::Transition { txid, .. } | Fact::SubStatusChanged { txid, .. } => Some(*txid),
        Fact::Booted { .. }
        | Fact::Promised(_)
        | Fact::ShareReleased { .. }
        | Fact::Signed(_)
        | Fact::Seen { .. }
        | Fact::KeyShareSealed { .. }
        | Fact::KeygenFailed { .. }
        | Fact::KeyActivated(_)
        | Fact::Proven(_)
        | Fact::Struck { .. }
        | Fact::Banned { .. }
        | Fact::Synced { .. }
        | Fact::Confirmed
        | Fact::Quarantined { .. }
        | Fact::Rejoined { .. }
        | Fact::Shown(_)
        | Fact::PresignaturesUsed { .. }
        | Fact::PresigningFailed { .. }
        | Fact::OperatorDecided(_)
        | Fact::Initiated { .. }
        | Fact::Frozen(_)
        | Fact::Lifted(_)
        | Fact::CoinSeen { .. }
        | Fact::CoinLost { .. } => None,
    }
}
