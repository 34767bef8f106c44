//! What goes into a node and what comes out: inputs, effects, and the step that keeps effects behind the disk.

use std::sync::Arc;

use bitcoin::{Amount, OutPoint, ScriptBuf, Txid};

use crate::{
    chain::{ChainAnswer, ChainQuery},
    ids::{FreezeId, JobId, KeyId, Lease, LogIndex, NodeId, QueryId, RequestId, Scheme, SessionId},
    message::{GrantedCoin, Message},
    mpc::{Advance, KeyShare, Machine, RefusedParams, Slot, Suite, ecdsa::Primes},
    record::Record,
    refusal::Refusal,
    time::Timestamp,
    vote::Violation,
};

/// Something that happened outside.
pub enum Input {
    /// A peer said something. The transport vouches for `from`, nothing vouches for the rest.
    Message {
        /// Authenticated sender.
        from: NodeId,
        /// Decoded message.
        message: Message,
    },
    /// A peer sent bytes that are no message.
    Garbage {
        /// Authenticated sender.
        from: NodeId,
        /// What was wrong with them.
        problem: String,
    },
    /// A peer speaks another version of the encoding: an upgrade under way, not a fault.
    OtherVersion {
        /// Authenticated sender.
        from: NodeId,
        /// The version it speaks.
        version: u8,
    },
    /// A connection to a peer is up.
    PeerUp(NodeId),
    /// It is gone.
    PeerDown(NodeId),
    /// A client wants something.
    Client {
        /// For the reply.
        request: RequestId,
        /// What.
        command: Command,
    },
    /// The chain backend answered.
    Chain(ChainAnswer),
    /// A worker finished.
    Computed {
        /// Which job.
        job: JobId,
        /// With what.
        result: JobResult,
    },
    /// A key share is durably sealed.
    KeyShareSealed {
        /// The ceremony it came from.
        ceremony: SessionId,
    },
    /// The coordinator's role was given away outside, or is not any more (`None`: the embedded rule serves). Believed for
    /// convenience only: it may be late, contradict what others are told, and go back in its epochs.
    Lease(Option<Lease>),
    /// Time passed. Late, early and spurious ticks are all fine.
    Tick,
}

/// A client's wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Pay somebody.
    Pay(PaymentRequest),
    /// Make a key.
    GenerateKey(Scheme),
    /// Make presignatures, beyond what is kept in stock.
    Presign {
        /// How many.
        count: u16,
    },
    /// Approve or reject a payment that waits for people.
    Decide(DecisionRequest),
    /// Say what a payment would be at this moment; nothing is reserved, sent or recorded.
    Quote(PaymentRequest),
    /// Stop all signing of the cluster.
    Freeze {
        /// Who wants it: 1 to 64 printable characters.
        operator: String,
        /// Why: 1 to 256 bytes.
        reason: String,
    },
    /// Lift every freeze that this node knows, as far as it is asked.
    Lift {
        /// Who wants it: 1 to 64 printable characters.
        operator: String,
    },
    /// Raise the fee of a payment: propose a transaction that takes the place of one that no block has taken.
    Bump(BumpRequest),
}

/// A higher fee as a client asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BumpRequest {
    /// The transaction to replace.
    pub txid: Txid,
    /// Fee rate in sat/kvB; `None` leaves it to the estimate, and is at least what the network asks of a replacement.
    pub fee_rate: Option<u64>,
    /// Who asks, by the name of his API key; `None` where no keys are asked for.
    pub initiator: Option<String>,
}

/// An operator's decision as his node's API hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRequest {
    /// About this transaction.
    pub txid: Txid,
    /// Yes or no.
    pub approve: bool,
    /// Who decides, by the name of his API key; `None` where no keys are asked for.
    pub operator: Option<String>,
    /// Why.
    pub comment: Option<String>,
}

/// A payment as a client asks for it; the address is already a script of the right network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRequest {
    /// Which wallet pays.
    pub scheme: Scheme,
    /// Whom.
    pub recipient: ScriptBuf,
    /// How much the recipient gets.
    pub amount: Amount,
    /// Fee rate in sat/kvB; `None` leaves it to the estimate.
    pub fee_rate: Option<u64>,
    /// The payer's own reference.
    pub metadata: Option<String>,
    /// The payer's name of the payment, for good; it makes the payment the same as `idempotency_key` does, which then is not
    /// looked at. At most [`MAX_EXTERNAL_ID_BYTES`](crate::tx::MAX_EXTERNAL_ID_BYTES).
    pub external_id: Option<String>,
    /// Same key, same payment, however often and at whichever node it is asked for.
    pub idempotency_key: Option<String>,
    /// Who asks, by the name of his API key; `None` where no keys are asked for.
    pub initiator: Option<String>,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The payment is durable and on its way.
    Proposed {
        /// Its transaction.
        txid: Txid,
        /// Whether an earlier request with the same idempotency key made it.
        replayed: bool,
    },
    /// Key generation runs.
    KeygenStarted {
        /// The key it will make.
        key: KeyId,
    },
    /// Presignatures are being made.
    PresigningOrdered {
        /// How many were ordered; no more than `presignatures_most` are outstanding at once.
        count: u16,
    },
    /// No, and why. Nothing was changed.
    Refused(Refusal),
    /// The decision is durable and on its way to the other members, now or since it was first made.
    Decided {
        /// About this transaction.
        txid: Txid,
    },
    /// What the payment would be.
    Quoted(Quote),
    /// This node signs nothing any more and has told its peers.
    Frozen {
        /// The freeze.
        freeze: FreezeId,
    },
    /// This node lifts these freezes and has told its peers; each is over when t nodes do.
    Lifted {
        /// The freezes, by member.
        freezes: Vec<FreezeId>,
    },
}

/// The transaction that a payment would make if it were asked for at this moment. Other payments may take its coins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The key that would sign.
    pub key: KeyId,
    /// Coins it would spend.
    pub inputs: Vec<GrantedCoin>,
    /// What the miners would get.
    pub fee: Amount,
    /// Its size once signed, in vB.
    pub vsize: u64,
    /// What would return to the wallet; zero for no change output.
    pub change: Amount,
}

impl Quote {
    /// Fee rate on the signed size, in sat/kvB, rounded down.
    #[must_use]
    pub fn fee_rate(&self) -> u64 {
        self.fee.to_sat().saturating_mul(1_000).checked_div(self.vsize).unwrap_or_default()
    }
}

/// Something to be done outside. Effects are lost in a crash; whatever matters is asked for again by the timers of
/// the restarted node, so every receiver must bear repetition.
pub enum Effect {
    /// Tell one peer.
    Send {
        /// Whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Tell every peer that is not banned.
    Broadcast(Message),
    /// Answer a client.
    Reply {
        /// Its request.
        request: RequestId,
        /// The answer.
        outcome: Outcome,
    },
    /// Ask the chain backend.
    Chain {
        /// For the answer.
        query: QueryId,
        /// What.
        question: ChainQuery,
    },
    /// Run a protocol machine on a worker.
    Compute {
        /// For the result.
        job: JobId,
        /// What.
        work: Work,
        /// How much it matters when.
        priority: Priority,
    },
    /// Seal a key share: encrypted, fsynced, apart from journal and backup.
    SealKeyShare {
        /// The ceremony, for the answer.
        ceremony: SessionId,
        /// The key.
        key: KeyId,
        /// The secret.
        share: Arc<KeyShare>,
    },
    /// Shut a member out until the moment given.
    Ban {
        /// Whom.
        node: NodeId,
        /// Until when.
        until: Timestamp,
    },
    /// Something an operator must know.
    Alert(Alert),
}

/// Something an operator must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alert {
    /// A member misbehaved.
    Misbehaviour {
        /// Who.
        node: NodeId,
        /// How.
        violation: Violation,
        /// In words.
        detail: String,
    },
    /// A payment needs a person.
    Payment {
        /// Which.
        txid: Txid,
        /// Why.
        detail: String,
    },
    /// A presigning ended in a fault.
    Presigning {
        /// Who took part.
        signers: Vec<NodeId>,
        /// What went wrong.
        detail: String,
    },
    /// A peer belongs to another cluster or judges by another policy.
    Configuration {
        /// Who.
        node: NodeId,
        /// What differs.
        detail: String,
    },
    /// A coin of the wallet is gone, and not by a transaction of the cluster.
    Coin {
        /// Which.
        coin: OutPoint,
        /// In words.
        detail: String,
    },
    /// A member has stopped all signing, or what it has stopped goes on.
    Freeze {
        /// Who.
        node: NodeId,
        /// In words.
        detail: String,
    },
}

/// Whether somebody waits for the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A payment does.
    Urgent,
    /// Nobody does: may wait for everything urgent, and takes long.
    Background,
}

/// Work for a worker thread.
pub enum Work {
    /// Give the machine its messages, then run it until it is blocked.
    Advance {
        /// The machine; it comes back with the result.
        machine: Box<dyn Machine>,
        /// What arrived since.
        inbox: Vec<(Slot, Vec<u8>)>,
    },
    /// Find primes for a key generation.
    FindPrimes {
        /// That will use them.
        suite: Suite,
        /// Fresh entropy.
        seed: [u8; 32],
    },
}

impl Work {
    /// Does the work; may take seconds.
    #[must_use]
    pub fn run(self) -> JobResult {
        match self {
            Self::Advance { mut machine, inbox } => {
                for (from, payload) in &inbox {
                    machine.receive(*from, payload);
                }
                let advance = machine.advance();
                JobResult::Advanced { machine, advance }
            }
            Self::FindPrimes { suite, seed } => JobResult::Primes(Primes::generate(suite, seed)),
        }
    }
}

/// What a worker brings back.
pub enum JobResult {
    /// The machine and what it did.
    Advanced {
        /// The machine.
        machine: Box<dyn Machine>,
        /// What it did.
        advance: Advance,
    },
    /// Primes.
    Primes(Result<Primes, RefusedParams>),
}

/// Proof, given by the journal, that everything up to a position is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt {
    durable: LogIndex,
}

impl Receipt {
    /// To be made by a journal only, after its fsync returned, or by a simulator's disk.
    #[must_use]
    pub const fn up_to(durable: LogIndex) -> Self {
        Self { durable }
    }

    /// The last durable position.
    #[must_use]
    pub const fn position(self) -> LogIndex {
        self.durable
    }
}

/// The outcome of one input: facts to make durable, and effects that cannot be had before they are.
#[must_use = "make the records durable, then call Node::commit"]
pub struct Step {
    pub(crate) last: LogIndex,
    pub(crate) records: Vec<Record>,
    pub(crate) effects: Vec<Effect>,
}

impl Step {
    /// What must be durable first, in order.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Position of the last record; equal to the previous step's if there are none.
    #[must_use]
    pub const fn last(&self) -> LogIndex {
        self.last
    }
}

/// A receipt that does not cover the step: the host tried to act before the disk did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the step ends at journal position {needed}, the receipt covers {durable}: make its records durable first", needed = needed.0, durable = durable.0)]
pub struct NotDurable {
    /// Position of the step's last record.
    pub needed: LogIndex,
    /// Position the receipt covers.
    pub durable: LogIndex,
}
