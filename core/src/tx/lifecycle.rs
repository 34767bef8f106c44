//! The eleven states of a transaction and the only moves between them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a transaction stands. The names are the API's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Built and durable at its origin.
    Pending,
    /// Out to the members for judgement.
    Voting,
    /// A certificate exists: `t` distinct valid approvals.
    ThresholdReached,
    /// This node's own re-check passed.
    Approved,
    /// A signing session runs, or the next one waits for signers.
    Signing,
    /// The final transaction is durable.
    Signed,
    /// Handed to the network.
    Broadcasting,
    /// Deep enough in the best chain.
    Confirmed,
    /// Refused by votes, policy or time; provably never signed.
    Rejected,
    /// Will never confirm; provably never signed, or an input is gone.
    Failed,
    /// Proven misbehaviour made it impossible to finish.
    AbortedByzantine,
}

/// A move that the lifecycle does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a transaction cannot go from {from} to {to}")]
pub struct IllegalTransition {
    /// Where it stands.
    pub from: State,
    /// Where it was to go.
    pub to: State,
}

impl State {
    /// All states, in the order of a payment's life.
    pub const ALL: [Self; 11] = [
        Self::Pending,
        Self::Voting,
        Self::ThresholdReached,
        Self::Approved,
        Self::Signing,
        Self::Signed,
        Self::Broadcasting,
        Self::Confirmed,
        Self::Rejected,
        Self::Failed,
        Self::AbortedByzantine,
    ];

    /// The API's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Voting => "voting",
            Self::ThresholdReached => "threshold_reached",
            Self::Approved => "approved",
            Self::Signing => "signing",
            Self::Signed => "signed",
            Self::Broadcasting => "broadcasting",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::AbortedByzantine => "aborted_byzantine",
        }
    }

    /// Whether the payment's story is over. A reorganisation may still reopen `Confirmed`.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Confirmed | Self::Rejected | Self::Failed | Self::AbortedByzantine => true,
            Self::Pending
            | Self::Voting
            | Self::ThresholdReached
            | Self::Approved
            | Self::Signing
            | Self::Signed
            | Self::Broadcasting => false,
        }
    }

    /// Whether no signature exists yet, as far as this node knows.
    #[must_use]
    pub const fn is_unsigned(self) -> bool {
        match self {
            Self::Pending | Self::Voting | Self::ThresholdReached | Self::Approved | Self::Signing => true,
            Self::Signed
            | Self::Broadcasting
            | Self::Confirmed
            | Self::Rejected
            | Self::Failed
            | Self::AbortedByzantine => false,
        }
    }

    /// Whether `self → to` is a move of the lifecycle. A finished signature may arrive from peers in any unsigned
    /// state, because a node may have slept through the vote.
    #[must_use]
    pub const fn may_become(self, to: Self) -> bool {
        match self {
            Self::Pending => matches!(to, Self::Voting | Self::Rejected),
            Self::Voting => {
                matches!(to, Self::ThresholdReached | Self::Signed | Self::Rejected | Self::Failed)
            }
            Self::ThresholdReached => matches!(to, Self::Approved | Self::Signed | Self::Failed),
            Self::Approved => matches!(to, Self::Signing | Self::Signed | Self::Failed),
            Self::Signing => {
                matches!(to, Self::Signed | Self::Failed | Self::AbortedByzantine)
            }
            Self::Signed => matches!(to, Self::Broadcasting | Self::Failed),
            Self::Broadcasting => matches!(to, Self::Confirmed | Self::Failed),
            Self::Confirmed => matches!(to, Self::Broadcasting),
            Self::Rejected | Self::Failed | Self::AbortedByzantine => false,
        }
    }

    /// The state after moving to `to`.
    ///
    /// # Errors
    /// [`IllegalTransition`] if the lifecycle has no such move.
    pub const fn advance(self, to: Self) -> Result<Self, IllegalTransition> {
        if self.may_become(to) { Ok(to) } else { Err(IllegalTransition { from: self, to }) }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The reason behind a state; the vocabulary may grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubStatus {
    /// `voting`: votes are coming in.
    AwaitingVotes,
    /// `voting`, `approved`, `signing`: fewer than `t` members are reachable; nothing is lost, it goes on by itself.
    WaitingForQuorum,
    /// `voting`: the round is over without a certificate; members promise never to sign.
    Abandoning,
    /// `approved`: the coordinator is choosing signers.
    ChoosingSigners,
    /// `signing`: first attempt.
    SigningAttempt(u32),
    /// `signing`: the last subset failed, another is tried.
    RetryingOtherSubset,
    /// `broadcasting`: not accepted anywhere yet.
    NotYetSent,
    /// `broadcasting`: the chain backend is unreachable or unclear; it is asked again.
    OutcomeUnknown,
    /// `broadcasting`: in the mempool.
    InMempool,
    /// `broadcasting`: the mempool wants a higher fee; retried at each look.
    FeeTooLow,
    /// `broadcasting`: vanished from the mempool, sent again.
    DroppedRebroadcasting,
    /// `broadcasting`: in a block, not deep enough.
    Confirming,
    /// `broadcasting`: its block left the best chain.
    ReorgedOut,
    /// `broadcasting`: another transaction spends an input, unconfirmed.
    ConflictSeen,
    /// `confirmed`.
    Settled,
    /// `rejected`: too many members refused; the commonest reason.
    Votes(String),
    /// `rejected`: no certificate in time.
    Expired,
    /// `failed`: an input was spent by another confirmed transaction.
    InputSpent,
    /// `broadcasting`: this node's chain backend refuses it; others' may not.
    BroadcastRejected(String),
    /// `failed`: enough members promised never to sign.
    Abandoned,
    /// `aborted_byzantine`: what was proven.
    Misbehaviour(String),
    /// `signing`: no presignatures are left for these signers; they make what they need, which takes seconds.
    PresigningAttempt(u32),
    /// `approved`, `signing`: no group of signers may presign any more, and none has stock; it goes on when one has.
    WaitingForPresignatures,
    /// `voting`: this node's policy asks people, and not enough of them have decided.
    AwaitingApproval,
    /// `voting`, `threshold_reached`, `approved`, `signing`: a member has frozen the cluster; it goes on when that is
    /// lifted, or expires.
    Frozen,
    /// `broadcasting`: one with a higher fee has been sent in its place; either may still confirm.
    BeingReplaced,
    /// `failed`: another transaction for the same payment confirmed instead.
    Replaced,
}

impl fmt::Display for SubStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AwaitingVotes => f.write_str("awaiting_votes"),
            Self::WaitingForQuorum => f.write_str("waiting_for_quorum"),
            Self::Abandoning => f.write_str("abandoning"),
            Self::ChoosingSigners => f.write_str("choosing_signers"),
            Self::SigningAttempt(n) => write!(f, "attempt_{n}"),
            Self::RetryingOtherSubset => f.write_str("retrying_other_subset"),
            Self::NotYetSent => f.write_str("not_yet_sent"),
            Self::OutcomeUnknown => f.write_str("outcome_unknown"),
            Self::InMempool => f.write_str("in_mempool"),
            Self::FeeTooLow => f.write_str("fee_too_low"),
            Self::DroppedRebroadcasting => f.write_str("dropped_rebroadcasting"),
            Self::Confirming => f.write_str("confirming"),
            Self::ReorgedOut => f.write_str("reorged_out"),
            Self::ConflictSeen => f.write_str("conflict_seen"),
            Self::Settled => f.write_str("settled"),
            Self::Votes(reason) => write!(f, "votes:{reason}"),
            Self::Expired => f.write_str("expired"),
            Self::InputSpent => f.write_str("input_spent"),
            Self::BroadcastRejected(code) => write!(f, "broadcast_rejected:{code}"),
            Self::Abandoned => f.write_str("abandoned"),
            Self::Misbehaviour(what) => write!(f, "{what}"),
            Self::PresigningAttempt(n) => write!(f, "attempt_{n}_without_presignatures"),
            Self::WaitingForPresignatures => f.write_str("waiting_for_presignatures"),
            Self::AwaitingApproval => f.write_str("awaiting_approval"),
            Self::Frozen => f.write_str("frozen"),
            Self::BeingReplaced => f.write_str("being_replaced"),
            Self::Replaced => f.write_str("replaced"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_moves_is_exactly_this() {
        use State::*;
        let legal = [
            (Pending, Voting),
            (Pending, Rejected),
            (Voting, ThresholdReached),
            (Voting, Signed),
            (Voting, Rejected),
            (Voting, Failed),
            (ThresholdReached, Approved),
            (ThresholdReached, Signed),
            (ThresholdReached, Failed),
            (Approved, Signing),
            (Approved, Signed),
            (Approved, Failed),
            (Signing, Signed),
            (Signing, Failed),
            (Signing, AbortedByzantine),
            (Signed, Broadcasting),
            (Signed, Failed),
            (Broadcasting, Confirmed),
            (Broadcasting, Failed),
            (Confirmed, Broadcasting),
        ];
        for from in State::ALL {
            for to in State::ALL {
                assert_eq!(from.advance(to).is_ok(), legal.contains(&(from, to)), "{from} → {to}");
            }
        }
    }
}
