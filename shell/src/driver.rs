//! The one loop: inputs in, records to disk, effects out.
//!
//! It takes whatever has arrived, steps the core through all of it, makes all records durable with one fsync, and only
//! then carries out the effects. The core's type for effects makes the order impossible to get wrong; what is left
//! here is plumbing, generic over [`crate::ports`] so that a simulator runs the very same loop.

use std::{collections::BTreeMap, future::pending, sync::Arc};

use mpc_wallet_core::{
    Millis, Node, NodeId, RequestId, Timestamp,
    codec::CodecError,
    message::Message,
    overview::Overview,
    step::{Alert, Effect, Input, NotDurable, Outcome, Receipt, Step},
};
use rand_core::CryptoRngCore;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    handle::Request,
    ports::{
        Chain, Clock, Coordination, Journal, JournalFailure, SecretStore, Transport, TransportEvent, Workers,
    },
};

/// Most inputs taken into one group commit: keeps a step of the loop in the low milliseconds.
const BATCH: usize = 256;

/// Jobs, questions and seals whose results may wait for the loop; senders wait beyond it.
const COMPLETIONS: usize = 1_024;

/// Shortest time between two publications of the overview, which costs a walk over coins and open transactions.
const OVERVIEW_EVERY: Millis = Millis(25);

/// How long signing sessions may go on after the order to stop.
const DRAIN: Millis = Millis(5_000);

/// Why the loop ended other than by order.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The disk cannot be relied on; the process must be started again and will read back what is really there.
    #[error(transparent)]
    Journal(#[from] JournalFailure),
    /// The journal handed out a receipt that covers too little: a defect.
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
}

/// The outside world, as the driver sees it.
pub struct Ports<T, J, S, C, L, K, W, E> {
    /// To the peers.
    pub transport: T,
    /// The node's memory.
    pub journal: J,
    /// Key shares, and presignatures between two runs.
    pub secrets: Arc<S>,
    /// The Bitcoin network.
    pub chain: Arc<C>,
    /// Who coordinates.
    pub coordination: L,
    /// What time it is.
    pub clock: Arc<K>,
    /// Who computes.
    pub workers: Arc<W>,
    /// Randomness fit for keys.
    pub entropy: E,
}

/// What hears of each [`Alert`], in the order of the loop's turns.
pub type Alarm = Box<dyn FnMut(&Alert) + Send>;

/// What the loop listens to and reports to.
pub struct Lines {
    /// From the transport.
    pub transport: mpsc::Receiver<TransportEvent>,
    /// From clients.
    pub requests: mpsc::Receiver<Request>,
    /// To whoever wants to see the present.
    pub overview: watch::Sender<Arc<Overview>>,
    /// To operators, of what needs them.
    pub alarm: Alarm,
    /// The order to stop.
    pub stop: CancellationToken,
}

/// Runs a node until it is told to stop.
///
/// # Errors
/// [`DriverError`] if durability cannot be promised any more.
pub async fn run<T, J, S, C, L, K, W, E>(
    node: Node,
    ports: Ports<T, J, S, C, L, K, W, E>,
    lines: Lines,
) -> Result<(), DriverError>
where
    T: Transport,
    J: Journal,
    S: SecretStore,
    C: Chain,
    L: Coordination,
    K: Clock,
    W: Workers,
    E: CryptoRngCore,
{
    let (done, completions) = mpsc::channel(COMPLETIONS);
    let durable = node.position();
    let driver = Driver {
        node,
        ports,
        lines,
        done,
        completions,
        durable: Receipt::up_to(durable),
        clients: BTreeMap::new(),
        next_request: 0,
        published: Timestamp::default(),
    };
    driver.live().await
}

struct Driver<T, J, S, C, L, K, W, E> {
    node: Node,
    ports: Ports<T, J, S, C, L, K, W, E>,
    lines: Lines,
    done: mpsc::Sender<Input>,
    completions: mpsc::Receiver<Input>,
    durable: Receipt,
    clients: BTreeMap<RequestId, oneshot::Sender<Outcome>>,
    next_request: u64,
    published: Timestamp,
}

impl<T, J, S, C, L, K, W, E> Driver<T, J, S, C, L, K, W, E>
where
    T: Transport,
    J: Journal,
    S: SecretStore,
    C: Chain,
    L: Coordination,
    K: Clock,
    W: Workers,
    E: CryptoRngCore,
{
    async fn live(mut self) -> Result<(), DriverError> {
        self.turn_until_stopped().await?;
        self.keep_presignatures().await;
        Ok(())
    }

    async fn turn_until_stopped(&mut self) -> Result<(), DriverError> {
        let mut stop_by: Option<Timestamp> = None;
        loop {
            let Some(first) = self.next_input(stop_by).await else { return Ok(()) };
            let now = self.ports.clock.now();
            if stop_by.is_none() && self.lines.stop.is_cancelled() {
                tracing::info!("stopping: signing sessions may finish, new work is refused");
                stop_by = Some(now.plus(DRAIN));
                self.lines.requests.close();
            }
            self.turn(first, now).instrument(tracing::debug_span!("turn")).await?;
            let drained = |end| self.node.overview().sessions == 0 || self.ports.clock.now() >= end;
            if stop_by.is_some_and(drained) {
                self.publish();
                return Ok(());
            }
        }
    }

    /// After the last turn: what is kept is good for the journal as it is now, and for no later one.
    async fn keep_presignatures(&mut self) {
        let kept = self.node.keep_presignatures();
        if let Err(error) = self.ports.secrets.keep_presignatures(kept).await {
            tracing::warn!(%error, "presignatures are lost; the next start makes others");
        }
    }

    /// Waits for something to happen. `None` when nothing ever will.
    async fn next_input(&mut self, stop_by: Option<Timestamp>) -> Option<Input> {
        let clock = Arc::clone(&self.ports.clock);
        let deadline = self.node.deadline().map(|(at, _)| at);
        let deadline = match (deadline, stop_by) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let wake = async {
            match deadline {
                Some(at) => clock.sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.lines.stop.cancelled(), if stop_by.is_none() => Some(Input::Tick),
            Some(input) = self.completions.recv() => Some(input),
            Some(event) = self.lines.transport.recv() => Some(input_of(event)),
            Some(request) = self.lines.requests.recv() => Some(self.admit(request)),
            lease = self.ports.coordination.next() => Some(Input::Lease(lease)),
            () = wake => Some(Input::Tick),
        }
    }

    /// One turn: everything that has arrived, one fsync, then the effects.
    async fn turn(&mut self, first: Input, now: Timestamp) -> Result<(), DriverError> {
        let mut steps: Vec<Step> = Vec::new();
        let mut records = Vec::new();
        let mut next = Some(first);
        while let Some(input) = next.take() {
            let step = self.node.step(now, &mut self.ports.entropy, input);
            records.extend_from_slice(step.records());
            steps.push(step);
            if steps.len() < BATCH {
                next = self.arrived();
            }
        }
        if !records.is_empty() {
            self.durable = self.ports.journal.append(records).await?;
            self.ports.journal.settled(&self.node);
        }
        let mut effects = Vec::new();
        for step in steps {
            effects.extend(self.node.commit(step, self.durable)?);
        }
        // Whoever asks after an answer must see what the answer speaks of.
        let answers = effects.iter().any(|effect| matches!(effect, Effect::Reply { .. }));
        if answers || now.since(self.published) >= OVERVIEW_EVERY {
            self.publish();
        }
        for effect in effects {
            self.carry_out(effect);
        }
        Ok(())
    }

    /// Something that is already there.
    fn arrived(&mut self) -> Option<Input> {
        if let Ok(input) = self.completions.try_recv() {
            return Some(input);
        }
        if let Ok(event) = self.lines.transport.try_recv() {
            return Some(input_of(event));
        }
        self.lines.requests.try_recv().ok().map(|request| self.admit(request))
    }

    fn admit(&mut self, request: Request) -> Input {
        self.next_request = self.next_request.saturating_add(1);
        let id = RequestId(self.next_request);
        self.clients.insert(id, request.reply);
        Input::Client { request: id, command: request.command }
    }

    fn publish(&mut self) {
        self.published = self.ports.clock.now();
        self.lines.overview.send_replace(Arc::new(self.node.overview()));
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.send(&[to], &message),
            Effect::Broadcast(message) => {
                let me = self.node.config().me;
                let peers: Vec<NodeId> =
                    self.node.config().cluster.members().filter(|node| *node != me).collect();
                self.send(&peers, &message);
            }
            Effect::Reply { request, outcome } => {
                if let Some(client) = self.clients.remove(&request) {
                    // A client that left does not want to know.
                    let _ = client.send(outcome);
                }
            }
            Effect::Chain { query, question } => {
                let (chain, done) = (Arc::clone(&self.ports.chain), self.done.clone());
                tokio::spawn(async move {
                    let answer = chain.ask(query, question).await;
                    let _ = done.send(Input::Chain(answer)).await;
                });
            }
            Effect::Compute { job, work, priority } => {
                let (workers, done) = (Arc::clone(&self.ports.workers), self.done.clone());
                tokio::spawn(async move {
                    if let Some(result) = workers.run(work, priority).await {
                        let _ = done.send(Input::Computed { job, result }).await;
                    }
                });
            }
            Effect::SealKeyShare { ceremony, key, share } => {
                let (secrets, done) = (Arc::clone(&self.ports.secrets), self.done.clone());
                tokio::spawn(async move {
                    match secrets.seal(ceremony, key, &share).await {
                        Ok(()) => {
                            let _ = done.send(Input::KeyShareSealed { ceremony }).await;
                        }
                        Err(error) => tracing::error!(%key, %error, "key share could not be sealed"),
                    }
                });
            }
            Effect::Ban { node, until } => self.ports.transport.ban(node, until),
            Effect::Alert(alert) => (self.lines.alarm)(&alert),
        }
    }

    fn send(&self, to: &[NodeId], message: &Message) {
        match message.encode() {
            Ok(bytes) => {
                for peer in to {
                    self.ports.transport.send(*peer, message.channel(), bytes.clone());
                }
            }
            Err(error) => tracing::error!(%error, "a message could not be encoded"),
        }
    }
}

fn input_of(event: TransportEvent) -> Input {
    match event {
        TransportEvent::Up(peer) => Input::PeerUp(peer),
        TransportEvent::Down(peer) => Input::PeerDown(peer),
        TransportEvent::Frame { from, channel, payload } => match Message::decode(channel, &payload) {
            Ok(message) => Input::Message { from, message },
            Err(CodecError::Version { found }) => Input::OtherVersion { from, version: found },
            Err(error) => Input::Garbage { from, problem: error.to_string() },
        },
        TransportEvent::Misbehaved { from, what } => Input::Garbage { from, problem: what },
    }
}

/// Puts an alert into the log.
pub fn log_alert(alert: &Alert) {
    match alert {
        Alert::Misbehaviour { node, violation, detail } => {
            tracing::error!(%node, %violation, detail, "a member misbehaved");
        }
        Alert::Payment { txid, detail } => tracing::warn!(%txid, detail, "a payment needs attention"),
        Alert::Presigning { signers, detail } => {
            tracing::error!(?signers, detail, "a presigning ended in a fault");
        }
        Alert::Configuration { node, detail } => tracing::warn!(%node, detail, "check this node"),
        Alert::Coin { coin, detail } => {
            tracing::error!(%coin, detail, "a coin is gone; freeze the cluster and look into it");
        }
        Alert::Freeze { node, detail } => tracing::warn!(%node, detail, "emergency freeze"),
    }
}
