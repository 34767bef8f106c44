//! Abuses the coordinator's part: the same coins for everybody, now and then coins that do not exist, and signing
//! sessions with too few approvals, forged ones, or about another transaction than was voted on.
//!
//! What it says as any other member is honest; while another coordinates it is harmless, but for its sessions.

use bitcoin::{Amount, OutPoint, Txid, hashes::Hash};
use mpc_wallet_core::{
    NodeId, ProposalDigest, Timestamp,
    message::{CoinGrant, GrantedCoin, Message, SignRequest, Subject},
    vote::Ballot,
};

use crate::{Actor, Deviant, Speech, Words, plain};

/// Chance that a grant names coins that nobody has, in parts per million.
const INVENTED: u32 = 200_000;

/// Chance that a request to sign is false, in parts per million: false ones only would be no session at all.
const FALSE_SESSION: u32 = 500_000;

pub(super) struct LyingCoordinator {
    actor: Actor,
    /// The coins that everybody gets.
    bait: Vec<GrantedCoin>,
}

impl LyingCoordinator {
    pub(super) const fn new(actor: Actor) -> Self {
        Self { actor, bait: vec![] }
    }

    fn lie(&mut self, grant: &mut CoinGrant) {
        let total = |coins: &[GrantedCoin]| coins.iter().map(|coin| coin.output.value.to_sat()).sum::<u64>();
        if self.bait.is_empty() {
            self.bait.clone_from(&grant.inputs);
        }
        // Amount and fee together, as the honest grant has them.
        let spent = total(&grant.inputs).saturating_sub(grant.change.to_sat());
        let mut coins = self.bait.clone();
        if self.actor.random.chance(INVENTED)
            && let Some(coin) = coins.first_mut()
        {
            coin.outpoint = OutPoint { txid: Txid::from_byte_array([7; 32]), vout: 0 };
            if self.actor.random.chance(500_000) {
                coin.output.value = Amount::from_sat(u64::MAX);
                grant.fee = Amount::from_sat(u64::MAX);
            }
        }
        if let Some(change) = coins
            .iter()
            .try_fold(0_u64, |sum, coin| sum.checked_add(coin.output.value.to_sat()))
            .and_then(|total| total.checked_sub(spent))
        {
            grant.change = Amount::from_sat(change);
        }
        grant.inputs = coins;
    }

    fn falsify(&mut self, request: &mut SignRequest) {
        let Subject::Payment { txid, digest } = request.session.subject else { return };
        let name = self.actor.any_peer();
        match self.actor.random.below(5) {
            // Another session than its consent is about.
            0 => {
                let digest = ProposalDigest::from_bytes([7; 32]);
                request.session.subject = Subject::Payment { txid, digest };
            }
            1 => {
                let txid = Txid::from_byte_array([7; 32]);
                request.session.subject = Subject::Payment { txid, digest };
            }
            2 => request.certificate = None,
            3 => {
                let needed = usize::from(self.actor.cluster.threshold());
                if let Some(certificate) = &mut request.certificate {
                    certificate.approvals.truncate(needed.saturating_sub(1));
                }
            }
            _ => {
                if let Some(certificate) = &mut request.certificate
                    && let Some(vote) = certificate.approvals.first_mut()
                {
                    *vote = self.actor.sign(Ballot { voter: name, ..vote.body.clone() });
                }
            }
        }
    }
}

impl Deviant for LyingCoordinator {
    /// Asked to vote, it calls for signatures instead, on nobody's consent but its own.
    fn hear(&mut self, _: Timestamp, _: NodeId, message: &Message) -> Speech {
        let Message::Mpc(word) = message else { return vec![] };
        // Whoever takes part in a session is told that it is over.
        if !self.actor.random.chance(50_000) {
            return vec![];
        }
        let reason = String::from("no longer needed");
        plain(word.body.from, Message::SessionAbort { session: word.body.session, reason })
    }

    fn edit(&mut self, _: Timestamp, to: NodeId, mut message: Message) -> Speech {
        if let Message::CoinGrant(grant) = &mut message {
            self.lie(grant);
            return plain(to, message);
        }
        if let Message::SignRequest(request) = &message
            && self.actor.random.chance(FALSE_SESSION)
        {
            let mut lie = request.clone();
            self.falsify(&mut lie);
            let mut speech = plain(to, Message::SignRequest(lie));
            // The true request follows, so that the false one meets a node in the right state.
            speech.push((to, Words::Message(message)));
            return speech;
        }
        plain(to, message)
    }
}
