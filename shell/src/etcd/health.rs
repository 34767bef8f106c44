//! Whether etcd answers, for probes, metrics and the log.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use prometheus::{IntGauge, Registry};

use super::link::EtcdError;

/// What is known of etcd's health; clones show the same.
#[derive(Clone)]
pub struct EtcdHealth {
    state: Arc<Mutex<State>>,
    gauge: IntGauge,
}

struct State {
    /// Last answer, or the start.
    answered: Instant,
    away: bool,
    other_manifest: bool,
}

impl EtcdHealth {
    /// Away, until it first answers. Registers the metric `mpc_wallet_etcd_health`.
    ///
    /// # Errors
    /// If a metric of that name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = IntGauge::new(
            "mpc_wallet_etcd_health",
            "1 while etcd answers, 0 while it is away; absent without etcd.",
        )?;
        registry.register(Box::new(gauge.clone()))?;
        let state = State { answered: Instant::now(), away: true, other_manifest: false };
        Ok(Self { state: Arc::new(Mutex::new(state)), gauge })
    }

    /// What an operator should know, a sentence each; none while all is well. Payments do not depend on any of it.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let state = self.lock();
        let mut notes = Vec::new();
        if state.away {
            notes.push(format!("etcd away for {} s: embedded rule", state.answered.elapsed().as_secs()));
        }
        if state.other_manifest {
            notes.push(format!(
                "{} in etcd is not this cluster's manifest: find out who wrote it, then delete it",
                super::keys::MANIFEST
            ));
        }
        notes
    }

    pub(super) fn silence(&self) -> Duration {
        self.lock().answered.elapsed()
    }

    pub(super) fn is_away(&self) -> bool {
        self.lock().away
    }

    pub(super) fn answers(&self) {
        let mut state = self.lock();
        let away = std::mem::replace(&mut state.away, false).then(|| state.answered.elapsed());
        state.answered = Instant::now();
        drop(state);
        self.gauge.set(1);
        if let Some(away) = away {
            tracing::info!(away_s = away.as_secs(), "etcd answers: the coordinator is elected there");
        }
    }

    pub(super) fn is_lost(&self, error: &EtcdError) {
        let was_away = std::mem::replace(&mut self.lock().away, true);
        self.gauge.set(0);
        if !was_away {
            tracing::warn!(%error, "etcd is away: the lowest live node coordinates, payments go on");
        }
    }

    pub(super) fn found_manifest(&self, other: bool) {
        let known = std::mem::replace(&mut self.lock().other_manifest, other);
        match (known, other) {
            (false, true) => tracing::error!(
                key = super::keys::MANIFEST,
                "etcd holds another manifest than this node's, which it ignores: find out who wrote it"
            ),
            (true, false) => {
                tracing::info!(key = super::keys::MANIFEST, "etcd holds this node's manifest again")
            }
            (true, true) | (false, false) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment, so nothing is half done after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
