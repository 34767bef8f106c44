//! Where each planted bug is looked for, how long, and who is to find it.

use std::ops::Range;

use mpc_wallet_core::mutant::Mutant;

use crate::{
    FaultPlan, Profile,
    plan::{
        Bump, ChainPlan, ClockFault, Crash, CrashPoint, Deviation, Direction, DiskFault, DiskTrouble, Filter,
        Freeze, Jump, Lease, Lift, NetworkProfile, Partition, Payment, People, Reorg, Span, Stop, Theft,
        Traitor, Unsynced, Visit,
    },
    profile::{self, CALM_NETWORK},
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
    /// Two members that each believe to coordinate, and everybody dies in the vote.
    Forgetful,
    /// Two members that each believe to coordinate, votes that nobody hears, and a journal from before them.
    Restored,
    /// Blocks leave the chain when what was in them is confirmed, and nobody but the cluster knows it any more.
    DeepReorg,
    /// A clock leaps over the expiry of what is being voted on.
    LeapOverVote,
    /// All must sign, one does not hear another, and a clock leaps over the expiry of what is being signed.
    LeapOverSession,
    /// One coin, many payments, and no block for long.
    LongChain,
    /// Links that lose much and bring what was lost back much later.
    LateDoubles,
    /// Disks take long, each its own time, so that members seal their shares of the key one after another.
    SlowSeals,
    /// More payments at once than there are presignatures.
    SecondWallet,
    /// A node alone uses a presignature, and its machine is replaced by one from a time when it had it.
    OldStock,
    /// One person approves everything, thinks better of it too late, and another refuses everything.
    People,
    /// An operator freezes while payments are made, three lift it, and the fourth much later; one of the three hears nothing
    /// of the others' lifts.
    Frozen,
    /// Fees of payments are raised by a little less than the network asks for.
    Bumped,
    /// A payment spends the change of one whose fee is raised at a member that nobody hears.
    BuiltOnChange,
    /// Payments are made while one member is cut off from the others and sees the chain, and a coin is stolen.
    Robbed,
    /// One member lies in this way.
    Traitor(Deviation),
}

impl Field {
    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Of(profile) => profile.name().to_owned(),
            Self::TwoHolders => String::from("two holders"),
            Self::TwoBuilders => String::from("two builders"),
            Self::Forgetful => String::from("two holders, all die"),
            Self::Restored => String::from("two holders, old journal"),
            Self::DeepReorg => String::from("deep reorganisation"),
            Self::LeapOverVote => String::from("leap over a vote"),
            Self::LeapOverSession => String::from("leap over a session"),
            Self::LongChain => String::from("long chain"),
            Self::LateDoubles => String::from("late doubles"),
            Self::SlowSeals => String::from("slow seals"),
            Self::SecondWallet => String::from("second wallet"),
            Self::OldStock => String::from("second wallet, old stock"),
            Self::People => String::from("people"),
            Self::Frozen => String::from("frozen"),
            Self::Bumped => String::from("raised fees"),
            Self::BuiltOnChange => String::from("raised fee, spent change"),
            Self::Robbed => String::from("stolen coin"),
            Self::Traitor(deviation) => format!("traitor: {deviation:?}"),
        }
    }

    /// The plan of a seed.
    #[must_use]
    pub fn plan(self, seed: u64) -> FaultPlan {
        let busy = |count: u16| (0..count).map(|n| Payment::new(5_000, 1 + n % 5, 900_000)).collect();
        // A network that may reorder is no calm one: payments need not all be paid.
        let network = NetworkProfile { reorder: 1, ..CALM_NETWORK };
        let quiet = FaultPlan { network, ..FaultPlan::quiet(seed) };
        let leap = |node| ClockFault {
            node,
            offset: 0,
            drift_ppm: 0,
            jumps: vec![Jump { at: 5_200, by: 25 * 3_600_000 }],
            late: 0,
            spurious: 0,
        };
        let crash = |at, node| Crash {
            at,
            node,
            down_for: 300,
            when: CrashPoint::Now,
            entering: None,
            unsynced: Unsynced::Prefix,
        };
        match self {
            Self::Of(profile) => FaultPlan::from_seed(seed, profile),
            Self::TwoHolders => FaultPlan { leases: two_holders(), payments: busy(4), ..quiet },
            Self::TwoBuilders => FaultPlan {
                leases: two_holders(),
                payments: vec![Payment {
                    idempotency_key: Some(String::from("key")),
                    also_at: Some(5),
                    ..Payment::new(5_000, 1, 900_000)
                }],
                ..quiet
            },
            Self::Forgetful => {
                let end = 5_040 + 40 * (seed % 20);
                FaultPlan {
                    leases: two_holders(),
                    payments: busy(4),
                    crashes: (1..=5).map(|node| crash(end, node)).collect(),
                    // A vote that a peer has heard comes back to whoever forgot it (I7).
                    filters: unheard(None, end + 200),
                    ..quiet
                }
            }
            Self::Restored => FaultPlan {
                leases: two_holders(),
                payments: busy(4),
                // Proposals are known at once, and the votes on them wait for the chain.
                chain: ChainPlan { answer: Span { least: 200, most: 500 }, ..quiet.chain },
                disks: vec![DiskFault {
                    at: 6_000,
                    node: 3,
                    fault: DiskTrouble::Restored { age: 850 - 10 * (seed % 10) },
                }],
                filters: unheard(Some(3), 12_000),
                ..quiet
            },
            Self::DeepReorg => FaultPlan {
                payments: busy(4),
                chain: ChainPlan {
                    block_interval: Span { least: 2_000, most: 2_000 },
                    reorgs: vec![Reorg { at: 16_000 + 1_000 * (seed % 8), depth: 12, forgets: true }],
                    ..quiet.chain
                },
                ..quiet
            },
            Self::LeapOverVote => FaultPlan {
                threshold: 5,
                payments: busy(1),
                clocks: vec![leap(2)],
                crashes: vec![crash(5_300, 2)],
                chain: ChainPlan { answer: Span { least: 500, most: 3_000 }, ..quiet.chain },
                ..quiet
            },
            Self::LeapOverSession => FaultPlan {
                threshold: 5,
                payments: busy(1),
                clocks: vec![leap(1)],
                crashes: vec![crash(6_500, 1)],
                filters: vec![Filter {
                    from: 0,
                    to: profile::TROUBLE,
                    sender: Some(2),
                    receiver: Some(3),
                    kind: String::from("Mpc"),
                }],
                ..quiet
            },
            Self::LongChain => FaultPlan {
                payments: (0..40).map(|n| Payment::new(1_000 * n, 1, 10_000)).collect(),
                chain: ChainPlan {
                    block_interval: Span { least: 50_000, most: 50_000 },
                    ..ChainPlan::quiet(vec![5_000_000])
                },
                ..quiet
            },
            Self::LateDoubles => FaultPlan {
                payments: busy(5),
                network: NetworkProfile {
                    delay: Span { least: 1, most: 300 },
                    tail: 400_000,
                    loss: 250_000,
                    duplicate: 400_000,
                    reorder: 500_000,
                },
                ..quiet
            },
            Self::SlowSeals => FaultPlan { fsync: Span { least: 1, most: 1_500 }, ..quiet },
            Self::SecondWallet => FaultPlan { payments: from_segwit(0..8), ..second_wallet(quiet) },
            Self::OldStock => old_stock(second_wallet(quiet)),
            Self::People => FaultPlan { payments: busy(4), people: Some(of_two_minds()), ..quiet },
            Self::Frozen => {
                let at = 5_000 + 37 * (seed % 40);
                let deaf = Filter {
                    from: at + 1_000,
                    to: 25_000,
                    sender: None,
                    receiver: Some(5),
                    kind: String::from("Freezes"),
                };
                let lift = |at, node| Lift { at, node };
                FaultPlan {
                    payments: busy(4),
                    freezes: vec![Freeze { at, node: 2 }],
                    lifts: [5, 3, 4]
                        .map(|node| lift(at + 3_000, node))
                        .into_iter()
                        .chain([lift(20_000, 1)])
                        .collect(),
                    filters: vec![deaf],
                    ..quiet
                }
            }
            Self::Bumped => {
                // Payments go out at 3 000 sat/kvB here.
                let bump = |payment| Bump { at: 10_000, payment, node: 2, fee_rate: Some(3_900) };
                FaultPlan {
                    payments: busy(4),
                    bumps: (0..4).map(bump).collect(),
                    chain: no_block_before(40_000, quiet.chain),
                    ..quiet
                }
            }
            Self::BuiltOnChange => FaultPlan {
                payments: [5_000, 20_200].map(|at| Payment::new(at, 1, 900_000)).into(),
                bumps: vec![Bump { at: 20_000 + 10 * (seed % 10), payment: 0, node: 5, fee_rate: None }],
                filters: ["VoteRequest", "Bundle", "SyncPage"].map(|kind| mute(5, kind, 24_000)).into(),
                chain: no_block_before(60_000, ChainPlan::quiet(vec![5_000_000])),
                ..quiet
            },
            Self::Robbed => FaultPlan {
                payments: (0..4).map(|n| Payment::new(5_000, 1 + n, 900_000)).collect(),
                partitions: vec![Partition {
                    from: 4_000,
                    to: 25_000,
                    group: vec![5],
                    direction: Direction::Both,
                }],
                chain: ChainPlan { thefts: vec![Theft { at: 15_000 }], ..quiet.chain },
                ..quiet
            },
            Self::Traitor(deviation) => FaultPlan {
                payments: busy(4),
                traitors: vec![Traitor { node: 2, deviation, from: 0 }],
                ..quiet
            },
        }
    }
}

fn two_holders() -> Vec<Lease> {
    (1..=5).map(|node| Lease { at: 1_000, node, holder: Some(if node <= 2 { 1 } else { 5 }) }).collect()
}

fn of_two_minds() -> People {
    let visit = |at, node, approve| Visit { at, node, approve };
    let visits = vec![visit(7_000, 1, true), visit(8_000, 1, false), visit(9_000, 3, false)];
    People { above: 100_000, operators: 2, wait: 20_000, visits }
}

/// The same cluster with a SegWit wallet.
fn second_wallet(quiet: FaultPlan) -> FaultPlan {
    FaultPlan { chain: ChainPlan { segwit_funds: vec![5_000_000; 8], ..quiet.chain }, ..quiet }
}

/// Payments from it, one for each number.
fn from_segwit(numbers: Range<u16>) -> Vec<Payment> {
    numbers.map(|n| Payment::new(5_000, 1 + n % 5, 100_000 + u64::from(n)).from_segwit()).collect()
}

/// The first signer is stopped and started, leads a session of which nobody hears, and is replaced by what a backup of its
/// machine holds: journal and presignatures from before that session.
fn old_stock(plan: FaultPlan) -> FaultPlan {
    let unheard =
        Filter { from: 4_500, to: 8_000, sender: Some(1), receiver: None, kind: String::from("SignRequest") };
    let later = from_segwit(1..8).into_iter().map(|payment| Payment { at: 16_000, ..payment });
    FaultPlan {
        stops: vec![Stop { at: 2_000, node: 1, down_for: 1_000 }],
        payments: from_segwit(0..1).into_iter().chain(later).collect(),
        filters: vec![unheard],
        disks: vec![DiskFault { at: 8_000, node: 1, fault: DiskTrouble::Restored { age: 5_500 } }],
        ..plan
    }
}

/// Nobody hears such words of this node before a moment.
fn mute(sender: u16, kind: &str, to: u64) -> Filter {
    Filter { from: 0, to, sender: Some(sender), receiver: None, kind: kind.to_owned() }
}

/// The same chain with blocks at this interval.
fn no_block_before(interval: u64, chain: ChainPlan) -> ChainPlan {
    ChainPlan { block_interval: Span { least: interval, most: interval }, ..chain }
}

/// Until a moment no vote reaches this node, or anybody, in whichever message.
fn unheard(receiver: Option<u16>, to: u64) -> Vec<Filter> {
    let deaf = |kind: &str| Filter { from: 0, to, sender: None, receiver, kind: kind.to_owned() };
    ["Vote", "Bundle", "SyncPage"].into_iter().map(deaf).collect()
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
        Mutant::VoteForgottenAtRestart => ("I5", Field::Forgetful, 50, &["no_double_vote"]),
        Mutant::SessionJoinedAgain => ("I4", Field::LateDoubles, 50, &["once", "no_false_accusation"]),
        Mutant::SessionOfAnotherBoot => {
            ("I4", Field::Of(Profile::Crashy), 60, &["once", "no_false_accusation"])
        }
        Mutant::ShareWithoutRecord => ("I4", Field::Of(Profile::Swarm), 20, &["once"]),
        Mutant::AnotherSighash => ("I3", Field::Of(Profile::Swarm), 20, &["convergence"]),
        Mutant::VoteAfterExpiry => ("limits", Field::LeapOverVote, 50, &["within_limits"]),
        Mutant::EvidenceNotChecked => {
            ("I5", Field::Traitor(Deviation::Impersonator), 20, &["no_false_accusation"])
        }
        Mutant::ReorgIgnored => ("liveness", Field::DeepReorg, 20, &["convergence"]),
        Mutant::RetryTimerNotArmed => ("liveness", Field::Of(Profile::Swarm), 50, &["convergence"]),
        Mutant::HashOrderLeaks => ("determinism", Field::Of(Profile::Swarm), 50, &["determinism"]),
        Mutant::UnknownCommitContinued => ("write-ahead", Field::Of(Profile::Swarm), 50, &["contract"]),
        Mutant::IdempotencyKeyIgnored => ("I1", Field::Of(Profile::Swarm), 50, &["paid_once"]),
        Mutant::ChainLimitIgnored => ("limits", Field::LongChain, 10, &["within_limits"]),
        Mutant::SignsWithoutApproval => ("I3", Field::Of(Profile::Swarm), 30, &["threshold"]),
        Mutant::SecretInHeartbeat => ("secrets", Field::Of(Profile::Calm), 5, &["no_secret_leaves"]),
        Mutant::TransitionFromElsewhere => ("lifecycle", Field::Of(Profile::Calm), 5, &["lifecycle"]),
        Mutant::ChangeNotCounted => ("conservation", Field::Of(Profile::Calm), 5, &["conservation"]),
        Mutant::ReleasedTooSoon => ("I6", Field::TwoHolders, 50, &["dead_stays_dead"]),
        Mutant::PromiseAfterShare => ("I6", Field::LeapOverSession, 20, &["dead_stays_dead"]),
        Mutant::AnotherAmount => ("I1", Field::Of(Profile::Calm), 5, &["paid_once"]),
        Mutant::ProofUnused => {
            ("completeness", Field::Traitor(Deviation::Equivocator), 20, &["liars_accused"])
        }
        Mutant::CoinsNotCommitted => ("I2", Field::TwoHolders, 2, &["one_coin_one_family"]),
        Mutant::SecondVoteInJournal => ("I5", Field::Of(Profile::Swarm), 20, &["no_double_vote"]),
        Mutant::LiveStateAhead => ("replay", Field::Of(Profile::Calm), 5, &["replay_equals_live"]),
        Mutant::VotesForAnotherProposal => ("I3", Field::TwoBuilders, 50, &["threshold"]),
        Mutant::SilenceHeldAgainst => ("I5", Field::Of(Profile::Swarm), 30, &["no_false_accusation"]),
        Mutant::SpeaksUnasked => ("I7", Field::Restored, 30, &["no_double_vote", "no_false_accusation"]),
        Mutant::KeyProvenTooSoon => ("key ceremony", Field::SlowSeals, 50, &["one_key"]),
        Mutant::PresignatureReused => ("I4", Field::SecondWallet, 20, &["presignature_once"]),
        Mutant::PresignatureBurntLate => ("I4", Field::SecondWallet, 5, &["presignature_once"]),
        Mutant::OperatorsNotAsked => ("approval", Field::People, 5, &["human_approval"]),
        Mutant::OperatorRefusalIgnored => ("approval", Field::People, 5, &["human_approval"]),
        Mutant::OperatorDecidesTwice => ("approval", Field::People, 5, &["human_approval"]),
        Mutant::RollbackIgnored => ("I4, I7", Field::OldStock, 30, &["presignature_once"]),
        Mutant::ApprovesWhileFrozen => ("freeze", Field::Frozen, 40, &["freeze"]),
        Mutant::SignsWhileFrozen => ("freeze", Field::Frozen, 40, &["freeze"]),
        Mutant::LiftedTooSoon => ("freeze", Field::Frozen, 40, &["freeze"]),
        Mutant::FreezesToldOnce => ("freeze", Field::Frozen, 40, &["freeze"]),
        Mutant::ReplacementPaysOther => {
            ("I1", Field::Traitor(Deviation::Diverter), 20, &["one_coin_one_family"])
        }
        Mutant::ReplacementTooCheap => ("limits", Field::Bumped, 5, &["within_limits"]),
        Mutant::ReplacedChangeIsFree => ("I2", Field::BuiltOnChange, 10, &["one_coin_one_family"]),
        Mutant::LossUnnoticed => ("losses", Field::Robbed, 5, &["losses"]),
        Mutant::StrangerTooSoon => ("losses", Field::Robbed, 5, &["losses"]),
    };
    let twice = matches!(mutant, Mutant::HashOrderLeaks);
    Hunt { invariant, field, budget, oracles, twice }
}
