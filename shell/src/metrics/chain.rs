//! What is asked of the chain backend, counted at its port.

use std::time::Instant;

use mpc_wallet_core::{
    chain::{BroadcastOutcome, ChainAnswer, ChainObservation, ChainQuery},
    ids::QueryId,
};
use prometheus::{Error, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use super::buckets::ANSWER;
use crate::ports::Chain;

/// Counts questions, answers and broadcasts.
#[derive(Clone)]
pub struct ChainMetrics {
    asked: IntCounterVec,
    took: HistogramVec,
    broadcasts: IntCounterVec,
}

const QUESTIONS: [&str; 3] = ["poll", "coins", "broadcast"];
const OUTCOMES: [&str; 7] =
    ["accepted", "already_confirmed", "inputs_missing", "fee_too_low", "temporary", "refused", "unknown"];

impl ChainMetrics {
    /// Registers the metrics of the chain backend, at zero.
    ///
    /// # Errors
    /// If their names are taken.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        let asked = Opts::new(
            "mpc_wallet_chain_requests_total",
            "Questions to the chain backend, by whether a usable answer came.",
        );
        let took = HistogramOpts::new(
            "mpc_wallet_chain_request_duration_seconds",
            "Time from a question to the chain backend to its answer.",
        );
        let broadcasts =
            Opts::new("mpc_wallet_broadcasts_total", "Broadcasts of transactions, by how they went.");
        let metrics = Self {
            asked: IntCounterVec::new(asked, &["question", "result"])?,
            took: HistogramVec::new(took.buckets(ANSWER.to_vec()), &["question"])?,
            broadcasts: IntCounterVec::new(broadcasts, &["outcome"])?,
        };
        for question in QUESTIONS {
            for result in ["answered", "unavailable"] {
                metrics.asked.with_label_values(&[question, result]);
            }
            metrics.took.with_label_values(&[question]);
        }
        for outcome in OUTCOMES {
            metrics.broadcasts.with_label_values(&[outcome]);
        }
        registry.register(Box::new(metrics.asked.clone()))?;
        registry.register(Box::new(metrics.took.clone()))?;
        registry.register(Box::new(metrics.broadcasts.clone()))?;
        Ok(metrics)
    }

    fn answered(&self, question: &str, began: Instant, observation: &ChainObservation) {
        let result = match observation {
            ChainObservation::Unavailable(_) => "unavailable",
            ChainObservation::Poll(_) | ChainObservation::Coins(_) => "answered",
            ChainObservation::Broadcast { outcome, .. } => {
                self.broadcasts.with_label_values(&[name(outcome)]).inc();
                "answered"
            }
        };
        self.asked.with_label_values(&[question, result]).inc();
        self.took.with_label_values(&[question]).observe(began.elapsed().as_secs_f64());
    }
}

/// A chain backend whose answers are counted.
pub struct Timed<C> {
    chain: C,
    metrics: ChainMetrics,
}

impl<C> Timed<C> {
    /// Counts what this backend is asked.
    pub const fn new(chain: C, metrics: ChainMetrics) -> Self {
        Self { chain, metrics }
    }
}

impl<C: Chain> Chain for Timed<C> {
    async fn ask(&self, query: QueryId, question: ChainQuery) -> ChainAnswer {
        let asked = match &question {
            ChainQuery::Poll { .. } => "poll",
            ChainQuery::Coins { .. } => "coins",
            ChainQuery::Broadcast { .. } => "broadcast",
        };
        let began = Instant::now();
        let answer = self.chain.ask(query, question).await;
        self.metrics.answered(asked, began, &answer.observation);
        answer
    }
}

const fn name(outcome: &BroadcastOutcome) -> &'static str {
    match outcome {
        BroadcastOutcome::Accepted => "accepted",
        BroadcastOutcome::AlreadyConfirmed => "already_confirmed",
        BroadcastOutcome::InputsMissing => "inputs_missing",
        BroadcastOutcome::FeeTooLow => "fee_too_low",
        BroadcastOutcome::Temporary(_) => "temporary",
        BroadcastOutcome::Refused(_) => "refused",
        BroadcastOutcome::Unknown(_) => "unknown",
    }
}
