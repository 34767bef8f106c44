//! The kinds of traitors, by name: plans and command lines say these.

use serde::{Deserialize, Serialize};

/// How a member deviates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deviation {
    /// Tells half of its peers the opposite vote.
    Equivocator,
    /// Loses its disk at every crash and votes again, the other way.
    Forgetter,
    /// Votes, joins sessions, and never lets its share go.
    Withholder,
    /// Sends one victim a share that does not verify.
    BadShare,
    /// Repeats old words of others and its own.
    Replayer,
    /// Speaks as of an earlier boot and policy.
    StaleEpoch,
    /// Flips bits of what it sends.
    Mutator,
    /// Sends statements in another member's name.
    Impersonator,
    /// One identity on two machines with two memories.
    Twin,
    /// As coordinator, grants the same coins to all and starts sessions without consent.
    LyingCoordinator,
    /// Sends as much as it can.
    Flooder,
    /// Proposes to replace signed payments by payments to itself.
    Diverter,
}

impl Deviation {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Equivocator,
        Self::Forgetter,
        Self::Withholder,
        Self::BadShare,
        Self::Replayer,
        Self::StaleEpoch,
        Self::Mutator,
        Self::Impersonator,
        Self::Twin,
        Self::LyingCoordinator,
        Self::Flooder,
        Self::Diverter,
    ];
}
