//! The manifest as the transport sees it: who may connect, who is connected, who is banned.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::Notify;

use super::{
    Channel, NodeId,
    connection::Link,
    limits::PerChannel,
    locked,
    queue::QueueDepth,
    verify::{self, Refusal, Role},
};

/// Refusals logged at once before the log is protected; one more each second.
const LOG_BURST: u64 = 32;

/// All configured peers.
#[derive(Debug)]
pub(super) struct Peers {
    pub(super) me: NodeId,
    map: BTreeMap<NodeId, Arc<Peer>>,
}

impl Peers {
    pub(super) fn new(me: NodeId, addresses: BTreeMap<NodeId, String>) -> Self {
        let map = addresses
            .into_iter()
            .filter(|(id, _)| *id != me)
            .map(|(id, address)| (id, Arc::new(Peer::new(id, address))))
            .collect();
        Self { me, map }
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Arc<Peer>> {
        self.map.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.map.values()
    }

    /// Whether the owner of a good certificate is wanted.
    pub(super) fn admit(&self, id: NodeId, role: Role) -> Result<(), Refusal> {
        if id == self.me {
            return Err(Refusal::OwnName(id));
        }
        let peer = self.get(id).ok_or(Refusal::NotInManifest(id))?;
        if role == Role::Accepting && id > self.me {
            return Err(Refusal::WrongDirection { peer: id, me: self.me });
        }
        if peer.banned_until().is_some() {
            return Err(Refusal::Banned(id));
        }
        Ok(())
    }
}

/// One configured peer, connected or not.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    /// `host:port`, resolved at each dial.
    pub(super) address: String,
    ban: Mutex<Option<SystemTime>>,
    ban_changed: Notify,
    /// The youngest connection, admitted but perhaps not in service yet.
    newest: Mutex<Option<Arc<Link>>>,
    /// The connection in service: between `Up` and `Down`.
    serving: Mutex<Option<Arc<Link>>>,
    /// Held by the connection in service until its `Down` is delivered, so that `Up` and `Down` alternate.
    pub(super) turn: tokio::sync::Mutex<()>,
    dropped: PerChannel<AtomicU64>,
    connections: AtomicU64,
}

impl Peer {
    fn new(id: NodeId, address: String) -> Self {
        Self {
            id,
            address,
            ban: Mutex::default(),
            ban_changed: Notify::new(),
            newest: Mutex::default(),
            serving: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            dropped: PerChannel::default(),
            connections: AtomicU64::new(0),
        }
    }

    pub(super) fn send(&self, channel: Channel, payload: Vec<u8>) {
        let lost = match &*locked(&self.serving) {
            Some(link) => link.queues.get(channel).push(payload),
            None => 1,
        };
        self.count_dropped(channel, lost);
    }

    pub(super) fn count_dropped(&self, channel: Channel, frames: u64) {
        self.dropped.get(channel).fetch_add(frames, Ordering::Relaxed);
    }

    /// Makes `link` the youngest and returns the one before it.
    pub(super) fn supersede(&self, link: Arc<Link>) -> Option<Arc<Link>> {
        locked(&self.newest).replace(link)
    }

    /// The youngest connection: the only one that is not closed or about to be.
    pub(super) fn newest(&self) -> Option<Arc<Link>> {
        locked(&self.newest).clone()
    }

    pub(super) fn serve(&self, link: Arc<Link>) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        *locked(&self.serving) = Some(link);
    }

    /// Whether a connection is in service, and not this one.
    pub(super) fn serves_another(&self, link: &Arc<Link>) -> bool {
        locked(&self.serving).as_ref().is_some_and(|serving| !Arc::ptr_eq(serving, link))
    }

    /// Forgets a link that ended, so that its queues are freed.
    pub(super) fn forget(&self, link: &Arc<Link>) {
        for place in [&self.serving, &self.newest] {
            let mut held = locked(place);
            if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, link)) {
                *held = None;
            }
        }
    }

    /// Bans, and returns the connection to close.
    pub(super) fn ban(&self, until: SystemTime) -> Option<Arc<Link>> {
        *locked(&self.ban) = Some(until);
        self.ban_changed.notify_one();
        self.newest()
    }

    pub(super) fn allow(&self) {
        *locked(&self.ban) = None;
        self.ban_changed.notify_one();
    }

    /// The end of a ban that still holds.
    pub(super) fn banned_until(&self) -> Option<SystemTime> {
        (*locked(&self.ban)).filter(|until| *until > SystemTime::now())
    }

    /// Waits until the peer is not banned. For the peer's dialler alone.
    pub(super) async fn allowed(&self) {
        while let Some(until) = self.banned_until() {
            let rest = until.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
            // Looked at again now and then, because the wall clock may be set.
            let _changed =
                tokio::time::timeout(rest.min(Duration::from_secs(60)), self.ban_changed.notified()).await;
        }
    }

    /// End of the certificate that the connection in service was made with, in unix seconds.
    pub(super) fn certificate_expiry(&self) -> Option<i64> {
        let link = locked(&self.serving).clone()?;
        verify::not_after(link.chain.first()?).ok()
    }

    pub(super) fn stats(&self) -> PeerStats {
        let link = locked(&self.serving).clone();
        PeerStats {
            connected: link.is_some(),
            rtt: link.as_ref().map(|link| link.connection.rtt()),
            connections: self.connections.load(Ordering::Relaxed),
            dropped_frames: PerChannel::from_fn(|channel| self.dropped.get(channel).load(Ordering::Relaxed)),
            queue: PerChannel::from_fn(|channel| {
                link.as_ref().map_or(QueueDepth::default(), |link| link.queues.get(channel).depth())
            }),
            banned_until: self.banned_until(),
        }
    }
}

/// Looks at the connections of a running transport, without holding it.
#[derive(Debug, Clone)]
pub struct PeerWatch(pub(super) Arc<Peers>);

impl PeerWatch {
    /// The state of every configured peer.
    #[must_use]
    pub fn stats(&self) -> BTreeMap<NodeId, PeerStats> {
        self.0.iter().map(|peer| (peer.id, peer.stats())).collect()
    }
}

/// What the transport knows about one peer now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStats {
    /// Between `Up` and `Down`.
    pub connected: bool,
    /// Smoothed round-trip time, when connected.
    pub rtt: Option<Duration>,
    /// Connections that went into service since the start.
    pub connections: u64,
    /// Outbound frames lost to a full queue, a missing connection or a size above the limit, since the start.
    pub dropped_frames: PerChannel<u64>,
    /// Outbound frames that wait.
    pub queue: PerChannel<QueueDepth>,
    /// End of a ban that holds.
    pub banned_until: Option<SystemTime>,
}

/// Writes refusals to the log, at a bounded rate: whoever is refused chooses how often.
#[derive(Debug)]
pub(super) struct RefusalLog {
    began: Instant,
    state: Mutex<LogState>,
}

#[derive(Debug, Default)]
struct LogState {
    written: u64,
    suppressed: u64,
}

impl RefusalLog {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), state: Mutex::default() }
    }

    pub(super) fn refused(&self, peer_address: &dyn std::fmt::Display, presented: &str, reason: &str) {
        let allowance = LOG_BURST + self.began.elapsed().as_secs();
        let mut state = locked(&self.state);
        // A quiet hour is not saved up for a flood.
        state.written = state.written.max(allowance.saturating_sub(LOG_BURST));
        if state.written >= allowance {
            state.suppressed += 1;
            return;
        }
        state.written += 1;
        let suppressed = std::mem::take(&mut state.suppressed);
        drop(state);
        tracing::warn!(%peer_address, presented_name = presented, reason, suppressed, "refused a peer");
    }
}
