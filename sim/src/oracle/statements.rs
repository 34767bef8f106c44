//! What a message carries that concerns an oracle, wherever in it that stands, and whether a signature is good.

use std::collections::BTreeMap;

use bitcoin::secp256k1::{self, Secp256k1, VerifyOnly, XOnlyPublicKey, schnorr};
use mpc_wallet_core::{
    Cluster, NodeId, codec,
    identity::{Signed, Statement},
    message::{Bundle, FinalTransaction, Message},
    tx::SignedProposal,
    vote::{Evidence, SignedDecision, SignedPromise, Vote},
};

/// Bundles of a message, if it is one that carries any.
fn bundles(message: &Message) -> &[Bundle] {
    if let Message::Bundle(bundle) = message {
        std::slice::from_ref(bundle.as_ref())
    } else if let Message::SyncPage(page) = message {
        &page.bundles
    } else {
        &[]
    }
}

/// All votes in a message.
pub(super) fn votes(message: &Message) -> Vec<&Vote> {
    let mut votes: Vec<&Vote> = bundles(message).iter().flat_map(|bundle| &bundle.votes).collect();
    if let Message::Vote(vote) = message {
        votes.push(vote);
    }
    if let Message::SignRequest(request) = message {
        votes.extend(request.certificate.iter().flat_map(|certificate| &certificate.approvals));
    }
    votes
}

/// All promises in a message.
pub(super) fn promises(message: &Message) -> Vec<&SignedPromise> {
    let mut promises: Vec<_> = bundles(message).iter().flat_map(|bundle| &bundle.promises).collect();
    if let Message::Promise(promise) = message {
        promises.push(promise);
    }
    promises
}

/// All decisions of operators in a message.
pub(super) fn decisions(message: &Message) -> Vec<&SignedDecision> {
    let mut decisions: Vec<_> = bundles(message).iter().flat_map(|bundle| &bundle.decisions).collect();
    if let Message::OperatorDecision(decision) = message {
        decisions.push(decision);
    }
    decisions
}

/// All proposals in a message.
pub(super) fn proposals(message: &Message) -> Vec<&SignedProposal> {
    let mut proposals: Vec<_> = bundles(message).iter().map(|bundle| &bundle.proposal).collect();
    if let Message::VoteRequest(proposal) = message {
        proposals.push(proposal);
    }
    proposals
}

/// All finished transactions in a message.
pub(super) fn finished(message: &Message) -> Vec<&FinalTransaction> {
    let mut finished: Vec<_> =
        bundles(message).iter().filter_map(|bundle| bundle.finished.as_ref()).collect();
    if let Message::Finished(transaction) = message {
        finished.push(transaction);
    }
    finished
}

/// All evidence in a message.
pub(super) fn evidence(message: &Message) -> Vec<&Evidence> {
    if let Message::Accusation(evidence) = message {
        vec![evidence]
    } else if let Message::SyncPage(page) = message {
        page.evidence.iter().collect()
    } else {
        vec![]
    }
}

/// Checks signatures with libsecp256k1, where production uses k256.
pub(super) struct Signatures {
    keys: BTreeMap<NodeId, XOnlyPublicKey>,
    secp: Secp256k1<VerifyOnly>,
    /// By author, digest and signature.
    judged: BTreeMap<(NodeId, [u8; 32], [u8; 64]), bool>,
}

impl Signatures {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let keys = cluster
            .members()
            .filter_map(|node| {
                let key = XOnlyPublicKey::from_slice(cluster.key(node)?.as_bytes()).ok()?;
                Some((node, key))
            })
            .collect();
        Self { keys, secp: Secp256k1::verification_only(), judged: BTreeMap::new() }
    }

    /// Whether `author` said this.
    pub(super) fn verify<T: Statement>(&mut self, author: NodeId, signed: &Signed<T>) -> bool {
        let digest = codec::digest(T::TAG, &signed.body);
        let name = (author, digest, signed.signature.0);
        if let Some(judged) = self.judged.get(&name) {
            return *judged;
        }
        let good = self.keys.get(&author).is_some_and(|key| {
            schnorr::Signature::from_slice(&signed.signature.0).is_ok_and(|signature| {
                self.secp.verify_schnorr(&signature, &secp256k1::Message::from_digest(digest), key).is_ok()
            })
        });
        self.judged.insert(name, good);
        good
    }
}
