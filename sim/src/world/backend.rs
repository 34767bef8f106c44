//! The chain backend of each node, and what goes wrong with the chain itself.

use mpc_wallet_core::{
    NodeId,
    chain::{BroadcastOutcome, ChainAnswer, ChainObservation, ChainQuery},
    ids::QueryId,
};

use super::{Event, Outcome, Phase, Span, World};
use crate::{oracle::Observed, plan::Reorg};

/// How often, in parts per million, a broadcast goes through although the backend seems to be down.
const WENT_THROUGH: u32 = 300_000;

/// Something goes wrong with the chain, or is right again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Upset {
    /// Blocks are undone.
    Reorg(Reorg),
    /// The mempool is lost.
    Evict,
    /// A coin is stolen.
    Theft,
    /// Fees are multiplied.
    Fees(u32),
    /// A node's backend stops to follow the chain.
    Lags(NodeId),
    /// It has caught up.
    Follows(NodeId),
}

impl World {
    pub(super) fn ask(&mut self, node: NodeId, boot: u64, query: QueryId, question: &ChainQuery) {
        let Span { least, most } = self.plan.chain.answer;
        let delay = self.random.between(least, most) / 2;
        let down = self.phase == Phase::Trouble && self.in_outage();
        let observation = if !down {
            self.look_up(node, question)
        } else if let ChainQuery::Broadcast { .. } = question
            && self.random.chance(WENT_THROUGH)
        {
            // It went through and nobody can tell.
            match self.chain.answer(question) {
                ChainObservation::Broadcast { txid, .. } => ChainObservation::Broadcast {
                    txid,
                    outcome: BroadcastOutcome::Unknown(String::from("timeout")),
                },
                other @ (ChainObservation::Poll(_)
                | ChainObservation::Coins(_)
                | ChainObservation::Unavailable(_)) => other,
            }
        } else {
            ChainObservation::Unavailable(String::from("503"))
        };
        let answer = ChainAnswer { query, observation };
        self.queue.after(delay, Event::Answer { node, boot, answer });
    }

    /// A lagging backend shows an old chain; what is given to it to broadcast goes out all the same.
    fn look_up(&mut self, node: NodeId, question: &ChainQuery) -> ChainObservation {
        match self.stale.get_mut(&node) {
            Some(old) if !matches!(question, ChainQuery::Broadcast { .. }) => old.answer(question),
            Some(_) | None => self.chain.answer(question),
        }
    }

    fn in_outage(&self) -> bool {
        let now = self.queue.now().saturating_sub(self.origin);
        self.plan.chain.outages.iter().any(|outage| (outage.from..outage.to).contains(&now))
    }

    pub(super) fn mine(&mut self) -> Outcome {
        let mined = self.chain.mine();
        let tip = self.chain.tip();
        self.note_world(format_args!("block {} of {} transactions", tip.height, mined.len()));
        for txid in mined {
            if let Some(transaction) = self.chain.transaction(&txid) {
                self.oracles.observe(&Observed::Confirmed { transaction })?;
            }
        }
        let Span { least, most } = self.plan.chain.block_interval;
        let next = self.random.between(least, most);
        self.queue.after(next, Event::Mine);
        Ok(())
    }

    pub(super) fn upset(&mut self, upset: Upset) {
        if self.phase != Phase::Trouble {
            return;
        }
        match upset {
            Upset::Reorg(reorg) => {
                let undone = self.chain.reorganise(reorg.depth, reorg.forgets).len();
                let height = self.chain.tip().height;
                self.note_world(format_args!("reorganisation to {height} undoes {undone} transactions"));
            }
            Upset::Evict => {
                let lost = self.chain.evict().len();
                self.note_world(format_args!("the mempool loses {lost} transactions"));
            }
            Upset::Theft => {
                let stolen = self.chain.steal();
                self.note_world(format_args!("{stolen} sat are stolen"));
            }
            Upset::Fees(times) => {
                self.note_world(format_args!("fees times {times}"));
                self.chain.multiply_fees(u64::from(times));
            }
            Upset::Lags(node) => {
                self.note(node, format_args!("sees no more of the chain"));
                self.stale.insert(node, self.chain.clone());
            }
            Upset::Follows(node) => {
                self.note(node, format_args!("sees the chain again"));
                self.stale.remove(&node);
            }
        }
    }

    /// Puts the plan's upsets on the queue.
    pub(super) fn plan_upsets(&mut self) {
        let chain = &self.plan.chain;
        let mut upsets: Vec<(u64, Upset)> = vec![];
        upsets.extend(chain.reorgs.iter().map(|reorg| (reorg.at, Upset::Reorg(*reorg))));
        upsets.extend(chain.evictions.iter().map(|eviction| (eviction.at, Upset::Evict)));
        upsets.extend(chain.thefts.iter().map(|theft| (theft.at, Upset::Theft)));
        for spike in &chain.fee_spikes {
            upsets.extend([(spike.from, Upset::Fees(spike.times)), (spike.to, Upset::Fees(1))]);
        }
        for stale in &chain.stale {
            let node = NodeId::new(stale.node);
            upsets.extend([(stale.from, Upset::Lags(node)), (stale.to, Upset::Follows(node))]);
        }
        for (at, upset) in upsets {
            self.queue.at(self.origin.saturating_add(at), Event::Upset(upset));
        }
    }
}

/// An answer in a few words.
pub(super) fn words(observation: &ChainObservation) -> String {
    match observation {
        ChainObservation::Poll(view) => format!("tip {}", view.tip.height),
        ChainObservation::Coins(_) => String::from("coins"),
        ChainObservation::Broadcast { txid, outcome } => format!("broadcast of {txid}: {outcome:?}"),
        ChainObservation::Unavailable(why) => format!("unavailable: {why}"),
    }
}
