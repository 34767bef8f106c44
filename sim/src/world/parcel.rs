//! What is on its way: the bytes of a message and, once somebody has opened it, what they say. All copies share it, so a
//! broadcast is decoded once, from its bytes, and not once for each receiver.

use std::cell::OnceCell;

use mpc_wallet_core::{Channel, codec::CodecError, message::Message};

use crate::trace::short_hash;

/// Bytes on a channel.
pub(super) struct Parcel {
    channel: Channel,
    bytes: Vec<u8>,
    opened: OnceCell<(Result<Message, CodecError>, String)>,
}

impl Parcel {
    pub(super) const fn new(channel: Channel, bytes: Vec<u8>) -> Self {
        Self { channel, bytes, opened: OnceCell::new() }
    }

    pub(super) const fn channel(&self) -> Channel {
        self.channel
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What a receiver reads in it, and a short name of the bytes for the trace.
    pub(super) fn open(&self) -> (Result<&Message, &CodecError>, &str) {
        let (message, hash) =
            self.opened.get_or_init(|| (Message::decode(self.channel, &self.bytes), short_hash(&self.bytes)));
        (message.as_ref(), hash)
    }
}
