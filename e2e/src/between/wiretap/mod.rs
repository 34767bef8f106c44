//! Reads everything that real nodes say to each other.
//!
//! Nodes encrypt. So every pair talks through a line of this process, which holds both nodes' certificates: to each of
//! the two it is the other, it passes every frame on as it came, and shows it to a [`Reading`]. The nodes run unchanged;
//! they only find their peers at other addresses, in manifests of their own.

mod line;
mod reading;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use tokio::runtime::Runtime;

use line::Line;
pub use reading::{Reading, Use};

use crate::cluster::PortBlock;

/// Lines between all pairs of a cluster, and what was said on them. Dropping it cuts them.
pub struct Wiretap {
    reading: Arc<Mutex<Reading>>,
    /// By pair, the lower first: where the higher listens, and the door that leads there.
    lines: BTreeMap<(u16, u16), (SocketAddr, SocketAddr)>,
    _ports: PortBlock,
    _runtime: Runtime,
}

impl Wiretap {
    /// Lays a line between every two of the `nodes` whose certificates lie in `certs`. Node N listens at `quic` plus N.
    pub(super) fn lay(certs: &Path, nodes: u16, quic: u16) -> anyhow::Result<Self> {
        let pairs =
            || (1..=nodes).flat_map(|low| (low.saturating_add(1)..=nodes).map(move |high| (low, high)));
        let ports = PortBlock::reserve(u16::try_from(pairs().count())?)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let reading = Arc::new(Mutex::new(Reading::default()));
        let mut lines = BTreeMap::new();
        for ((low, high), port) in pairs().zip(ports.base().saturating_add(1)..) {
            let door = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let behind = SocketAddr::from((Ipv4Addr::LOCALHOST, quic.saturating_add(high)));
            let line = Line::new(certs, (low, high), door, behind, Arc::clone(&reading));
            let near = runtime.block_on(async { line.open() }).context("a tapped line")?;
            runtime.spawn(line.keep(near));
            lines.insert((low, high), (behind, door));
        }
        Ok(Self { reading, lines, _ports: ports, _runtime: runtime })
    }

    /// Where `node` must dial each of its peers, by the address that the peer listens at.
    pub(super) fn dialled_by(&self, node: u16) -> Vec<(SocketAddr, SocketAddr)> {
        let dialled = self.lines.iter().filter(|((low, _), _)| *low == node);
        dialled.map(|(_, (behind, door))| (*behind, *door)).collect()
    }

    /// Looks into what has been read so far.
    pub fn read<T>(&self, look: impl FnOnce(&Reading) -> T) -> T {
        look(&self.reading.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
