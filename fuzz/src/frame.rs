//! A stream of a peer, in one piece and in pieces: the same frames, none above its limit, and no byte left unread.

use mpc_wallet_shell::quic::{
    PerChannel,
    frame::{Decoded, Decoder, FrameError},
};

const MAX: u32 = 64;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Decoded>, Option<FrameError>) {
    let mut decoder = Decoder::new(PerChannel::from_fn(|_| MAX));
    let mut found = Vec::new();
    for piece in pieces {
        let mut rest = piece;
        loop {
            match decoder.next(&mut rest) {
                Ok(Decoded::NeedMore) => break,
                Ok(decoded) => found.push(decoded),
                Err(error) => return (found, Some(error)),
            }
        }
        assert!(rest.is_empty(), "more is needed, yet bytes are left");
    }
    (found, None)
}

/// Reads a stream; the first byte is the size of the pieces it comes in.
pub fn target(bytes: &[u8]) {
    let Some((&size, stream)) = bytes.split_first() else { return };
    let whole = read(std::iter::once(stream));
    let pieces = read(stream.chunks(usize::from(size).max(1)));
    assert_eq!(whole, pieces);
    for decoded in &whole.0 {
        if let Decoded::Frame(_, payload) = decoded {
            assert!((1..=MAX as usize).contains(&payload.len()));
        }
    }
}
