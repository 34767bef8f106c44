//! The transport as the driver's port.

use std::time::{Duration, UNIX_EPOCH};

use mpc_wallet_core::Timestamp;

use super::{Channel, Event, NodeId, Quic};
use crate::ports::{Transport, TransportEvent};

impl Transport for Quic {
    fn send(&self, to: NodeId, channel: Channel, payload: Vec<u8>) {
        Self::send(self, to, channel, payload);
    }

    fn ban(&self, peer: NodeId, until: Timestamp) {
        Self::ban(self, peer, UNIX_EPOCH + Duration::from_millis(until.0));
    }
}

/// The reason of a `Down` is in the log already; the driver does not act on it.
impl From<Event> for TransportEvent {
    fn from(event: Event) -> Self {
        match event {
            Event::Up { peer } => Self::Up(peer),
            Event::Down { peer, reason: _ } => Self::Down(peer),
            Event::Frame { from, channel, payload } => Self::Frame { from, channel, payload },
            Event::Misbehaved { peer, what } => Self::Misbehaved { from: peer, what },
        }
    }
}
