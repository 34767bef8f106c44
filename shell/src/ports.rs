//! What the driver needs from the outside world. One adapter per system implements each; a simulator implements them
//! all.

use std::future::Future;

use mpc_wallet_core::{
    Channel, KeyId, Lease, Node, NodeId, SessionId, Timestamp,
    chain::{ChainAnswer, ChainQuery},
    ids::QueryId,
    mpc::KeyShare,
    pool::KeptPresignatures,
    record::Record,
    step::{JobResult, Priority, Receipt, Work},
};

/// Something a transport noticed.
#[derive(Debug)]
pub enum TransportEvent {
    /// A connection to a peer is up.
    Up(NodeId),
    /// It is gone.
    Down(NodeId),
    /// A peer sent a frame.
    Frame {
        /// Authenticated sender.
        from: NodeId,
        /// On which channel.
        channel: Channel,
        /// What.
        payload: Vec<u8>,
    },
    /// A peer broke the framing rules.
    Misbehaved {
        /// Who.
        from: NodeId,
        /// How.
        what: String,
    },
}

/// Carries frames between members. Sending never blocks and may lose: the core repeats what matters.
pub trait Transport: Send + Sync + 'static {
    /// Queues a frame.
    fn send(&self, to: NodeId, channel: Channel, payload: Vec<u8>);
    /// Refuses a peer until the moment given.
    fn ban(&self, peer: NodeId, until: Timestamp);
}

impl<T: Transport> Transport for std::sync::Arc<T> {
    fn send(&self, to: NodeId, channel: Channel, payload: Vec<u8>) {
        T::send(self, to, channel, payload);
    }

    fn ban(&self, peer: NodeId, until: Timestamp) {
        T::ban(self, peer, until);
    }
}

/// Why the journal cannot promise durability. The node must stop: what is on disk is unknown.
#[derive(Debug, thiserror::Error)]
#[error("journal: {0}")]
pub struct JournalFailure(pub String);

/// The node's durable memory.
pub trait Journal: Send + 'static {
    /// Appends records, in order and all or nothing, and returns once they would survive a power cut.
    fn append(
        &mut self,
        records: Vec<Record>,
    ) -> impl Future<Output = Result<Receipt, JournalFailure>> + Send;

    /// Shown the node when all it has decided is durable and none of the turn's effects has happened. A journal that wants
    /// to know whether it would read back as this node can look; most do not.
    fn settled(&mut self, _node: &Node) {}
}

/// Keeps key shares and, over an orderly restart, presignatures: encrypted, apart from the journal.
pub trait SecretStore: Send + Sync + 'static {
    /// Seals a share durably. Sealing the same ceremony's share again is fine.
    fn seal(
        &self,
        ceremony: SessionId,
        key: KeyId,
        share: &KeyShare,
    ) -> impl Future<Output = Result<(), JournalFailure>> + Send;
    /// Keeps the presignatures of an orderly stop for the next start, in place of any kept before; `None` keeps none.
    /// Whoever reads them back deletes them, durably, before they reach a node.
    fn keep_presignatures(
        &self,
        kept: Option<KeptPresignatures>,
    ) -> impl Future<Output = Result<(), JournalFailure>> + Send;
}

/// Asks the chain backend.
pub trait Chain: Send + Sync + 'static {
    /// Answers, however the backend behaves, within the adapter's own time limit.
    fn ask(&self, query: QueryId, question: ChainQuery) -> impl Future<Output = ChainAnswer> + Send;
}

/// Tells who coordinates.
pub trait Coordination: Send + 'static {
    /// Waits for the next change: who holds the role in which term, or `None` when that cannot be known any more. Dropping
    /// the future loses nothing.
    fn next(&mut self) -> impl Future<Output = Option<Lease>> + Send;
}

/// Without an outside system nothing is ever told, and the core's embedded rule serves: the lowest live member
/// coordinates.
impl<T: Coordination> Coordination for Option<T> {
    async fn next(&mut self) -> Option<Lease> {
        match self {
            Some(system) => system.next().await,
            None => std::future::pending().await,
        }
    }
}

/// The wall clock.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Waits until a moment; returns at once if it has passed.
    fn sleep_until(&self, moment: Timestamp) -> impl Future<Output = ()> + Send;
}

/// Runs protocol machines off the event loop.
pub trait Workers: Send + Sync + 'static {
    /// Does the work and brings the result, the urgent before all that is not; `None` if the worker died, which its session survives by its deadline.
    fn run(&self, work: Work, priority: Priority) -> impl Future<Output = Option<JobResult>> + Send;
}
