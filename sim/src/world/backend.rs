//! The chain backend of each node, and what goes wrong with the chain itself.

use mpc_wallet_core::{
    NodeId,
    chain::{ChainAnswer, ChainQuery},
    ids::QueryId,
};

use super::{Event, Outcome, Phase, Span, World};
use crate::{
    oracle::Observed,
    parts::backend::{Upset, Upsetting, upsets},
};

impl World {
    pub(super) fn ask(&mut self, node: NodeId, boot: u64, query: QueryId, question: &ChainQuery) {
        let Span { least, most } = self.plan.chain.answer;
        let delay = self.random.between(least, most) / 2;
        let down = self.phase == Phase::Trouble && self.in_outage();
        let observation = self.backend.answer(node, question, down, &mut self.random);
        let answer = ChainAnswer { query, observation };
        self.queue.after(delay, Event::Answer { node, boot, answer });
    }

    fn in_outage(&self) -> bool {
        let now = self.queue.now().saturating_sub(self.origin);
        self.plan.chain.outages.iter().any(|outage| (outage.from..outage.to).contains(&now))
    }

    pub(super) fn mine(&mut self) -> Outcome {
        let mined = self.backend.chain.mine();
        let tip = self.backend.chain.tip();
        self.note_world(format_args!("block {} of {} transactions", tip.height, mined.len()));
        for txid in mined {
            if let Some(transaction) = self.backend.chain.transaction(&txid) {
                self.oracles.observe(&Observed::Confirmed { transaction })?;
            }
        }
        let Span { least, most } = self.plan.chain.block_interval;
        let next = self.random.between(least, most);
        self.queue.after(next, Event::Mine);
        Ok(())
    }

    pub(super) fn upset(&mut self, upset: Upset) -> Outcome {
        if self.phase != Phase::Trouble {
            return Ok(());
        }
        let Upsetting { node, words, stolen } = self.backend.upset(upset);
        self.trace.event(self.queue.now(), node, format_args!("{words}"));
        match &stolen {
            Some(transaction) => Ok(self.oracles.observe(&Observed::Stolen { transaction })?),
            None => Ok(()),
        }
    }

    /// Puts the plan's upsets on the queue.
    pub(super) fn plan_upsets(&mut self) {
        for (at, upset) in upsets(&self.plan.chain) {
            self.queue.at(self.origin.saturating_add(at), Event::Upset(upset));
        }
    }
}
