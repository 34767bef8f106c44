//! Everything one node says to another.
//!
//! The transport authenticates the connection; statements that must convince third parties carry their author's
//! signature as well. A message whose inner author is not its sender is fine exactly when it is such a statement.

use bitcoin::Amount;
use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, CodecError, consensus},
    freeze::FreezeNotice,
    identity::{Signed, Statement},
    ids::{
        BootId, Channel, ClusterId, FencingEpoch, KeyId, LogIndex, NodeId, PaymentId, PolicyVersion,
        PresignatureId, Scheme, SessionId,
    },
    refusal::Refusal,
    time::Timestamp,
    tx::{Prevout, SignedProposal},
    vote::{Certificate, Evidence, SignedDecision, SignedPromise, Vote},
    wallet_key::WalletKey,
};

/// Longest encoded message per channel, in bytes; the transport refuses longer frames unread.
#[must_use]
pub const fn max_message_bytes(channel: Channel) -> usize {
    match channel {
        Channel::Heartbeats => 4 * 1024,
        // A proposal of 25 inputs with its certificate stays below 32 KiB.
        Channel::Events => 256 * 1024,
        // Auxiliary information of later ceremonies reaches 210 kB a message.
        Channel::MpcRounds | Channel::StateSync => 1024 * 1024,
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// "I am here, and this is how I see the world."
    Heartbeat(Heartbeat),
    /// To the coordinator: which coins may I spend?
    CoinRequest(CoinRequest),
    /// From the coordinator: these.
    CoinGrant(CoinGrant),
    /// From the coordinator: none, and why.
    CoinRefusal {
        /// The payment that asked.
        payment: PaymentId,
        /// Why not.
        refusal: Refusal,
        /// Under which lease it coordinates.
        epoch: FencingEpoch,
    },
    /// The origin asks for votes.
    VoteRequest(Box<SignedProposal>),
    /// A vote.
    Vote(Vote),
    /// A promise never to sign.
    Promise(SignedPromise),
    /// Proof of misbehaviour.
    Accusation(Box<Evidence>),
    /// A finished transaction; its witnesses prove themselves.
    Finished(FinalTransaction),
    /// The coordinator starts a signing session.
    SignRequest(Box<SignRequest>),
    /// A step of a multi-party computation.
    Mpc(Signed<MpcMessage>),
    /// A party leaves a session, and says why.
    SessionAbort {
        /// The session.
        session: SessionId,
        /// Why, for the log.
        reason: String,
    },
    /// A member starts a key generation.
    KeygenRequest(Signed<KeygenRequest>),
    /// A member has its share of a new key, durably.
    KeygenConfirm(Signed<KeygenConfirm>),
    /// A key is proven.
    KeyActive(KeyProof),
    /// Everything the sender knows about one transaction.
    Bundle(Box<Bundle>),
    /// What changed at the receiver since this position of its journal?
    SyncRequest {
        /// Last position already seen.
        since: LogIndex,
        /// To be repeated in the answer, which is thereby known to be younger than the question.
        challenge: u64,
    },
    /// An answer to [`Message::SyncRequest`].
    SyncPage(SyncPage),
    /// The one-time material that the sender holds.
    Stock(Stock),
    /// To the first signer of the group in use: presignatures are wanted, beyond what is kept in stock.
    PresignOrder {
        /// How many.
        count: u16,
    },
    /// What an operator decided at the sender.
    OperatorDecision(SignedDecision),
    /// Freezes that the sender knows.
    Freezes(FreezeNotices),
}

impl Message {
    /// The channel it travels on.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        match self {
            Self::Heartbeat(_) => Channel::Heartbeats,
            Self::CoinRequest(_)
            | Self::CoinGrant(_)
            | Self::CoinRefusal { .. }
            | Self::VoteRequest(_)
            | Self::Vote(_)
            | Self::Promise(_)
            | Self::Accusation(_)
            | Self::Finished(_)
            | Self::OperatorDecision(_)
            | Self::Freezes(_) => Channel::Events,
            Self::SignRequest(_)
            | Self::Mpc(_)
            | Self::SessionAbort { .. }
            | Self::KeygenRequest(_)
            | Self::KeygenConfirm(_)
            | Self::KeyActive(_) => Channel::MpcRounds,
            Self::Bundle(_)
            | Self::SyncRequest { .. }
            | Self::SyncPage(_)
            | Self::Stock(_)
            | Self::PresignOrder { .. } => Channel::StateSync,
        }
    }

    /// Its bytes on the wire.
    ///
    /// # Errors
    /// None for messages this crate makes.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }

    /// Reads bytes that came over `channel`.
    ///
    /// # Errors
    /// Too long, malformed, not canonical, or a message of another channel.
    pub fn decode(channel: Channel, bytes: &[u8]) -> Result<Self, CodecError> {
        let message: Self = codec::decode(bytes, max_message_bytes(channel))?;
        if message.channel() == channel {
            Ok(message)
        } else {
            Err(CodecError::Malformed(format!(
                "a message of channel {} on channel {}",
                message.channel().name(),
                channel.name()
            )))
        }
    }
}

/// Sent to every peer at a fixed beat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Its cluster; a node of another cluster is a configuration error.
    pub cluster: ClusterId,
    /// Boot of the sender.
    pub boot: BootId,
    /// Its journal position.
    pub position: LogIndex,
    /// Whether it speaks, and how much it has done.
    pub standing: Standing,
    /// Sender's clock.
    pub at: Timestamp,
    /// Height of its chain tip; 0 before the first look.
    pub tip_height: u32,
    /// The policy it judges by.
    pub policy: PolicyVersion,
    /// Software version.
    pub version: String,
}

/// Whether a node takes part (I7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It has just started and asks its peers what they have seen of it.
    Confirming,
    /// Its journal was replaced by an older one; it recovers.
    Quarantined,
    /// It takes part. The mark is for its peers to keep, and to show it when it comes back.
    Sound(Signed<Mark>),
}

/// "This much have I done." Since only its own signature makes a mark, nobody can talk a node into having forgotten
/// something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The cluster.
    pub cluster: ClusterId,
    /// Whose.
    pub node: NodeId,
    /// How far it was.
    pub place: Place,
}

impl Statement for Mark {
    const TAG: &'static str = "mpc-wallet/mark";

    fn author(&self) -> NodeId {
        self.node
    }
}

/// A moment in the life of a node. A later one is greater, for as long as the node's journal is its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Its boot.
    pub boot: BootId,
    /// How often it had committed itself by then: proposals, votes, promises and shares.
    pub deeds: u64,
}

/// A request for coins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoinRequest {
    /// The payment.
    pub payment: PaymentId,
    /// Kind of wallet to pay from.
    pub scheme: Scheme,
    /// Whom it will pay.
    pub recipient: ScriptBuf,
    /// How much.
    pub amount: Amount,
    /// Fee rate in sat/kvB; `None` leaves it to the coordinator's estimate.
    pub fee_rate: Option<u64>,
}

/// Coins to build a transaction from. A grant is a courtesy that keeps nodes apart; safety rests on the votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoinGrant {
    /// The payment.
    pub payment: PaymentId,
    /// Coins to spend.
    pub inputs: Vec<GrantedCoin>,
    /// Total fee.
    pub fee: Amount,
    /// What returns to the wallet; zero for no change output.
    pub change: Amount,
    /// Lock time to set: the coordinator's tip height.
    pub lock_time: u32,
    /// Under which lease the granter coordinates; 0 if under none.
    pub epoch: FencingEpoch,
}

/// One coin of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedCoin {
    /// Which.
    pub outpoint: OutPoint,
    /// What it holds.
    pub output: Prevout,
}

/// A fully signed transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalTransaction(
    /// The transaction, witnesses included.
    #[serde(serialize_with = "consensus::serialize_as", deserialize_with = "consensus::deserialize_as")]
    pub Transaction,
);

/// Starts a signing session. It carries the certificate, so a signer that missed votes can still see consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignRequest {
    /// What the session is; the receiver derives its id itself.
    pub session: SigningSession,
    /// Consent to it; empty approvals for a key proof, which signs no transaction.
    pub certificate: Option<Certificate>,
}

/// Everything that defines a signing session; the digest of it is the session id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningSession {
    /// The cluster.
    pub cluster: ClusterId,
    /// The key.
    pub key: KeyId,
    /// What is signed.
    pub subject: Subject,
    /// Who leads.
    pub leader: NodeId,
    /// The leader's boot, so that a restarted leader starts new sessions.
    pub leader_boot: BootId,
    /// Counts the leader's sessions of this boot.
    pub attempt: u64,
    /// Who signs, ascending.
    pub signers: Vec<NodeId>,
    /// The boot of each signer, in the same order: whoever has restarted since has forgotten its nonces and its words,
    /// and does not take part again under the same name (I4).
    pub boots: Vec<BootId>,
    /// The presignatures to use, one for each input; none where the scheme has none or no stock is left.
    pub presignatures: Vec<PresignatureId>,
}

impl SigningSession {
    /// Its id, which as execution id binds cluster, key, subject and signers into every step.
    #[must_use]
    pub fn id(&self) -> SessionId {
        SessionId::from_bytes(codec::digest("mpc-wallet/signing-session", self))
    }
}

/// What a signing session is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    /// All inputs of an approved transaction.
    Payment {
        /// The transaction.
        txid: Txid,
        /// The proposal that was voted on.
        digest: crate::ids::ProposalDigest,
    },
    /// A fixed message that is no Bitcoin sighash: proves that a new key can sign.
    KeyProof {
        /// The ceremony that made the key.
        ceremony: SessionId,
    },
    /// Nothing yet: it makes a presignature.
    Presigning,
}

/// What one member holds of things that are used once. The latest replaces all earlier ones; nothing rests on its being
/// true but time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// Whether it has primes for a key generation.
    pub primes: bool,
    /// Its presignatures.
    pub presignatures: Vec<PresignatureId>,
}

/// A step of a multi-party computation, bound to its session and place in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MpcMessage {
    /// The run.
    pub session: SessionId,
    /// Who speaks.
    pub from: NodeId,
    /// Its boot: a restarted member has forgotten what it said, and may say something else without lying.
    pub boot: BootId,
    /// To whom; `None` is everyone, and then everyone must get the same words.
    pub to: Option<NodeId>,
    /// Position among the sender's messages of this run with the same `to`.
    pub sequence: u32,
    /// The protocol's own encoding.
    pub payload: Vec<u8>,
}

impl Statement for MpcMessage {
    const TAG: &'static str = "mpc-wallet/mpc";

    fn author(&self) -> NodeId {
        self.from
    }
}

/// Starts a key generation among all members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeygenRequest {
    /// The cluster.
    pub cluster: ClusterId,
    /// The key to make.
    pub key: KeyId,
    /// Who asks.
    pub initiator: NodeId,
    /// Its boot.
    pub boot: BootId,
    /// Counts its ceremonies of this boot.
    pub attempt: u64,
    /// The boot of each member, in order: whoever has restarted since does not begin the same ceremony again.
    pub boots: Vec<BootId>,
}

impl KeygenRequest {
    /// Its id, bound into every step.
    #[must_use]
    pub fn id(&self) -> SessionId {
        SessionId::from_bytes(codec::digest("mpc-wallet/keygen-session", self))
    }
}

impl Statement for KeygenRequest {
    const TAG: &'static str = "mpc-wallet/keygen-request";

    fn author(&self) -> NodeId {
        self.initiator
    }
}

/// "My share of this key is sealed on my disk."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeygenConfirm {
    /// The ceremony.
    pub ceremony: SessionId,
    /// Who confirms.
    pub node: NodeId,
    /// The public key it holds a share of.
    pub public_key: WalletKey,
    /// Digest of the key and of every member's public share: all members must have come to the same.
    pub public_digest: [u8; 32],
}

impl Statement for KeygenConfirm {
    const TAG: &'static str = "mpc-wallet/keygen-confirm";

    fn author(&self) -> NodeId {
        self.node
    }
}

/// All a node knows about one transaction; every part proves itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The proposal.
    pub proposal: SignedProposal,
    /// Votes seen.
    pub votes: Vec<Vote>,
    /// Promises seen.
    pub promises: Vec<SignedPromise>,
    /// The final transaction, if it exists.
    pub finished: Option<FinalTransaction>,
    /// Operators' decisions seen.
    pub decisions: Vec<SignedDecision>,
}

/// Most bundles in one page.
pub const PAGE_BUNDLES: usize = 64;

/// Bytes of bundles after which a page is full; one more bundle or proof still fits the channel's limit.
pub const PAGE_BYTES: usize = 512 * 1024;

/// What changed at a node, oldest change first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncPage {
    /// Transactions that changed.
    pub bundles: Vec<Bundle>,
    /// Proofs of misbehaviour, on the last page.
    pub evidence: Vec<Evidence>,
    /// Proofs of the active keys.
    pub keys: Vec<KeyProof>,
    /// Ask again from here.
    pub next: LogIndex,
    /// Whether there is more.
    pub more: bool,
    /// The request's challenge.
    pub challenge: u64,
    /// The highest mark that the answering node holds of the asking one.
    pub shown: Option<Signed<Mark>>,
}

/// Freezes with their lifts, at most one of each member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeNotices {
    /// The challenge of the [`Message::SyncRequest`] that this answers, if it does: then it has all that is active.
    pub answers: Option<u64>,
    /// The freezes.
    pub notices: Vec<FreezeNotice>,
}

/// Proof that a key works: `t` members together signed the ceremony's test message with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProof {
    /// The request that started the ceremony.
    pub request: KeygenRequest,
    /// The key, before any tweak.
    pub public_key: WalletKey,
    /// Test signature, made and verified like one of a payment of that key's wallet.
    #[serde(with = "codec::signature_bytes")]
    pub signature: [u8; 64],
}

impl KeyProof {
    /// What the members sign to prove a key: a tagged hash, which is no Bitcoin signature hash.
    #[must_use]
    pub fn message(ceremony: SessionId, public_key: &WalletKey) -> [u8; 32] {
        codec::tagged_hash("mpc-wallet/key-proof", &[ceremony.as_bytes(), &public_key.to_bytes()])
    }
}
