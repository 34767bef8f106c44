//! Key generation: one key, and nobody shows its address before every member holds its share.

use std::collections::{BTreeMap, BTreeSet};

use mpc_wallet_core::{KeyId, NodeId, SessionId, WalletKey, record::Fact};

use super::{Honest, Observed, Oracle};

/// Honest members that activate a key activate the same, and not before all honest members have sealed a share of it: of
/// a key that too few hold, money does not come back.
pub struct OneKey {
    honest: Honest,
    active: BTreeMap<KeyId, (NodeId, WalletKey)>,
    sealed: BTreeMap<(SessionId, WalletKey), BTreeSet<NodeId>>,
}

impl OneKey {
    /// For a cluster with these honest members.
    #[must_use]
    pub const fn new(honest: Honest) -> Self {
        Self { honest, active: BTreeMap::new(), sealed: BTreeMap::new() }
    }
}

impl Oracle for OneKey {
    fn name(&self) -> &'static str {
        "one_key"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        let Observed::Durable { node, record } = seen else { return Ok(()) };
        if let Fact::KeyShareSealed { request, public_key } = &record.fact {
            self.sealed.entry((request.id(), *public_key)).or_default().insert(*node);
        }
        let Fact::KeyActivated(proof) = &record.fact else { return Ok(()) };
        let (key, ceremony) = (proof.request.key, proof.request.id());
        let (first, theirs) = self.active.entry(key).or_insert((*node, proof.public_key));
        if *theirs != proof.public_key {
            return Err(format!("{first} and {node} call different keys {key}"));
        }
        let holders = self.sealed.get(&(ceremony, proof.public_key));
        let lacks = |member: &&NodeId| holders.is_none_or(|holders| !holders.contains(*member));
        match self.honest.iter().find(lacks) {
            Some(member) => Err(format!("{node} activates {key} before {member} holds a share of it")),
            None => Ok(()),
        }
    }
}
