//! A cluster, and proposals, votes and promises in it, for the tests of this crate's parts.
#![allow(clippy::unwrap_used)]

use bitcoin::{
    Amount, Network, OutPoint, ScriptBuf, Transaction, TxIn, TxOut, Txid, absolute::LockTime, hashes::Hash,
    transaction::Version,
};

use crate::{
    config::Cluster,
    identity::{Signed, VoteKey},
    ids::{KeyId, NodeId, PaymentId, PolicyVersion, Scheme},
    time::Timestamp,
    tx::{Prevout, Proposal, SignedProposal},
    vote::{Ballot, Decision, FIRST_ROUND, Promise, SignedPromise, Vote},
};

pub(crate) fn key(node: u16) -> VoteKey {
    VoteKey::from_bytes(&[u8::try_from(node).unwrap(); 32]).unwrap()
}

/// `t` of `n` on regtest.
pub(crate) fn cluster(n: u16, t: u16) -> Cluster {
    let members = (1..=n).map(|i| (NodeId::new(i), key(i).public())).collect();
    Cluster::new(Network::Regtest, t, members).unwrap()
}

pub(crate) fn coin(number: u8) -> OutPoint {
    OutPoint { txid: Txid::from_byte_array([number; 32]), vout: 0 }
}

/// Payment `number`, made by node-1 from these coins.
pub(crate) fn proposal(cluster: &Cluster, number: u8, coins: &[u8]) -> Proposal {
    let recipient = ScriptBuf::from_hex("0014751e76e8199196d454941c45d1b3a323f1433bd6").unwrap();
    let amount = Amount::from_sat(10_000 + u64::from(number));
    let output = TxOut { value: amount, script_pubkey: recipient.clone() };
    let input = |number: &u8| TxIn { previous_output: coin(*number), ..TxIn::default() };
    Proposal {
        cluster: cluster.id(),
        key: KeyId { scheme: Scheme::Taproot, epoch: 1 },
        payment: PaymentId::from_bytes([number; 32]),
        origin: NodeId::new(1),
        recipient,
        amount,
        fee: Amount::from_sat(500),
        unsigned_tx: Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: coins.iter().map(input).collect(),
            output: vec![output],
        },
        prevouts: vec![Prevout { value: Amount::from_sat(20_000), script: ScriptBuf::new() }; coins.len()],
        metadata: None,
        external_id: None,
        created_at: Timestamp(1),
        expires_at: Timestamp(1_000),
        replaces: None,
    }
}

pub(crate) fn signed(proposal: Proposal) -> SignedProposal {
    let origin = key(proposal.origin.get());
    Signed::new(proposal, &origin)
}

pub(crate) fn ballot(cluster: &Cluster, proposal: &Proposal, voter: u16, decision: Decision) -> Ballot {
    Ballot {
        cluster: cluster.id(),
        key: proposal.key,
        txid: proposal.txid(),
        digest: proposal.digest(),
        round: FIRST_ROUND,
        voter: NodeId::new(voter),
        decision,
        policy: PolicyVersion::from_bytes([9; 32]),
        expires_at: proposal.expires_at,
    }
}

pub(crate) fn vote(cluster: &Cluster, proposal: &Proposal, voter: u16, decision: Decision) -> Vote {
    Signed::new(ballot(cluster, proposal, voter, decision), &key(voter))
}

pub(crate) fn promise(cluster: &Cluster, proposal: &Proposal, node: u16) -> SignedPromise {
    let body = Promise {
        cluster: cluster.id(),
        txid: proposal.txid(),
        digest: proposal.digest(),
        node: NodeId::new(node),
    };
    Signed::new(body, &key(node))
}
