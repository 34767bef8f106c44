//! Oracles: what must hold, restated from the outside.
//!
//! An oracle sees what a bystander could: raw messages as they leave a node, records as they become durable, what
//! the chain confirmed. It never calls the predicate that production code uses for the same purpose; where it needs
//! a signature checked, another library checks it. Each bears the number of the invariant it guards.
//!
//! | oracle | invariant |
//! |---|---|
//! | `paid_once` | I1: a payment is paid at most once, and exactly as asked |
//! | `one_coin_one_family` | I2: no coin is signed away twice but to one family, a payment and what takes its place, and nothing is built on what that destroys |
//! | `threshold` | I3: no share and no signature without t members' signed consent |
//! | `once` | I4: one-time secrets are used once |
//! | `presignature_once` | I4: a presignature is used in one session, and on record before its words leave |
//! | `no_double_vote` | I5: an honest node votes once |
//! | `no_false_accusation` | I5: no honest node is accused |
//! | `dead_stays_dead` | I6: who is bound never to sign gives no share; coins are free only when enough are bound |
//! | `within_limits` | what is approved and broadcast stays within policy, time and the network's limits; who approves a replacement knows that it pays enough more |
//! | `liars_accused` | I5: whoever contradicts himself before honest nodes is shut out by all of them |
//! | `human_approval` | nobody votes for what people were to be asked about before enough of them have approved, or after one has refused; one decision a node |
//! | `durable_before_sent` | write-ahead: nothing leaves before its records are on disk |
//! | `replay_equals_live` | a restarted node is the node that crashed |
//! | `lifecycle` | transactions move as the specification says |
//! | `one_key` | all members come out of key generation with the same key, and none uses it before all hold their shares |
//! | `no_secret_leaves` | secrets are in no message and no journal |
//! | `freeze` | who knows of a freeze consents to nothing and gives no share; in the end all know the same |
//! | `losses` | a coin that a stranger spends is put on record as lost by every node that had seen it; nothing else is |
//! | `convergence` | liveness: after the faults, every accepted payment ends, everywhere alike |
//! | `conservation` | no coin is lost |
//!
//! Honesty is known here and nowhere else: what a node owes by the protocol is asked of honest nodes only, and no
//! property rests on a traitor's word. What traitors sign is counted as they sign it.

mod accusation;
mod coins;
mod conservation;
mod convergence;
mod durable;
mod families;
mod freeze;
mod honest;
mod keys;
mod liars;
mod lifecycle;
mod limits;
mod losses;
mod once;
mod paid;
mod people;
mod presignatures;
mod promises;
mod replay;
mod secrets;
mod shares;
mod statements;
mod threshold;
mod votes;

use std::collections::BTreeSet;

use bitcoin::{Transaction, Txid};
use mpc_wallet_core::{Cluster, LogIndex, NodeId, message::Message, record::Record, vote::Violation};

use crate::plan::People;

pub use self::{
    accusation::NoFalseAccusation,
    coins::OneCoinOneFamily,
    conservation::{Books, conservation},
    convergence::{Expected, NodeEnd, TransactionEnd, Unfinished, confirmed_is_true, convergence},
    durable::DurableBeforeSent,
    freeze::Freeze,
    honest::OfHonest,
    keys::OneKey,
    liars::LiarsAccused,
    lifecycle::Lifecycle,
    limits::WithinLimits,
    losses::Losses,
    once::Once,
    paid::{PaidOnce, Payments},
    people::HumanApproval,
    presignatures::PresignatureOnce,
    promises::DeadStaysDead,
    replay::ReplayEqualsLive,
    secrets::NoSecretLeaves,
    threshold::Threshold,
    votes::NoDoubleVote,
};

/// The members that follow the protocol.
pub type Honest = BTreeSet<NodeId>;

/// Something a bystander sees.
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
    /// A message reached a node that is up. Only worlds with traitors tell.
    Heard {
        /// Who hears.
        node: NodeId,
        /// Who speaks.
        from: NodeId,
        /// The message.
        message: &'a Message,
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
    /// Somebody with the wallet's key, though not one of its members, got a transaction into a block.
    Stolen {
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

    /// What must still happen before the run may end.
    fn owed(&self) -> Option<String> {
        None
    }
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

/// Which oracles watch a run, and what an objection does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// All; the first objection ends the run.
    #[default]
    All,
    /// All but the one of this name.
    Without(&'static str),
    /// All; the run goes on after an objection, so that it shows who else objects.
    ToTheEnd,
}

/// All oracles that watch a run step by step.
pub struct Oracles {
    watching: Vec<Box<dyn Oracle>>,
    watch: Watch,
    /// The first objection of each, in the order they were made.
    objections: Vec<Breach>,
}

impl Oracles {
    /// The oracles for a cluster, the payments its clients will ask for, who of its members is honest, and whom its policy
    /// asks.
    #[must_use]
    pub fn new(cluster: &Cluster, payments: Payments, honest: &Honest, people: Option<&People>) -> Self {
        let mut oracles = Self {
            watching: vec![
                OfHonest::boxed(honest, DurableBeforeSent::default()),
                OfHonest::boxed(honest, ReplayEqualsLive),
                OfHonest::boxed(honest, Lifecycle::default()),
                OfHonest::boxed(honest, NoSecretLeaves),
                Box::new(NoDoubleVote::new(cluster, honest.clone())),
                Box::new(NoFalseAccusation::new(honest.clone())),
                Box::new(LiarsAccused::new(cluster, honest.clone())),
                Box::new(Threshold::new(cluster, honest.clone())),
                Box::new(Once::new(honest.clone())),
                Box::new(PresignatureOnce::new(honest.clone())),
                Box::new(OneCoinOneFamily::new(cluster, honest.clone(), payments.clone())),
                Box::new(PaidOnce::new(payments)),
                OfHonest::boxed(honest, OneKey::new(honest.clone())),
                OfHonest::boxed(honest, DeadStaysDead::new(cluster)),
                OfHonest::boxed(honest, WithinLimits::default()),
                Box::new(Freeze::new(cluster, honest.clone())),
                OfHonest::boxed(honest, Losses::new(honest.clone())),
            ],
            watch: Watch::All,
            objections: vec![],
        };
        if let Some(people) = people {
            let (above, operators) = (people.above, usize::from(people.operators));
            oracles.watching.push(Box::new(HumanApproval::new(cluster, honest.clone(), above, operators)));
        }
        oracles
    }

    /// What must still happen before the run may end.
    ///
    /// # Errors
    /// The first oracle that waits, and for what.
    pub fn owed(&self) -> Result<(), Breach> {
        match self.watching.iter().find_map(|oracle| Some((oracle.name(), oracle.owed()?))) {
            Some((oracle, detail)) => Err(Breach { oracle, detail }),
            None => Ok(()),
        }
    }

    /// Changes who watches.
    pub const fn set_watch(&mut self, watch: Watch) {
        self.watch = watch;
    }

    /// Takes an objection, of one of these oracles or of a judgement made at the end.
    ///
    /// # Errors
    /// The objection, if it ends the run.
    pub fn object(&mut self, breach: Breach) -> Result<(), Breach> {
        match self.watch {
            Watch::Without(absent) if absent == breach.oracle => Ok(()),
            Watch::All | Watch::Without(_) => Err(breach),
            Watch::ToTheEnd => {
                if self.objections.iter().all(|known| known.oracle != breach.oracle) {
                    self.objections.push(breach);
                }
                Ok(())
            }
        }
    }

    /// The first objection of each oracle, as far as the run went on after them.
    #[must_use]
    pub fn objections(&self) -> &[Breach] {
        &self.objections
    }

    /// Shows something to all of them.
    ///
    /// # Errors
    /// The first that objects, if that ends the run.
    pub fn observe(&mut self, seen: &Observed<'_>) -> Result<(), Breach> {
        let mut objections = vec![];
        for oracle in &mut self.watching {
            if let Err(detail) = oracle.observe(seen) {
                objections.push(Breach { oracle: oracle.name(), detail });
            }
        }
        objections.into_iter().try_for_each(|breach| self.object(breach))
    }
}

#[cfg(test)]
mod tests;
