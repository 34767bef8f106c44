//! The transport as the driver's port: what becomes of a frame before it reaches the wire.
//!
//! The plan's weather is made here: a frame may vanish, double, dawdle and overtake before it is written to the
//! connection, because the simulated TCP below does none of this. Below are real connections that break, stall and are
//! made again: see [`super::link`].

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex},
};

use mpc_wallet_core::{Channel, NodeId, Timestamp, message::Message};
use mpc_wallet_shell::{
    ports::{Transport, TransportEvent},
    quic::Limits,
};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::stage::{Hand, Seen, locked};
use crate::world::{faults::loses, network::Arrival};

/// Everything the tasks of one host's transport share.
pub(super) struct Wires {
    pub(super) hand: Hand,
    pub(super) limits: Limits,
    pub(super) peers: BTreeMap<NodeId, Peer>,
    pub(super) events: mpsc::Sender<TransportEvent>,
    /// What was sent last: a broadcast is one message to several peers.
    last: Mutex<Option<(Vec<u8>, Message)>>,
}

/// One peer, connected or not.
pub(super) struct Peer {
    pub(super) id: NodeId,
    pub(super) address: IpAddr,
    outbox: Mutex<Outbox>,
    pub(super) filled: Notify,
    /// Ends the connection that is in service or about to be.
    newest: Mutex<Option<CancellationToken>>,
    /// Held by the connection in service, so that `Up` and `Down` alternate.
    pub(super) turn: tokio::sync::Mutex<()>,
    banned_until: Mutex<Option<Timestamp>>,
}

/// Frames on their way to the wire.
#[derive(Default)]
struct Outbox {
    up: bool,
    sequence: u64,
    waiting: BTreeMap<(Arrival, u64), (Channel, Vec<u8>)>,
    waiting_by_channel: BTreeMap<Channel, usize>,
}

impl Peer {
    fn new(id: NodeId, address: IpAddr) -> Self {
        Self {
            id,
            address,
            outbox: Mutex::default(),
            filled: Notify::new(),
            newest: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            banned_until: Mutex::default(),
        }
    }

    /// Makes a connection the youngest and ends the one before it.
    pub(super) fn supersede(&self, stop: &CancellationToken) {
        if let Some(older) = locked(&self.newest).replace(stop.clone()) {
            older.cancel();
        }
    }

    pub(super) fn is_banned(&self, now: Timestamp) -> bool {
        locked(&self.banned_until).is_some_and(|until| until > now)
    }

    /// A connection comes into service or leaves it; what waited for the old one is lost.
    pub(super) fn set_up(&self, up: bool) {
        *locked(&self.outbox) = Outbox { up, ..Outbox::default() };
    }

    fn is_up(&self) -> bool {
        locked(&self.outbox).up
    }

    /// Takes a frame, unless the queue of its channel is full.
    fn push(&self, arrival: Arrival, channel: Channel, payload: Vec<u8>, most: usize) {
        let mut outbox = locked(&self.outbox);
        let count = outbox.waiting_by_channel.entry(channel).or_default();
        if *count >= most {
            return;
        }
        *count += 1;
        outbox.sequence += 1;
        let place = (arrival, outbox.sequence);
        outbox.waiting.insert(place, (channel, payload));
        drop(outbox);
        self.filled.notify_one();
    }

    /// The next frame whose time has come by `now`, or when the next one's comes.
    pub(super) fn pop(&self, now: u64) -> Result<(Channel, Vec<u8>), Option<u64>> {
        let mut outbox = locked(&self.outbox);
        let Some(first) = outbox.waiting.first_entry() else { return Err(None) };
        let at = first.key().0.at;
        if at > now {
            return Err(Some(at));
        }
        let (channel, payload) = first.remove();
        if let Some(count) = outbox.waiting_by_channel.get_mut(&channel) {
            *count = count.saturating_sub(1);
        }
        Ok((channel, payload))
    }
}

impl Wires {
    /// The wires of a host to these peers, all down.
    pub(super) fn new(
        hand: Hand,
        peers: &BTreeSet<NodeId>,
        events: mpsc::Sender<TransportEvent>,
    ) -> Arc<Self> {
        let peer = |id: &NodeId| (*id, Peer::new(*id, turmoil::lookup(id.to_string())));
        Arc::new(Self {
            peers: peers.iter().filter(|id| **id != hand.me).map(peer).collect(),
            hand,
            limits: Limits::default(),
            events,
            last: Mutex::default(),
        })
    }

    /// Shows a message to the oracles when it leaves for the first of its receivers. Whether it can travel to this one.
    fn show(&self, to: NodeId, channel: Channel, payload: &[u8]) -> bool {
        let mut last = locked(&self.last);
        if last.as_ref().is_none_or(|(bytes, _)| bytes != payload) {
            if let Err(sent) = self.hand.count_sent() {
                self.hand.fail(format!("{} sent {sent} messages within a second", self.hand.me));
            }
            match Message::decode(channel, payload) {
                Ok(message) => {
                    let words =
                        Seen::Sent { message: Some(Box::new(message.clone())), bytes: payload.to_vec() };
                    self.hand.show(words);
                    *last = Some((payload.to_vec(), message));
                }
                Err(error) => self.hand.fail(format!("{} sent what does not decode: {error}", self.hand.me)),
            }
        }
        let Some((_, message)) = &*last else { return false };
        let link = (self.hand.me, to);
        let lost = self.hand.with(|stage, now| {
            stage.plan_time(now).is_some_and(|now| loses(&stage.plan.filters, now, link, message))
        });
        lost == Some(false)
    }

    /// Gives a frame to the connection with a peer, if there is one, by way of the plan's weather.
    pub(super) fn post(&self, to: NodeId, channel: Channel, payload: &[u8]) {
        let Some(peer) = self.peers.get(&to) else {
            return self.hand.fail(format!("{} sends to {to}", self.hand.me));
        };
        if !peer.is_up() {
            return;
        }
        let arrivals = self.hand.with(|stage, now| stage.weather.route(now, (self.hand.me, to, channel)));
        let most = *self.limits.queue_frames.get(channel);
        for arrival in arrivals.unwrap_or_default() {
            peer.push(arrival, channel, payload.to_vec(), most);
        }
    }
}

impl Transport for Wires {
    fn send(&self, to: NodeId, channel: Channel, payload: Vec<u8>) {
        if self.hand.effect() && !self.betray(to, channel, &payload) && self.show(to, channel, &payload) {
            self.post(to, channel, &payload);
        }
    }

    fn ban(&self, peer: NodeId, until: Timestamp) {
        self.hand.show(Seen::Banned(peer));
        let Some(peer) = self.peers.get(&peer) else { return };
        *locked(&peer.banned_until) = Some(until);
        if let Some(stop) = &*locked(&peer.newest) {
            stop.cancel();
        }
    }
}
