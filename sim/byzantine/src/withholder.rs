//! Votes, joins, commits, and never lets its share go; what it finishes alone it keeps to itself.

use mpc_wallet_core::{NodeId, Timestamp, message::Message};

use crate::{Deviant, Speech, bundles_mut, plain};

pub(super) struct Withholder;

impl Deviant for Withholder {
    fn edit(&mut self, _: Timestamp, to: NodeId, mut message: Message) -> Speech {
        if let Message::Mpc(word) = &message
            && word.body.sequence > 0
        {
            return vec![];
        }
        if let Message::Finished(_) = message {
            return vec![];
        }
        for bundle in bundles_mut(&mut message) {
            bundle.finished = None;
        }
        plain(to, message)
    }
}
