//! Raising the fee of a payment that no block takes: another transaction for it, of the same coins (BIP-125).
//!
//! Any member may propose one when it has the signed original. It is a proposal like any other: every member compares it with
//! the original that it holds itself, and votes. Once signed, both are in the world; the dearer one is sent, whichever
//! confirms ends the other, and the payment is made once.
//!
//! A transaction whose change another payment spends is not replaced: that payment would have nothing to stand on. Raising
//! the fee of the spender serves both.

use bitcoin::{OutPoint, Txid};
use rand_core::CryptoRngCore;

use super::Node;
use crate::{
    ids::Scheme,
    refusal::Refusal,
    sometimes,
    state::TxRecord,
    step::{BumpRequest, PaymentRequest},
    tx::{self, Proposal, SubStatus},
    vote::RejectReason,
    wallet,
};

/// Whether a proposal may take the place of the transaction that it names.
pub(super) enum Standing {
    /// As far as this node's books go.
    May,
    /// This node has not got the original's signature.
    NotYet,
    /// Never.
    MayNot(RejectReason),
}

impl Node {
    /// Proposes a transaction that takes the place of one, and gives its txid.
    pub(super) fn bump(
        &mut self,
        request: &BumpRequest,
        entropy: &mut dyn CryptoRngCore,
    ) -> Result<Txid, Refusal> {
        let original = self.replaceable(request.txid)?;
        self.ready_to_propose()?;
        let body = &original.proposal.body;
        let scheme: Scheme = body.key.scheme;
        let wallet = self.wallet(scheme).ok_or(Refusal::NoKey(scheme))?;
        let policy = &self.config.policy;
        request.fee_rate.map_or(Ok(()), |rate| policy.check_fee_rate(rate)).map_err(Refusal::Policy)?;
        let estimate = self.estimate_fee_rate().unwrap_or(0);
        let mut grant = wallet::outbid(wallet, body, (request.fee_rate, estimate), policy)?;
        grant.lock_time = self.settling.tip_height();
        let wish = PaymentRequest {
            scheme,
            recipient: body.recipient.clone(),
            amount: body.amount,
            fee_rate: request.fee_rate,
            metadata: body.metadata.clone(),
            external_id: body.external_id.clone(),
            idempotency_key: None,
            initiator: None,
        };
        let (mut proposal, _) = self.draw_up(body.payment, &wish, grant, entropy)?;
        proposal.replaces = Some(request.txid);
        let txid = proposal.txid();
        self.put_forward(proposal, request.initiator.clone());
        self.attend(txid, entropy);
        Ok(txid)
    }

    /// The transaction, if its fee may be raised now.
    fn replaceable(&self, txid: Txid) -> Result<&TxRecord, Refusal> {
        let tx = self.state.transaction(txid).ok_or(Refusal::UnknownTransaction(txid))?;
        if let Some(block) = tx.block {
            return Err(Refusal::InBlock { txid, height: block.height });
        }
        if tx.state != tx::State::Broadcasting {
            return Err(Refusal::NotReplaceable { txid, state: tx.state });
        }
        if let Some(replacement) = self.state.replacement_of(txid) {
            return Err(Refusal::ReplacedBefore { by: replacement.txid() });
        }
        match self.spender_of(txid) {
            Some(by) => Err(Refusal::ChangeSpent { by }),
            None => Ok(tx),
        }
    }

    /// A transaction of this cluster that spends what the given one makes, or asks to.
    fn spender_of(&self, txid: Txid) -> Option<Txid> {
        let is_made = |coin: &OutPoint| coin.txid == txid;
        let asks = |tx: &TxRecord| tx.proposal.body.coins().any(|coin| is_made(&coin));
        self.state.open().find(|(_, tx)| asks(tx)).map(|(spender, _)| spender).or_else(|| {
            self.state.committed_coins().find(|(coin, _)| is_made(coin)).map(|(_, holder)| holder)
        })
    }

    /// What a voter thinks of a proposal that replaces something; `None` if it does not.
    pub(super) fn judge_replacement(&self, proposal: &Proposal, vsize: u64) -> Option<Standing> {
        let refuse = |problem: String| Some(Standing::MayNot(RejectReason::Replacement(problem)));
        let Some(original) = self.state.transaction(proposal.replaces?) else {
            return Some(Standing::NotYet);
        };
        if original.block.is_some() {
            sometimes!(ReplacementTooLate);
            return refuse(format!("{} is in a block already", original.txid()));
        }
        if original.state.is_final() {
            return refuse(format!("{} is {}", original.txid(), original.state));
        }
        if original.finished.is_none() {
            sometimes!(ReplacementBeforeOriginal);
            return Some(Standing::NotYet);
        }
        if let Some(by) = self.signed_in_place_of(original, proposal) {
            return refuse(format!("{by} takes the place of {} already", original.txid()));
        }
        Some(match wallet::check_replacement(&original.proposal.body, proposal, vsize) {
            Ok(()) => Standing::May,
            Err(reason) => Standing::MayNot(reason),
        })
    }

    /// Another transaction that is signed and takes the place of the original: it would be the one to replace.
    fn signed_in_place_of(&self, original: &TxRecord, proposal: &Proposal) -> Option<Txid> {
        let replacement = self.state.replacement_of(original.txid())?;
        let another = replacement.finished.is_some() && replacement.txid() != proposal.txid();
        another.then(|| replacement.txid())
    }

    /// A transaction has confirmed. What lost its coins to it, for the same payment, while this node had not heard of it was not
    /// robbed.
    pub(super) fn on_winner(&mut self, txid: Txid) {
        let was_robbed =
            |tx: &TxRecord| tx.state == tx::State::Failed && tx.sub_status == SubStatus::InputSpent;
        let losers: Vec<Txid> = self
            .state
            .transactions()
            .filter(|(other, tx)| {
                *other != txid && was_robbed(tx) && self.state.pays_alike(txid, &tx.proposal.body)
            })
            .map(|(other, _)| other)
            .collect();
        for loser in losers {
            self.set_sub_status(loser, SubStatus::Replaced);
        }
    }

    /// Another of its family has its coins: unconfirmed, or in a block as deep as given.
    pub(super) fn on_rival(&mut self, txid: Txid, rival: Txid, depth: Option<u32>) {
        let fee = |txid: Txid| self.state.transaction(txid).map(|tx| tx.proposal.body.fee);
        match depth {
            Some(depth) if depth >= self.config.confirmations_required => {
                sometimes!(ReplacementWins, fee(rival) > fee(txid));
                sometimes!(OriginalWins, fee(rival) < fee(txid));
                let cause = format!("{rival} for the same payment has confirmed");
                self.transition(txid, tx::State::Failed, SubStatus::Replaced, &cause);
            }
            None if fee(txid) > fee(rival) => self.send_to_network(txid),
            Some(_) | None => self.set_sub_status(txid, SubStatus::BeingReplaced),
        }
    }
}
