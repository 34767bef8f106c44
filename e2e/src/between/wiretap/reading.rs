//! What the traffic says about one-time material: which presignature went into which partial signature.
//!
//! It knows how messages are encoded and how a partial signature follows the presignature's name, and nothing of what
//! the nodes remember.

use std::collections::{BTreeMap, BTreeSet};

use mpc_wallet_core::message::{Message, MpcMessage, SigningSession, Subject};
use mpc_wallet_core::{Channel, NodeId, PresignatureId, SessionId};

/// Bytes of a partial signature of threshold ECDSA: one scalar.
const PARTIAL: usize = 32;

/// A presignature's part of one node, spent: for which payment, and the partial signature that left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The transaction, in hexadecimal digits.
    pub txid: String,
    /// The partial signature.
    pub partial: Vec<u8>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Reading {
    sessions: BTreeMap<SessionId, SigningSession>,
    uses: BTreeMap<(String, u16), BTreeSet<Use>>,
    /// Frames read.
    pub frames: u64,
    /// Frames that are no message of this protocol.
    pub unreadable: u64,
    /// Messages of sessions that sign from stock in which no partial signature was found.
    pub without_partial: u64,
}

impl Reading {
    /// Takes in one frame.
    pub(super) fn hear(&mut self, from: NodeId, channel: Channel, payload: &[u8]) {
        self.frames = self.frames.saturating_add(1);
        match Message::decode(channel, payload) {
            Ok(Message::SignRequest(request)) => {
                self.sessions.insert(request.session.id(), request.session);
            }
            Ok(Message::Mpc(step)) => self.step(from, &step.body),
            Ok(_) => {}
            Err(_) => self.unreadable = self.unreadable.saturating_add(1),
        }
    }

    /// Each presignature that was spent, by its name and the node that spent its part, with the uses of that part.
    pub fn uses(&self) -> &BTreeMap<(String, u16), BTreeSet<Use>> {
        &self.uses
    }

    fn step(&mut self, from: NodeId, step: &MpcMessage) {
        let Some(session) = self.sessions.get(&step.session) else { return };
        let Subject::Payment { txid, .. } = session.subject else { return };
        for presignature in &session.presignatures {
            let Some(partial) = after(&step.payload, presignature) else {
                self.without_partial = self.without_partial.saturating_add(1);
                continue;
            };
            let used = Use { txid: txid.to_string(), partial: partial.to_vec() };
            self.uses.entry((presignature.to_string(), from.get())).or_default().insert(used);
        }
    }
}

/// The partial signature that follows a presignature's name.
fn after<'a>(payload: &'a [u8], presignature: &PresignatureId) -> Option<&'a [u8]> {
    let name = presignature.as_bytes();
    let at = payload.windows(name.len()).position(|window| window == name)?;
    payload.get(at.checked_add(name.len())?..)?.get(..PARTIAL)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use bitcoin::Txid;
    use bitcoin::hashes::Hash as _;
    use mpc_wallet_core::identity::Signed;
    use mpc_wallet_core::message::SignRequest;
    use mpc_wallet_core::{BootId, ClusterId, KeyId, ProposalDigest, Scheme, VoteKey};

    use super::*;

    const PRESIGNATURE: PresignatureId = PresignatureId::from_bytes([9; 32]);

    fn session(payment: u8) -> SigningSession {
        SigningSession {
            cluster: ClusterId::from_bytes([0; 32]),
            key: KeyId { scheme: Scheme::Segwit, epoch: 1 },
            subject: Subject::Payment {
                txid: Txid::from_byte_array([payment; 32]),
                digest: ProposalDigest::from_bytes([payment; 32]),
            },
            leader: NodeId::new(1),
            leader_boot: BootId(1),
            attempt: 0,
            signers: vec![NodeId::new(1), NodeId::new(2)],
            boots: vec![BootId(1), BootId(1)],
            presignatures: vec![PRESIGNATURE],
        }
    }

    fn hear(reading: &mut Reading, from: u16, message: &Message) {
        reading.hear(NodeId::new(from), message.channel(), &message.encode().unwrap());
    }

    /// Node 1 asks, node 2 answers with a partial signature of these bytes.
    fn sign(reading: &mut Reading, payment: u8, partial: u8) {
        let session = session(payment);
        let payload = [&[7; 40][..], PRESIGNATURE.as_bytes(), &[partial; 32]].concat();
        let (from, boot) = (NodeId::new(2), BootId(1));
        let step = MpcMessage { session: session.id(), from, boot, to: None, sequence: 0, payload };
        let key = VoteKey::from_bytes(&[2; 32]).unwrap();
        hear(reading, 1, &Message::SignRequest(Box::new(SignRequest { session, certificate: None })));
        hear(reading, 2, &Message::Mpc(Signed::new(step, &key)));
    }

    fn uses(said: &[(u8, u8)]) -> usize {
        let mut reading = Reading::default();
        for (payment, partial) in said {
            sign(&mut reading, *payment, *partial);
        }
        assert_eq!((reading.unreadable, reading.without_partial), (0, 0));
        reading.uses()[&(PRESIGNATURE.to_string(), 2)].len()
    }

    #[test]
    fn a_second_use_of_a_presignature_is_seen_and_a_repetition_is_none() {
        assert_eq!(uses(&[(1, 1), (1, 1)]), 1);
        assert_eq!(uses(&[(1, 1), (2, 1)]), 2, "another payment");
        assert_eq!(uses(&[(1, 1), (1, 2)]), 2, "another partial signature");
    }

    #[test]
    fn what_cannot_be_read_is_counted() {
        let mut reading = Reading::default();
        reading.hear(NodeId::new(1), Channel::Events, &[0xff; 9]);
        assert_eq!((reading.frames, reading.unreadable), (1, 1));
    }
}
