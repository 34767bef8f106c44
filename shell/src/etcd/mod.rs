//! Coordination through etcd: traffic police, never a judge.
//!
//! | key | what | lives |
//! |---|---|---|
//! | `/mpc/coordinator` | who coordinates; its revision is the fencing epoch | as long as its holder's lease |
//! | `/mpc/nodes/{id}` | where a node is and how it is | as long as its lease |
//! | `/mpc/cluster/manifest` | what names the cluster | for good |
//! | `/mpc/votes/{txid}/{node}`, `/mpc/tx/{txid}/state` | copies of this node's record | half of `mirror_life_s` to all of it |
//!
//! Nothing of this is believed (I8). The only thing a node takes from etcd is who coordinates, and the core bounds what a
//! lie about that costs. No payment waits for etcd: two tasks of their own talk to it, [`keeper`] and [`mirror`], and the
//! driver hears no more than the newest lease.

mod election;
mod health;
mod keeper;
mod keys;
mod link;
mod mirror;
mod pause;
mod probe;

use std::{future::pending, net::SocketAddr, sync::Arc};

use mpc_wallet_core::{Cluster, Lease, NodeId, overview::Overview};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use health::EtcdHealth;
pub use probe::{Member, probe};

use self::{keeper::Keeper, link::Link, mirror::Mirror};
use crate::{config::EtcdSettings, journal::Outbox, ports::Coordination, read::Queries};

/// What this node shows in etcd, and where it looks it up.
pub struct Presence {
    /// This node.
    pub me: NodeId,
    /// Its cluster.
    pub cluster: Cluster,
    /// Where clients and peers find it.
    pub address: Address,
    /// Its present.
    pub overview: watch::Receiver<Arc<Overview>>,
    /// Its journal.
    pub outbox: Outbox,
    /// Its read model.
    pub queries: Arc<dyn Queries>,
}

/// Where a node can be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// By clients.
    pub rest: String,
    /// By peers.
    pub quic: String,
}

impl Address {
    /// The addresses that a node listens on.
    #[must_use]
    pub fn of(rest: SocketAddr, quic: SocketAddr) -> Self {
        Self { rest: rest.to_string(), quic: quic.to_string() }
    }
}

/// The coordinator's role as etcd has it.
pub struct EtcdCoordination {
    told: watch::Receiver<Option<Lease>>,
    ended: bool,
}

/// The tasks that talk to etcd.
pub struct EtcdTasks([JoinHandle<()>; 2]);

/// Starts talking to etcd; does not wait for it. The tasks end with `stop`.
#[must_use]
pub fn start(
    settings: EtcdSettings,
    presence: Presence,
    health: EtcdHealth,
    stop: &CancellationToken,
) -> (EtcdCoordination, EtcdTasks) {
    let Presence { me, cluster, address, overview, outbox, queries } = presence;
    let (tell, told) = watch::channel(None);
    let link = Link::new(settings.clone());
    let keeper = Keeper::new(link, cluster, address, overview.clone(), tell, health);
    let mirror = Mirror::new(Link::new(settings), me, Arc::new(outbox), queries, overview);
    let tasks = [tokio::spawn(keeper.run(stop.clone())), tokio::spawn(mirror.run(stop.clone()))];
    (EtcdCoordination { told, ended: false }, EtcdTasks(tasks))
}

impl EtcdTasks {
    /// Waits until both have ended, which takes a round of requests at most after the order to stop.
    pub async fn ended(self) {
        for task in self.0 {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a task that talks to etcd ended badly");
            }
        }
    }
}

impl Coordination for EtcdCoordination {
    async fn next(&mut self) -> Option<Lease> {
        match self.told.changed().await {
            Ok(()) => *self.told.borrow_and_update(),
            // Nobody talks to etcd any more: what was last heard is not known any more either.
            Err(_) if !self.ended => {
                self.ended = true;
                None
            }
            Err(_) => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt as _;
    use mpc_wallet_core::FencingEpoch;

    use super::*;

    #[tokio::test]
    async fn each_change_is_told_once_and_the_end_of_the_tasks_ends_the_lease() {
        let (tell, told) = watch::channel(None);
        let mut coordination = EtcdCoordination { told, ended: false };
        assert_eq!(coordination.next().now_or_never(), None);
        let lease = Some(Lease { holder: NodeId::new(3), epoch: FencingEpoch(7) });
        tell.send(lease).unwrap();
        // As the driver does whenever something else is quicker.
        drop(coordination.next());
        assert_eq!(coordination.next().now_or_never(), Some(lease));
        assert_eq!(coordination.next().now_or_never(), None);
        drop(tell);
        assert_eq!(coordination.next().now_or_never(), Some(None));
        assert_eq!(coordination.next().now_or_never(), None);
    }
}
