//! The bytes of one stream: a header that names the channel, then frames.
//!
//! ```text
//! header  "mpcw" (4) · version (1) = 1 · channel (1)
//! frame   length (4, big endian, 1..=limit of the channel) · payload
//! ```
//!
//! [`Decoder`] is pure: bytes in, frames out. It never reserves memory that the peer has only announced: the length is compared
//! with the channel's limit first, and the buffer then grows with the bytes that have arrived.

use super::{Channel, limits::PerChannel};

/// First bytes of every stream.
pub const MAGIC: [u8; 4] = *b"mpcw";
/// Version of header and frames; the ALPN `mpc-wallet/1` says the same before the first stream.
pub const VERSION: u8 = 1;
/// Bytes of the stream header.
pub const HEADER_LEN: usize = 6;
/// Bytes of the length before each payload.
pub const PREFIX_LEN: usize = 4;
/// Reserved at once for a frame whose bytes have not arrived yet.
const FIRST_RESERVE: usize = 16 * 1024;

/// What a peer did wrong in its bytes. Every one of these ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The stream does not start with [`MAGIC`].
    #[error("stream starts with {0:02x?} instead of the magic of this protocol")]
    Magic([u8; 4]),
    /// The stream speaks another version.
    #[error("stream speaks version {0}, this node speaks version {VERSION}")]
    Version(u8),
    /// No channel has this number.
    #[error("stream is for channel {0}, which does not exist")]
    UnknownChannel(u8),
    /// A frame without payload means nothing.
    #[error("empty frame on {}", .0.name())]
    Empty(Channel),
    /// The announced payload is above the limit.
    #[error("frame of {len} bytes on {} is above its limit of {max} bytes", .channel.name())]
    Oversized {
        /// Where it came.
        channel: Channel,
        /// Announced bytes.
        len: u32,
        /// Allowed bytes.
        max: u32,
    },
}

/// The channel's number on the wire. Never reused for another meaning.
#[must_use]
pub fn channel_number(channel: Channel) -> u8 {
    match channel {
        Channel::MpcRounds => 1,
        Channel::StateSync => 2,
        Channel::Heartbeats => 3,
        Channel::Events => 4,
    }
}

/// The header that opens a stream for `channel`.
#[must_use]
pub fn header(channel: Channel) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = MAGIC;
    [a, b, c, d, VERSION, channel_number(channel)]
}

/// Reads a stream header.
///
/// # Errors
/// Foreign magic, another version, unknown channel.
pub fn parse_header(header: [u8; HEADER_LEN]) -> Result<Channel, FrameError> {
    let [a, b, c, d, version, number] = header;
    if [a, b, c, d] != MAGIC {
        return Err(FrameError::Magic([a, b, c, d]));
    }
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    Channel::ALL
        .into_iter()
        .find(|channel| channel_number(*channel) == number)
        .ok_or(FrameError::UnknownChannel(number))
}

/// Reads a length prefix and holds it against the channel's limit.
///
/// # Errors
/// Zero, or above `max`.
pub fn parse_length(channel: Channel, prefix: [u8; PREFIX_LEN], max: u32) -> Result<usize, FrameError> {
    let len = u32::from_be_bytes(prefix);
    if len == 0 {
        return Err(FrameError::Empty(channel));
    }
    if len > max {
        return Err(FrameError::Oversized { channel, len, max });
    }
    usize::try_from(len).map_err(|_| FrameError::Oversized { channel, len, max })
}

/// What one call of [`Decoder::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// All bytes are consumed; more are needed.
    NeedMore,
    /// The header is complete. Comes exactly once, first.
    Opened(Channel),
    /// One whole frame.
    Frame(Channel, Vec<u8>),
}

/// Reads one stream, in pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    max: PerChannel<u32>,
    state: State,
}

#[derive(Debug)]
enum State {
    Header(Fixed<HEADER_LEN>),
    Prefix(Channel, Fixed<PREFIX_LEN>),
    Payload { channel: Channel, len: usize, payload: Vec<u8> },
}

impl Decoder {
    /// A decoder at the start of a stream, with the largest payload of each channel.
    #[must_use]
    pub fn new(max: PerChannel<u32>) -> Self {
        Self { max, state: State::Header(Fixed::new()) }
    }

    /// Consumes bytes from the front of `input` up to the next thing worth reporting.
    ///
    /// # Errors
    /// The first malformed header or length; the stream means nothing after it.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Decoded, FrameError> {
        loop {
            match &mut self.state {
                State::Header(bytes) => {
                    let Some(header) = bytes.fill(input) else { return Ok(Decoded::NeedMore) };
                    let channel = parse_header(header)?;
                    self.state = State::Prefix(channel, Fixed::new());
                    return Ok(Decoded::Opened(channel));
                }
                State::Prefix(channel, bytes) => {
                    let Some(prefix) = bytes.fill(input) else { return Ok(Decoded::NeedMore) };
                    let channel = *channel;
                    let len = parse_length(channel, prefix, *self.max.get(channel))?;
                    let payload = Vec::with_capacity(len.min(FIRST_RESERVE));
                    self.state = State::Payload { channel, len, payload };
                }
                State::Payload { channel, len, payload } => {
                    payload.extend_from_slice(take(input, *len - payload.len()));
                    if payload.len() < *len {
                        return Ok(Decoded::NeedMore);
                    }
                    let frame = Decoded::Frame(*channel, std::mem::take(payload));
                    self.state = State::Prefix(*channel, Fixed::new());
                    return Ok(frame);
                }
            }
        }
    }
}

/// Splits at most `n` bytes off the front.
fn take<'a>(input: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (head, rest) = input.split_at(n.min(input.len()));
    *input = rest;
    head
}

/// A field of `N` bytes that may arrive in pieces.
#[derive(Debug)]
struct Fixed<const N: usize> {
    bytes: [u8; N],
    have: usize,
}

impl<const N: usize> Fixed<N> {
    fn new() -> Self {
        Self { bytes: [0; N], have: 0 }
    }

    fn fill(&mut self, input: &mut &[u8]) -> Option<[u8; N]> {
        for byte in take(input, N - self.have) {
            if let Some(place) = self.bytes.get_mut(self.have) {
                *place = *byte;
                self.have += 1;
            }
        }
        (self.have == N).then_some(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::super::limits::Limits;
    use super::*;

    fn stream(channel: Channel, payloads: &[&[u8]]) -> Vec<u8> {
        let mut bytes = header(channel).to_vec();
        for payload in payloads {
            bytes.extend((payload.len() as u32).to_be_bytes());
            bytes.extend(*payload);
        }
        bytes
    }

    fn decode_in_pieces(bytes: &[u8], piece: usize) -> Result<Vec<Decoded>, FrameError> {
        let mut decoder = Decoder::new(Limits::default().max_frame);
        let mut found = Vec::new();
        for mut chunk in bytes.chunks(piece) {
            loop {
                match decoder.next(&mut chunk)? {
                    Decoded::NeedMore => break,
                    what @ (Decoded::Opened(_) | Decoded::Frame(..)) => found.push(what),
                }
            }
            assert!(chunk.is_empty(), "NeedMore means that everything is consumed");
        }
        Ok(found)
    }

    #[test]
    fn frames_survive_any_cut_of_the_stream() {
        let bytes = stream(Channel::Events, &[b"a", b"second", &[7; 300]]);
        for piece in 1..bytes.len() {
            let found = decode_in_pieces(&bytes, piece).unwrap();
            assert_eq!(found.len(), 4, "cut every {piece} bytes");
            assert_eq!(found[0], Decoded::Opened(Channel::Events));
            assert_eq!(found[3], Decoded::Frame(Channel::Events, vec![7; 300]));
        }
    }

    #[test]
    fn every_channel_reads_back_from_its_header() {
        for channel in Channel::ALL {
            assert_eq!(parse_header(header(channel)), Ok(channel));
        }
        assert_eq!(header(Channel::MpcRounds), *b"mpcw\x01\x01", "the wire format is fixed");
    }

    #[test]
    fn malformed_streams_are_refused_with_the_reason() {
        let oversized = {
            let mut bytes = header(Channel::Heartbeats).to_vec();
            bytes.extend(4097u32.to_be_bytes());
            bytes
        };
        let cases: [(&str, Vec<u8>, FrameError); 5] = [
            ("foreign protocol", b"GET / HTTP".to_vec(), FrameError::Magic(*b"GET ")),
            ("future version", b"mpcw\x02\x01".to_vec(), FrameError::Version(2)),
            ("channel zero", b"mpcw\x01\x00".to_vec(), FrameError::UnknownChannel(0)),
            ("empty frame", stream(Channel::Events, &[b""]), FrameError::Empty(Channel::Events)),
            (
                "one byte too long",
                oversized,
                FrameError::Oversized { channel: Channel::Heartbeats, len: 4097, max: 4096 },
            ),
        ];
        for (desc, bytes, error) in cases {
            for piece in [1, 3, bytes.len()] {
                assert_eq!(decode_in_pieces(&bytes, piece), Err(error), "{desc}");
            }
        }
    }

    #[test]
    fn announced_length_reserves_no_memory_before_bytes_arrive() {
        let mut decoder = Decoder::new(Limits::default().max_frame);
        let mut bytes = header(Channel::StateSync).to_vec();
        bytes.extend((1u32 << 20).to_be_bytes());
        let mut input = bytes.as_slice();
        decoder.next(&mut input).unwrap();
        assert_eq!(decoder.next(&mut input), Ok(Decoded::NeedMore));
        let State::Payload { payload, .. } = &decoder.state else { panic!("expected a payload") };
        assert!(payload.capacity() <= FIRST_RESERVE);
    }
}
