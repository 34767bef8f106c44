//! Rare situations. A simulation that never reaches one of them says nothing about it, so they are counted, and a
//! sweep that misses one fails.
//!
//! Without the feature `testing` the macro [`sometimes!`](crate::sometimes!) is nothing at all.

/// What kind of trouble it takes to get into a situation.
#[cfg(feature = "testing")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// None: it happens in calm.
    Nothing,
    /// Messages that are lost, doubled, late or out of order.
    Network,
    /// Cuts between members.
    Cuts,
    /// Crashes.
    Crashes,
    /// Disks that fail.
    Disks,
    /// A journal from a backup.
    Backups,
    /// A chain that changes its mind, or a backend that does not answer.
    Chain,
    /// Coins that another hand spends.
    Thefts,
    /// Clocks that are wrong.
    Clocks,
    /// Members that are told different things about the coordinator.
    Leases,
    /// Clients that ask twice, or for something else.
    Clients,
    /// Members that lie.
    Traitors,
    /// A wallet whose signatures take presignatures.
    Presignatures,
    /// The same, and nodes that are stopped in order and started again.
    Restarts,
    /// A policy that asks people.
    People,
    /// Members that stop all signing, and lift it.
    Freezes,
    /// Clients that raise the fee of a payment on its way.
    Bumps,
}

#[cfg(feature = "testing")]
macro_rules! situations {
    ($(#[doc = $sentence:literal] $name:ident: $needs:ident,)+) => {
        crate::named::named! {
            /// A rare situation.
            enum Situation;

            $(#[doc = $sentence] $name,)+
        }

        impl Situation {
            /// What it takes to get there.
            #[must_use]
            pub const fn needs(self) -> Needs {
                match self {
                    $(Self::$name => Needs::$needs,)+
                }
            }
        }
    };
}

#[cfg(feature = "testing")]
situations! {
    /// A certificate stands although a member refuses.
    RefusalBesideCertificate: Leases,
    /// A vote comes that contradicts another, and the certificate stands without it.
    DoubleVoteAfterThreshold: Traitors,
    /// A vote comes when the vote is over.
    VoteAfterThreshold: Nothing,
    /// A vote comes before its proposal.
    VoteBeforeProposal: Network,
    /// A member that others have outvoted judges all the same.
    ConsentWithoutThisNode: Nothing,
    /// A round is given up by promise.
    RoundGivenUp: Cuts,
    /// A node gives no promise because its share has left.
    PromiseRefused: Leases,
    /// Enough members are bound, and coins are free again.
    CoinsFreed: Leases,
    /// A coin goes bad after this node has approved.
    ApprovedCoinGoesBad: Thefts,
    /// Two proposals of one and the same transaction meet.
    SameTransactionTwice: Crashes,
    /// A message of a session comes before the session.
    WordsBeforeSession: Network,
    /// A share comes and no such session runs here, any more or yet.
    ShareWithoutSession: Network,
    /// A share comes a second time.
    ShareAgain: Network,
    /// A session names a boot of this node that is over.
    SessionNamesOldBoot: Crashes,
    /// A session that was left is offered again.
    SessionOfferedAgain: Network,
    /// A session runs out of time.
    SessionTimesOut: Network,
    /// A later attempt gives the signature.
    LaterAttemptSigns: Network,
    /// A member is blamed for a bad share.
    BadShareBlamed: Traitors,
    /// A finished transaction comes while its vote is open here.
    FinishedDuringVote: Cuts,
    /// A node wakes with a transaction in signing.
    WokeInsideSigning: Crashes,
    /// A node wakes, its share has left and no signature is known.
    WokeAfterShare: Crashes,
    /// A timer rings at its very millisecond.
    TimerAtItsMoment: Nothing,
    /// A timer rings late.
    TimerLate: Clocks,
    /// A heartbeat of an earlier boot comes after one of a later.
    HeartbeatOfEarlierBoot: Crashes,
    /// A peer shows less than it has shown before.
    PeerShowsLess: Backups,
    /// A member that is shut out speaks.
    BannedMemberSpeaks: Traitors,
    /// An accusation does not hold.
    FalseAccusation: Traitors,
    /// The room for messages of sessions to come is full.
    EarlyMessagesFull: Traitors,
    /// A coordinator steps down while coins are granted.
    CoordinatorLeavesGrants: Cuts,
    /// A grant comes from a member that was not asked, or not last.
    GrantFromAnother: Cuts,
    /// An answer about coins is of an earlier term of the coordinator.
    AnswerOfEarlierTerm: Leases,
    /// Leases change hands too often to be heeded.
    LeasesIgnored: Leases,
    /// Coins are granted that the asker knows to be taken.
    GrantOfTakenCoin: Leases,
    /// Coins are granted that the asker has never seen.
    GrantOfUnknownCoin: Traitors,
    /// Nobody proposes what a grant was for.
    GrantLapses: Crashes,
    /// A node stops asking its coordinator for coins.
    ChoosesForItself: Traitors,
    /// A member that does not coordinate, as it sees it, hands out coins to one who insists.
    ServesWithoutCoordinating: Traitors,
    /// A client asks again and gets the transaction that it has.
    IdempotentReplay: Clients,
    /// A client asks again of a node that has restarted since.
    IdempotentReplayAfterRestart: Crashes,
    /// A client asks for something else under a key it has used.
    KeyReused: Clients,
    /// Two members each know of a transaction what the other does not.
    TalliesDiverge: Cuts,
    /// Fewer than a quorum are here, and a transaction says that it waits.
    WaitsForQuorum: Cuts,
    /// The block of a confirmed transaction leaves the chain.
    ReorgAfterConfirmation: Chain,
    /// An input is spent in a block by another, and the transaction fails.
    InputSpentByAnother: Thefts,
    /// A transaction vanishes from the mempool.
    DroppedFromMempool: Chain,
    /// Nobody can say whether a broadcast went through.
    BroadcastUnknown: Chain,
    /// The backend does not answer what a vote depends on.
    CoinsUnanswered: Chain,
    /// An append of unknown outcome turns out kept.
    UnknownAppendKept: Disks,
    /// An append of unknown outcome turns out lost.
    UnknownAppendLost: Disks,
    /// A node dies with its records on disk and its effects not done.
    DiedBetweenRecordAndEffect: Crashes,
    /// A node comes back from a backup.
    BackupRestored: Backups,
    /// The whole cluster is down.
    Blackout: Crashes,
    /// The whole cluster is down, and a transaction was in signing.
    BlackoutInsideSigning: Crashes,
    /// A worker dies with its job.
    JobLost: Crashes,
    /// A key generation breaks off.
    CeremonyFails: Crashes,
    /// Presignatures that an orderly stop kept are back in the pool.
    KeptPresignaturesReturn: Restarts,
    /// A node that was restored from a backup drops presignatures.
    PresignaturesDropped: Backups,
    /// A presigning ends in a fault, not for the time.
    PresigningFaults: Traitors,
    /// A leader names a presignature that a signer does not hold.
    PresignatureMissing: Crashes,
    /// A payment is signed although no presignatures are in stock for its signers.
    SignsWithoutStock: Presignatures,
    /// Coins are chosen so that the stock of presignatures is enough.
    FewerInputsForStock: Presignatures,
    /// A node votes for a payment because enough people approved it.
    PeopleApprove: People,
    /// A node votes against a payment because a person rejected it.
    PeopleReject: People,
    /// People have not decided in time.
    PeopleAreLate: People,
    /// A decision comes by way of another member than the one at which it was made.
    DecisionFromAnother: People,
    /// A decision comes that its member did not sign.
    DecisionForged: People,
    /// A freeze ends a signing session of a payment under way.
    FrozenInsideSession: Freezes,
    /// A freeze comes after a node's share has left and before there is a signature.
    FrozenAfterShare: Freezes,
    /// A freeze comes between consent and signature.
    FrozenAfterConsent: Freezes,
    /// A freeze comes while votes are cast.
    FrozenDuringVote: Freezes,
    /// A node wakes with a freeze on record.
    WokeFrozen: Freezes,
    /// A node that was away learns of a freeze from the answer to its question.
    FreezeLearntByAsking: Freezes,
    /// A node learns from others that the freeze it still tells of is lifted.
    LiftLearntLate: Freezes,
    /// A freeze is lifted.
    FreezeLifted: Freezes,
    /// Two members have frozen the cluster at once.
    FrozenTwice: Freezes,
    /// A replacement confirms.
    ReplacementWins: Bumps,
    /// A transaction confirms although another was signed in its place.
    OriginalWins: Bumps,
    /// A member hears of a replacement and has not got the original's signature.
    ReplacementBeforeOriginal: Bumps,
    /// A replacement comes when the original is in a block.
    ReplacementTooLate: Bumps,
    /// A coin is found to be spent by a stranger.
    CoinTaken: Thefts,
}

#[cfg(feature = "testing")]
mod counts {
    use std::cell::Cell;

    use super::Situation;

    thread_local! {
        static COUNTS: [Cell<u64>; Situation::ALL.len()] =
            const { [const { Cell::new(0) }; Situation::ALL.len()] };
    }

    /// Counts a situation in this thread.
    pub fn count(situation: Situation) {
        COUNTS.with(|counts| {
            if let Some(place) = Situation::ALL.iter().zip(counts).find(|(known, _)| **known == situation) {
                place.1.set(place.1.get().saturating_add(1));
            }
        });
    }

    /// What was counted in this thread since the last time this was asked, in the order of [`Situation::ALL`].
    #[must_use]
    pub fn take() -> Vec<u64> {
        COUNTS.with(|counts| counts.iter().map(Cell::take).collect())
    }
}

#[cfg(feature = "testing")]
pub use counts::{count, take};

/// Counts that a rare situation was reached, or that it was if the condition holds.
#[cfg(feature = "testing")]
#[macro_export]
macro_rules! sometimes {
    ($name:ident) => {
        $crate::sometimes::count($crate::sometimes::Situation::$name)
    };
    ($name:ident, $condition:expr) => {
        if $condition {
            $crate::sometimes::count($crate::sometimes::Situation::$name);
        }
    };
}

/// Nothing: situations are counted in simulations only.
#[cfg(not(feature = "testing"))]
#[macro_export]
macro_rules! sometimes {
    ($name:ident $(, $condition:expr)?) => {};
}
