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
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::DoubleVote, Self::InvalidSignature, Self::Timeout, Self::ProtocolViolation];

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
    /// Two signed votes of one member on one proposal and round that differ. Votes on two proposals of one transaction
    /// are none: a member that was restored from a backup may, without knowing, make a transaction again and vote on it
    /// again. Nothing is lost, because the end of a transaction is never concluded from fewer than f + 1 members' words.
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

    /// Digest that names it, whichever of the two statements was heard first, so that one lie is recorded once.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut pair = match self {
            Self::DoubleVote { first, second } => [
                codec::digest("mpc-wallet/evidence-part", first),
                codec::digest("mpc-wallet/evidence-part", second),
            ],
            Self::Equivocation { first, second } => [
                codec::digest("mpc-wallet/evidence-part", first),
                codec::digest("mpc-wallet/evidence-part", second),
            ],
        };
        pair.sort_unstable();
        codec::digest("mpc-wallet/evidence", &pair)
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
                    && a.digest == b.digest
                    && a.round == b.round;
                (same_place && a != b, first.verify(key) && second.verify(key))
            }
            Self::Equivocation { first, second } => {
                let (a, b) = (&first.body, &second.body);
                let same_place = a.from == b.from
                    && a.boot == b.boot
                    && a.session == b.session
                    && a.to == b.to
                    && a.sequence == b.sequence;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        BootId,
        fixture::{ballot, cluster, key, proposal},
        ids::{ClusterId, ProposalDigest, SessionId},
        vote::{Ballot, Decision, RejectReason},
    };

    const LIAR: u16 = 3;

    fn ballots(cluster: &Cluster) -> (Ballot, Ballot) {
        let proposal = proposal(cluster, 1, &[1]);
        let refusal = Decision::Reject(RejectReason::Expired);
        (ballot(cluster, &proposal, LIAR, Decision::Approve), ballot(cluster, &proposal, LIAR, refusal))
    }

    fn words() -> (MpcMessage, MpcMessage) {
        let word = |payload: &[u8]| MpcMessage {
            session: SessionId::from_bytes([5; 32]),
            from: NodeId::new(LIAR),
            boot: BootId(1),
            to: None,
            sequence: 1,
            payload: payload.to_vec(),
        };
        (word(b"one"), word(b"two"))
    }

    fn double_vote(bodies: (Ballot, Ballot), signers: (u16, u16)) -> Evidence {
        Evidence::DoubleVote {
            first: Box::new(Signed::new(bodies.0, &key(signers.0))),
            second: Box::new(Signed::new(bodies.1, &key(signers.1))),
        }
    }

    fn equivocation(bodies: (MpcMessage, MpcMessage), signers: (u16, u16)) -> Evidence {
        Evidence::Equivocation {
            first: Box::new(Signed::new(bodies.0, &key(signers.0))),
            second: Box::new(Signed::new(bodies.1, &key(signers.1))),
        }
    }

    #[test]
    fn other_words_after_a_restart_convict_nobody() {
        let cluster = cluster(5, 4);
        let (first, mut second) = words();
        second.boot = BootId(2);
        let evidence = equivocation((first, second), (LIAR, LIAR));
        assert_eq!(evidence.verify(&cluster), Err(EvidenceError::NoContradiction));
    }

    #[test]
    fn one_lie_has_one_name_whichever_statement_was_heard_first() {
        let (one, other) = words();
        let there = equivocation((one.clone(), other.clone()), (LIAR, LIAR));
        let back = equivocation((other, one), (LIAR, LIAR));
        assert_eq!(there.digest(), back.digest());
    }

    #[test]
    fn two_contrary_votes_convict_with_nothing_but_the_manifest() {
        let cluster = cluster(5, 4);
        let evidence = double_vote(ballots(&cluster), (LIAR, LIAR));
        // As a stranger would get it: from bytes.
        let read: Evidence = codec::decode(&codec::encode(&evidence).unwrap(), 10_000).unwrap();
        assert_eq!(read.verify(&cluster), Ok(()));
        assert_eq!((read.accused(), read.violation()), (NodeId::new(LIAR), Violation::DoubleVote));
    }

    #[test]
    fn two_words_in_one_place_convict_with_nothing_but_the_manifest() {
        let cluster = cluster(5, 4);
        let evidence = equivocation(words(), (LIAR, LIAR));
        let read: Evidence = codec::decode(&codec::encode(&evidence).unwrap(), 10_000).unwrap();
        assert_eq!(read.verify(&cluster), Ok(()));
        assert_eq!((read.accused(), read.violation()), (NodeId::new(LIAR), Violation::ProtocolViolation));
    }

    #[test]
    fn two_votes_that_do_not_contradict_prove_nothing() {
        type Change = fn(&mut Ballot, &mut Ballot);
        let cluster = cluster(5, 4);
        let changes: [(&str, Change); 7] = [
            ("the same vote twice", |a, b| *b = a.clone()),
            ("different rounds", |_, b| b.round += 1),
            ("different proposals", |_, b| b.digest = ProposalDigest::from_bytes([1; 32])),
            ("different voters", |_, b| b.voter = NodeId::new(4)),
            ("the first of another cluster", |a, _| a.cluster = ClusterId::from_bytes([1; 32])),
            ("the second of another cluster", |_, b| b.cluster = ClusterId::from_bytes([1; 32])),
            ("both of another cluster", |a, b| {
                a.cluster = ClusterId::from_bytes([1; 32]);
                b.cluster = a.cluster;
            }),
        ];
        for (desc, change) in changes {
            let (mut first, mut second) = ballots(&cluster);
            change(&mut first, &mut second);
            let signers = (first.voter.get(), second.voter.get());
            let verdict = double_vote((first, second), signers).verify(&cluster);
            assert_eq!(verdict, Err(EvidenceError::NoContradiction), "{desc}");
        }
    }

    #[test]
    fn two_words_that_do_not_contradict_prove_nothing() {
        type Change = fn(&mut MpcMessage, &mut MpcMessage);
        let cluster = cluster(5, 4);
        let changes: [(&str, Change); 5] = [
            ("the same words twice", |a, b| *b = a.clone()),
            ("different sessions", |_, b| b.session = SessionId::from_bytes([6; 32])),
            ("different places", |_, b| b.sequence += 1),
            ("different listeners", |_, b| b.to = Some(NodeId::new(1))),
            ("different speakers", |_, b| b.from = NodeId::new(4)),
        ];
        for (desc, change) in changes {
            let (mut first, mut second) = words();
            change(&mut first, &mut second);
            let signers = (first.from.get(), second.from.get());
            let verdict = equivocation((first, second), signers).verify(&cluster);
            assert_eq!(verdict, Err(EvidenceError::NoContradiction), "{desc}");
        }
    }

    #[test]
    fn an_accuser_cannot_forge_either_statement() {
        let cluster = cluster(5, 4);
        let not_signed = Err(EvidenceError::NotSigned(NodeId::new(LIAR)));
        for signers in [(1, LIAR), (LIAR, 1), (1, 1)] {
            assert_eq!(double_vote(ballots(&cluster), signers).verify(&cluster), not_signed, "{signers:?}");
            assert_eq!(equivocation(words(), signers).verify(&cluster), not_signed, "{signers:?}");
        }
    }

    #[test]
    fn a_signature_cannot_be_moved_to_other_words() {
        let cluster = cluster(5, 4);
        let (first, second) = ballots(&cluster);
        let honest = Signed::new(first, &key(LIAR));
        let forged = Signed { body: second, signature: honest.signature };
        let evidence = Evidence::DoubleVote { first: Box::new(honest), second: Box::new(forged) };
        assert_eq!(evidence.verify(&cluster), Err(EvidenceError::NotSigned(NodeId::new(LIAR))));
    }

    #[test]
    fn a_stranger_cannot_be_accused() {
        let (mut first, mut second) = ballots(&cluster(5, 4));
        (first.voter, second.voter) = (NodeId::new(9), NodeId::new(9));
        let evidence = double_vote((first, second), (9, 9));
        assert_eq!(evidence.verify(&cluster(5, 4)), Err(EvidenceError::Stranger(NodeId::new(9))));
    }
}
