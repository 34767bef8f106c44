//! The UDP socket, its settings, and the door: how a stranger's packet becomes an admitted connection.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
};

use quinn::{
    AsyncUdpSocket, Connecting, Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming, Runtime,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Channel, Context, NodeId, QuicError,
    connection::{self, Opening, describe},
    limits::Limits,
    locked,
    tls::{Identity, TlsError},
    verify::{PeerVerifier, Role, VerdictSlot},
};

/// Streams that a peer may open: one for each channel.
const STREAMS: u32 = Channel::ALL.len() as u32;
/// Handshake packets kept for one stranger who is not answered yet.
const INCOMING_BYTES: u64 = 16 * 1024;
/// Reset key in the identity's derivation.
const RESET_KEY: &[u8] = b"stateless reset key";
/// Connection-id key in the identity's derivation.
const CONNECTION_ID_KEY: &[u8] = b"connection id key";

/// Opens the system's socket. Must run inside a tokio runtime.
pub(super) fn bind(listen: SocketAddr) -> Result<Arc<dyn AsyncUdpSocket>, QuicError> {
    let bound = UdpSocket::bind(listen).and_then(|socket| TokioRuntime.wrap_udp_socket(socket));
    bound.map_err(|source| QuicError::Bind { address: listen, source })
}

/// Opens the endpoint on a socket. Must run inside a tokio runtime.
pub(super) fn open(
    socket: Arc<dyn AsyncUdpSocket>,
    listen: SocketAddr,
    identity: &Identity,
    base: ServerConfig,
) -> Result<Endpoint, QuicError> {
    let mut config = EndpointConfig::new(Arc::new(reset_key(identity)?));
    // The default ids are keyed at random: after a restart they would look like noise and earn no reset.
    let id_key = connection_id_key(identity)?;
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
    Endpoint::new_with_abstract_socket(config, Some(base), socket, Arc::new(TokioRuntime))
        .map_err(|source| QuicError::Bind { address: listen, source })
}

/// Both ends of a restart must agree on this key, and nobody else may know it: whoever does can end our connections.
fn reset_key(identity: &Identity) -> Result<ring::hmac::Key, TlsError> {
    identity.derive(RESET_KEY, ring::hmac::HMAC_SHA256)
}

fn connection_id_key(identity: &Identity) -> Result<u64, TlsError> {
    let tag = ring::hmac::sign(&identity.derive(CONNECTION_ID_KEY, ring::hmac::HMAC_SHA256)?, b"");
    Ok(tag.as_ref().iter().take(8).fold(0, |key, byte| (key << 8) | u64::from(*byte)))
}

/// Settings of every connection, dialled or accepted.
pub(super) fn transport(limits: &Limits) -> Result<TransportConfig, QuicError> {
    let idle = IdleTimeout::try_from(limits.idle)
        .map_err(|_| QuicError::Limits(format!("idle {:?} is longer than QUIC can say", limits.idle)))?;
    let stream = limits.stream_window();
    let all = stream.saturating_mul(STREAMS);
    let mut transport = TransportConfig::default();
    transport
        .keep_alive_interval(Some(limits.keep_alive))
        .max_idle_timeout(Some(idle))
        // Nodes sit close together; the default third of a second makes every lost first packet cost a second.
        .initial_rtt(std::time::Duration::from_millis(100))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        // Windows add up, so a channel that nobody reads never holds back another one.
        .stream_receive_window(VarInt::from_u32(stream))
        .receive_window(VarInt::from_u32(all))
        .send_window(u64::from(all));
    Ok(transport)
}

/// What all accepted connections share; the certificates are judged by a verifier of each handshake's own.
pub(super) fn server_base(
    crypto: quinn::crypto::rustls::QuicServerConfig,
    transport: Arc<TransportConfig>,
    limits: &Limits,
) -> ServerConfig {
    let mut base = ServerConfig::with_crypto(Arc::new(crypto));
    base.transport_config(transport)
        .max_incoming(limits.max_handshakes)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES.saturating_mul(limits.max_handshakes as u64))
        // Every node has a fixed address. A connection that wanders is dialled anew instead.
        .migration(false);
    base
}

/// Lets peers in until told to stop.
pub(super) async fn accept(context: Arc<Context>, endpoint: Endpoint, stop: CancellationToken) {
    let places = Arc::new(Places::new(&context.limits));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                if let Some((incoming, place)) = screen(&context, &places, incoming) {
                    connections.spawn(admit(Arc::clone(&context), incoming, place));
                }
            }
        }
    }
    // The endpoint closes all connections; each still owes the driver its `Down`.
    while connections.join_next().await.is_some() {}
}

/// Turns away what may not start a handshake: unproven addresses (they are asked to come back), and too many at once.
fn screen(context: &Context, places: &Arc<Places>, incoming: Incoming) -> Option<(Incoming, Place)> {
    let address = incoming.remote_address();
    if !incoming.remote_address_validated() {
        // Costs a peer one round trip and a forger of addresses everything.
        if let Err(error) = incoming.retry() {
            error.into_incoming().refuse();
        }
        return None;
    }
    match Places::take(places, address.ip()) {
        Some(place) => Some((incoming, place)),
        None => {
            incoming.refuse();
            context.refusals.refused(&address, "(none)", "too many unfinished handshakes");
            None
        }
    }
}

/// Finishes one handshake and serves the peer.
async fn admit(context: Arc<Context>, incoming: Incoming, place: Place) {
    let address = incoming.remote_address();
    let verdict = VerdictSlot::default();
    let connection = match handshake(&context, incoming, &verdict).await {
        Ok(connection) => connection,
        Err(reason) => {
            let (presented, reason) = judged(&verdict, reason);
            context.refusals.refused(&address, &presented, &reason);
            return;
        }
    };
    let Some(peer) = admitted(&verdict).and_then(|id| context.peers.get(id)) else {
        // Unreachable while the verifier is asked on every handshake; an unnamed connection must not live either way.
        connection.close(VarInt::from_u32(0), b"no verdict");
        return;
    };
    let peer = Arc::clone(peer);
    drop(place);
    Box::pin(connection::serve(context, peer, connection, Opening::Accepted)).await;
}

async fn handshake(
    context: &Arc<Context>,
    incoming: Incoming,
    verdict: &VerdictSlot,
) -> Result<Connection, String> {
    let identity = context.certificates.current();
    let verifier = verifier(context, &identity, Role::Accepting, verdict);
    let mut config = context.server_base.clone();
    config.crypto = Arc::new(identity.server(verifier).map_err(|error| error.to_string())?);
    let connecting = incoming.accept_with(Arc::new(config)).map_err(|error| describe(&error))?;
    finish(connecting, &context.limits).await
}

/// Waits for a handshake of either side, for a bounded time.
pub(super) async fn finish(connecting: Connecting, limits: &Limits) -> Result<Connection, String> {
    match tokio::time::timeout(limits.handshake, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(describe(&error)),
        Err(_) => Err(format!("handshake not finished within {:?}", limits.handshake)),
    }
}

pub(super) fn verifier(
    context: &Context,
    identity: &Identity,
    role: Role,
    verdict: &VerdictSlot,
) -> PeerVerifier {
    PeerVerifier {
        authority: Arc::clone(&identity.authority),
        peers: Arc::downgrade(&context.peers),
        role,
        verdict: Arc::clone(verdict),
    }
}

fn admitted(verdict: &VerdictSlot) -> Option<NodeId> {
    locked(verdict).as_ref().and_then(|verdict| verdict.outcome.clone().ok())
}

/// Presented name and reason for the log: our own refusal if there is one, else how the handshake failed.
pub(super) fn judged(verdict: &VerdictSlot, failure: String) -> (String, String) {
    match &*locked(verdict) {
        Some(verdict) => {
            let reason = verdict.outcome.as_ref().err().map_or(failure, ToString::to_string);
            (verdict.presented.clone(), reason)
        }
        None => ("(none)".into(), failure),
    }
}

/// Counts unfinished handshakes, in all and by address.
#[derive(Debug)]
struct Places {
    taken: Mutex<BTreeMap<IpAddr, usize>>,
    max: usize,
    max_per_ip: usize,
}

impl Places {
    fn new(limits: &Limits) -> Self {
        Self { taken: Mutex::default(), max: limits.max_handshakes, max_per_ip: limits.max_handshakes_per_ip }
    }

    fn take(places: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        let mut taken = locked(&places.taken);
        let all: usize = taken.values().sum();
        let here = taken.get(&ip).copied().unwrap_or(0);
        if all >= places.max || here >= places.max_per_ip {
            return None;
        }
        taken.insert(ip, here + 1);
        Some(Place { places: Arc::clone(places), ip })
    }
}

/// One unfinished handshake; given back when dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = locked(&self.places.taken);
        if let Some(here) = taken.get_mut(&self.ip) {
            *here -= 1;
            if *here == 0 {
                taken.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_handshake_places() {
        let limits = Limits { max_handshakes: 3, max_handshakes_per_ip: 2, ..Limits::default() };
        let places = Arc::new(Places::new(&limits));
        let (greedy, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut held: Vec<_> = (0..5).filter_map(|_| Places::take(&places, greedy)).collect();
        assert_eq!(held.len(), 2);
        assert!(Places::take(&places, other).is_some());
        held.pop();
        assert!(Places::take(&places, greedy).is_some(), "a finished handshake gives its place back");
        drop(held);
        assert!(locked(&places.taken).is_empty(), "nothing is remembered about who left");
    }
}
