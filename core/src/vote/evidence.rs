//! Evidence: what a member did, in a form that convinces others.
//!
//! Proof is cryptographic and transferable: it carries the liar's own signatures and verifies offline, with
//! nothing but the manifest. Everything else is circumstance: true for the witness, counted, never passed on as
//! proof, because a network can make an honest node look bad.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Vote;
use crate::{codec, config::Cluster, identity::Signed, ids::NodeId, message::MpcMessage};

/// Kinds of violation, as the record names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Violation {
    /// Two different votes in one round.
    DoubleVote,
    /// A signature that does not verify.
    InvalidSignature,
    /// Silence where an answer was due.
    Timeout,
    /// Anything else the protocol forbids: bad shares, equivocation, malformed traffic.
    ProtocolViolation,
}

impl Violation {
    /// The record's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DoubleVote => "double_vote",
            Self::InvalidSignature => "invalid_signature",
            Self::Timeout => "timeout",
            Self::ProtocolViolation => "protocol_violation",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Proof of misbehaviour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// Two signed votes of one member on one proposal and round that differ.
    DoubleVote {
        /// One.
        first: Box<Vote>,
        /// The other.
        second: Box<Vote>,
    },
    /// Two signed messages of one member for the same place in one protocol run that differ.
    Equivocation {
        /// One.
        first: Box<Signed<MpcMessage>>,
        /// The other.
        second: Box<Signed<MpcMessage>>,
    },
}

/// Why alleged evidence proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The statements are by different members or about different things.
    #[error("the two statements do not contradict each other")]
    NoContradiction,
    /// The author is no member.
    #[error("{0} is not a member of this cluster")]
    Stranger(NodeId),
    /// A signature does not verify: the accusation itself is false.
    #[error("a statement is not signed by {0}")]
    NotSigned(NodeId),
}

impl Evidence {
    /// Whom it accuses.
    #[must_use]
    pub const fn accused(&self) -> NodeId {
        match self {
            Self::DoubleVote { first, .. } => first.body.voter,
            Self::Equivocation { first, .. } => first.body.from,
        }
    }

    /// What it proves.
    #[must_use]
    pub const fn violation(&self) -> Violation {
        match self {
            Self::DoubleVote { .. } => Violation::DoubleVote,
            Self::Equivocation { .. } => Violation::ProtocolViolation,
        }
    }

    /// Digest that names it, so that it is recorded once.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        codec::digest("mpc-wallet/evidence", self)
    }

    /// Checks it with nothing but the manifest.
    ///
    /// # Errors
    /// Why it proves nothing; a false accusation names nobody.
    pub fn verify(&self, cluster: &Cluster) -> Result<(), EvidenceError> {
        let accused = self.accused();
        let key = cluster.key(accused).ok_or(EvidenceError::Stranger(accused))?;
        let (contradicts, signed) = match self {
            Self::DoubleVote { first, second } => {
                let (a, b) = (&first.body, &second.body);
                let same_place = a.voter == b.voter
                    && a.cluster == cluster.id()
                    && b.cluster == cluster.id()
                    && a.txid == b.txid
                    && a.round == b.round;
                (same_place && a != b, first.verify(key) && second.verify(key))
            }
            Self::Equivocation { first, second } => {
                let (a, b) = (&first.body, &second.body);
                let same_place =
                    a.from == b.from && a.session == b.session && a.to == b.to && a.sequence == b.sequence;
                (same_place && a != b, first.verify(key) && second.verify(key))
            }
        };
        if !contradicts {
            return Err(EvidenceError::NoContradiction);
        }
        if !signed {
            return Err(EvidenceError::NotSigned(accused));
        }
        Ok(())
    }
}
