//! The bytes of one connection: production's channel streams, side by side, and signs of life.
//!
//! ```text
//! piece   stream (1) · length (4, big endian) · bytes
//! ```
//!
//! Stream 0 is a sign of life and empty; the others have the number of their channel, and their bytes are exactly what
//! production writes on that channel's QUIC stream. QUIC keeps streams apart and connections alive by itself; on TCP this
//! layer does.

use mpc_wallet_core::Channel;
use mpc_wallet_shell::quic::{
    Limits, PerChannel,
    frame::{self, Decoded, Decoder},
};

/// Bytes before each piece.
const HEADER: usize = 5;

/// A sign of life.
pub(super) const SIGN_OF_LIFE: [u8; HEADER] = [0; HEADER];

/// What arrives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    SignOfLife,
    Frame(Channel, Vec<u8>),
}

/// Writes frames of all channels.
#[derive(Default)]
pub(super) struct Encoder {
    opened: PerChannel<bool>,
}

impl Encoder {
    /// The piece that carries a frame; the first of its channel opens the stream.
    pub(super) fn frame(&mut self, channel: Channel, payload: &[u8]) -> Vec<u8> {
        let mut stream = vec![];
        if !std::mem::replace(self.opened.get_mut(channel), true) {
            stream.extend(frame::header(channel));
        }
        stream.extend(length(payload.len()));
        stream.extend(payload);
        let mut piece = vec![frame::channel_number(channel)];
        piece.extend(length(stream.len()));
        piece.extend(stream);
        piece
    }
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

/// Reads pieces of a connection, cut anywhere.
pub(super) struct Parser {
    waiting: Vec<u8>,
    streams: PerChannel<Decoder>,
}

impl Parser {
    pub(super) fn new() -> Self {
        let max = Limits::default().max_frame;
        Self { waiting: vec![], streams: PerChannel::from_fn(|_| Decoder::new(max)) }
    }

    /// Takes what has arrived and gives what is complete.
    ///
    /// # Errors
    /// What is malformed, in words.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Piece>, String> {
        self.waiting.extend(bytes);
        let mut pieces = vec![];
        while let Some((stream, content)) = self.whole() {
            if stream == 0 {
                pieces.push(Piece::SignOfLife);
                continue;
            }
            let channel = Channel::ALL.into_iter().find(|channel| frame::channel_number(*channel) == stream);
            let channel = channel.ok_or_else(|| format!("no stream {stream}"))?;
            let mut content = content.as_slice();
            loop {
                match self.streams.get_mut(channel).next(&mut content).map_err(|e| e.to_string())? {
                    Decoded::NeedMore => break,
                    Decoded::Opened(_) => {}
                    Decoded::Frame(channel, payload) => pieces.push(Piece::Frame(channel, payload)),
                }
            }
        }
        Ok(pieces)
    }

    /// The next piece, if all of it is here.
    fn whole(&mut self) -> Option<(u8, Vec<u8>)> {
        let (header, rest) = self.waiting.split_first_chunk::<HEADER>()?;
        let [stream, length @ ..] = *header;
        let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
        let content = rest.get(..length)?.to_vec();
        self.waiting.drain(..HEADER + length);
        Some((stream, content))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn frames_of_all_channels_and_signs_of_life_survive_any_cut() {
        let mut encoder = Encoder::default();
        let mut bytes = SIGN_OF_LIFE.to_vec();
        bytes.extend(encoder.frame(Channel::Events, b"vote"));
        bytes.extend(encoder.frame(Channel::MpcRounds, &[7; 300]));
        bytes.extend(encoder.frame(Channel::Events, b"again"));
        for cut in 1..bytes.len() {
            let mut parser = Parser::new();
            let pieces: Vec<Piece> =
                bytes.chunks(cut).flat_map(|chunk| parser.feed(chunk).unwrap()).collect();
            assert_eq!(
                pieces,
                [
                    Piece::SignOfLife,
                    Piece::Frame(Channel::Events, b"vote".to_vec()),
                    Piece::Frame(Channel::MpcRounds, vec![7; 300]),
                    Piece::Frame(Channel::Events, b"again".to_vec()),
                ],
                "cut every {cut} bytes"
            );
        }
    }
}
