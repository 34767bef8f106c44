//! One identity on two machines: a copy of the member's disk has been started elsewhere.
//!
//! The copy is a whole honest node with a memory and entropy of its own. It speaks to one half of the peers and hears
//! them; the other half has the original, which hears everybody. Neither lies; together they do. The copy looks at the
//! chain through the original's backend, and so a little later.

use std::collections::{BTreeMap, VecDeque};

use bitcoin::OutPoint;
use mpc_wallet_core::{
    Node, NodeId, Timestamp, VoteKey,
    chain::{BroadcastOutcome, ChainAnswer, ChainObservation, ChainQuery, ChainView, CoinStatus},
    message::Message,
    step::{Effect, Input, Receipt},
};

use crate::rng::Stream;
use crate::{Actor, Deviant, Setup, SetupError, Speech, Words, plain};

/// Most steps that one message or tick may set off.
const MAX_STEPS: usize = 1_000;

pub(super) struct Twin {
    actor: Actor,
    node: Node,
    entropy: Stream,
    /// The original's last look at the chain.
    view: Option<ChainView>,
    /// What the original's backend said of coins.
    coins: BTreeMap<OutPoint, CoinStatus>,
}

impl Twin {
    pub(super) fn new(actor: Actor, setup: Setup) -> Result<Self, SetupError> {
        let entropy = Stream::new(setup.seed, &format!("byzantine/{}/twin", actor.me));
        let identity = VoteKey::from_bytes(&setup.identity)?;
        let node = Node::replay(setup.config, identity, setup.journal, setup.shares)?;
        Ok(Self { actor, node, entropy, view: None, coins: BTreeMap::new() })
    }

    /// Steps through `first` and all that the copy's own machine makes of it. Its memory is as good as a disk.
    fn run(&mut self, now: Timestamp, first: Input) -> Speech {
        let mut inputs = VecDeque::from([first]);
        let mut speech = vec![];
        for _ in 0..MAX_STEPS {
            let due = self.node.deadline().is_some_and(|(at, _)| at <= now);
            let Some(input) = inputs.pop_front().or(due.then_some(Input::Tick)) else { break };
            let step = self.node.step(now, &mut self.entropy, input);
            let receipt = Receipt::up_to(step.last());
            for effect in self.node.commit(step, receipt).unwrap_or_default() {
                self.act(effect, &mut inputs, &mut speech);
            }
        }
        speech
    }

    fn act(&mut self, effect: Effect, inputs: &mut VecDeque<Input>, speech: &mut Speech) {
        match effect {
            Effect::Send { to, message } if self.actor.other_half(to) => {
                speech.push((to, Words::Message(message)));
            }
            Effect::Broadcast(message) => {
                let half = self.actor.peers().into_iter().filter(|peer| self.actor.other_half(*peer));
                speech.extend(half.map(|to| (to, Words::Message(message.clone()))));
            }
            Effect::Chain { query, question } => {
                let observation = self.believe(question);
                inputs.push_back(Input::Chain(ChainAnswer { query, observation }));
            }
            Effect::Compute { job, work, .. } => {
                inputs.push_back(Input::Computed { job, result: work.run() })
            }
            Effect::Send { .. }
            | Effect::Reply { .. }
            | Effect::SealKeyShare { .. }
            | Effect::Ban { .. }
            | Effect::Alert(_) => {}
        }
    }

    /// What the original's backend has shown, for want of an own one.
    fn believe(&self, question: ChainQuery) -> ChainObservation {
        let unavailable = || ChainObservation::Unavailable(String::from("nothing shown yet"));
        match question {
            ChainQuery::Poll { .. } => self.view.clone().map_or_else(unavailable, ChainObservation::Poll),
            ChainQuery::Coins { outpoints } => ChainObservation::Coins(
                outpoints
                    .into_iter()
                    .map(|coin| (coin, self.coins.get(&coin).cloned().unwrap_or(CoinStatus::Unknown)))
                    .collect(),
            ),
            ChainQuery::Broadcast { transaction, .. } => ChainObservation::Broadcast {
                txid: transaction.compute_txid(),
                outcome: BroadcastOutcome::Accepted,
            },
        }
    }
}

impl Deviant for Twin {
    fn hear(&mut self, now: Timestamp, from: NodeId, message: &Message) -> Speech {
        if !self.actor.other_half(from) {
            return self.run(now, Input::Tick);
        }
        self.run(now, Input::Message { from, message: message.clone() })
    }

    fn shown(&mut self, observation: &ChainObservation) {
        if let ChainObservation::Poll(view) = observation {
            self.view = Some(view.clone());
        }
        if let ChainObservation::Coins(statuses) = observation {
            self.coins.extend(statuses.iter().cloned());
        }
    }

    fn edit(&mut self, now: Timestamp, to: NodeId, message: Message) -> Speech {
        let mut speech = self.run(now, Input::Tick);
        if !self.actor.other_half(to) {
            speech.extend(plain(to, message));
        }
        speech
    }
}
