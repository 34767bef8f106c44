//! One admitted connection: its streams, its queues, its end.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, VarInt, WriteError};
use rustls::pki_types::CertificateDer;
use tokio::{sync::mpsc::Sender, task::JoinSet};

use super::{
    Channel, Context, Event, NodeId,
    frame::{self, Decoded, Decoder, FrameError},
    limits::{Limits, PerChannel},
    locked,
    peers::Peer,
    queue::OutQueue,
};

/// Bytes taken from a stream at once.
const READ_PIECE: usize = 64 * 1024;

/// Why one side ends a connection, as an application error code on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseCode {
    /// The process ends in order.
    ShuttingDown = 1,
    /// The peer sent a malformed header or frame, or a second stream for a channel.
    Malformed = 2,
    /// A younger connection of the same pair took over.
    Replaced = 3,
    /// The peer is banned.
    Banned = 4,
    /// A channel's stream ended while the connection lived.
    ChannelEnded = 5,
    /// The node stopped listening to its network.
    DriverGone = 6,
    /// The peer's certificate has expired, or its CA is no longer trusted.
    Certificate = 7,
}

impl CloseCode {
    /// As quinn wants it.
    #[must_use]
    pub fn wire(self) -> VarInt {
        VarInt::from(self as u8)
    }
}

/// A connection and the frames that wait for it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) queues: PerChannel<OutQueue>,
    /// What the peer proved itself with, leaf first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Our own reason, when it was us who closed.
    closed_by_us: Mutex<Option<String>>,
}

impl Link {
    pub(super) fn new(connection: Connection, limits: &Limits) -> Self {
        let chain = connection.peer_identity().and_then(|identity| identity.downcast().ok());
        Self {
            connection,
            queues: PerChannel::from_fn(|channel| OutQueue::new(channel, limits)),
            chain: chain.map(|chain| *chain).unwrap_or_default(),
            closed_by_us: Mutex::default(),
        }
    }

    /// Closes with a reason; the first reason stays.
    pub(super) fn close(&self, code: CloseCode, why: &str) {
        locked(&self.closed_by_us).get_or_insert_with(|| why.to_owned());
        self.connection.close(code.wire(), why.as_bytes());
    }

    fn describe(&self, error: &ConnectionError) -> String {
        if matches!(error, ConnectionError::LocallyClosed)
            && let Some(why) = &*locked(&self.closed_by_us)
        {
            return why.clone();
        }
        describe(error)
    }
}

/// A connection's end in words.
pub(super) fn describe(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Reset => "the peer restarted".into(),
        ConnectionError::TimedOut => "no sign of life within the idle timeout".into(),
        ConnectionError::LocallyClosed => "this node is shutting down".into(),
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::CidsExhausted => error.to_string().escape_debug().to_string(),
    }
}

/// Why a link stopped.
#[derive(Debug)]
enum End {
    /// The connection ended first; it knows why.
    Connection,
    Misbehaved(String),
    ChannelEnded(String),
    DriverGone,
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        Self::Misbehaved(error.to_string())
    }
}

/// Which of the two ends of the pair we are; the acceptor speaks first.
pub(super) enum Opening {
    /// Our heartbeat stream, opened at once, tells the dialler that it is admitted.
    Accepted,
    /// The stream by which the acceptor admitted us.
    Dialled(RecvStream),
}

/// Serves one admitted connection from `Up` to `Down`. Returns when it has ended and the driver knows.
pub(super) async fn serve(context: Arc<Context>, peer: Arc<Peer>, connection: Connection, opening: Opening) {
    let link = Arc::new(Link::new(connection, &context.limits));
    if let Some(older) = peer.supersede(Arc::clone(&link)) {
        older.close(CloseCode::Replaced, "a newer connection of this peer took over");
    }
    // Looked at after the link is published: a ban that comes later finds it.
    if peer.banned_until().is_some() {
        link.close(CloseCode::Banned, "banned");
    }
    // Likewise: its handshake may have begun before the CA was taken out.
    let _closed = context.certificates.review(&peer);
    // An abandoned connection must not wait: a peer could pile them up.
    let turn = tokio::select! {
        biased;
        _ended = link.connection.closed() => None,
        turn = peer.turn.lock() => Some(turn),
    };
    if let Some(_turn) = turn {
        in_service(&context, &peer, &link, opening).await;
    }
    peer.forget(&link);
}

async fn in_service(context: &Context, peer: &Peer, link: &Arc<Link>, opening: Opening) {
    let announce = tokio::select! {
        biased;
        _ended = link.connection.closed() => return,
        place = context.events.reserve() => match place {
            Ok(place) => place,
            Err(_) => {
                link.close(CloseCode::DriverGone, "this node stopped listening");
                return;
            }
        },
    };
    // In this order: the driver may answer `Up` with a frame at once.
    peer.serve(Arc::clone(link));
    announce.send(Event::Up { peer: peer.id });
    tracing::info!(peer = %peer.id, peer_address = %link.connection.remote_address(), "peer is up");

    let accepted = matches!(opening, Opening::Accepted);
    let mut tasks = JoinSet::new();
    for channel in Channel::ALL {
        let open_now = accepted && channel == Channel::Heartbeats;
        tasks.spawn(write_channel(Arc::clone(link), channel, open_now));
    }
    let inbound = Inbound {
        peer: peer.id,
        connection: link.connection.clone(),
        max_frame: context.limits.max_frame,
        events: context.events.clone(),
        seen: Arc::default(),
    };
    tasks.spawn(inbound.run(opening));

    let end = tokio::select! {
        _ended = link.connection.closed() => End::Connection,
        first = tasks.join_next() => match first {
            Some(Ok(end)) => end,
            Some(Err(_)) | None => End::ChannelEnded("a stream task of this node failed".into()),
        },
    };
    // Close before the streams are dropped: a dropped stream looks finished, and the peer would wonder.
    let misbehaved = close(link, &end);
    peer.forget(link);
    tasks.shutdown().await;

    let reason = link.describe(&link.connection.closed().await);
    if let Some(what) = misbehaved {
        tracing::warn!(peer = %peer.id, peer_address = %link.connection.remote_address(), what, "peer misbehaved; connection closed");
        let _gone = context.events.send(Event::Misbehaved { peer: peer.id, what }).await;
    }
    tracing::info!(peer = %peer.id, reason, "peer is down");
    let _gone = context.events.send(Event::Down { peer: peer.id, reason }).await;
}

/// Ends the connection for the given reason and returns the misbehaviour, if it was one.
fn close(link: &Link, end: &End) -> Option<String> {
    match end {
        End::Connection => None,
        End::Misbehaved(what) => {
            link.close(CloseCode::Malformed, what);
            Some(what.clone())
        }
        End::ChannelEnded(what) => {
            link.close(CloseCode::ChannelEnded, what);
            None
        }
        End::DriverGone => {
            link.close(CloseCode::DriverGone, "this node stopped listening");
            None
        }
    }
}

/// Higher goes first when several streams have data: a large transfer must not look like a dead peer.
fn priority(channel: Channel) -> i32 {
    match channel {
        Channel::Heartbeats => 3,
        Channel::Events => 2,
        Channel::MpcRounds => 1,
        Channel::StateSync => 0,
    }
}

async fn write_channel(link: Arc<Link>, channel: Channel, open_now: bool) -> End {
    match write_frames(&link, channel, open_now).await {
        Ok(never) => match never {},
        Err(WriteError::ConnectionLost(_)) => End::Connection,
        Err(WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected) => {
            End::ChannelEnded(format!("the peer stopped reading {}", channel.name()))
        }
    }
}

async fn write_frames(
    link: &Link,
    channel: Channel,
    open_now: bool,
) -> Result<std::convert::Infallible, WriteError> {
    let mut open = None;
    if open_now {
        open = Some(open_channel(&link.connection, channel).await?);
    }
    let queue = link.queues.get(channel);
    loop {
        let frame = queue.pop().await;
        let mut stream = match open.take() {
            Some(stream) => stream,
            None => open_channel(&link.connection, channel).await?,
        };
        // `Quic::send` has compared the length with a limit that is a u32.
        let prefix = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes();
        stream.write_all(&prefix).await?;
        stream.write_all(&frame).await?;
        open = Some(stream);
    }
}

async fn open_channel(connection: &Connection, channel: Channel) -> Result<SendStream, WriteError> {
    let mut stream = connection.open_uni().await?;
    stream.set_priority(priority(channel))?;
    stream.write_all(&frame::header(channel)).await?;
    Ok(stream)
}

/// The reading half of a link.
struct Inbound {
    peer: NodeId,
    connection: Connection,
    max_frame: PerChannel<u32>,
    events: Sender<Event>,
    /// Channels that already have their stream.
    seen: Arc<PerChannel<AtomicBool>>,
}

impl Inbound {
    /// Accepts streams; quinn allows the peer no more than one for each channel.
    async fn run(self, opening: Opening) -> End {
        let mut readers = JoinSet::new();
        if let Opening::Dialled(first) = opening {
            readers.spawn(self.reader(first));
        }
        loop {
            tokio::select! {
                accepted = self.connection.accept_uni() => match accepted {
                    Ok(stream) => { readers.spawn(self.reader(stream)); }
                    Err(_) => return End::Connection,
                },
                Some(ended) = readers.join_next() => {
                    return ended.unwrap_or_else(|_| End::ChannelEnded("a stream task of this node failed".into()));
                }
            }
        }
    }

    fn reader(&self, stream: RecvStream) -> impl Future<Output = End> + Send + use<> {
        let reader = Reader {
            peer: self.peer,
            decoder: Decoder::new(self.max_frame),
            events: self.events.clone(),
            seen: Arc::clone(&self.seen),
        };
        async move {
            match reader.run(stream).await {
                Ok(never) => match never {},
                Err(end) => end,
            }
        }
    }
}

/// Reads one stream into the driver's channel.
struct Reader {
    peer: NodeId,
    decoder: Decoder,
    events: Sender<Event>,
    seen: Arc<PerChannel<AtomicBool>>,
}

impl Reader {
    async fn run(mut self, mut stream: RecvStream) -> Result<std::convert::Infallible, End> {
        loop {
            let chunk = stream.read_chunk(READ_PIECE, true).await.map_err(read_end)?;
            let Some(chunk) = chunk else {
                return Err(End::ChannelEnded("the peer ended a channel".into()));
            };
            let mut input: &[u8] = &chunk.bytes;
            loop {
                match self.decoder.next(&mut input)? {
                    Decoded::NeedMore => break,
                    Decoded::Opened(channel) => self.opened(channel)?,
                    Decoded::Frame(channel, payload) => {
                        // Waits while the driver is busy. Nothing is read meanwhile, and flow control stops the peer.
                        let frame = Event::Frame { from: self.peer, channel, payload };
                        self.events.send(frame).await.map_err(|_| End::DriverGone)?;
                    }
                }
            }
        }
    }

    fn opened(&self, channel: Channel) -> Result<(), End> {
        if self.seen.get(channel).swap(true, Ordering::Relaxed) {
            return Err(End::Misbehaved(format!("second stream for {}", channel.name())));
        }
        Ok(())
    }
}

fn read_end(error: ReadError) -> End {
    match error {
        ReadError::ConnectionLost(_) => End::Connection,
        // A dying process may leave this behind, so it is no proof of anything.
        ReadError::Reset(_)
        | ReadError::ClosedStream
        | ReadError::IllegalOrderedRead
        | ReadError::ZeroRttRejected => End::ChannelEnded("the peer aborted a channel".into()),
    }
}
