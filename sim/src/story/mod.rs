//! Scenarios with a name: each is a fault plan told in a few sentences, with what must come of it.
//!
//! A sweep finds what nobody thought of; a story keeps what somebody did. The tests run every story in every lane, and
//! `cargo sim stories` lists and runs them.

mod telling;

use mpc_wallet_core::tx::State as TxState;

use self::telling::{asks, asks_segwit, cut, dies, disk, reorganisation, tell};
use crate::{
    plan::{CrashPoint, Deviation, Direction, DiskTrouble, FaultPlan},
    world::Counts,
};

/// A scenario.
#[derive(Clone, Debug)]
pub struct Story {
    /// A sentence that says what happens.
    pub name: &'static str,
    /// What a green run of it shows.
    pub proves: &'static str,
    /// The plan.
    pub plan: FaultPlan,
    /// What must come of it.
    pub ending: Ending,
}

/// What must have happened when a story is over; every oracle must be content besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Payments that the chain has confirmed.
    pub paid: u64,
    /// Crashes.
    pub crashes: u64,
    /// Whether somebody is shut out, with proof.
    pub banned: bool,
}

impl Ending {
    /// What a run came to.
    #[must_use]
    pub const fn of(tally: &Counts) -> Self {
        Self { paid: tally.paid, crashes: tally.crashes, banned: tally.bans > 0 }
    }
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Story> {
    vec![
        coordinator_is_cut_off(),
        node_hears_and_is_not_heard(),
        cluster_falls_into_two_halves(),
        origin_dies_in_every_state(),
        signer_dies_in_every_state(),
        crash_hits_every_point_of_the_loop(),
        everybody_dies_at_once(),
        member_votes_twice(),
        member_forgets_its_vote(),
        member_withholds_its_share(),
        member_sends_a_bad_share(),
        node_is_restored_from_a_backup(),
        disk_does_not_tell_whether_it_kept_a_vote(),
        block_of_a_confirmed_payment_is_undone(),
        signers_die_around_presignatures(),
    ]
}

/// The story of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<Story> {
    all().into_iter().find(|story| story.name == name)
}

fn coordinator_is_cut_off() -> Story {
    tell("the coordinator is cut off while payments run")
        .at(1_000, asks(2, 50_000))
        .at(1_100, cut(&[1], Direction::Both, 15_000))
        .at(4_000, asks(3, 60_000))
        .at(6_000, asks(1, 70_000))
        .at(20_000, asks(1, 80_000))
        .proves(
            "a partition stops nobody but those who are alone: the four elect another coordinator and \
             pay, the fifth refuses or waits, and catches up",
        )
}

fn node_hears_and_is_not_heard() -> Story {
    tell("a node hears everything and nobody hears it")
        .at(500, cut(&[2], Direction::Outward, 12_000))
        .at(1_000, asks(1, 50_000))
        .at(3_000, asks(4, 60_000))
        .at(30_000, cut(&[1], Direction::Inward, 10_000))
        .at(31_000, asks(3, 70_000))
        .proves(
            "a cut in one direction is a cut: no vote is counted that was not received, nothing is paid \
             twice, and all agree afterwards",
        )
}

fn cluster_falls_into_two_halves() -> Story {
    tell("the cluster falls into two and three")
        .at(1_000, asks(1, 50_000))
        .at(1_060, cut(&[1, 2], Direction::Both, 20_000))
        .at(5_000, asks(4, 60_000))
        .proves(
            "without four members nothing is signed on either side; the clock of a voting round stands \
             still, and both payments are made when the cut is mended",
        )
}

fn origin_dies_in_every_state() -> Story {
    let mut story = tell("the node that a client asked dies in every state");
    for (place, state) in (0u64..).zip(WORKING) {
        let at = 500 + place * 6_000;
        story = story.at(at, asks(2, 50_000 + place)).at(at, dies(2, Some(state), CrashPoint::AfterAppend));
    }
    story.proves(
        "whatever a payment is doing when its origin loses power, it is made once and ends everywhere \
             alike",
    )
}

fn signer_dies_in_every_state() -> Story {
    let mut story = tell("the coordinator dies in every state, before its record is on disk");
    for (place, state) in (0u64..).zip(WORKING) {
        let at = 500 + place * 6_000;
        story = story.at(at, asks(3, 50_000 + place)).at(at, dies(1, Some(state), CrashPoint::BeforeAppend));
    }
    story.proves(
        "a step that never reached the disk never happened: the node that comes back decides anew and \
             contradicts nothing it said",
    )
}

fn crash_hits_every_point_of_the_loop() -> Story {
    let points =
        [CrashPoint::Now, CrashPoint::BeforeAppend, CrashPoint::AfterAppend, CrashPoint::BetweenEffects];
    let mut story = tell("a voter dies at every point between its decision and its word");
    for (place, point) in (0u64..).zip(points) {
        let at = 1_000 + place * 10_000;
        story = story.at(at, asks(1, 50_000 + place)).at(at, dies(4, Some(TxState::ThresholdReached), point));
    }
    story.proves(
        "record first, then speak: a vote that was said is remembered, a vote that was not may be \
             cast, and never is there a second one",
    )
}

fn everybody_dies_at_once() -> Story {
    let mut story = tell("all five lose power in the middle of four payments")
        .at(1_000, asks(1, 50_000))
        .at(1_000, asks(2, 60_000))
        .at(1_000, asks(3, 70_000))
        .at(1_000, asks(4, 80_000));
    for node in 1..=5 {
        story = story.at(1_150, dies(node, None, CrashPoint::Now));
    }
    story.proves("the cluster is what its journals say: all payments that were promised are made, once")
}

fn member_votes_twice() -> Story {
    tell("a member votes yes to some and no to others")
        .traitor(5, Deviation::Equivocator)
        .at(1_000, asks(1, 50_000))
        .at(9_000, asks(2, 60_000))
        .bans()
        .proves(
            "two signed votes of one member are proof: every honest member shuts it out, and the four pay \
             without it",
        )
}

fn member_forgets_its_vote() -> Story {
    tell("a member forgets its vote and casts the opposite one")
        .traitor(5, Deviation::Forgetter)
        .at(1_000, asks(1, 50_000))
        .at(3_000, dies(5, None, CrashPoint::Now))
        .at(12_000, asks(2, 60_000))
        .bans()
        .proves("a vote is remembered by those who heard it: forgetting it does not give a second one")
}

fn member_withholds_its_share() -> Story {
    tell("a member approves everything and never lets its share go")
        .traitor(2, Deviation::Withholder)
        .at(1_000, asks(1, 50_000))
        .at(10_000, asks(3, 60_000))
        .proves(
            "silence in a session costs its deadline: the next session runs without the silent one, and \
             the payment is made",
        )
}

fn member_sends_a_bad_share() -> Story {
    tell("a member sends shares that do not verify")
        .traitor(5, Deviation::BadShare)
        .at(1_000, asks(1, 50_000))
        .at(10_000, asks(2, 60_000))
        .at(15_000, asks(4, 70_000))
        .at(20_000, asks(1, 80_000))
        .bans()
        .proves(
            "a bad share names its author and never spoils the signature: the session is repeated without \
             it",
        )
}

fn node_is_restored_from_a_backup() -> Story {
    tell("a node comes back from a backup older than its votes")
        .at(1_000, asks(1, 50_000))
        .at(4_000, asks(2, 60_000))
        .at(4_150, disk(3, DiskTrouble::Restored { age: 3_500 }))
        .at(20_000, asks(3, 70_000))
        .crashed_by_its_disk(1)
        .proves(
            "a restored node learns from its peers that it is behind, says nothing that could contradict \
             what it said before, and rejoins",
        )
}

fn disk_does_not_tell_whether_it_kept_a_vote() -> Story {
    tell("a disk does not tell whether it kept a record")
        .at(1_000, asks(1, 50_000))
        .at(1_020, disk(2, DiskTrouble::Unknown { kept: true }))
        .at(10_000, asks(2, 60_000))
        .at(10_020, disk(4, DiskTrouble::Unknown { kept: false }))
        .crashed_by_its_disk(2)
        .proves(
            "what a disk does not promise is not relied on: the process ends, reads back what is there, \
             and goes on from it",
        )
}

fn block_of_a_confirmed_payment_is_undone() -> Story {
    tell("the block of a confirmed payment is undone and its transaction forgotten")
        .at(1_000, asks(1, 50_000))
        .at(30_000, reorganisation(3, true))
        .at(40_000, asks(2, 60_000))
        .proves(
            "confirmed is not for ever: the payment goes back to the network as the same transaction, and \
             its coins stay its own",
        )
}

fn signers_die_around_presignatures() -> Story {
    let mut story = tell("signers die while presignatures are made, while one is used, and between the two")
        .with_segwit()
        .at(1_000, asks_segwit(1, 50_000))
        .at(1_000, asks_segwit(2, 50_001))
        .at(1_000, asks_segwit(3, 50_002))
        .at(2_000, dies(2, None, CrashPoint::Now));
    let deaths = [
        (3, Some(TxState::Signing), CrashPoint::AfterAppend),
        (1, None, CrashPoint::AfterBurn),
        (4, None, CrashPoint::AfterBurn),
        (1, None, CrashPoint::AfterBurn),
    ];
    for (place, (node, entering, point)) in (1u64..).zip(deaths) {
        let at = place * 10_000;
        story = story.at(at, asks_segwit(5, 60_000 + place)).at(at, dies(node, entering, point));
    }
    story.proves(
        "what a dead signer held is lost and nobody waits for it: no presignature is used twice, no coin is \
             stuck, and every payment is made",
    )
}

/// States in which there is still something to do. Signing comes first: whoever has just died in a session is chosen last
/// for a while.
const WORKING: [TxState; 7] = [
    TxState::Signing,
    TxState::Voting,
    TxState::ThresholdReached,
    TxState::Approved,
    TxState::Signed,
    TxState::Broadcasting,
    TxState::Confirmed,
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_story_has_its_own_name_a_moral_and_a_plan_that_runs() {
        for story in all() {
            assert_eq!(all().iter().filter(|other| other.name == story.name).count(), 1, "{}", story.name);
            assert!(story.proves.len() > 40 && story.ending.paid > 0);
            story.plan.check().unwrap();
            assert_eq!(by_name(story.name).unwrap().plan, story.plan);
        }
    }
}
