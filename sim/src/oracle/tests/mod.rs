//! Each oracle is shown a run it must accept and the same run with one thing wrong that it must not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use bitcoin::{
    Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute::LockTime,
    hashes::Hash, transaction::Version,
};
use mpc_wallet_core::{
    BootId, Cluster, KeyId, LogIndex, Millis, NodeId, PaymentId, PolicyVersion, ProposalDigest, Scheme,
    SessionId, Timestamp, VoteKey,
    identity::Signed,
    message::{FinalTransaction, Message, MpcMessage, SignRequest, SigningSession, Subject},
    record::{Fact, Record},
    tx::{Prevout, Proposal, SignedProposal, State, SubStatus},
    vote::{
        Ballot, Decision, Evidence, OperatorDecision, Promise, RejectReason, SignedDecision, Violation, Vote,
    },
};

mod accusation;
mod bounds;
mod coins;
mod durable;
mod ends;
mod honest;
mod keys;
mod losses;
mod people;
mod presignatures;
mod secrets;
mod threshold;
mod words;

use super::*;

const N: u16 = 5;
const T: u16 = 4;

fn node(number: u16) -> NodeId {
    NodeId::new(number)
}

fn key(number: u16) -> VoteKey {
    let mut secret = [9; 32];
    secret[0] = u8::try_from(number).unwrap();
    VoteKey::from_bytes(&secret).unwrap()
}

fn cluster() -> Cluster {
    Cluster::new(Network::Regtest, T, (1..=N).map(|i| (node(i), key(i).public())).collect()).unwrap()
}

fn everybody() -> Honest {
    (1..=N).map(node).collect()
}

/// All but node-2.
fn all_but_one() -> Honest {
    (1..=N).filter(|number| *number != 2).map(node).collect()
}

fn key_id() -> KeyId {
    KeyId { scheme: Scheme::Taproot, epoch: 1 }
}

fn recipient(number: u8) -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51, number])
}

/// A transaction that spends coin number `coin` to recipient number `to`.
fn transaction(coin: u8, to: u8) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint { txid: Txid::from_byte_array([coin; 32]), vout: 0 },
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut { value: Amount::from_sat(1_000), script_pubkey: recipient(to) }],
    }
}

fn proposal(coin: u8, to: u8) -> SignedProposal {
    let body = Proposal {
        cluster: cluster().id(),
        key: key_id(),
        payment: PaymentId::from_bytes([to; 32]),
        origin: node(1),
        recipient: recipient(to),
        amount: Amount::from_sat(1_000),
        fee: Amount::from_sat(200),
        unsigned_tx: transaction(coin, to),
        prevouts: vec![Prevout { value: Amount::from_sat(1_200), script: recipient(0) }],
        metadata: None,
        external_id: None,
        created_at: Timestamp(1),
        expires_at: Timestamp(2),
        replaces: None,
    };
    Signed::new(body, &key(1))
}

fn vote(voter: u16, proposal: &Proposal, decision: Decision) -> Vote {
    let ballot = Ballot {
        cluster: cluster().id(),
        key: key_id(),
        txid: proposal.txid(),
        digest: proposal.digest(),
        round: 1,
        voter: node(voter),
        decision,
        policy: PolicyVersion::from_bytes([0; 32]),
        expires_at: proposal.expires_at,
    };
    Signed::new(ballot, &key(voter))
}

fn approval(voter: u16, proposal: &Proposal) -> Vote {
    vote(voter, proposal, Decision::Approve)
}

fn rejection(voter: u16, proposal: &Proposal) -> Vote {
    vote(voter, proposal, Decision::Reject(RejectReason::Expired))
}

fn session(proposal: &Proposal) -> SigningSession {
    SigningSession {
        cluster: cluster().id(),
        key: key_id(),
        subject: Subject::Payment { txid: proposal.txid(), digest: proposal.digest() },
        leader: node(1),
        leader_boot: BootId(1),
        attempt: 1,
        signers: (1..=T).map(node).collect(),
        boots: (1..=T).map(|_| BootId(1)).collect(),
        presignatures: vec![],
    }
}

fn mpc(from: u16, session: SessionId, sequence: u32, payload: &[u8]) -> Message {
    let body = MpcMessage {
        session,
        from: node(from),
        boot: BootId(1),
        to: None,
        sequence,
        payload: payload.to_vec(),
    };
    Message::Mpc(Signed::new(body, &key(from)))
}

/// An oracle under examination.
struct Exam<O>(O);

impl<O: Oracle> Exam<O> {
    fn durable(&mut self, number: u16, fact: Fact) -> Result<(), String> {
        self.0.observe(&Observed::Durable { node: node(number), record: &Record { at: Timestamp(1), fact } })
    }

    fn sent(&mut self, from: u16, message: &Message) -> Result<(), String> {
        let bytes = message.encode().unwrap();
        self.0.observe(&Observed::Sent { from: node(from), message, bytes: &bytes })
    }

    fn share(&mut self, number: u16, proposal: &Proposal) -> Result<(), String> {
        let session = session(proposal).id();
        self.durable(number, Fact::ShareReleased { txid: proposal.txid(), session })
    }
}

/// The refusal must come from the oracle's own reasoning: it names what happened.
#[track_caller]
fn refuses(verdict: Result<(), String>, words: &str) {
    let objection = verdict.expect_err("the oracle must object");
    assert!(objection.contains(words), "{objection}");
}
