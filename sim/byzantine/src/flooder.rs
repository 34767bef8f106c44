//! Sends as much as it can: each heartbeat brings a crowd of requests, sessions, votes and, if it dares, garbage.
//!
//! Garbage gets it banned within a second, so half of the flooders only say what might be meant seriously.

use bitcoin::{Amount, ScriptBuf, Txid, WPubkeyHash, hashes::Hash};
use mpc_wallet_core::{
    BootId, Channel, LogIndex, NodeId, PaymentId, PolicyVersion, ProposalDigest, Scheme, SessionId,
    Timestamp,
    message::{CoinRequest, Message, MpcMessage},
    vote::{Ballot, Decision, FIRST_ROUND, Promise},
};
use rand_core::RngCore;

use crate::{Actor, Deviant, Speech, Words, plain};

/// Messages that accompany each heartbeat; a heartbeat comes four times a second.
const CROWD: u64 = 12;

pub(super) struct Flooder {
    actor: Actor,
    /// Whether it also sends bytes that are no message.
    garbage: bool,
    /// Whether it asks for coins that it will never spend.
    greedy: bool,
    /// What accompanies the heartbeat of this moment, the same to every peer: its signatures cost more than the rest of a
    /// run together.
    crowd: (Timestamp, Vec<Words>),
}

impl Flooder {
    pub(super) fn new(mut actor: Actor) -> Self {
        let garbage = actor.random.chance(500_000);
        let greedy = actor.random.chance(500_000);
        Self { actor, garbage, greedy, crowd: (Timestamp(0), vec![]) }
    }

    fn name(&mut self) -> [u8; 32] {
        let mut name = [0; 32];
        self.actor.random.fill_bytes(&mut name);
        name
    }

    fn noise(&mut self, now: Timestamp, like: &Message) -> Words {
        let me = self.actor.me;
        let kind = self.actor.random.below(if self.garbage { 8 } else { 7 });
        let name = self.name();
        Words::Message(match kind {
            0 => Message::SyncRequest { since: LogIndex(self.actor.random.below(50)), challenge: 0 },
            1 => Message::SyncRequest { since: LogIndex(u64::MAX), challenge: u64::MAX },
            2 if self.greedy => Message::CoinRequest(CoinRequest {
                payment: PaymentId::from_bytes(name),
                scheme: Scheme::Taproot,
                recipient: ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(&name)),
                amount: Amount::from_sat(50_000),
                fee_rate: None,
            }),
            3 => Message::Mpc(self.actor.sign(MpcMessage {
                session: SessionId::from_bytes(name),
                from: me,
                boot: BootId(1),
                to: None,
                sequence: 0,
                payload: vec![0; 512],
            })),
            4 => Message::SessionAbort {
                session: SessionId::from_bytes(name),
                reason: String::from("x").repeat(2_000),
            },
            5 => Message::Vote(self.actor.sign(Ballot {
                cluster: self.actor.cluster.id(),
                key: mpc_wallet_core::KeyId { scheme: Scheme::Taproot, epoch: 1 },
                txid: Txid::from_byte_array(name),
                digest: ProposalDigest::from_bytes(name),
                round: FIRST_ROUND,
                voter: me,
                decision: Decision::Approve,
                policy: PolicyVersion::from_bytes(name),
                expires_at: now,
            })),
            6 => Message::Promise(self.actor.sign(Promise {
                cluster: self.actor.cluster.id(),
                txid: Txid::from_byte_array(name),
                digest: ProposalDigest::from_bytes(name),
                node: me,
            })),
            7 => return Words::Bytes(Channel::Events, name.to_vec()),
            _ => like.clone(),
        })
    }
}

impl Deviant for Flooder {
    fn edit(&mut self, now: Timestamp, to: NodeId, message: Message) -> Speech {
        if !matches!(message, Message::Heartbeat(_)) {
            return plain(to, message);
        }
        if self.crowd.0 != now {
            self.crowd = (now, (0..CROWD).map(|_| self.noise(now, &message)).collect());
        }
        let mut speech = plain(to, message);
        speech.extend(self.crowd.1.iter().map(|words| (to, words.clone())));
        speech
    }
}
