//! Planted bugs. A check that nothing can fail is no check, so each of these breaks one promise on purpose, and the
//! simulator must notice.
//!
//! Without the feature `mutants` every question whether a bug is planted is the constant `false`, and the code behind
//! it is gone. With it one bug at a time can be planted, for one thread. No optimised build without debug assertions
//! can be made with the feature: it does not compile.

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("the feature `mutants` plants bugs: it is for simulation, never for a release build");

use crate::named::named;

named! {
    /// A bug that can be planted. Each is asked for at exactly one place; its sentence says what it breaks.
    enum Mutant;

    /// One approval less than the threshold makes a certificate.
    ThresholdOffByOne,
    /// The first voter's approval counts twice.
    VoterCountedTwice,
    /// The host acts on a step whose records are not on disk yet.
    EffectsBeforeRecords,
    /// The host acts on votes and promises before they are on disk; shares still wait.
    WordsBeforeRecords,
    /// A node forgets its own votes, and the coins they commit, when it restarts.
    VoteForgottenAtRestart,
    /// A session that was left is joined again, with other nonces.
    SessionJoinedAgain,
    /// A session made with an earlier boot of this node is joined.
    SessionOfAnotherBoot,
    /// A share leaves and no record says so.
    ShareWithoutRecord,
    /// What is signed is not the transaction that was approved.
    AnotherSighash,
    /// A vote is cast although its proposal has expired.
    VoteAfterExpiry,
    /// An accusation is believed without a look at its signatures.
    EvidenceNotChecked,
    /// A transaction that was confirmed once is not looked for any more.
    ReorgIgnored,
    /// No transaction is ever looked at again for the time alone.
    RetryTimerNotArmed,
    /// The order of open transactions is that of a randomly keyed hash table.
    HashOrderLeaks,
    /// An append of unknown outcome counts as failed, and the node goes on.
    UnknownCommitContinued,
    /// A payment asked for again under its idempotency key is a new payment.
    IdempotencyKeyIgnored,
    /// Change is spent however many unconfirmed transactions it stands on.
    ChainLimitIgnored,
    /// A node signs what it has not approved itself.
    SignsWithoutApproval,
    /// A heartbeat carries the key share.
    SecretInHeartbeat,
    /// A transition's record names a state the transaction was not in.
    TransitionFromElsewhere,
    /// Change of the wallet's own transactions is missing from the balance.
    ChangeNotCounted,
    /// Coins are free when one member less than needed is bound never to sign.
    ReleasedTooSoon,
    /// A node promises never to sign after its share has left.
    PromiseAfterShare,
    /// The transaction pays one satoshi less than its client asked for.
    AnotherAmount,
    /// Proof of a lie leads to nothing: whoever holds it neither shuts the liar out nor tells anybody.
    ProofUnused,
    /// An approval commits no coins.
    CoinsNotCommitted,
    /// The re-check before signing writes a second, different vote into the journal.
    SecondVoteInJournal,
    /// The journal dates what a node learns one millisecond later than the node itself.
    LiveStateAhead,
    /// Votes for another proposal of the same transaction count.
    VotesForAnotherProposal,
    /// Silence in a session is held against a member like a breach of the protocol.
    SilenceHeldAgainst,
    /// A node that starts takes part before its peers have told what they saw of it.
    SpeaksUnasked,
    /// A key is proven and used before all members have said that they hold their shares of it.
    KeyProvenTooSoon,
    /// A presignature is still there after its use.
    PresignatureReused,
    /// A signature's share leaves before its presignature is on record as used.
    PresignatureBurntLate,
    /// Presignatures that come with an older journal are used.
    RollbackIgnored,
    /// A node votes for a payment that its policy asks people about before they have decided.
    OperatorsNotAsked,
    /// A person's refusal counts as enough approvals.
    OperatorRefusalIgnored,
    /// A node takes down a second, contrary decision about one transaction.
    OperatorDecidesTwice,
    /// A node approves a payment although a freeze is active.
    ApprovesWhileFrozen,
    /// A node goes on signing payments although a freeze is active.
    SignsWhileFrozen,
    /// A freeze is over when one member less than needed lifts it.
    LiftedTooSoon,
    /// Peers are told of freezes and lifts once, and never again.
    FreezesToldOnce,
    /// A replacement may pay somebody else, or something else.
    ReplacementPaysOther,
    /// A replacement need not pay more than what it replaces.
    ReplacementTooCheap,
    /// The change of a transaction may be spent while another takes its place.
    ReplacedChangeIsFree,
    /// Nobody asks what became of a coin that is gone.
    LossUnnoticed,
    /// Whatever spends a missing coin is called a stranger at once.
    StrangerTooSoon,
}

#[cfg(feature = "mutants")]
mod planted {
    use std::{cell::Cell, marker::PhantomData};

    use super::Mutant;

    thread_local! {
        static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Keeps a bug planted in the thread that planted it; what was planted before comes back when this goes.
    #[derive(Debug)]
    pub struct Guard {
        before: Option<Mutant>,
        // The selection belongs to one thread, and so does whoever ends it.
        _not_send: PhantomData<*const ()>,
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            PLANTED.set(self.before);
        }
    }

    /// Plants a bug, or none, in this thread for as long as the guard lives.
    #[must_use]
    pub fn plant(mutant: Option<Mutant>) -> Guard {
        Guard { before: PLANTED.replace(mutant), _not_send: PhantomData }
    }

    /// Whether this bug is planted in this thread.
    #[must_use]
    pub fn is_planted(mutant: Mutant) -> bool {
        PLANTED.get() == Some(mutant)
    }
}

#[cfg(feature = "mutants")]
pub use planted::{Guard, is_planted, plant};

/// Whether this bug is planted: never, in a build without the feature `mutants`.
#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn is_planted(_: Mutant) -> bool {
    false
}

/// What [`Mutant::SecretInHeartbeat`] says.
pub(crate) fn told_aloud(share: Option<&crate::mpc::KeyShare>) -> String {
    let secret = share.and_then(|share| share.to_secret_bytes().ok());
    secret.map_or_else(String::new, |secret| String::from_utf8_lossy(&secret).into_owned())
}

/// Whether a bug is planted here. Each bug has exactly one place that asks.
#[macro_export]
macro_rules! mutant {
    ($name:ident) => {
        $crate::mutant::is_planted($crate::mutant::Mutant::$name)
    };
}
