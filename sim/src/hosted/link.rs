//! One TCP connection between every pair of nodes, on the simulated network: dialled, admitted, served, replaced.
//!
//! It follows production's transport (`mpc_wallet_shell::quic`) in what the driver can notice: the lower node dials with
//! jitter; the acceptor speaks first and both report `Up` after the other's word; a younger connection of the pair replaces
//! the older; after two seconds of silence the connection is over, and what waited for it is lost. A segment that the
//! simulated network loses is never sent again and stalls the stream behind it: that too ends in silence, and in a new
//! connection. An address stands for a certificate.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use mpc_wallet_core::NodeId;
use mpc_wallet_shell::ports::TransportEvent;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use turmoil::net::{
    TcpListener, TcpStream,
    tcp::{OwnedReadHalf, OwnedWriteHalf},
};

use super::{
    stage::{Hand, Seen},
    transport::{Peer, Wires},
    wire::{Encoder, Parser, Piece, SIGN_OF_LIFE},
};

/// Where every node listens.
const PORT: u16 = 4433;

/// Bytes read at once.
const READ_PIECE: usize = 64 * 1024;

/// Starts to listen and to dial; ends with the host.
pub(super) fn open(wires: &Arc<Wires>) {
    tokio::spawn(accept(Arc::clone(wires)));
    for peer in wires.peers.keys().filter(|peer| **peer > wires.hand.me) {
        tokio::spawn(keep(Arc::clone(wires), *peer));
    }
}

async fn accept(wires: Arc<Wires>) {
    let listener = match TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await {
        Ok(listener) => listener,
        Err(error) => return wires.hand.fail(format!("{} cannot listen: {error}", wires.hand.me)),
    };
    while let Ok((stream, from)) = listener.accept().await {
        let peer = wires.peers.values().find(|peer| peer.address == from.ip()).map(|peer| peer.id);
        let Some(peer) = peer else { continue };
        let wires = Arc::clone(&wires);
        tokio::spawn(async move {
            if let Some(peer) = wires.peers.get(&peer)
                && let Some(connection) = admit(&wires, stream).await
            {
                serve(&wires, peer, connection).await;
            }
        });
    }
}

/// Keeps the connection to one peer with a higher number.
async fn keep(wires: Arc<Wires>, peer: NodeId) {
    let Some(peer) = wires.peers.get(&peer) else { return };
    let (least, most) = (wires.limits.backoff_min, wires.limits.backoff_max);
    let mut bound = least;
    loop {
        let began = Hand::now();
        if !peer.is_banned(wires.hand.clock())
            && let Some(connection) = dial(&wires, peer).await
        {
            serve(&wires, peer, connection).await;
            if u128::from(Hand::now() - began) >= most.as_millis() {
                bound = least;
            }
        }
        let bound_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        let wait = wires.hand.machine(|machine| machine.adapter.between(1, bound_ms)).unwrap_or(bound_ms);
        sleep(Duration::from_millis(wait)).await;
        bound = (bound * 2).min(most);
    }
}

/// A connection whose other end has spoken.
struct Connection {
    parser: Parser,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
}

async fn dial(wires: &Wires, peer: &Peer) -> Option<Connection> {
    let stream =
        timeout(wires.limits.handshake, TcpStream::connect((peer.address, PORT))).await.ok()?.ok()?;
    let mut connection = Connection::new(stream);
    connection.hear(wires).await?;
    connection.speak().await?;
    Some(connection)
}

async fn admit(wires: &Wires, stream: TcpStream) -> Option<Connection> {
    let mut connection = Connection::new(stream);
    connection.speak().await?;
    connection.hear(wires).await?;
    Some(connection)
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { parser: Parser::new(), reader, writer }
    }

    async fn speak(&mut self) -> Option<()> {
        self.writer.write_all(&SIGN_OF_LIFE).await.ok()
    }

    /// Waits for the other end's first word, which is nothing but a sign of life.
    async fn hear(&mut self, wires: &Wires) -> Option<()> {
        let mut first = SIGN_OF_LIFE;
        timeout(wires.limits.handshake, self.reader.read_exact(&mut first)).await.ok()?.ok()?;
        (first == SIGN_OF_LIFE).then_some(())
    }
}

/// From `Up` to `Down`.
async fn serve(wires: &Wires, peer: &Peer, connection: Connection) {
    let stop = CancellationToken::new();
    peer.supersede(&stop);
    if peer.is_banned(wires.hand.clock()) {
        return;
    }
    let _turn = tokio::select! {
        biased;
        () = stop.cancelled() => return,
        turn = peer.turn.lock() => turn,
    };
    let Connection { parser, reader, writer } = connection;
    peer.set_up(true);
    wires.tell(TransportEvent::Up(peer.id)).await;
    let end = tokio::select! {
        biased;
        () = stop.cancelled() => String::from("replaced or banned"),
        why = read(wires, peer, parser, reader) => why,
        why = write(wires, peer, writer) => why,
    };
    peer.set_up(false);
    wires.hand.show(Seen::Words(format!("connection to {} ends: {end}", peer.id)));
    wires.tell(TransportEvent::Down(peer.id)).await;
}

impl Wires {
    async fn tell(&self, event: TransportEvent) {
        match &event {
            TransportEvent::Up(peer) => self.hand.show(Seen::Words(format!("connected {peer}"))),
            TransportEvent::Down(peer) => self.hand.show(Seen::Words(format!("lost {peer}"))),
            TransportEvent::Frame { .. } | TransportEvent::Misbehaved { .. } => {}
        }
        // The driver's end goes with the host.
        let _ = self.events.send(event).await;
    }
}

async fn read(wires: &Wires, peer: &Peer, mut parser: Parser, mut reader: OwnedReadHalf) -> String {
    let mut piece = vec![0; READ_PIECE];
    loop {
        let count = match timeout(wires.limits.idle, reader.read(&mut piece)).await {
            Err(_) => return String::from("silence"),
            Ok(Err(error)) => return error.to_string(),
            Ok(Ok(0)) => return String::from("the peer closed it"),
            Ok(Ok(count)) => count,
        };
        let pieces = match parser.feed(piece.get(..count).unwrap_or_default()) {
            Ok(pieces) => pieces,
            Err(what) => {
                wires.tell(TransportEvent::Misbehaved { from: peer.id, what: what.clone() }).await;
                return what;
            }
        };
        for piece in pieces {
            if let Piece::Frame(channel, payload) = piece {
                wires.hand.show(Seen::Got { from: peer.id, channel, bytes: payload.clone() });
                wires.overhear(peer.id, channel, &payload);
                wires.tell(TransportEvent::Frame { from: peer.id, channel, payload }).await;
            }
        }
    }
}

async fn write(wires: &Wires, peer: &Peer, mut writer: OwnedWriteHalf) -> String {
    let mut encoder = Encoder::default();
    let keep_alive = u64::try_from(wires.limits.keep_alive.as_millis()).unwrap_or(u64::MAX);
    let mut spoke = Hand::now();
    loop {
        let now = Hand::now();
        let next = loop {
            match peer.pop(now) {
                Err(next) => break next,
                Ok((channel, payload)) => {
                    if !wires.hand.is_alive() {
                        return std::future::pending().await;
                    }
                    spoke = now;
                    if let Err(error) = writer.write_all(&encoder.frame(channel, &payload)).await {
                        return error.to_string();
                    }
                }
            }
        };
        let silence = spoke.saturating_add(keep_alive);
        if silence <= now {
            spoke = now;
            if let Err(error) = writer.write_all(&SIGN_OF_LIFE).await {
                return error.to_string();
            }
            continue;
        }
        let until = next.unwrap_or(silence).min(silence);
        tokio::select! {
            biased;
            () = peer.filled.notified() => {}
            () = sleep(Duration::from_millis(until.saturating_sub(now))) => {}
        }
    }
}
