//! Proposes replacements of payments as soon as they are signed: the same coins, for a higher fee, and the money to itself.
//!
//! Everything else about them is as it should be; only who compares them with what they replace can tell.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, ScriptBuf, Txid, WPubkeyHash, hashes::Hash};
use mpc_wallet_core::{NodeId, Timestamp, message::Message, tx::Proposal};

use crate::{Actor, Deviant, Speech, Words, bundles, plain};

/// What its transaction pays more than the one it replaces, in satoshis: 1 sat for each vB of any payment here, and more.
const MORE: Amount = Amount::from_sat(20_000);

pub(super) struct Diverter {
    actor: Actor,
    /// What it has heard of or proposed itself.
    proposals: BTreeMap<Txid, Proposal>,
    diverted: BTreeSet<Txid>,
}

impl Diverter {
    pub(super) const fn new(actor: Actor) -> Self {
        Self { actor, proposals: BTreeMap::new(), diverted: BTreeSet::new() }
    }

    /// Notes what a message says of payments, and diverts those that it shows to be signed.
    fn note(&mut self, now: Timestamp, message: &Message) -> Speech {
        let mut signed = vec![];
        if let Message::VoteRequest(proposal) = message {
            self.proposals.insert(proposal.body.txid(), proposal.body.clone());
        } else if let Message::Finished(transaction) = message {
            signed.push(transaction.0.compute_txid());
        }
        for bundle in bundles(message) {
            self.proposals.insert(bundle.proposal.body.txid(), bundle.proposal.body.clone());
            signed.extend(bundle.finished.as_ref().map(|transaction| transaction.0.compute_txid()));
        }
        signed.into_iter().flat_map(|txid| self.divert(now, txid)).collect()
    }

    /// Asks all members to vote on a payment to itself in the place of this one.
    fn divert(&mut self, now: Timestamp, txid: Txid) -> Speech {
        let Some(original) = self.proposals.get(&txid) else { return vec![] };
        let Some(body) = self.instead_of(now, original) else { return vec![] };
        if !self.diverted.insert(txid) {
            return vec![];
        }
        let lie = Message::VoteRequest(Box::new(self.actor.sign(body)));
        self.actor.peers().into_iter().map(|peer| (peer, Words::Message(lie.clone()))).collect()
    }

    /// The same payment, of the same coins, to itself, and dearer; `None` if there is no change to pay for that.
    fn instead_of(&self, now: Timestamp, original: &Proposal) -> Option<Proposal> {
        let mine = ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(b"diverted"));
        let mut body = original.clone();
        for output in &mut body.unsigned_tx.output {
            if output.script_pubkey == original.recipient && output.value == original.amount {
                output.script_pubkey.clone_from(&mine);
            } else {
                output.value = output.value.checked_sub(MORE)?;
            }
        }
        body.recipient = mine;
        body.fee = original.fee.checked_add(MORE).filter(|_| body.unsigned_tx.output.len() > 1)?;
        body.origin = self.actor.me;
        body.created_at = now;
        body.replaces = Some(original.txid());
        Some(body)
    }
}

impl Deviant for Diverter {
    fn hear(&mut self, now: Timestamp, _: NodeId, message: &Message) -> Speech {
        self.note(now, message)
    }

    fn edit(&mut self, now: Timestamp, to: NodeId, message: Message) -> Speech {
        let lies = self.note(now, &message);
        let mut speech = plain(to, message);
        speech.extend(lies);
        speech
    }
}
