//! Ports for clusters that run at once, in this process and in others.
//!
//! A block of ports belongs to whoever holds its first TCP port open. The blocks lie below the range from which
//! systems take ports for outgoing connections, so nobody gets one by chance.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Context as _;

/// First port of the first block, above well-known services.
const FIRST: u16 = 20_000;
/// Ports of a block; a cluster may have one node less.
const BLOCK: u16 = 32;
/// Number of blocks: they end at 32,000, below Linux's 32,768.
const BLOCKS: u16 = 375;

/// A block of ports: the guard, then one for each node.
pub struct PortBlock {
    base: u16,
    _guard: TcpListener,
}

impl PortBlock {
    /// Node N may use this plus N, for TCP and for UDP.
    pub fn base(&self) -> u16 {
        self.base
    }

    /// Reserves a port for each node. Errors when no block is free.
    pub fn reserve(nodes: u16) -> anyhow::Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        anyhow::ensure!(nodes < BLOCK, "{nodes} nodes do not fit a block of {BLOCK} ports");
        // Processes begin at different places, so that they seldom try the same blocks.
        let start = u16::try_from(std::process::id() % u32::from(BLOCKS))?;
        for _ in 0..BLOCKS {
            let turn = NEXT.fetch_add(1, Ordering::Relaxed) % BLOCKS;
            let block = (start + turn) % BLOCKS;
            let base = FIRST + block * BLOCK;
            let Ok(guard) = TcpListener::bind((Ipv4Addr::LOCALHOST, base)) else { continue };
            if check_free(base, base, nodes).is_ok() {
                return Ok(Self { base, _guard: guard });
            }
        }
        anyhow::bail!("no {nodes} neighbouring ports from {FIRST} on are free")
    }
}

/// Where node `id` answers probes and scrapes: in the second half of the block whose first half its API is in. Errors for a
/// cluster too large for that.
pub(super) fn operations(rest: u16, id: u16) -> anyhow::Result<SocketAddr> {
    const HALF: u16 = BLOCK / 2;
    anyhow::ensure!(id < HALF, "only {} nodes can have a listener for operations", HALF - 1);
    let port = rest.checked_add(HALF + id).context("such a port does not exist; choose a lower base port")?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// Checks that every node's ports are free. Errors with the first that is not, and what to do.
pub(super) fn check_free(rest: u16, quic: u16, nodes: u16) -> anyhow::Result<()> {
    let port = |base: u16, id: u16| {
        base.checked_add(id)
            .with_context(|| format!("port {base} + {id} does not exist; choose a lower base port"))
    };
    for id in 1..=nodes {
        let tcp = port(rest, id)?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, tcp)).with_context(|| {
            format!(
                "TCP port {tcp} (REST of node {id}) is in use; stop what uses it \
                 (`ss -tlnp sport = :{tcp}` names it) or choose other ports (devnet: --rest-base-port)"
            )
        })?;
        let udp = port(quic, id)?;
        UdpSocket::bind((Ipv4Addr::LOCALHOST, udp)).with_context(|| {
            format!(
                "UDP port {udp} (QUIC of node {id}) is in use; stop what uses it \
                 (`ss -ulnp sport = :{udp}` names it) or choose other ports (devnet: --quic-base-port)"
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn two_reservations_never_share_a_port() {
        let (one, two) = (PortBlock::reserve(5).unwrap(), PortBlock::reserve(5).unwrap());
        assert!(one.base().abs_diff(two.base()) >= BLOCK);
    }

    #[test]
    fn a_port_in_use_is_named_with_the_remedy() {
        let reserved = PortBlock::reserve(2).unwrap();
        let port = reserved.base() + 2;
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let error = check_free(reserved.base(), reserved.base(), 2).unwrap_err().to_string();
        assert!(error.contains(&format!("TCP port {port} (REST of node 2) is in use; stop")), "{error}");
    }
}
