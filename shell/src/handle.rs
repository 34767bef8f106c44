//! What REST holds of a running node: a way to ask it, its view of the present, and its read model.

use std::sync::Arc;

use mpc_wallet_core::{
    overview::Overview,
    step::{Command, Outcome},
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::read::Queries;

/// A client's command on its way to the driver.
pub struct Request {
    /// What.
    pub command: Command,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Outcome>,
}

/// A cheap, cloneable handle to a running node.
#[derive(Clone)]
pub struct NodeHandle {
    requests: mpsc::Sender<Request>,
    overview: watch::Receiver<Arc<Overview>>,
    queries: Arc<dyn Queries>,
}

/// The node is shutting down or overloaded and took no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node is stopping and takes no new work; ask another node")]
pub struct NodeStopped;

impl NodeHandle {
    /// Ties the ends together.
    #[must_use]
    pub fn new(
        requests: mpsc::Sender<Request>,
        overview: watch::Receiver<Arc<Overview>>,
        queries: Arc<dyn Queries>,
    ) -> Self {
        Self { requests, overview, queries }
    }

    /// Has the node carry out a command; waits for its answer, which the core gives within its own time limits.
    ///
    /// # Errors
    /// [`NodeStopped`] if the driver is gone. The command may or may not have been taken.
    pub async fn command(&self, command: Command) -> Result<Outcome, NodeStopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { command, reply }).await.map_err(|_| NodeStopped)?;
        answer.await.map_err(|_| NodeStopped)
    }

    /// The node's view of the present.
    #[must_use]
    pub fn overview(&self) -> Arc<Overview> {
        Arc::clone(&self.overview.borrow())
    }

    /// The read model.
    #[must_use]
    pub fn queries(&self) -> Arc<dyn Queries> {
        Arc::clone(&self.queries)
    }
}
