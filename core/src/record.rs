//! The durable facts. [`State::apply`](crate::state::State::apply) of a record is the only way durable state changes.

use bitcoin::{Amount, BlockHash, OutPoint, Txid};
use serde::{Deserialize, Serialize};

use crate::{
    freeze::{SignedFreeze, SignedLift},
    identity::Signed,
    ids::{BootId, KeyId, LogIndex, NodeId, PresignatureId, SessionId},
    message::{FinalTransaction, KeyProof, KeygenRequest, Mark},
    time::{Millis, Timestamp},
    tx::{self, SignedProposal, SubStatus},
    vote::{Evidence, SignedDecision, SignedPromise, Violation, Vote},
    wallet_key::WalletKey,
};

/// One durable fact, and when this node learned it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// By this node's clock.
    pub at: Timestamp,
    /// What.
    pub fact: Fact,
}

/// What can be learned for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// The node started; volatile secrets of earlier boots are gone.
    Booted {
        /// This boot.
        boot: BootId,
    },
    /// A proposal exists; its transaction begins in `pending`.
    Proposed(Box<SignedProposal>),
    /// A vote, own or foreign, counted. An own approval commits the coins (I2).
    Voted(Vote),
    /// A promise never to sign, own or foreign.
    Promised(SignedPromise),
    /// A transaction changed state.
    Transition {
        /// Which.
        txid: Txid,
        /// From.
        from: tx::State,
        /// To.
        to: tx::State,
        /// With this reason.
        sub_status: SubStatus,
        /// What caused it, for people.
        cause: String,
    },
    /// Same state, another reason.
    SubStatusChanged {
        /// Which.
        txid: Txid,
        /// The new reason.
        sub_status: SubStatus,
    },
    /// A share of a signature on this transaction is about to leave: from here on the node cannot promise (I6), and
    /// the session's nonces are burnt (I4).
    ShareReleased {
        /// The transaction.
        txid: Txid,
        /// The session whose nonces were used.
        session: SessionId,
    },
    /// The final transaction, verified, before anything is sent.
    Signed(FinalTransaction),
    /// Where the chain holds a transaction; `None` if it does not.
    Seen {
        /// Which.
        txid: Txid,
        /// Block that includes it.
        block: Option<BlockRef>,
        /// Blocks on top of and including that one.
        confirmations: u32,
    },
    /// This node's share of a new key is sealed.
    KeyShareSealed {
        /// The ceremony.
        request: KeygenRequest,
        /// The public key.
        public_key: WalletKey,
    },
    /// A ceremony ended without a usable key.
    KeygenFailed {
        /// The key that was to be.
        key: KeyId,
        /// Why.
        reason: String,
    },
    /// The key is proven to sign; its address may be shown.
    KeyActivated(KeyProof),
    /// Proof of misbehaviour.
    Proven(Box<Evidence>),
    /// Circumstantial misbehaviour: counted, not transferable.
    Struck {
        /// Who.
        node: NodeId,
        /// What kind.
        violation: Violation,
        /// In which transaction, if any.
        txid: Option<Txid>,
        /// What was seen.
        detail: String,
    },
    /// A member is shut out.
    Banned {
        /// Who.
        node: NodeId,
        /// Until when.
        until: Timestamp,
        /// For what.
        violation: Violation,
    },
    /// Everything a peer's journal had up to here is known.
    Synced {
        /// Whose journal.
        peer: NodeId,
        /// Position in it.
        position: LogIndex,
    },
    /// Enough peers have seen no more of this node than its journal holds: it speaks in this boot (I7).
    Confirmed,
    /// This journal is behind what the node has shown: it recovers from its peers before it speaks again (I7).
    Quarantined {
        /// The highest boot of this node that anything has shown.
        shown: BootId,
    },
    /// What could be recovered is recovered. From here on this node speaks in a new era; on what was proposed before it
    /// only repeats itself.
    Rejoined {
        /// The new boot, above all that any peer has seen.
        boot: BootId,
    },
    /// How much a peer has shown to have done, under its own signature, to be told when it comes back (I7).
    Shown(Signed<Mark>),
    /// Presignatures are about to be used, and will never be again (I4).
    PresignaturesUsed {
        /// For this transaction.
        txid: Txid,
        /// In this session.
        session: SessionId,
        /// Which, and how they were made.
        presignatures: Vec<UsedPresignature>,
    },
    /// A presigning of these signers ended in a fault. Each may tell a cheat one bit of a secret, so they are counted.
    PresigningFailed {
        /// Of this key.
        key: KeyId,
        /// Who took part.
        signers: Vec<NodeId>,
        /// What went wrong.
        reason: String,
    },
    /// What an operator decided, at this node or at another.
    OperatorDecided(SignedDecision),
    /// Who asked this node for the payment, by the name of his API key; its peers do not know.
    Initiated {
        /// The payment's transaction.
        txid: Txid,
        /// Who.
        initiator: String,
    },
    /// A member stops all signing, this one or another.
    Frozen(Box<SignedFreeze>),
    /// A member lifts a freeze, this one or another.
    Lifted(SignedLift),
    /// A coin of the wallet is in a block.
    CoinSeen {
        /// Which.
        coin: OutPoint,
        /// Of this key.
        key: KeyId,
        /// How much.
        value: Amount,
    },
    /// A coin that was in a block is gone, and not by a transaction of the cluster.
    CoinLost {
        /// Which.
        coin: OutPoint,
        /// Of this key.
        key: KeyId,
        /// How much.
        value: Amount,
        /// What spends it; `None` if its own transaction left the chain.
        by: Option<Txid>,
    },
}

/// A presignature at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedPresignature {
    /// Which.
    pub id: PresignatureId,
    /// When it was made.
    pub made_at: Timestamp,
    /// How long that took.
    pub took: Millis,
}

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRef {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}
