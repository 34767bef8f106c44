//! Clients: each wants one payment, remembers what it was told, and asks again as a careful client does.
//!
//! A client that lost its answer (its node died, or was silent for too long) asks again with the same idempotency
//! key, at the same node or another. Without a key it never does: it cannot know whether it has paid. A refusal
//! changed nothing, so after one every client may ask again.

use std::collections::BTreeMap;

use bitcoin::{Amount, ScriptBuf, Txid, WPubkeyHash, hashes::Hash};
use mpc_wallet_core::{
    NodeId, RequestId,
    step::{Outcome, PaymentRequest},
};

use crate::{
    plan::{FaultPlan, Payment},
    rng::Stream,
};

/// How long a client waits for an answer, in milliseconds: longer than the core lets a request wait for coins.
pub(crate) const PATIENCE: u64 = 20_000;

/// How long a client pauses before it asks again.
pub(crate) const PAUSE: u64 = 1_500;

/// How often, in parts per million, a client asks elsewhere when it asks again.
const ELSEWHERE: u32 = 500_000;

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

/// What a client does about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// It waits for nothing more, or did not wait for this.
    None,
    /// It asks again.
    AskAgain,
    /// It makes its mistake: see [`Client::altered_request`].
    Alter,
}

/// What an oracle knows of the payments clients want: label and satoshis by recipient.
pub(crate) type Wanted = BTreeMap<ScriptBuf, (String, u64)>;

/// The clients of a plan.
pub(crate) fn all(plan: &FaultPlan) -> Vec<Client> {
    plan.payments.iter().cloned().enumerate().map(|(i, payment)| Client::new(i, payment)).collect()
}

/// What they want.
pub(crate) fn wanted(clients: &[Client]) -> Wanted {
    clients
        .iter()
        .map(|client| (client.recipient.clone(), (client.label.clone(), client.payment.amount)))
        .collect()
}

/// The connections to a node broke: clients that lost an answer and will ask again.
pub(crate) fn lose_answers_of(clients: &mut [Client], node: NodeId) -> Vec<usize> {
    let asked_there =
        |client: &Client| matches!(client.state, ClientState::Asked { node: at, .. } if at == node);
    let again = |client: &mut Client| asked_there(client) && client.lose_answer();
    clients.iter_mut().enumerate().filter_map(|(index, client)| again(client).then_some(index)).collect()
}

impl Client {
    pub(crate) fn new(index: usize, payment: Payment) -> Self {
        let label = format!("payment-{index}");
        let recipient = ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(label.as_bytes()));
        Self { payment, label, recipient, state: ClientState::Idle { last: None }, asked: 0 }
    }

    pub(crate) fn request(&self) -> PaymentRequest {
        PaymentRequest {
            scheme: self.payment.wallet.scheme(),
            recipient: self.recipient.clone(),
            amount: Amount::from_sat(self.payment.amount),
            fee_rate: None,
            metadata: Some(self.label.clone()),
            external_id: None,
            idempotency_key: self.payment.idempotency_key.clone(),
            initiator: None,
        }
    }

    /// The same request with another amount under the same key, if this client makes that mistake.
    pub(crate) fn altered_request(&self) -> Option<PaymentRequest> {
        let amount = Amount::from_sat(self.payment.altered?);
        self.payment.idempotency_key.as_ref()?;
        Some(PaymentRequest { amount, ..self.request() })
    }

    /// Chooses where to ask: first at its node, later perhaps elsewhere.
    pub(crate) fn choose(&mut self, nodes: u16, random: &mut Stream) -> NodeId {
        let elsewhere = self.asked > 0 && random.chance(ELSEWHERE);
        self.asked += 1;
        let number = if elsewhere {
            u16::try_from(random.between(1, u64::from(nodes))).unwrap_or(1)
        } else {
            self.payment.node
        };
        NodeId::new(number)
    }

    /// Where its proxy asks as well, the first time: with a key only, for without one two requests are two payments, and
    /// rightly so.
    pub(crate) fn asks_also_at(&self) -> Option<NodeId> {
        let repeats = self.asked == 1 && self.payment.idempotency_key.is_some();
        self.payment.also_at.filter(|_| repeats).map(NodeId::new)
    }

    /// Whether it waits for the answer to this request.
    fn awaits(&self, request: RequestId) -> bool {
        matches!(self.state, ClientState::Asked { request: asked, .. } if asked == request)
    }

    /// It has waited long enough for the answer to this request. Whether it will ask again.
    pub(crate) fn give_up(&mut self, request: RequestId) -> bool {
        self.awaits(request) && self.lose_answer()
    }

    /// The connection to its node broke, or its patience ended. Whether it will ask again.
    fn lose_answer(&mut self) -> bool {
        let again = self.payment.idempotency_key.is_some();
        self.state = if again {
            ClientState::Idle { last: Some(String::from("lost the answer")) }
        } else {
            ClientState::Unsure
        };
        again
    }

    /// An answer to this request came.
    pub(crate) fn hear(&mut self, request: RequestId, outcome: &Outcome) -> Reaction {
        if !self.awaits(request) {
            return Reaction::None;
        }
        match outcome {
            Outcome::Refused(refusal) => {
                self.state = ClientState::Idle { last: Some(refusal.to_string()) };
                return Reaction::AskAgain;
            }
            Outcome::Proposed { txid, .. } => self.state = ClientState::Accepted { txid: *txid },
            Outcome::KeygenStarted { .. }
            | Outcome::PresigningOrdered { .. }
            | Outcome::Decided { .. }
            | Outcome::Quoted(_) => {}
            Outcome::Frozen { .. } | Outcome::Lifted { .. } => {}
        }
        if self.altered_request().is_some() { Reaction::Alter } else { Reaction::None }
    }

    /// Whether it waits for nothing any more.
    pub(crate) const fn is_settled(&self) -> bool {
        matches!(self.state, ClientState::Accepted { .. } | ClientState::Unsure)
    }
}
