//! How many listen, and how many may.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// What streams may cost, and how soon a dead one is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most streams of all listeners together.
    pub in_all: usize,
    /// Most streams of one API key.
    pub per_key: usize,
    /// Something is sent at least this often.
    pub heartbeat: Duration,
}

/// Why one more stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The key has this many already.
    Key(usize),
    /// The node serves this many already.
    Node(usize),
}

/// The streams under way.
pub(super) struct Streams {
    limits: Limits,
    open: Arc<Mutex<Open>>,
    resets: IntCounterVec,
}

struct Open {
    in_all: usize,
    by_key: BTreeMap<String, usize>,
    gauge: IntGauge,
}

impl Open {
    fn show(&self) {
        self.gauge.set(i64::try_from(self.in_all).unwrap_or(i64::MAX));
    }
}

impl Streams {
    pub(super) fn new(limits: Limits, registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = IntGauge::new("mpc_wallet_event_streams", "Streams of events under way.")?;
        let resets = IntCounterVec::new(
            Opts::new("mpc_wallet_event_resets_total", "Streams that had to begin anew, by what was wrong."),
            &["reason"],
        )?;
        registry.register(Box::new(gauge.clone()))?;
        registry.register(Box::new(resets.clone()))?;
        let open = Open { in_all: 0, by_key: BTreeMap::new(), gauge };
        Ok(Self { limits, open: Arc::new(Mutex::new(open)), resets })
    }

    pub(super) fn admit(&self, key: Option<&str>) -> Result<Slot, Full> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.in_all >= self.limits.in_all {
            return Err(Full::Node(self.limits.in_all));
        }
        if let Some(key) = key {
            let held = open.by_key.entry(key.to_owned()).or_default();
            if *held >= self.limits.per_key {
                return Err(Full::Key(self.limits.per_key));
            }
            *held = held.saturating_add(1);
        }
        open.in_all = open.in_all.saturating_add(1);
        open.show();
        Ok(Slot { open: Arc::clone(&self.open), key: key.map(str::to_owned) })
    }

    pub(super) const fn heartbeat(&self) -> Duration {
        self.limits.heartbeat
    }

    pub(super) fn count_reset(&self, reason: &str) {
        self.resets.with_label_values(&[reason]).inc();
    }
}

/// The place of one stream; dropping it gives it back.
pub struct Slot {
    open: Arc<Mutex<Open>>,
    key: Option<String>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.in_all = open.in_all.saturating_sub(1);
        open.show();
        let Some(key) = &self.key else { return };
        if let Some(held) = open.by_key.get_mut(key) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                open.by_key.remove(key);
            }
        }
    }
}
