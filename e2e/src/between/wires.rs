//! The wires between the nodes of one cluster: a UDP proxy for each pair, in the test's process.
//!
//! Of two nodes the lower dials the higher; it is told the proxy's address instead. Everything between the two then
//! passes here, datagram by datagram, encrypted and authenticated by the nodes themselves, and each direction can be cut,
//! slowed down, or made to lose some. Nodes cannot tell it from a network that does the same.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mpc_wallet_byzantine::rng::Stream;
use tokio::net::UdpSocket;
use tokio::runtime::Runtime;

/// Larger than any datagram.
const DATAGRAM: usize = 65_536;
/// Of the draws about loss: the network's bad luck is the same in every run, datagram for datagram.
const SEED: u64 = 5;

/// What happens to datagrams in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weather {
    /// Nothing arrives.
    pub cut: bool,
    /// Each arrives so much later.
    pub delay: Duration,
    /// Chance that one is lost, in parts per million.
    pub loss: u32,
}

/// What has become of the datagrams in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Handed on.
    pub carried: u64,
    /// Cut or lost.
    pub dropped: u64,
}

/// All wires of a cluster. Dropping it ends them.
pub struct Wires {
    wires: BTreeMap<(u16, u16), Arc<Wire>>,
    addresses: BTreeMap<u16, SocketAddr>,
    // Its tasks own the sockets.
    _runtime: Runtime,
}

/// Both directions between two nodes.
struct Wire {
    /// Where the lower node dials.
    front: UdpSocket,
    /// Connected to the higher node.
    back: UdpSocket,
    up: Direction,
    down: Direction,
}

/// From one node to another.
struct Direction(Mutex<State>);

struct State {
    weather: Weather,
    traffic: Traffic,
    luck: Stream,
}

impl Direction {
    fn new(from: u16, to: u16) -> Self {
        let luck = Stream::new(SEED, &format!("network/{from}-{to}"));
        Self(Mutex::new(State { weather: Weather::default(), traffic: Traffic::default(), luck }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After how long the next datagram arrives; `None`: never.
    fn next(&self) -> Option<Duration> {
        let state = &mut *self.state();
        let lost = state.weather.cut || state.luck.chance(state.weather.loss);
        let count = if lost { &mut state.traffic.dropped } else { &mut state.traffic.carried };
        *count = count.saturating_add(1);
        (!lost).then_some(state.weather.delay)
    }
}

impl Wires {
    /// Lays wires between nodes 1 to `nodes`, of which node N listens at `base` plus N.
    pub(super) fn start(base: u16, nodes: u16) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let address = |id: u16| (id, SocketAddr::from((Ipv4Addr::LOCALHOST, base.saturating_add(id))));
        let addresses: BTreeMap<u16, SocketAddr> = (1..=nodes).map(address).collect();
        let mut wires = BTreeMap::new();
        for (high, target) in &addresses {
            for low in 1..*high {
                let wire = runtime.block_on(Wire::lay(low, *high, *target))?;
                runtime.spawn(carry(Arc::clone(&wire)));
                wires.insert((low, *high), wire);
            }
        }
        Ok(Self { wires, addresses, _runtime: runtime })
    }

    /// Where `node` must dial each of its peers, by the address that the peer listens at.
    pub(super) fn dialled_by(&self, node: u16) -> Vec<(SocketAddr, SocketAddr)> {
        let dialled = self.wires.iter().filter(|((low, _), _)| *low == node);
        dialled
            .filter_map(|((_, high), wire)| Some((*self.addresses.get(high)?, wire.front.local_addr().ok()?)))
            .collect()
    }

    /// Changes the weather from one node to another.
    pub fn set(&self, from: u16, to: u16, weather: Weather) {
        if let Some(direction) = self.direction(from, to) {
            direction.state().weather = weather;
        }
    }

    /// Changes the weather everywhere.
    pub fn set_all(&self, weather: Weather) {
        for wire in self.wires.values() {
            for direction in [&wire.up, &wire.down] {
                direction.state().weather = weather;
            }
        }
    }

    /// Cuts both directions between these nodes and all others.
    pub fn isolate(&self, nodes: &[u16]) {
        for (low, high) in self.wires.keys() {
            if nodes.contains(low) != nodes.contains(high) {
                self.set(*low, *high, Weather { cut: true, ..Weather::default() });
                self.set(*high, *low, Weather { cut: true, ..Weather::default() });
            }
        }
    }

    /// Good weather everywhere.
    pub fn heal(&self) {
        self.set_all(Weather::default());
    }

    /// What has become of the datagrams from one node to another.
    pub fn traffic(&self, from: u16, to: u16) -> Traffic {
        self.direction(from, to).map(|direction| direction.state().traffic).unwrap_or_default()
    }

    fn direction(&self, from: u16, to: u16) -> Option<&Direction> {
        let wire = self.wires.get(&(from.min(to), from.max(to)))?;
        Some(if from < to { &wire.up } else { &wire.down })
    }
}

impl Wire {
    async fn lay(low: u16, high: u16, target: SocketAddr) -> std::io::Result<Arc<Self>> {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        back.connect(target).await?;
        Ok(Arc::new(Self { front, back, up: Direction::new(low, high), down: Direction::new(high, low) }))
    }

    /// Hands a datagram on; errors (nobody listens, a buffer is full) are losses, which UDP knows.
    async fn hand_on(&self, bytes: &[u8], to_front: Option<SocketAddr>) {
        let _ = match to_front {
            Some(caller) => self.front.send_to(bytes, caller).await,
            None => self.back.send(bytes).await,
        };
    }
}

/// Carries datagrams both ways, for ever.
async fn carry(wire: Arc<Wire>) {
    let (mut up, mut down) = (vec![0; DATAGRAM], vec![0; DATAGRAM]);
    let mut caller = None;
    loop {
        let (bytes, after, to_front) = tokio::select! {
            heard = wire.front.recv_from(&mut up) => {
                let Ok((length, from)) = heard else { continue };
                caller = Some(from);
                (up.get(..length), wire.up.next(), None)
            }
            // An error says that nobody listens there now.
            heard = wire.back.recv(&mut down) => {
                let Ok(length) = heard else { continue };
                if caller.is_none() {
                    continue;
                }
                (down.get(..length), wire.down.next(), caller)
            }
        };
        let (Some(bytes), Some(after)) = (bytes, after) else { continue };
        if after.is_zero() {
            wire.hand_on(bytes, to_front).await;
        } else {
            let (wire, bytes) = (Arc::clone(&wire), bytes.to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                wire.hand_on(&bytes, to_front).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use std::net::UdpSocket;

    use super::*;
    use crate::cluster::PortBlock;

    /// Sends `count` datagrams each way between nodes 1 and 2, and counts what arrives: up, down.
    fn exchange(wires: &Wires, low: &UdpSocket, high: &UdpSocket, count: u64) -> [u64; 2] {
        let wire = wires.dialled_by(1)[0].1;
        let before = [wires.traffic(1, 2), wires.traffic(2, 1)];
        let mut buffer = [0; 16];
        let mut arrived = [0, 0];
        for _ in 0..count {
            low.send_to(b"up", wire).unwrap();
            if let Ok((_, from)) = high.recv_from(&mut buffer) {
                arrived[0] += 1;
                high.connect(from).unwrap();
            }
            high.send(b"down").unwrap();
            arrived[1] += u64::from(low.recv(&mut buffer).is_ok());
        }
        let after = [wires.traffic(1, 2), wires.traffic(2, 1)];
        let carried = [after[0].carried - before[0].carried, after[1].carried - before[1].carried];
        assert_eq!(carried, arrived);
        assert_eq!(after[0].dropped - before[0].dropped, count - arrived[0]);
        arrived
    }

    #[test]
    fn a_wire_carries_cuts_each_direction_alone_and_loses_a_share() {
        let ports = PortBlock::reserve(2).unwrap();
        let wires = Wires::start(ports.base(), 2).unwrap();
        let [low, high] = [1, 2].map(|id| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, ports.base() + id)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            socket
        });
        assert_eq!(exchange(&wires, &low, &high, 20), [20, 20]);
        wires.set(1, 2, Weather { cut: true, ..Weather::default() });
        assert_eq!(exchange(&wires, &low, &high, 3), [0, 3]);
        wires.heal();
        wires.isolate(&[2]);
        assert_eq!(exchange(&wires, &low, &high, 3), [0, 0]);
        wires.set_all(Weather { loss: 500_000, ..Weather::default() });
        let lossy = exchange(&wires, &low, &high, 20);
        assert!(lossy.iter().all(|arrived| (2..=18).contains(arrived)), "{lossy:?}");
        wires.heal();
        assert_eq!(exchange(&wires, &low, &high, 3), [3, 3]);
    }
}
