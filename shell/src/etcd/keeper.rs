//! The node's presence in etcd: one lease, and what hangs on it.
//!
//! A beat does everything that the present asks for: it keeps the lease, looks who coordinates, tells where this node can
//! be found, and compares manifests. Beats come at a fixed pace, and at once when a watch says that something changed, so
//! a lost watch costs a beat's delay and nothing else. When no beat has succeeded for as long as a lease lasts, nothing is
//! known any more about who coordinates, and the core is told so.

use std::{pin::pin, sync::Arc, time::Duration};

use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp, WatchOptions, WatchStream};
use mpc_wallet_core::{Cluster, Lease, overview::Overview};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Address,
    election::{Candidate, commit},
    health::EtcdHealth,
    keys,
    link::{EtcdError, Link},
    pause::Pause,
};

/// Beats in the life of a lease.
const BEATS: u32 = 5;

/// Shortest time between two beats, however often the watched keys change.
const BREATH: Duration = Duration::from_millis(50);

/// Keeps a node present in etcd.
pub(super) struct Keeper {
    link: Link,
    cluster: Cluster,
    address: Address,
    overview: watch::Receiver<Arc<Overview>>,
    told: watch::Sender<Option<Lease>>,
    health: EtcdHealth,
    /// The lease in etcd that this node's keys are bound to.
    lease: Option<i64>,
    registered: Option<Value>,
    /// A watch, and the link's turn in which it was opened.
    watch: Option<(u64, WatchStream)>,
}

impl Keeper {
    pub(super) fn new(
        link: Link,
        cluster: Cluster,
        address: Address,
        overview: watch::Receiver<Arc<Overview>>,
        told: watch::Sender<Option<Lease>>,
        health: EtcdHealth,
    ) -> Self {
        Self { link, cluster, address, overview, told, health, lease: None, registered: None, watch: None }
    }

    /// Keeps the node present until `stop`, then takes it out.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let ttl = self.link.settings().lease_ttl;
        let mut pause = Pause::default();
        loop {
            let beat = tokio::select! {
                () = stop.cancelled() => break,
                beat = self.beat_in_time(ttl) => beat,
            };
            let wait = match beat {
                Ok(()) => {
                    pause = Pause::default();
                    self.health.answers();
                    ttl / BEATS
                }
                Err(error) => {
                    tracing::debug!(%error, "etcd does not answer");
                    if self.health.silence() >= ttl {
                        self.health.is_lost(&error);
                        self.tell(None);
                    }
                    pause.next().min(self.patience(ttl))
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.something_changes(wait) => {}
            }
        }
        self.leave().await;
    }

    /// Until nothing is known any more about who coordinates; afterwards a whole term, so that beats stay bounded.
    fn patience(&self, ttl: Duration) -> Duration {
        if self.health.is_away() { ttl } else { ttl.saturating_sub(self.health.silence()) }
    }

    async fn beat_in_time(&mut self, ttl: Duration) -> Result<(), EtcdError> {
        let limit = self.patience(ttl).max(BREATH);
        if let Ok(outcome) = tokio::time::timeout(limit, self.beat()).await {
            return outcome;
        }
        self.link.turn_to_next();
        Err(EtcdError::NoAnswer {
            endpoint: self.link.settings().endpoints.join(", "),
            reason: "too slow to keep a lease".to_owned(),
        })
    }

    async fn beat(&mut self) -> Result<(), EtcdError> {
        let lease = self.keep_lease().await?;
        // Before the look, so that no change is missed.
        self.keep_watching().await?;
        let overview = Arc::clone(&self.overview.borrow());
        let fit = overview.standing.is_sound() && overview.coordinator.is_some();
        let candidate = Candidate { me: overview.me, cluster: &self.cluster, lease, fit };
        let role = candidate.settle(&mut self.link).await?;
        self.register(lease, &overview).await?;
        self.compare_manifests().await?;
        self.tell(role);
        Ok(())
    }

    fn tell(&self, lease: Option<Lease>) {
        self.told.send_if_modified(|told| {
            let changes = *told != lease;
            if changes {
                tracing::debug!(?lease, "what etcd says about the coordinator");
            }
            *told = lease;
            changes
        });
    }

    async fn keep_lease(&mut self) -> Result<i64, EtcdError> {
        if let Some(lease) = self.lease {
            let kept =
                self.link.ask(|client: Client| async move { client.lease_client().keep_alive(lease).await });
            match kept.await {
                Ok(_) => return Ok(lease),
                Err(EtcdError::LeaseLost) => {}
                Err(error) => return Err(error),
            }
        }
        let ttl = whole_seconds(self.link.settings().lease_ttl);
        let granted = self
            .link
            .ask(|client: Client| async move { client.lease_client().grant(ttl, None).await })
            .await?;
        self.registered = None;
        self.lease = Some(granted.id());
        Ok(granted.id())
    }

    async fn keep_watching(&mut self) -> Result<(), EtcdError> {
        let turn = self.link.turns();
        if self.watch.as_ref().is_some_and(|(opened, _)| *opened == turn) {
            return Ok(());
        }
        let watch = self
            .link
            .ask(|client: Client| async move {
                client.watch_client().watch(keys::WATCHED, Some(WatchOptions::new().with_prefix())).await
            })
            .await?;
        self.watch = Some((self.link.turns(), watch));
        Ok(())
    }

    /// Waits until a watched key changes, or for `wait`.
    async fn something_changes(&mut self, wait: Duration) {
        let over = tokio::time::sleep(wait);
        let mut over = pin!(over);
        if let Some((_, watch)) = &mut self.watch {
            tokio::select! {
                () = &mut over => return,
                seen = watch.message() => if !matches!(seen, Ok(Some(_))) {
                    self.watch = None;
                }
            }
            tokio::time::sleep(BREATH.min(wait)).await;
            return;
        }
        over.await;
    }

    async fn register(&mut self, lease: i64, overview: &Overview) -> Result<(), EtcdError> {
        let value = keys::node_value(overview, &self.address.rest, &self.address.quic);
        if self.registered.as_ref() == Some(&value) {
            return Ok(());
        }
        let (key, text) = (keys::node(overview.me), value.to_string());
        self.link
            .ask(|client: Client| {
                let (key, text) = (key.clone(), text.clone());
                async move { client.kv_client().put(key, text, Some(PutOptions::new().with_lease(lease))).await }
            })
            .await?;
        self.registered = Some(value);
        Ok(())
    }

    /// Publishes the manifest where none is. Another one is told to the operator, and nothing else follows from it (I8).
    async fn compare_manifests(&mut self) -> Result<(), EtcdError> {
        let own = keys::manifest_value(&self.cluster);
        let found = self
            .link
            .ask(|client: Client| async move { client.kv_client().get(keys::MANIFEST, None).await })
            .await?;
        if let Some(found) = found.kvs().first() {
            let same = serde_json::from_slice::<Value>(found.value()).is_ok_and(|found| found == own);
            self.health.found_manifest(!same);
            return Ok(());
        }
        let publication = Txn::new()
            .when([Compare::version(keys::MANIFEST, CompareOp::Equal, 0)])
            .and_then([TxnOp::put(keys::MANIFEST, own.to_string(), None)]);
        self.link.ask(|client: Client| commit(client, publication.clone())).await?;
        self.health.found_manifest(false);
        Ok(())
    }

    /// Takes everything of this node away at once, so that another need not wait for the lease to end.
    async fn leave(mut self) {
        let Some(lease) = self.lease.filter(|_| !self.health.is_away()) else { return };
        let revoked =
            self.link.ask(|client: Client| async move { client.lease_client().revoke(lease).await }).await;
        if let Err(error) = revoked {
            tracing::debug!(%error, "the lease in etcd ends by itself");
        }
    }
}

pub(super) fn whole_seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}
