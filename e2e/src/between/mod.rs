//! What may stand between the nodes of a cluster, in the test's process.
//!
//! Of two nodes the lower dials the higher. A manifest of its own tells it another address for that: that of a line, which
//! leads to the higher node. [`Wires`] carry sealed datagrams, and can be cut; a [`Wiretap`] opens them, and reads.

mod wires;
mod wiretap;

use std::net::SocketAddr;
use std::path::Path;

pub use wires::{Traffic, Weather, Wires};
pub use wiretap::{Reading, Use, Wiretap};

/// What is to stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// Nothing: nodes reach each other directly.
    Nothing,
    /// [`Wires`].
    Wires,
    /// A [`Wiretap`].
    Wiretap,
}

/// What stands there.
pub(crate) enum Lines {
    Direct,
    Wires(Wires),
    Tapped(Wiretap),
}

impl Lines {
    /// Lays lines between all nodes. Node N listens at `quic` plus N; its certificate is in `certs`.
    pub(crate) fn lay(between: Between, certs: &Path, quic: u16, nodes: u16) -> anyhow::Result<Self> {
        Ok(match between {
            Between::Nothing => Self::Direct,
            Between::Wires => Self::Wires(Wires::start(quic, nodes)?),
            Between::Wiretap => Self::Tapped(Wiretap::lay(certs, nodes, quic)?),
        })
    }

    /// Where `node` must dial each of its peers instead of the address that the peer listens at.
    pub(crate) fn dialled_by(&self, node: u16) -> Vec<(SocketAddr, SocketAddr)> {
        match self {
            Self::Direct => Vec::new(),
            Self::Wires(wires) => wires.dialled_by(node),
            Self::Tapped(wiretap) => wiretap.dialled_by(node),
        }
    }
}
