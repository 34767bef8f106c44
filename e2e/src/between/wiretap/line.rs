//! One line between two nodes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use mpc_wallet_core::{Channel, NodeId};
use mpc_wallet_shell::quic::{Event, Limits, Quic, QuicConfig, QuicError, TlsFiles};
use tokio::sync::mpsc::{self, Receiver};

use super::Reading;

/// Frames that wait to be passed on.
const WAITING: usize = 1_024;
/// Until the dialled node must have taken the dialler's connection.
const THROUGH_WITHIN: Duration = Duration::from_secs(2);

/// A line: `low` dials `door` and finds `high`'s certificate there; at `behind`, `high` finds `low`'s.
pub(super) struct Line {
    certs: PathBuf,
    low: NodeId,
    high: NodeId,
    door: SocketAddr,
    behind: SocketAddr,
    reading: Arc<Mutex<Reading>>,
}

/// One end of the line and what it hears.
pub(super) struct End {
    quic: Quic,
    events: Receiver<Event>,
}

impl Line {
    pub(super) fn new(
        certs: &Path,
        (low, high): (u16, u16),
        door: SocketAddr,
        behind: SocketAddr,
        reading: Arc<Mutex<Reading>>,
    ) -> Self {
        let (low, high) = (NodeId::new(low), NodeId::new(high));
        Self { certs: certs.to_owned(), low, high, door, behind, reading }
    }

    /// Opens the end that `low` dials.
    pub(super) fn open(&self) -> Result<End, QuicError> {
        self.end(self.high, self.door, (self.low, self.door))
    }

    fn end(
        &self,
        me: NodeId,
        listen: SocketAddr,
        (peer, address): (NodeId, SocketAddr),
    ) -> Result<End, QuicError> {
        let file = |name: String| self.certs.join(name);
        let tls = TlsFiles {
            ca: file("ca.crt".to_owned()),
            cert: file(format!("node{}.crt", me.get())),
            key: file(format!("node{}.key", me.get())),
        };
        let peers = BTreeMap::from([(peer, address.to_string())]);
        let (tell, events) = mpsc::channel(WAITING);
        let quic = Quic::start(QuicConfig { me, listen, peers, tls, limits: Limits::default() }, tell)?;
        Ok(End { quic, events })
    }

    /// Joins the two whenever both are there. Neither is told that the other is, while it is not.
    pub(super) async fn keep(self, mut near: End) {
        while let Some(event) = near.events.recv().await {
            if !matches!(event, Event::Up { .. }) {
                continue;
            }
            if self.somebody_listens()
                && let Ok(far) = self.end(self.low, (Ipv4Addr::LOCALHOST, 0).into(), (self.high, self.behind))
            {
                self.join(&mut near, far).await;
            }
            near.quic.ban(self.low, SystemTime::now());
        }
    }

    /// Passes on until one of the two has gone.
    async fn join(&self, near: &mut End, mut far: End) {
        let up = tokio::time::timeout(THROUGH_WITHIN, async {
            while let Some(event) = far.events.recv().await {
                if matches!(event, Event::Up { .. }) {
                    return true;
                }
            }
            false
        });
        if up.await != Ok(true) {
            return;
        }
        loop {
            let (event, to, end) = tokio::select! {
                event = near.events.recv() => (event, self.high, &far),
                event = far.events.recv() => (event, self.low, &*near),
            };
            match event {
                Some(Event::Frame { from, channel, payload }) => self.pass(end, (from, to), channel, payload),
                Some(Event::Up { .. } | Event::Down { .. } | Event::Misbehaved { .. }) | None => return,
            }
        }
    }

    fn pass(&self, end: &End, (from, to): (NodeId, NodeId), channel: Channel, payload: Vec<u8>) {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner).hear(from, channel, &payload);
        end.quic.send(to, channel, payload);
    }

    /// Whether the dialled node's socket is open.
    fn somebody_listens(&self) -> bool {
        UdpSocket::bind(self.behind).is_err()
    }
}
