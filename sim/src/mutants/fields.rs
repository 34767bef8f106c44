//! Where each planted bug is looked for, how long, and who is to find it.

use mpc_wallet_core::mutant::Mutant;

use crate::{
    FaultPlan, Profile,
    plan::{ClockFault, Jump, Lease, Payment, Span},
};

/// How a bug is hunted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hunt {
    /// Which promise of the protocol it breaks.
    pub invariant: &'static str,
    /// Under which plans.
    pub field: Field,
    /// Most seeds.
    pub budget: u64,
    /// Who is to object.
    pub oracles: &'static [&'static str],
    /// Whether each plan is run twice and the runs compared: the check of determinism.
    pub twice: bool,
}

/// A kind of plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Those that seeds mean under a profile.
    Of(Profile),
    /// Two members that each believe to coordinate, and hand out the same coins.
    TwoHolders,
    /// The same request at two members that each believe to coordinate.
    TwoBuilders,
    /// Clocks that leap over the expiry of what is being voted on.
    LeapingClocks,
}

impl Field {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Of(profile) => profile.name(),
            Self::TwoHolders => "two holders",
            Self::TwoBuilders => "two builders",
            Self::LeapingClocks => "leaping clocks",
        }
    }

    /// The plan of a seed.
    #[must_use]
    pub fn plan(self, seed: u64) -> FaultPlan {
        match self {
            Self::Of(profile) => FaultPlan::from_seed(seed, profile),
            Self::TwoHolders => FaultPlan {
                leases: two_holders(),
                payments: (0..4).map(|n| Payment::new(5_000, 1 + n, 900_000)).collect(),
                ..FaultPlan::quiet(seed)
            },
            Self::TwoBuilders => FaultPlan {
                leases: two_holders(),
                payments: vec![Payment {
                    idempotency_key: Some(String::from("key")),
                    also_at: Some(5),
                    ..Payment::new(5_000, 1, 900_000)
                }],
                ..FaultPlan::quiet(seed)
            },
            Self::LeapingClocks => {
                let mut plan = FaultPlan::quiet(seed);
                plan.payments = vec![Payment::new(5_000, 1, 900_000)];
                plan.chain.answer = Span { least: 500, most: 2_000 };
                plan.clocks = (1..=5)
                    .map(|node| ClockFault {
                        node,
                        jumps: vec![Jump { at: 5_600, by: 25 * 3_600_000 }],
                        ..ClockFault { node, offset: 0, drift_ppm: 0, jumps: vec![], late: 0, spurious: 0 }
                    })
                    .collect();
                plan
            }
        }
    }
}

fn two_holders() -> Vec<Lease> {
    (1..=5).map(|node| Lease { at: 1_000, node, holder: Some(if node <= 2 { 1 } else { 5 }) }).collect()
}

/// How a bug is hunted.
#[must_use]
pub const fn hunt(mutant: Mutant) -> Hunt {
    let (invariant, field, budget, oracles): (_, _, _, &'static [&'static str]) = match mutant {
        Mutant::ThresholdOffByOne => ("I3", Field::Of(Profile::Swarm), 20, &["threshold"]),
        Mutant::VoterCountedTwice => ("I3", Field::Of(Profile::Swarm), 20, &["threshold"]),
        Mutant::EffectsBeforeRecords => {
            ("write-ahead", Field::Of(Profile::Swarm), 20, &["durable_before_sent"])
        }
        Mutant::WordsBeforeRecords => ("write-ahead", Field::Of(Profile::Calm), 5, &["durable_before_sent"]),
        Mutant::VoteForgottenAtRestart => {
            ("I5", Field::Of(Profile::Swarm), 200, &["no_double_vote", "one_coin_one_family"])
        }
        Mutant::SessionJoinedAgain => ("I4", Field::Of(Profile::Swarm), 50, &["once", "no_false_accusation"]),
        Mutant::SessionOfAnotherBoot => {
            ("I4", Field::Of(Profile::Crashy), 200, &["once", "no_false_accusation"])
        }
        Mutant::ShareWithoutRecord => ("I4", Field::Of(Profile::Swarm), 20, &["once"]),
        Mutant::AnotherSighash => ("I3", Field::Of(Profile::Swarm), 20, &["convergence"]),
        Mutant::VoteAfterExpiry => ("I5", Field::LeapingClocks, 20, &["in_time"]),
        Mutant::EvidenceNotChecked => ("I5", Field::Of(Profile::Swarm), 200, &["no_false_accusation"]),
        Mutant::ReorgIgnored => {
            ("liveness", Field::Of(Profile::Swarm), 100, &["convergence", "conservation"])
        }
        Mutant::RetryTimerNotArmed => ("liveness", Field::Of(Profile::Swarm), 50, &["convergence"]),
        Mutant::HashOrderLeaks => ("determinism", Field::Of(Profile::Swarm), 50, &["determinism"]),
        Mutant::UnknownCommitContinued => ("write-ahead", Field::Of(Profile::Swarm), 50, &["contract"]),
        Mutant::IdempotencyKeyIgnored => ("I1", Field::Of(Profile::Swarm), 50, &["paid_once"]),
        Mutant::SessionLimitIgnored => ("limits", Field::Of(Profile::Swarm), 50, &["limits"]),
        Mutant::SignsWithoutApproval => ("I3", Field::Of(Profile::Swarm), 50, &["threshold"]),
        Mutant::SecretInHeartbeat => ("secrets", Field::Of(Profile::Calm), 5, &["no_secret_leaves"]),
        Mutant::TransitionFromElsewhere => ("lifecycle", Field::Of(Profile::Calm), 5, &["lifecycle"]),
        Mutant::ChangeNotCounted => ("conservation", Field::Of(Profile::Calm), 5, &["conservation"]),
        Mutant::ReleasedTooSoon => ("I6", Field::Of(Profile::Swarm), 100, &["dead_stays_dead"]),
        Mutant::PromiseAfterShare => ("I6", Field::Of(Profile::Swarm), 200, &["dead_stays_dead"]),
        Mutant::AnotherAmount => ("I1", Field::Of(Profile::Calm), 5, &["paid_once"]),
        Mutant::ProofKeptBack => ("completeness", Field::Of(Profile::Swarm), 200, &["liars_are_known"]),
        Mutant::CoinsNotCommitted => ("I2", Field::TwoHolders, 50, &["one_coin_one_family"]),
        Mutant::SecondVoteInJournal => ("I5", Field::Of(Profile::Swarm), 20, &["no_double_vote"]),
        Mutant::LiveStateAhead => ("replay", Field::Of(Profile::Calm), 5, &["replay_equals_live"]),
        Mutant::VotesForAnotherProposal => ("I3", Field::TwoBuilders, 50, &["threshold"]),
        Mutant::WitnessNotChecked => ("I3", Field::Of(Profile::Swarm), 200, &["threshold"]),
        Mutant::SilenceHeldAgainst => ("I5", Field::Of(Profile::Swarm), 100, &["no_false_accusation"]),
    };
    let twice = matches!(mutant, Mutant::HashOrderLeaks);
    Hunt { invariant, field, budget, oracles, twice }
}
