//! Clients: each wants one payment, remembers what it was told, and asks again as a careful client does.
//!
//! A client that lost its answer (its node died, or was silent for too long) asks again with the same idempotency
//! key, at the same node or another. Without a key it never does: it cannot know whether it has paid. A refusal
//! changed nothing, so after one every client may ask again.

use bitcoin::{Amount, ScriptBuf, Txid, WPubkeyHash, hashes::Hash};
use mpc_wallet_core::{
    NodeId, RequestId, Scheme,
    step::{Outcome, PaymentRequest},
};

use crate::plan::Payment;

/// How long a client waits for an answer, in milliseconds: longer than the core lets a request wait for coins.
pub(crate) const PATIENCE: u64 = 20_000;

/// How long a client pauses before it asks again.
pub(crate) const PAUSE: u64 = 1_500;

/// One client.
pub(crate) struct Client {
    pub(crate) payment: Payment,
    pub(crate) label: String,
    pub(crate) recipient: ScriptBuf,
    pub(crate) state: ClientState,
    pub(crate) asked: u32,
}

/// What a client knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientState {
    /// It asks when its time has come.
    Idle {
        /// Why the last answer was no, if there was one.
        last: Option<String>,
    },
    /// It waits for the answer to this request.
    Asked { request: RequestId, node: NodeId },
    /// It was told that its payment is on its way.
    Accepted { txid: Txid },
    /// It lost its answer and has no key to ask again with.
    Unsure,
}

impl Client {
    pub(crate) fn new(index: usize, payment: Payment) -> Self {
        let label = format!("payment-{index}");
        let recipient = ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(label.as_bytes()));
        Self { payment, label, recipient, state: ClientState::Idle { last: None }, asked: 0 }
    }

    pub(crate) fn request(&self) -> PaymentRequest {
        PaymentRequest {
            scheme: Scheme::Taproot,
            recipient: self.recipient.clone(),
            amount: Amount::from_sat(self.payment.amount),
            fee_rate: None,
            metadata: Some(self.label.clone()),
            idempotency_key: self.payment.idempotency_key.clone(),
        }
    }

    /// The same request with another amount under the same key, if this client makes that mistake.
    pub(crate) fn altered_request(&self) -> Option<PaymentRequest> {
        let amount = Amount::from_sat(self.payment.altered?);
        self.payment.idempotency_key.as_ref()?;
        Some(PaymentRequest { amount, ..self.request() })
    }

    /// The connection to its node broke, or its patience ended. Whether it will ask again.
    pub(crate) fn lose_answer(&mut self) -> bool {
        let again = self.payment.idempotency_key.is_some();
        self.state = if again {
            ClientState::Idle { last: Some(String::from("lost the answer")) }
        } else {
            ClientState::Unsure
        };
        again
    }

    /// An answer came. Whether it will ask again.
    pub(crate) fn hear(&mut self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Proposed { txid, .. } => {
                self.state = ClientState::Accepted { txid: *txid };
                false
            }
            Outcome::Refused(refusal) => {
                self.state = ClientState::Idle { last: Some(refusal.to_string()) };
                true
            }
            Outcome::KeygenStarted { .. } => false,
        }
    }

    /// Whether it waits for nothing any more.
    pub(crate) const fn is_settled(&self) -> bool {
        matches!(self.state, ClientState::Accepted { .. } | ClientState::Unsure)
    }
}
