//! The connections to the peers.

use std::collections::BTreeMap;

use prometheus::Error;

use super::Sheet;
use crate::quic::{Channel, NodeId, PeerStats};

/// Shows what is known of each peer's connection, connected or not.
///
/// # Errors
/// If a name is taken.
pub fn show(sheet: &Sheet, stats: &BTreeMap<NodeId, PeerStats>) -> Result<(), Error> {
    let each = |number: fn(&PeerStats) -> u64| {
        stats.iter().map(move |(peer, stats)| ([peer.get().to_string()], number(stats)))
    };
    sheet.gauges(
        ("mpc_wallet_peer_connected", "1 while a peer is connected, else 0."),
        ["node_id"],
        each(|stats| stats.connected.into()),
    )?;
    sheet.counters(
        ("mpc_wallet_peer_connections_total", "Connections of a peer that went into service."),
        ["node_id"],
        each(|stats| stats.connections),
    )?;
    sheet.fractions(
        (
            "mpc_wallet_peer_round_trip_seconds",
            "Smoothed round-trip time of a peer's connection; absent while it has none.",
        ),
        ["node_id"],
        stats.iter().filter_map(|(peer, stats)| Some(([peer.get().to_string()], stats.rtt?.as_secs_f64()))),
    )?;
    sheet.counters(
        (
            "mpc_wallet_peer_dropped_frames_total",
            "Frames for a peer lost to a full queue, a missing connection or their size.",
        ),
        ["node_id", "channel"],
        stats
            .iter()
            .flat_map(|(peer, stats)| by_channel(*peer, |channel| *stats.dropped_frames.get(channel))),
    )?;
    sheet.gauges(
        ("mpc_wallet_peer_queue_frames", "Frames that wait for a peer."),
        ["node_id", "channel"],
        stats.iter().flat_map(|(peer, stats)| by_channel(*peer, |channel| stats.queue.get(channel).frames)),
    )?;
    sheet.gauges(
        ("mpc_wallet_peer_queue_bytes", "Payload bytes of the frames that wait for a peer."),
        ["node_id", "channel"],
        stats.iter().flat_map(|(peer, stats)| by_channel(*peer, |channel| stats.queue.get(channel).bytes)),
    )
}

fn by_channel<T>(peer: NodeId, number: impl Fn(Channel) -> T) -> Vec<([String; 2], T)> {
    let row = |channel: Channel| ([peer.get().to_string(), channel.name().to_owned()], number(channel));
    Channel::ALL.into_iter().map(row).collect()
}
