//! Oracles: what must hold, restated from the outside.
//!
//! An oracle sees what a bystander could: raw messages as they leave a node, records as they become durable, what
//! the chain confirmed. It never calls the predicate that production code uses for the same purpose; where it needs
//! a signature checked, another library checks it. Each bears the number of the invariant it guards.
//!
//! | oracle | invariant |
//! |---|---|
//! | `paid_once` | I1: a payment is paid at most once, and exactly as asked |
//! | `one_coin_one_family` | I2: no coin is signed away twice |
//! | `threshold` | I3: no share and no signature without t members' signed consent |
//! | `once` | I4: one-time secrets are used once |
//! | `no_double_vote` | I5: an honest node votes once |
//! | `no_false_accusation` | I5: no honest node is accused |
//! | `durable_before_sent` | write-ahead: nothing leaves before its records are on disk |
//! | `replay_equals_live` | a restarted node is the node that crashed |
//! | `lifecycle` | transactions move as the specification says |
//! | `no_secret_leaves` | secrets are in no message and no journal |
//! | `convergence` | liveness: after the faults, every accepted payment ends, everywhere alike |
//! | `conservation` | no coin is lost |

mod accusation;
mod coins;
mod conservation;
mod convergence;
mod durable;
mod lifecycle;
mod once;
mod paid;
mod replay;
mod secrets;
mod statements;
mod threshold;
mod votes;

use bitcoin::{Transaction, Txid};
use mpc_wallet_core::{Cluster, LogIndex, NodeId, message::Message, record::Record, vote::Violation};

pub use self::{
    accusation::NoFalseAccusation,
    coins::OneCoinOneFamily,
    conservation::{Books, conservation},
    convergence::{Expected, NodeEnd, TransactionEnd, Unfinished, convergence},
    durable::DurableBeforeSent,
    lifecycle::Lifecycle,
    once::Once,
    paid::{PaidOnce, Payments},
    replay::ReplayEqualsLive,
    secrets::NoSecretLeaves,
    threshold::Threshold,
    votes::NoDoubleVote,
};

/// Something a bystander sees. All nodes of this world are honest.
#[derive(Clone, Copy, Debug)]
pub enum Observed<'a> {
    /// A record became durable.
    Durable {
        /// Whose journal.
        node: NodeId,
        /// The record.
        record: &'a Record,
    },
    /// A step's effects came out.
    Released {
        /// Of which node.
        node: NodeId,
        /// Position of the step's last record.
        needs: LogIndex,
        /// Position of the last record on disk.
        durable: LogIndex,
    },
    /// A message left a node, whatever the network then does to it.
    Sent {
        /// Who speaks.
        from: NodeId,
        /// The message.
        message: &'a Message,
        /// Its bytes on the wire.
        bytes: &'a [u8],
    },
    /// A client was told that its payment is on its way.
    Promised {
        /// By which node.
        node: NodeId,
        /// As which transaction.
        txid: Txid,
    },
    /// A node gave a transaction to the network.
    Broadcast {
        /// Which node.
        node: NodeId,
        /// The transaction.
        transaction: &'a Transaction,
    },
    /// A transaction got into a block.
    Confirmed {
        /// The transaction.
        transaction: &'a Transaction,
    },
    /// A node told its operator of a member's misbehaviour, or its host to shut it out.
    Accused {
        /// Who accuses.
        by: NodeId,
        /// Whom.
        node: NodeId,
        /// Of what; a ban has no kind here.
        violation: Option<Violation>,
    },
    /// A node's journal was replaced by an older copy of itself.
    Restored {
        /// Whose.
        node: NodeId,
        /// All that is in it now.
        records: &'a [Record],
    },
    /// A node's durable state and its journal applied to an empty state.
    Compared {
        /// Which node.
        node: NodeId,
        /// When: at a crash, after a restart, at the end.
        moment: &'static str,
        /// Digest of the node's state.
        node_digest: [u8; 32],
        /// Digest of the journal's.
        journal_digest: [u8; 32],
    },
}

/// A property that watches a run.
pub trait Oracle {
    /// Its name in verdicts.
    fn name(&self) -> &'static str;

    /// Looks at one thing.
    ///
    /// # Errors
    /// What does not hold, in words.
    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String>;
}

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{oracle}: {detail}")]
pub struct Breach {
    /// Which oracle says so.
    pub oracle: &'static str,
    /// What it saw.
    pub detail: String,
}

/// All oracles that watch a run step by step.
pub struct Oracles {
    watching: Vec<Box<dyn Oracle>>,
}

impl Oracles {
    /// The oracles for a cluster and the payments its clients will ask for.
    #[must_use]
    pub fn new(cluster: &Cluster, payments: Payments) -> Self {
        Self {
            watching: vec![
                Box::new(DurableBeforeSent::default()),
                Box::new(ReplayEqualsLive),
                Box::new(Lifecycle::default()),
                Box::new(NoDoubleVote::new(cluster)),
                Box::new(NoFalseAccusation),
                Box::new(Threshold::new(cluster)),
                Box::new(Once::default()),
                Box::new(OneCoinOneFamily::new(cluster)),
                Box::new(PaidOnce::new(payments)),
                Box::new(NoSecretLeaves),
            ],
        }
    }

    /// Shows something to all of them.
    ///
    /// # Errors
    /// The first that objects.
    pub fn observe(&mut self, seen: &Observed<'_>) -> Result<(), Breach> {
        for oracle in &mut self.watching {
            oracle.observe(seen).map_err(|detail| Breach { oracle: oracle.name(), detail })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
