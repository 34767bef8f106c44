//! What every handler may use.

use std::{sync::Arc, time::Duration};

use bitcoin::Network;
use mpc_wallet_core::{
    Timestamp,
    overview::Overview,
    step::{Command, Outcome},
};
use prometheus::Registry;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::problem::Problem;
use crate::{
    access::Keyring,
    config::Settings,
    etcd::EtcdHealth,
    events::Events,
    handle::NodeHandle,
    metrics::{RequestMetrics, Sources},
    postgres,
    quic::Certificates,
    read::{Queries, ReadError},
    units,
};

/// What the API must know beside the running node.
#[derive(Clone)]
pub struct ApiOptions {
    /// The network whose addresses are taken and shown.
    pub network: Network,
    /// Blocks until a payment is called confirmed.
    pub confirmations_required: u32,
    /// Largest request body, in bytes.
    pub body_limit: usize,
    /// After this long a request is answered, whatever it waits for, except a disk that does not answer.
    pub request_timeout: Duration,
    /// Whose requests are taken; `None`: everybody's.
    pub keyring: Option<Arc<Keyring>>,
    /// Metrics of the other adapters; `/metrics` shows them beside its own.
    pub registry: Registry,
    /// How etcd is doing; `None` without it.
    pub etcd: Option<EtcdHealth>,
    /// The cluster's record, if this node feeds one.
    pub postgres: Option<postgres::Status>,
    /// The certificates of this node and its peers; `None` on a node without a network.
    pub certificates: Option<Arc<Certificates>>,
    /// Counts the requests answered.
    pub requests: RequestMetrics,
    /// What is asked for its numbers when `/metrics` is.
    pub sources: Sources,
    /// Whether probes and `/metrics` have a listener of their own; then `/metrics` is there and nowhere else.
    pub operations: bool,
    /// What happens, for listeners; `None` on a node without a journal.
    pub events: Option<Events>,
}

impl ApiOptions {
    /// As configured, with nothing but requests in the registry.
    ///
    /// # Errors
    /// If the metrics of requests cannot be registered.
    pub fn from_settings(settings: &Settings) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let requests = RequestMetrics::register(&registry)?;
        Ok(Self {
            network: settings.core.cluster.network(),
            confirmations_required: settings.core.confirmations_required,
            body_limit: settings.rest.body_limit,
            request_timeout: settings.rest.request_timeout,
            keyring: settings.rest.keyring.clone(),
            registry,
            etcd: None,
            postgres: None,
            certificates: None,
            events: None,
            requests,
            sources: Sources::default(),
            operations: settings.rest.operations_listen.is_some(),
        })
    }
}

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
pub struct ApiState(Arc<(NodeHandle, ApiOptions)>);

impl ApiState {
    /// An API over a running node.
    #[must_use]
    pub fn new(node: NodeHandle, options: ApiOptions) -> Self {
        Self(Arc::new((node, options)))
    }

    pub(super) fn node(&self) -> &NodeHandle {
        &self.0.0
    }

    pub(super) fn options(&self) -> &ApiOptions {
        &self.0.1
    }

    /// The present, and its moment: the machine's clock, but never before the node's own.
    pub(super) fn present(&self) -> (Arc<Overview>, Timestamp) {
        let overview = self.node().overview();
        let now = units::now().max(overview.now);
        (overview, now)
    }

    /// Has the node do something. A refusal is a problem.
    pub(super) async fn ask(&self, command: Command) -> Result<Outcome, Problem> {
        let outcome = self.node().command(command).await?;
        if let Outcome::Refused(refusal) = outcome {
            return Err(refusal.into());
        }
        Ok(outcome)
    }

    /// Asks the read model, here and now: it answers from memory in well under a millisecond, and on a busy machine a change of
    /// threads, there and back, costs several. The runtime goes on with everything else meanwhile, should the disk be slow.
    pub(super) fn read<T>(
        &self,
        question: impl FnOnce(&dyn Queries) -> Result<T, ReadError>,
    ) -> Result<T, Problem> {
        let queries = self.node().queries();
        let ask = || question(&*queries);
        // A runtime of one thread has nobody to go on; tests have such.
        let answer = if Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
            tokio::task::block_in_place(ask)
        } else {
            ask()
        };
        answer.map_err(|error| {
            tracing::error!(%error, "read model failed");
            Problem::storage_unavailable()
        })
    }
}
