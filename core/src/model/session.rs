//! One run of a multi-party protocol, against a list of everything said and heard.

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use super::{explore, reached};
use crate::{
    fixture::{cluster, key},
    identity::Signed,
    ids::{BootId, JobId, NodeId, SessionId},
    message::MpcMessage,
    mpc::{Advance, Machine, Outgoing, Progress, Recipient, Slot},
    session::{Heard, Run},
    step::Work,
};

/// Signers in slot order; node 3 and node 9 are not among them.
const PARTIES: [u16; 4] = [1, 2, 4, 5];
const ME: u16 = 2;
/// Places that one party may speak in, for each audience.
const PLACES: u32 = 256;

/// A message as a peer says it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    ours: bool,
    from: u16,
    boot: u64,
    to: Option<u16>,
    sequence: u32,
    payload: u8,
}

#[derive(Clone, Debug)]
enum Step {
    Hear(Word),
    /// The node looks whether the machine has something to do.
    Work,
    /// A worker comes back, with the machine's words: to a slot, or to all.
    Return {
        late: bool,
        words: Vec<(Option<u16>, u8)>,
    },
}

/// What the node can have made of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Verdict {
    #[default]
    None,
    New,
    Nothing,
    Contradicts(Word),
}

#[derive(Clone, Debug, Default)]
struct Model {
    heard: Vec<Word>,
    /// How much of what was heard the machine has been given.
    given: usize,
    /// The job that has the machine.
    away: Option<u64>,
    jobs: u64,
    said: Vec<(Option<u16>, u8)>,
    verdict: Verdict,
    /// What the last look gave the machine, if it was sent away.
    work: Option<Vec<(u16, u8)>>,
    /// Whether the last result was taken.
    taken: bool,
}

impl Model {
    fn judge(&self, word: &Word) -> Verdict {
        let party = PARTIES.contains(&word.from) && word.from != ME;
        let for_me = word.to.is_none() || word.to == Some(ME);
        if !word.ours || !party || !for_me || word.sequence >= PLACES {
            return Verdict::Nothing;
        }
        let place = |word: &Word| (word.from, word.to, word.sequence);
        match self.heard.iter().find(|first| place(first) == place(word)) {
            None => Verdict::New,
            Some(first) if first.payload != word.payload && first.boot == word.boot => {
                Verdict::Contradicts(first.clone())
            }
            Some(_) => Verdict::Nothing,
        }
    }
}

struct Talk;

impl ReferenceStateMachine for Talk {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(_: &Model) -> BoxedStrategy<Step> {
        let word = (
            prop::bool::weighted(0.95),
            prop::sample::select(vec![1, 1, 2, 3, 4, 4, 5, 9]),
            1..=2_u64,
            prop::sample::select(vec![None, None, Some(ME), Some(5)]),
            prop::sample::select(vec![0, 0, 0, 1, PLACES - 1, PLACES, u32::MAX]),
            0..2_u8,
        );
        let word = word.prop_map(|(ours, from, boot, to, sequence, payload)| Word {
            ours,
            from,
            boot,
            to,
            sequence,
            payload,
        });
        // Slot 7 names nobody.
        let to = prop::sample::select(vec![None, Some(0), Some(2), Some(3), Some(7)]);
        let words = prop::collection::vec((to, any::<u8>()), 0..4);
        prop_oneof![
            6 => word.prop_map(Step::Hear),
            2 => Just(Step::Work),
            2 => (prop::bool::weighted(0.2), words).prop_map(|(late, words)| Step::Return { late, words }),
        ]
        .boxed()
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        (model.verdict, model.work, model.taken) = Default::default();
        match step {
            Step::Hear(word) => {
                model.verdict = model.judge(word);
                if model.verdict == Verdict::New {
                    model.heard.push(word.clone());
                }
            }
            Step::Work => {
                let fresh = model.jobs == 0;
                if model.away.is_none() && (fresh || model.given < model.heard.len()) {
                    model.jobs += 1;
                    model.away = Some(model.jobs);
                    let news = &model.heard[model.given..];
                    model.work = Some(news.iter().map(|word| (word.from, word.payload)).collect());
                    model.given = model.heard.len();
                }
            }
            Step::Return { late, words } => {
                if model.away.is_some() && !late {
                    model.away = None;
                    model.taken = true;
                    let known = words.iter().filter(|(to, _)| to.is_none_or(|slot| slot < 4));
                    let named = known.map(|(to, word)| (to.map(|slot| PARTIES[usize::from(slot)]), *word));
                    model.said.extend(named);
                }
            }
        }
        model
    }
}

/// A machine without thoughts of its own: the walk says what it says.
struct Puppet;

impl Machine for Puppet {
    fn receive(&mut self, _: Slot, _: &[u8]) {}

    fn advance(&mut self) -> Advance {
        Advance { outgoing: vec![], progress: Progress::Running }
    }

    fn waiting_for(&self) -> Vec<Slot> {
        vec![Slot(0), Slot(3)]
    }
}

const ID: SessionId = SessionId::from_bytes([5; 32]);

fn said(word: &Word) -> Signed<MpcMessage> {
    let session = if word.ours { ID } else { SessionId::from_bytes([6; 32]) };
    let body = MpcMessage {
        session,
        from: NodeId::new(word.from),
        boot: BootId(word.boot),
        to: word.to.map(NodeId::new),
        sequence: word.sequence,
        payload: vec![word.payload],
    };
    Signed::new(body, &key(word.from))
}

struct Ear(Run);

impl StateMachineTest for Ear {
    type SystemUnderTest = Self;
    type Reference = Talk;

    fn init_test(_: &Model) -> Self {
        let parties = PARTIES.map(NodeId::new).to_vec();
        Self(Run::new(ID, (NodeId::new(ME), BootId(1)), parties, Box::new(Puppet)))
    }

    fn apply(mut ear: Self, model: &Model, step: Step) -> Self {
        match step {
            Step::Hear(word) => match ear.0.hear(said(&word)) {
                Heard::New => {
                    reached("heard: new");
                    assert_eq!(model.verdict, Verdict::New, "{word:?}");
                }
                Heard::Nothing => {
                    reached("heard: nothing");
                    assert_eq!(model.verdict, Verdict::Nothing, "{word:?}");
                }
                Heard::Equivocation(evidence) => {
                    reached("heard: a contradiction");
                    let Verdict::Contradicts(first) = &model.verdict else {
                        panic!("{word:?} proves nothing")
                    };
                    assert_eq!((evidence.accused(), first.from), (NodeId::new(word.from), word.from));
                    assert_eq!(evidence.verify(&cluster(5, 4)), Ok(()));
                }
            },
            Step::Work => {
                let found = ear.0.work(JobId(model.jobs));
                reached(if found.is_some() { "work" } else { "no work" });
                let found = found.map(|work| {
                    let Work::Advance { inbox, .. } = work else { panic!("another job") };
                    let name = |slot: Slot| PARTIES[slot.index()];
                    inbox.into_iter().map(|(slot, payload)| (name(slot), payload[0])).collect()
                });
                assert_eq!(found, model.work);
            }
            Step::Return { late, words } => {
                let job = JobId(if late { model.jobs + 1 } else { model.jobs });
                let outgoing = words.iter().map(|(to, word)| Outgoing {
                    to: to.map_or(Recipient::All, |slot| Recipient::One(Slot(slot))),
                    payload: vec![*word],
                });
                let advance = Advance { outgoing: outgoing.collect(), progress: Progress::Running };
                let taken = ear.0.returned(job, Box::new(Puppet), advance, &key(ME));
                reached(if taken.is_some() { "result taken" } else { "result of no job" });
                assert_eq!(taken.is_some(), model.taken);
                let saying = taken.map(|(saying, _)| saying).unwrap_or_default();
                assert!(ear.0.said().ends_with(&saying), "what is said is kept word for word");
            }
        }
        ear
    }

    fn check_invariants(Self(run): &Self, model: &Model) {
        let said: Vec<_> =
            run.said().iter().map(|m| (m.body.to.map(NodeId::get), m.body.payload[0])).collect();
        assert_eq!(said, model.said);
        for (index, message) in run.said().iter().enumerate() {
            let earlier = model.said[..index].iter().filter(|(to, _)| *to == model.said[index].0).count();
            let body = &message.body;
            assert_eq!((body.session, body.from, body.boot), (ID, NodeId::new(ME), BootId(1)));
            assert_eq!(
                usize::try_from(body.sequence).unwrap(),
                earlier,
                "places are filled one after the other"
            );
            assert!(message.verify(&key(ME).public()));
        }
        let silent = if model.away.is_some() { vec![] } else { [1, 5].map(NodeId::new).to_vec() };
        assert_eq!(run.silent(), silent, "a machine that computes waits for nobody");
    }
}

#[test]
fn a_run_hears_works_and_speaks_as_a_clerk_with_a_list_would() {
    explore::<Ear>(
        256,
        50,
        &[
            ("heard: new", 300),
            ("heard: nothing", 900),
            ("heard: a contradiction", 25),
            ("work", 170),
            ("no work", 200),
            ("result taken", 140),
            ("result of no job", 250),
        ],
    );
}
