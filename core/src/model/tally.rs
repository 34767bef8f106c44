//! Votes and promises about one proposal, recounted from all that was ever said.

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use super::{explore, reached};
use crate::{
    config::Cluster,
    fixture::{ballot, cluster, key, promise, proposal},
    identity::Signed,
    ids::{NodeId, PolicyVersion},
    tx::Proposal,
    vote::{Counted, Decision, RejectReason, Tally, Vote},
};

/// What a member says; the numbers distinguish statements that mean the same and are not the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Approve { policy: u8 },
    Reject { policy: u8 },
    Promise { proposal: u8 },
}

/// How somebody spoils a certificate.
#[derive(Clone, Copy, Debug)]
enum Damage {
    DropUntilTooFew,
    Repeat,
    SwapSignatures,
    Rename,
}

#[derive(Clone, Debug)]
enum Step {
    Say(u16, Word),
    Damage(Damage),
}

/// All that was said, in order.
#[derive(Clone, Debug)]
struct Model {
    n: u16,
    t: u16,
    said: Vec<(u16, Word)>,
}

impl Model {
    fn vote(&self, node: u16) -> Option<Word> {
        let votes =
            self.said.iter().filter(|(who, word)| *who == node && !matches!(word, Word::Promise { .. }));
        votes.map(|(_, word)| *word).next()
    }

    fn promise(&self, node: u16) -> Option<Word> {
        let promises =
            self.said.iter().filter(|(who, word)| *who == node && matches!(word, Word::Promise { .. }));
        promises.map(|(_, word)| *word).next()
    }

    fn those(&self, is: impl Fn(u16) -> bool) -> Vec<NodeId> {
        (1..=self.n).filter(|node| is(*node)).map(NodeId::new).collect()
    }

    fn approving(&self) -> Vec<NodeId> {
        self.those(|node| matches!(self.vote(node), Some(Word::Approve { .. })))
    }

    fn bound(&self) -> Vec<NodeId> {
        self.those(|node| {
            matches!(self.vote(node), Some(Word::Reject { .. })) || self.promise(node).is_some()
        })
    }

    /// Whether `t` signers can be found although `liars` of those bound do not keep their word.
    fn may_be_signed(&self, liars: i32) -> bool {
        i32::from(self.n) - i32::try_from(self.bound().len()).unwrap() + liars >= i32::from(self.t)
    }

    fn tolerated(&self) -> i32 {
        let (n, t) = (i32::from(self.n), i32::from(self.t));
        (n - t).min(2 * t - n - 1)
    }
}

struct Debate;

impl ReferenceStateMachine for Debate {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        prop::sample::select(vec![(2, 2), (3, 2), (4, 3), (5, 3), (5, 4), (7, 5)])
            .prop_map(|(n, t)| Model { n, t, said: vec![] })
            .boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        let word = prop_oneof![
            6 => Just(Word::Approve { policy: 0 }),
            1 => Just(Word::Approve { policy: 1 }),
            2 => (0..2_u8).prop_map(|policy| Word::Reject { policy }),
            2 => (1..3_u8).prop_map(|proposal| Word::Promise { proposal }),
        ];
        let damage = prop::sample::select(vec![
            Damage::DropUntilTooFew,
            Damage::Repeat,
            Damage::SwapSignatures,
            Damage::Rename,
        ]);
        prop_oneof![
            8 => (1..=model.n, word).prop_map(|(node, word)| Step::Say(node, word)),
            1 => damage.prop_map(Step::Damage),
        ]
        .boxed()
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        if let Step::Say(node, word) = step {
            model.said.push((*node, *word));
        }
        model
    }
}

struct Counter {
    cluster: Cluster,
    proposal: Proposal,
    tally: Tally,
}

impl Counter {
    fn vote(&self, node: u16, decision: Decision, policy: u8) -> Vote {
        let mut body = ballot(&self.cluster, &self.proposal, node, decision);
        body.policy = PolicyVersion::from_bytes([policy; 32]);
        Signed::new(body, &key(node))
    }

    /// Offers a vote as a node does; `before` is the model without it.
    fn count(&mut self, before: &Model, node: u16, word: Word, vote: Vote) {
        let (found, expected) = match self.tally.judge(&vote) {
            Counted::New => ("vote: new", None),
            Counted::Duplicate => ("vote: again", Some(word)),
            Counted::DoubleVote { first } => {
                assert_eq!(Some(first.as_ref()), self.tally.vote_of(NodeId::new(node)));
                assert_ne!(before.vote(node), Some(word), "the same words are no contradiction");
                ("vote: contradicts the first", before.vote(node))
            }
        };
        reached(found);
        assert_eq!(before.vote(node), expected, "{found}");
        self.tally.add(vote);
    }

    fn damage(&self, damage: Damage) {
        let Some(mut certificate) = self.tally.certificate(&self.cluster) else { return };
        let votes = &mut certificate.approvals;
        let desc = match damage {
            Damage::DropUntilTooFew => {
                votes.truncate(usize::from(self.cluster.threshold()) - 1);
                "certificate: too few"
            }
            Damage::Repeat => {
                votes.truncate(usize::from(self.cluster.threshold()) - 1);
                votes.push(votes[0].clone());
                "certificate: one twice"
            }
            Damage::SwapSignatures => {
                let first = votes[0].signature;
                votes[0].signature = std::mem::replace(&mut votes[1].signature, first);
                "certificate: signatures swapped"
            }
            Damage::Rename => {
                votes[0].body.voter = votes[1].body.voter;
                "certificate: another's name"
            }
        };
        reached(desc);
        assert!(certificate.verify(&self.cluster, &self.proposal).is_err(), "{desc}");
    }
}

impl StateMachineTest for Counter {
    type SystemUnderTest = Self;
    type Reference = Debate;

    fn init_test(model: &Model) -> Self {
        let cluster = cluster(model.n, model.t);
        Self { proposal: proposal(&cluster, 1, &[1]), cluster, tally: Tally::default() }
    }

    fn apply(mut counter: Self, model: &Model, step: Step) -> Self {
        match step {
            Step::Damage(damage) => counter.damage(damage),
            Step::Say(node, word) => {
                let before = Model { said: model.said[..model.said.len() - 1].to_vec(), ..model.clone() };
                match word {
                    Word::Approve { policy } => {
                        let vote = counter.vote(node, Decision::Approve, policy);
                        counter.count(&before, node, word, vote);
                    }
                    Word::Reject { policy } => {
                        let vote = counter.vote(node, Decision::Reject(RejectReason::Expired), policy);
                        counter.count(&before, node, word, vote);
                    }
                    Word::Promise { proposal: version } => {
                        reached("promise");
                        let mut held = counter.proposal.clone();
                        held.metadata = Some(version.to_string());
                        counter.tally.add_promise(promise(&counter.cluster, &held, node));
                    }
                }
            }
        }
        counter
    }

    fn check_invariants(counter: &Self, model: &Model) {
        let Self { cluster, proposal, tally } = counter;
        assert_eq!(tally.approvals().collect::<Vec<_>>(), model.approving());
        assert_eq!(tally.bound_not_to_sign().into_iter().collect::<Vec<_>>(), model.bound());
        let voters: Vec<_> = tally.votes().map(|vote| vote.body.voter).collect();
        assert_eq!(voters, model.those(|node| model.vote(node).is_some()));
        for node in 1..=model.n {
            let version = tally.promise_of(NodeId::new(node)).map(|promise| promise.body.digest);
            let first = model.promise(node).map(|word| {
                let Word::Promise { proposal: version } = word else { panic!("no promise") };
                let mut held = proposal.clone();
                held.metadata = Some(version.to_string());
                held.digest()
            });
            assert_eq!(version, first, "the first promise of node-{node} stands");
        }
        let certificate = tally.certificate(cluster);
        assert_eq!(certificate.is_some(), model.approving().len() >= usize::from(model.t));
        if let Some(certificate) = certificate {
            reached("certificate: good");
            let voters: Vec<_> = certificate.approvals.iter().map(|vote| vote.body.voter).collect();
            assert_eq!(voters, model.approving());
            assert_eq!(certificate.verify(cluster, proposal), Ok(()));
        }
        assert_eq!(tally.approval_impossible(cluster), !model.may_be_signed(0));
        assert_eq!(tally.is_dead(cluster), !model.may_be_signed(model.tolerated()));
        if tally.is_dead(cluster) {
            reached("dead");
        }
    }
}

#[test]
fn a_tally_counts_as_one_who_rereads_everything_would() {
    explore::<Counter>(
        256,
        40,
        &[
            ("vote: new", 300),
            ("vote: again", 400),
            ("vote: contradicts the first", 400),
            ("promise", 250),
            ("certificate: good", 800),
            ("certificate: too few", 18),
            ("certificate: one twice", 18),
            ("certificate: signatures swapped", 18),
            ("certificate: another's name", 18),
            ("dead", 600),
        ],
    );
}
