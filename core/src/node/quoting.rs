//! What a payment would be, told without making it.
//!
//! The answer is this node's own, from what it sees at this moment, by the very steps that make a payment: the same refusals,
//! the same choice of coins, the same fee. Nothing is reserved, nobody is asked and nothing is recorded, so it binds nobody: the
//! coordinator may see other coins, and another payment may take these.

use rand_core::CryptoRngCore;

use super::{Node, granting::Shortage, payments::coin_request};
use crate::{
    refusal::Refusal,
    step::{Outcome, PaymentRequest, Quote},
};

impl Node {
    /// Answers as the payment itself would be answered: an idempotency key that made a payment is told that payment.
    pub(super) fn quote(&self, request: &PaymentRequest, entropy: &mut dyn CryptoRngCore) -> Outcome {
        let payment = self.name_payment(request, entropy);
        if let Err(outcome) = self.admit(payment, request) {
            return outcome;
        }
        let grant = match self.choose_coins(&coin_request(payment, request)) {
            Ok(grant) => grant,
            Err(Shortage::Temporary(refusal) | Shortage::Final(refusal)) => return Outcome::Refused(refusal),
        };
        let (inputs, change) = (grant.inputs.clone(), grant.change);
        match self.draw_up(payment, request, grant, entropy) {
            Ok((proposal, vsize)) => {
                if let Err(breach) = self.check_granted_fee(&proposal, request.fee_rate, vsize) {
                    return Outcome::Refused(Refusal::Policy(breach));
                }
                Outcome::Quoted(Quote { key: proposal.key, inputs, fee: proposal.fee, vsize, change })
            }
            Err(refusal) => Outcome::Refused(refusal),
        }
    }
}
