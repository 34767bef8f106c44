//! A stream of a peer, in one piece and in pieces: the same frames, none above its limit, and no byte left unread.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpc_wallet_shell::quic::{
    PerChannel,
    frame::{Decoded, Decoder, FrameError},
};

const MAX: u32 = 64;

fn read(pieces: impl Iterator<Item = Vec<u8>>) -> (Vec<Decoded>, Option<FrameError>) {
    let mut decoder = Decoder::new(PerChannel::from_fn(|_| MAX));
    let mut found = Vec::new();
    for piece in pieces {
        let mut rest = piece.as_slice();
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

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = read(std::iter::once(bytes.to_vec()));
    let pieces = read(bytes.chunks(usize::from(size).max(1)).map(<[u8]>::to_vec));
    assert_eq!(whole, pieces);
    for decoded in &whole.0 {
        if let Decoded::Frame(_, payload) = decoded {
            assert!((1..=MAX as usize).contains(&payload.len()));
        }
    }
});
