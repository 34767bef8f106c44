//! Every bound of the transport, with its reason.

use std::time::Duration;

use super::Channel;

/// One value for each channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerChannel<T> {
    /// Value for [`Channel::MpcRounds`].
    pub mpc_rounds: T,
    /// Value for [`Channel::StateSync`].
    pub state_sync: T,
    /// Value for [`Channel::Heartbeats`].
    pub heartbeats: T,
    /// Value for [`Channel::Events`].
    pub events: T,
}

impl<T> PerChannel<T> {
    /// Makes the value of each channel.
    pub fn from_fn(mut make: impl FnMut(Channel) -> T) -> Self {
        Self {
            mpc_rounds: make(Channel::MpcRounds),
            state_sync: make(Channel::StateSync),
            heartbeats: make(Channel::Heartbeats),
            events: make(Channel::Events),
        }
    }

    /// The value of one channel.
    #[must_use]
    pub fn get(&self, channel: Channel) -> &T {
        match channel {
            Channel::MpcRounds => &self.mpc_rounds,
            Channel::StateSync => &self.state_sync,
            Channel::Heartbeats => &self.heartbeats,
            Channel::Events => &self.events,
        }
    }

    /// The value of one channel, to change it.
    pub fn get_mut(&mut self, channel: Channel) -> &mut T {
        match channel {
            Channel::MpcRounds => &mut self.mpc_rounds,
            Channel::StateSync => &mut self.state_sync,
            Channel::Heartbeats => &mut self.heartbeats,
            Channel::Events => &mut self.events,
        }
    }
}

/// Bounds of memory and time. All nodes of a cluster must agree on [`Limits::max_frame`]; the rest is local.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload of one frame in bytes; a larger announcement closes the connection.
    pub max_frame: PerChannel<u32>,
    /// Outbound frames waiting for one peer.
    pub queue_frames: PerChannel<usize>,
    /// Outbound payload bytes waiting for one peer; must hold at least one largest frame.
    pub queue_bytes: PerChannel<usize>,
    /// From the first validated packet to an admitted connection.
    pub handshake: Duration,
    /// Connections not yet admitted, from all addresses together.
    pub max_handshakes: usize,
    /// Connections not yet admitted from one IP address, so that one host cannot take all places.
    pub max_handshakes_per_ip: usize,
    /// Silence after which a keep-alive is sent.
    pub keep_alive: Duration,
    /// Silence after which the peer counts as gone. At least twice [`Limits::keep_alive`], so that one lost packet is no outage.
    pub idle: Duration,
    /// First upper bound of the random wait between two dials; doubles with each failure.
    pub backoff_min: Duration,
    /// Last upper bound of that wait. With `handshake` it bounds how long a peer that came back stays unseen.
    pub backoff_max: Duration,
    /// How long [`super::Quic::shutdown`] waits for the peers to hear the goodbye.
    pub shutdown: Duration,
    /// Between two looks at our certificate files and at the certificates of connected peers: so long may an expired or no longer
    /// trusted one stay unnoticed.
    pub certificate_check: Duration,
}

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

impl Default for Limits {
    fn default() -> Self {
        let max_frame =
            PerChannel { mpc_rounds: MIB, state_sync: MIB, heartbeats: 4 * KIB, events: 256 * KIB };
        Self {
            max_frame,
            // Thousands of small round messages fit; only the byte bound matters for large ones.
            queue_frames: PerChannel { mpc_rounds: 4096, state_sync: 256, heartbeats: 8, events: 1024 },
            queue_bytes: PerChannel {
                mpc_rounds: 8 << 20,
                state_sync: 4 << 20,
                heartbeats: 32 << 10,
                events: 2 << 20,
            },
            handshake: Duration::from_secs(2),
            max_handshakes: 64,
            max_handshakes_per_ip: 16,
            keep_alive: Duration::from_millis(500),
            idle: Duration::from_secs(2),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_millis(1500),
            shutdown: Duration::from_secs(1),
            certificate_check: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// Names the first bound that contradicts another, in words for the operator.
    pub(super) fn check(&self) -> Result<(), String> {
        for channel in Channel::ALL {
            let name = channel.name();
            let (frame, bytes) = (*self.max_frame.get(channel), *self.queue_bytes.get(channel));
            if frame == 0 || *self.queue_frames.get(channel) == 0 {
                return Err(format!("{name}: max_frame and queue_frames must be above zero"));
            }
            if bytes < frame as usize {
                return Err(format!(
                    "{name}: queue_bytes {bytes} is below max_frame {frame}; no largest frame could ever be sent"
                ));
            }
        }
        if self.idle < self.keep_alive * 2 {
            return Err(format!(
                "idle {:?} is below twice keep_alive {:?}; one lost packet would end a connection",
                self.idle, self.keep_alive
            ));
        }
        if self.max_handshakes == 0 || self.max_handshakes_per_ip == 0 {
            return Err("max_handshakes and max_handshakes_per_ip must be above zero".into());
        }
        if self.certificate_check.is_zero() {
            return Err("certificate_check must be above zero".into());
        }
        if self.backoff_min.is_zero() || self.backoff_max < self.backoff_min {
            return Err(format!(
                "backoff_min {:?} must be above zero and at most backoff_max {:?}",
                self.backoff_min, self.backoff_max
            ));
        }
        Ok(())
    }

    /// Bytes that one stream may have under way: one largest frame of any channel and a little of the next.
    pub(super) fn stream_window(&self) -> u32 {
        Channel::ALL
            .iter()
            .map(|channel| *self.max_frame.get(*channel))
            .max()
            .unwrap_or(MIB)
            .saturating_add(256 * KIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_limits_do_not_contradict_each_other() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn queue_smaller_than_a_frame_is_refused_by_name() {
        let mut limits = Limits::default();
        limits.queue_bytes.events = 10;
        assert!(limits.check().is_err_and(|why| why.starts_with("events: queue_bytes 10")));
    }
}
