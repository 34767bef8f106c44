//! Events, counted from the records that tell of them, once these are durable.
//!
//! Counters begin at zero with the process, as Prometheus expects; a restart counts nothing twice, because records of
//! earlier lives only say which transactions are still open. Durations are by this node's clock, from the moment it learned
//! of a transaction: at its origin that is the moment it was posted.

mod counted;
mod story;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mpc_wallet_core::{Millis, Scheme, Timestamp, record::Record, tx::State, vote::Violation};
use prometheus::{Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::{
    Sheet,
    buckets::{DISK, LIFE, SIGNING, VOTING},
};

pub use counted::Counted;
use story::{Completed, Sight, Story};

/// Counts what becomes durable; clones count together.
#[derive(Clone)]
pub struct RecordMetrics {
    story: Arc<Mutex<Story>>,
    life: HistogramVec,
    voting: Histogram,
    signing: HistogramVec,
    disk: Histogram,
    thresholds: IntCounter,
    transitions: IntCounterVec,
    replaced: IntCounter,
    violations: IntCounterVec,
    ceremonies: IntCounterVec,
    presigning_faults: IntCounter,
    coins_lost: IntCounter,
}

impl RecordMetrics {
    /// Registers the metrics of events, all at zero. `past` are the records of earlier lives, in order.
    ///
    /// # Errors
    /// If their names are taken.
    pub fn register(registry: &Registry, past: &[Record]) -> Result<Self, Error> {
        let metrics = Self::zero()?;
        metrics.enumerate();
        registry.register(Box::new(metrics.life.clone()))?;
        registry.register(Box::new(metrics.voting.clone()))?;
        registry.register(Box::new(metrics.signing.clone()))?;
        registry.register(Box::new(metrics.disk.clone()))?;
        registry.register(Box::new(metrics.thresholds.clone()))?;
        registry.register(Box::new(metrics.transitions.clone()))?;
        registry.register(Box::new(metrics.replaced.clone()))?;
        registry.register(Box::new(metrics.violations.clone()))?;
        registry.register(Box::new(metrics.ceremonies.clone()))?;
        registry.register(Box::new(metrics.presigning_faults.clone()))?;
        registry.register(Box::new(metrics.coins_lost.clone()))?;
        {
            let mut story = metrics.story();
            for sight in past.iter().filter_map(Sight::of) {
                story.take(&sight);
            }
        }
        Ok(metrics)
    }

    fn zero() -> Result<Self, Error> {
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            HistogramOpts::new(name, help).buckets(buckets.to_vec())
        };
        Ok(Self {
            story: Arc::default(),
            life: HistogramVec::new(
                histogram(
                    "mpc_wallet_transaction_duration_seconds",
                    "Time from when this node learned of a transaction to its first end, by which end that was.",
                    LIFE,
                ),
                &["scheme", "state"],
            )?,
            voting: Histogram::with_opts(histogram(
                "mpc_wallet_consensus_duration_seconds",
                "Time from when this node learned of a transaction to enough votes for it.",
                VOTING,
            ))?,
            signing: HistogramVec::new(
                histogram(
                    "mpc_wallet_signing_duration_seconds",
                    "Time that a transaction was in state signing before it was signed.",
                    SIGNING,
                ),
                &["scheme"],
            )?,
            disk: Histogram::with_opts(histogram(
                "mpc_wallet_journal_append_duration_seconds",
                "Time until records handed to the journal were durable.",
                DISK,
            ))?,
            thresholds: IntCounter::new(
                "mpc_wallet_threshold_reached_total",
                "Transactions that got enough votes.",
            )?,
            transitions: IntCounterVec::new(
                Opts::new("mpc_wallet_state_transitions_total", "Changes of a transaction's state."),
                &["from", "to"],
            )?,
            replaced: IntCounter::new(
                "mpc_wallet_transactions_replaced_total",
                "Transactions that failed because another for the same payment, with another fee, confirmed.",
            )?,
            violations: IntCounterVec::new(
                Opts::new("mpc_wallet_byzantine_violations_total", "Violations recorded, by kind."),
                &["type"],
            )?,
            ceremonies: IntCounterVec::new(
                Opts::new("mpc_wallet_dkg_rounds_total", "Key generations that ended, by how."),
                &["scheme", "result"],
            )?,
            presigning_faults: IntCounter::new(
                "mpc_wallet_presigning_faults_total",
                "Presignings with this node that ended in a fault.",
            )?,
            coins_lost: IntCounter::new(
                "mpc_wallet_coins_lost_total",
                "Coins of the wallet that left it, and not by a transaction of the cluster.",
            )?,
        })
    }

    /// Shows every series from the start: a rate needs the zero before the first event.
    fn enumerate(&self) {
        for from in State::ALL {
            for to in State::ALL.into_iter().filter(|to| from.advance(*to).is_ok()) {
                self.transitions.with_label_values(&[from.name(), to.name()]);
            }
        }
        for violation in Violation::ALL {
            self.violations.with_label_values(&[violation.name()]);
        }
        for scheme in Scheme::ALL {
            self.signing.with_label_values(&[scheme.name()]);
            for result in ["active", "failed"] {
                self.ceremonies.with_label_values(&[scheme.name(), result]);
            }
            for state in State::ALL.into_iter().filter(|state| state.is_final()) {
                self.life.with_label_values(&[scheme.name(), state.name()]);
            }
        }
    }

    /// Shows how long the oldest transaction of each state has been in it.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn show_ages(&self, sheet: &Sheet, now: Timestamp) -> Result<(), Error> {
        let story = self.story();
        let age = |state| story.oldest(state).map_or(0, |since| now.since(since).0 / 1_000);
        let open = State::ALL.into_iter().filter(|state| !state.is_final());
        sheet.gauges(
            (
                "mpc_wallet_transaction_state_age_seconds",
                "Seconds that the transaction longest in a state has been in it; 0 if there is none.",
            ),
            ["state"],
            open.map(|state| ([state.name().to_owned()], age(state))),
        )
    }

    fn appended(&self, took: Duration, sights: &[Sight]) {
        self.disk.observe(took.as_secs_f64());
        for sight in sights {
            let completed = self.story().take(sight);
            self.observe(completed);
            self.count(sight);
        }
    }

    fn observe(&self, completed: Completed) {
        let seconds = |span: Millis| Duration::from_millis(span.0).as_secs_f64();
        if let Some(span) = completed.voting {
            self.voting.observe(seconds(span));
        }
        if let Some((scheme, span)) = completed.signing {
            self.signing.with_label_values(&[scheme.name()]).observe(seconds(span));
        }
        if let Some((scheme, state, span)) = completed.life {
            self.life.with_label_values(&[scheme.name(), state.name()]).observe(seconds(span));
        }
    }

    fn count(&self, sight: &Sight) {
        match sight {
            Sight::Proposed { .. } => {}
            Sight::Moved { from, to, replaced, .. } => {
                if *replaced {
                    self.replaced.inc();
                }
                self.transitions.with_label_values(&[from.name(), to.name()]).inc();
                if *to == State::ThresholdReached {
                    self.thresholds.inc();
                }
            }
            Sight::Violated(violation) => self.violations.with_label_values(&[violation.name()]).inc(),
            Sight::KeygenEnded { scheme, active } => {
                let result = if *active { "active" } else { "failed" };
                self.ceremonies.with_label_values(&[scheme.name(), result]).inc();
            }
            Sight::PresigningFault => self.presigning_faults.inc(),
            Sight::CoinLost => self.coins_lost.inc(),
        }
    }

    fn story(&self) -> MutexGuard<'_, Story> {
        // Each step is one insertion or removal, so nothing is half done after a panic.
        self.story.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
