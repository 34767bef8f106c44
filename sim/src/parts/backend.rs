//! The chain as the nodes' backends show it, and what goes wrong with it.

use std::collections::BTreeMap;

use bitcoin::Transaction;
use mpc_wallet_core::{
    NodeId,
    chain::{BroadcastOutcome, ChainObservation, ChainQuery},
};

use super::chain::Chain;
use crate::{
    plan::{ChainPlan, Reorg},
    rng::Stream,
};

/// How often, in parts per million, a broadcast goes through although the backend seems to be down.
const WENT_THROUGH: u32 = 300_000;

/// Something goes wrong with the chain, or is right again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Upset {
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

/// What an upset did.
pub(crate) struct Upsetting {
    /// To whom, if not to all.
    pub(crate) node: Option<NodeId>,
    /// In words.
    pub(crate) words: String,
    /// A thief's transaction.
    pub(crate) stolen: Option<Transaction>,
}

/// A plan's upsets, by its own time.
pub(crate) fn upsets(plan: &ChainPlan) -> Vec<(u64, Upset)> {
    let mut upsets: Vec<(u64, Upset)> = vec![];
    upsets.extend(plan.reorgs.iter().map(|reorg| (reorg.at, Upset::Reorg(*reorg))));
    upsets.extend(plan.evictions.iter().map(|eviction| (eviction.at, Upset::Evict)));
    upsets.extend(plan.thefts.iter().map(|theft| (theft.at, Upset::Theft)));
    for spike in &plan.fee_spikes {
        upsets.extend([(spike.from, Upset::Fees(spike.times)), (spike.to, Upset::Fees(1))]);
    }
    for stale in &plan.stale {
        let node = NodeId::new(stale.node);
        upsets.extend([(stale.from, Upset::Lags(node)), (stale.to, Upset::Follows(node))]);
    }
    upsets
}

/// One chain, and every node's view of it.
pub(crate) struct Backend {
    pub(crate) chain: Chain,
    /// What a node's backend shows that lags behind.
    stale: BTreeMap<NodeId, Chain>,
}

impl Backend {
    /// Backends that all follow the chain.
    pub(crate) const fn new(chain: Chain) -> Self {
        Self { chain, stale: BTreeMap::new() }
    }

    /// What a node's backend says; a backend that is down says nothing, and may have acted all the same.
    pub(crate) fn answer(
        &mut self,
        node: NodeId,
        question: &ChainQuery,
        down: bool,
        random: &mut Stream,
    ) -> ChainObservation {
        if !down {
            return self.look_up(node, question);
        }
        if !matches!(question, ChainQuery::Broadcast { .. }) || !random.chance(WENT_THROUGH) {
            return ChainObservation::Unavailable(String::from("503"));
        }
        // It went through and nobody can tell.
        match self.chain.answer(question) {
            ChainObservation::Broadcast { txid, .. } => {
                let outcome = BroadcastOutcome::Unknown(String::from("timeout"));
                ChainObservation::Broadcast { txid, outcome }
            }
            other @ (ChainObservation::Poll(_)
            | ChainObservation::Coins(_)
            | ChainObservation::Unavailable(_)) => other,
        }
    }

    /// A lagging backend shows an old chain; what is given to it to broadcast goes out all the same.
    fn look_up(&mut self, node: NodeId, question: &ChainQuery) -> ChainObservation {
        match self.stale.get_mut(&node) {
            Some(old) if !matches!(question, ChainQuery::Broadcast { .. }) => old.answer(question),
            Some(_) | None => self.chain.answer(question),
        }
    }

    /// Lets something happen to the chain.
    pub(crate) fn upset(&mut self, upset: Upset) -> Upsetting {
        let mut stolen = None;
        let (node, words) = match upset {
            Upset::Reorg(reorg) => {
                let undone = self.chain.reorganise(reorg.depth, reorg.forgets).len();
                let height = self.chain.tip().height;
                (None, format!("reorganisation to {height} undoes {undone} transactions"))
            }
            Upset::Evict => (None, format!("the mempool loses {} transactions", self.chain.evict().len())),
            Upset::Theft => {
                stolen = self.chain.steal();
                let outputs = stolen.iter().flat_map(|theft| &theft.output);
                let sats: u64 = outputs.map(|output| output.value.to_sat()).sum();
                (None, format!("{sats} sat are stolen"))
            }
            Upset::Fees(times) => {
                self.chain.multiply_fees(u64::from(times));
                (None, format!("fees times {times}"))
            }
            Upset::Lags(node) => {
                self.stale.insert(node, self.chain.clone());
                (Some(node), String::from("sees no more of the chain"))
            }
            Upset::Follows(node) => {
                self.stale.remove(&node);
                (Some(node), String::from("sees the chain again"))
            }
        };
        Upsetting { node, words, stolen }
    }

    /// Fees are what they were, and every backend follows the chain.
    pub(crate) fn heal(&mut self) {
        self.chain.multiply_fees(1);
        self.stale.clear();
    }
}

/// An answer in a few words.
pub(crate) fn words(observation: &ChainObservation) -> String {
    match observation {
        ChainObservation::Poll(view) => format!("tip {}", view.tip.height),
        ChainObservation::Coins(_) => String::from("coins"),
        ChainObservation::Broadcast { txid, outcome } => format!("broadcast of {txid}: {outcome:?}"),
        ChainObservation::Unavailable(why) => format!("unavailable: {why}"),
    }
}
