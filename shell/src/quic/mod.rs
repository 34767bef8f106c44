//! The network of the cluster: one QUIC connection with mutual TLS between every pair of nodes.
//!
//! # Protocol
//!
//! 1. **Dial.** Of two nodes the lower id dials the higher, at the address in its configuration, resolved anew each time. Failures wait
//!    with full jitter. The acceptor answers a first packet with a Retry, and starts a handshake only with who returns it.
//! 2. **Identity.** TLS 1.3, ALPN `mpc-wallet/1`, both sides show a certificate. webpki checks chain, validity, usage and name against the
//!    cluster's CA; then the common name `node-N` must be a configured peer on the right side of the pair, not this node, not banned.
//!    Sessions are never resumed, so every connection answers all of this again.
//! 3. **Admission.** The acceptor opens its heartbeat stream at once. The dialler waits for it: before that, TLS 1.3 leaves it in doubt.
//!    Then both report [`Event::Up`]. A younger connection of the same pair replaces the older one, because a restarted peer knows
//!    before we do that the old one is dead.
//! 4. **Channels.** One unidirectional stream for each channel and direction, opened by its first frame: see [`frame`] for the bytes.
//!    Heartbeats go before events, events before MPC rounds, those before state sync.
//! 5. **End.** A keep-alive every 500 ms, the end after 2 s of silence. A node that restarted answers packets of its former life with a
//!    stateless reset, whose key it derives from its private key, and is dialled anew at once; where it came back with another key, the
//!    silence ends the connection. So does a peer's certificate that has expired or whose CA is trusted no more, at the next look
//!    ([`Limits::certificate_check`]). [`Event::Down`] says why.
//!
//! # Delivery
//!
//! On one connection a channel keeps its order. [`Quic::send`] never waits: a frame for a peer that is not up, or for a full queue, is
//! dropped and counted (of heartbeats the oldest is dropped, since the newest says all). What was under way when a connection ends is
//! lost. The layer above repeats what it still needs after `Up`.
//!
//! # What an attacker gets
//!
//! - *Forged source addresses:* one Retry packet, no state.
//! - *A real address without a certificate of this CA:* one of 16 handshake places for at most 2 s; a refusal in the log, at a bounded
//!   rate; never a stream. Garbage is dropped by quinn before any of our code sees it.
//! - *A certificate of this CA outside the manifest, or a banned one:* the same.
//! - *A peer's stolen key:* that peer's place. It replaces the peer's connection and is replaced by it; both show in `connections`.
//!   Votes and rounds are signed above this layer.
//! - *A Byzantine peer:* four streams; its share of the driver's bounded channel, one waiting frame for each stream. Flow control keeps
//!   the rest on its side. A malformed byte ends its connection and is reported as [`Event::Misbehaved`]. If it does not read, our
//!   queues to it fill to their bound and drop; other peers do not notice.
//! - *Who watches the wire:* addresses, sizes and times.
//!
//! Bounds are in [`Limits`]. Certificates are replaced under traffic: [`Certificates`] says how.

mod connection;
mod dial;
mod endpoint;
pub mod frame;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod inspect;
mod limits;
mod peers;
mod port;
mod queue;
mod rotation;
mod tls;
mod verify;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use quinn::{AsyncUdpSocket, Endpoint, ServerConfig, TransportConfig};
use tokio::{sync::mpsc::Sender, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub use connection::CloseCode;
pub use limits::{Limits, PerChannel};
pub use mpc_wallet_core::{Channel, NodeId};
pub use peers::{PeerStats, PeerWatch};
pub use queue::QueueDepth;
pub use rotation::{CertificateReport, Certificates};
pub use tls::{ALPN, TlsError, TlsFiles};
pub use verify::Refusal;

use peers::{Peers, RefusalLog};
use tls::Identity;
use verify::{Role, VerdictSlot};

/// What the transport needs to know.
#[derive(Debug, Clone)]
pub struct QuicConfig {
    /// This node; its certificate must name it.
    pub me: NodeId,
    /// UDP address to listen on and to dial from; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The manifest: every other node and its `host:port`. An entry for this node is ignored.
    pub peers: BTreeMap<NodeId, String>,
    /// This node's identity.
    pub tls: TlsFiles,
    /// Bounds of memory and time.
    pub limits: Limits,
}

/// What the transport tells the driver. For one peer: `Up`, then frames, then perhaps `Misbehaved`, then `Down`, then perhaps `Up` again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer is connected and proven to be who it says.
    Up {
        /// Who.
        peer: NodeId,
    },
    /// The connection ended.
    Down {
        /// Who.
        peer: NodeId,
        /// Why, in words for a log.
        reason: String,
    },
    /// One frame, exactly as the peer sent it.
    Frame {
        /// Who, proven by certificate.
        from: NodeId,
        /// On which channel.
        channel: Channel,
        /// 1 byte up to the channel's limit.
        payload: Vec<u8>,
    },
    /// The peer's bytes broke the framing; its connection is being closed. Only ever caused by bytes that the peer's key has authenticated.
    Misbehaved {
        /// Who.
        peer: NodeId,
        /// What it did, in words.
        what: String,
    },
}

/// Why the transport does not start or reload.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// Certificates or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket.
    #[error("cannot listen on UDP {address}: {source}; is another process using the port?")]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The limits contradict each other.
    #[error("network limits: {0}")]
    Limits(String),
    /// Called outside a tokio runtime.
    #[error("the network needs a tokio runtime; start it from an async context")]
    NoRuntime,
}

/// What all tasks of one transport share.
struct Context {
    peers: Arc<Peers>,
    limits: Limits,
    events: Sender<Event>,
    certificates: Arc<Certificates>,
    transport: Arc<TransportConfig>,
    server_base: ServerConfig,
    refusals: RefusalLog,
}

/// The running transport. Dropping it closes all connections without waiting.
pub struct Quic {
    context: Arc<Context>,
    endpoint: Endpoint,
    local_addr: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for Quic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quic")
            .field("me", &self.context.peers.me)
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

impl Quic {
    /// Checks the configuration, opens the socket and starts to dial and accept. `events` is the driver's inbox: while it is full, peers
    /// are not read.
    ///
    /// # Errors
    /// Limits that contradict each other, an identity that peers would refuse, a socket that cannot be opened, no tokio runtime.
    pub fn start(config: QuicConfig, events: Sender<Event>) -> Result<Self, QuicError> {
        Self::launch(config, events, endpoint::bind)
    }

    /// As [`Quic::start`], on a socket that the caller has opened, which [`QuicConfig::listen`] then only names. A simulated network
    /// gives such sockets.
    ///
    /// # Errors
    /// As [`Quic::start`].
    pub fn start_on(
        socket: Arc<dyn AsyncUdpSocket>,
        config: QuicConfig,
        events: Sender<Event>,
    ) -> Result<Self, QuicError> {
        Self::launch(config, events, |_| Ok(socket))
    }

    fn launch(
        config: QuicConfig,
        events: Sender<Event>,
        socket: impl FnOnce(SocketAddr) -> Result<Arc<dyn AsyncUdpSocket>, QuicError>,
    ) -> Result<Self, QuicError> {
        let QuicConfig { me, listen, peers, tls: files, limits } = config;
        limits.check().map_err(QuicError::Limits)?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(QuicError::NoRuntime);
        }
        let identity = Identity::load(&files, me)?;
        let peers = Arc::new(Peers::new(me, peers));
        let transport = Arc::new(endpoint::transport(&limits)?);
        let verifier = verify::PeerVerifier {
            authority: Arc::clone(&identity.authority),
            peers: Arc::downgrade(&peers),
            role: Role::Accepting,
            verdict: VerdictSlot::default(),
        };
        let server_base = endpoint::server_base(identity.server(verifier)?, Arc::clone(&transport), &limits);
        let endpoint = endpoint::open(socket(listen)?, listen, &identity, server_base.clone())?;
        let local_addr =
            endpoint.local_addr().map_err(|source| QuicError::Bind { address: listen, source })?;

        let context = Arc::new(Context {
            certificates: Arc::new(Certificates::new(files, identity, Arc::clone(&peers))),
            peers,
            limits,
            events,
            transport,
            server_base,
            refusals: RefusalLog::new(),
        });
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(endpoint::accept(Arc::clone(&context), endpoint.clone(), stop.clone()));
        for peer in context.peers.iter().filter(|peer| peer.id > me) {
            tasks.spawn(dial::keep(Arc::clone(&context), endpoint.clone(), Arc::clone(peer), stop.clone()));
        }
        let every = context.limits.certificate_check;
        tasks.spawn(rotation::keep(Arc::clone(&context.certificates), every, stop.clone()));
        tracing::info!(%me, %local_addr, peers = context.peers.iter().count(), "listening for peers");
        Ok(Self { context, endpoint, local_addr, stop, tasks })
    }

    /// Queues one frame and returns at once. A frame that cannot be queued is dropped and counted in [`PeerStats::dropped_frames`].
    pub fn send(&self, to: NodeId, channel: Channel, payload: Vec<u8>) {
        let Some(peer) = self.context.peers.get(to) else {
            tracing::warn!(%to, "frame for a node outside the manifest dropped");
            return;
        };
        let max = *self.context.limits.max_frame.get(channel);
        if payload.is_empty() || u32::try_from(payload.len()).map_or(true, |len| len > max) {
            tracing::warn!(%to, channel = channel.name(), bytes = payload.len(), max, "frame of a size that no peer accepts dropped");
            peer.count_dropped(channel, 1);
            return;
        }
        peer.send(channel, payload);
    }

    /// Closes the peer's connection and refuses it until the given time; replaces an earlier ban. Unknown nodes are refused anyway.
    pub fn ban(&self, peer: NodeId, until: SystemTime) {
        if let Some(link) = self.context.peers.get(peer).and_then(|peer| peer.ban(until)) {
            link.close(CloseCode::Banned, "banned");
        }
    }

    /// Ends a ban now.
    pub fn allow(&self, peer: NodeId) {
        if let Some(peer) = self.context.peers.get(peer) {
            peer.allow();
        }
    }

    /// The state of every configured peer.
    #[must_use]
    pub fn stats(&self) -> BTreeMap<NodeId, PeerStats> {
        self.watch().stats()
    }

    /// The same for whoever wants to look again and again.
    #[must_use]
    pub fn watch(&self) -> PeerWatch {
        PeerWatch(Arc::clone(&self.context.peers))
    }

    /// The address in use, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The certificates of this node and of its peers.
    #[must_use]
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.context.certificates
    }

    /// Tells all peers that this node leaves, and waits at most [`Limits::shutdown`] for them to hear it.
    pub async fn shutdown(mut self) {
        self.stop();
        let bound = self.context.limits.shutdown;
        let ended = tokio::time::timeout(bound, async {
            self.endpoint.wait_idle().await;
            while self.tasks.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            tracing::warn!(?bound, "network did not end within its bound; abandoned");
        }
    }

    fn stop(&self) {
        self.stop.cancel();
        self.endpoint.close(CloseCode::ShuttingDown.wire(), b"node is shutting down");
    }
}

impl Drop for Quic {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Locks; a panic elsewhere leaves our small states whole, so poisoning carries no meaning.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
