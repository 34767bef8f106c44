//! What a peer may send, on each channel: it is refused, or it is exactly what encoding the message gives.

use mpc_wallet_core::{Channel, message::Message};

/// Tries the bytes on every channel.
pub fn target(bytes: &[u8]) {
    let mut taken = 0;
    for channel in Channel::ALL {
        if let Ok(message) = Message::decode(channel, bytes) {
            taken += 1;
            assert_eq!(message.channel(), channel);
            assert_eq!(message.encode().as_deref(), Ok(bytes));
        }
    }
    assert!(taken <= 1, "one message on two channels");
}
