//! Keeping presignatures in stock, for the groups of signers that could sign now.
//!
//! One group is in use: the first `t` of the live members. Beside it stand those that take over when one of them is gone. The
//! first member of a group leads its presignings, one at a time: the group in use gets `presignatures_high` once it has
//! less than `presignatures_low`, the others just the lower number. Nothing here is urgent, and its work says so.
//!
//! A presigning that ends in a fault may have told a cheat one bit of a secret (eprint 2021/1621), so none is tried again
//! in silence: the fault is on record, an alert goes out, and after `presigning_faults` the group presigns no more with
//! this key. A group without the cheat goes on.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRngCore;

use super::{Node, timers::Timer};
use crate::{
    ids::{KeyId, NodeId, PresignatureId, Scheme},
    message::{Message, SignRequest, SigningSession, Subject},
    mpc::ecdsa::Presignature,
    overview::{GroupView, PoolView},
    pool::{Label, Stocked},
    record::Fact,
    refusal::Refusal,
    sometimes,
    step::{Alert, Effect},
    time::{Millis, Timestamp},
};

/// Between two looks at the stock when nothing happens.
const LOOK_AGAIN: Millis = Millis(5_000);

/// After a presigning that came to nothing, its group rests.
const REST: Millis = Millis(2_000);

/// Volatile state of presigning.
#[derive(Default)]
pub(super) struct Presigning {
    /// Groups that are being filled up.
    filling: BTreeSet<Vec<NodeId>>,
    /// Presignatures that a person asked for, beyond what is kept in stock.
    ordered: usize,
    resting: BTreeMap<Vec<NodeId>, Timestamp>,
}

impl Node {
    /// Groups of signers worth a stock now, the one in use first.
    pub(super) fn signing_groups(&self, key: KeyId) -> Vec<Vec<NodeId>> {
        let live: Vec<NodeId> = self.live().into_iter().collect();
        let threshold = usize::from(self.config.cluster.threshold());
        let Some((first, spare)) = live.split_at_checked(threshold) else { return Vec::new() };
        let mut groups = vec![first.to_vec()];
        if let Some(spare) = spare.first() {
            for gone in first.iter().rev() {
                let mut group: Vec<NodeId> = first.iter().copied().filter(|node| node != gone).collect();
                group.push(*spare);
                groups.push(group);
            }
        }
        groups.retain(|group| !self.is_halted(key, group));
        groups
    }

    /// Whether presignings of this group ended in faults too often.
    pub(super) fn is_halted(&self, key: KeyId, group: &[NodeId]) -> bool {
        self.state.presigning_faults(key, group) >= self.config.limits.presigning_faults
    }

    /// Whether all signers of a session are here and have not restarted since: who has, has forgotten it.
    pub(super) fn may_succeed(&self, session: &SigningSession) -> bool {
        let live = self.live();
        let mut signers = session.signers.iter().zip(&session.boots);
        signers.all(|(node, boot)| live.contains(node) && self.boot_of(*node) == *boot)
    }

    /// Makes what is missing, if it is this node's turn.
    pub(super) fn attend_presigning(&mut self, entropy: &mut dyn CryptoRngCore) {
        let Some(key) = self.presigning_key() else { return };
        self.timers.set(Timer::Presigning, self.now.plus(LOOK_AGAIN));
        self.stock.pool.keep_only(key);
        let leads = |session: &SigningSession| {
            session.subject == Subject::Presigning
                && session.leader == self.config.me
                && self.may_succeed(session)
        };
        if !self.is_sound() || self.any_session(leads) || self.share_of(key).is_none() {
            return;
        }
        let groups = self.signing_groups(key);
        self.presigning.filling.retain(|group| groups.contains(group));
        let (low, high) = (self.config.limits.presignatures_low, self.config.limits.presignatures_high);
        for (place, group) in groups.iter().enumerate() {
            let rests = self.presigning.resting.get(group).is_some_and(|until| self.now < *until);
            if group.first() != Some(&self.config.me) || rests {
                continue;
            }
            let held = self.stock.pool.held(key, group);
            let (full, ordered) = if place == 0 { (high, self.presigning.ordered) } else { (low, 0) };
            if held < low {
                self.presigning.filling.insert(group.clone());
            }
            if held >= full {
                self.presigning.filling.remove(group);
            }
            let room = held < self.config.limits.presignatures_most;
            if room && (ordered > 0 || self.presigning.filling.contains(group)) {
                self.lead_presigning(key, group.clone(), entropy);
                return;
            }
        }
    }

    fn lead_presigning(&mut self, key: KeyId, signers: Vec<NodeId>, entropy: &mut dyn CryptoRngCore) {
        let session = self.new_session(key, Subject::Presigning, signers, Vec::new());
        let request = SignRequest { session, certificate: None };
        for signer in request.session.signers.clone() {
            self.send(signer, Message::SignRequest(Box::new(request.clone())));
        }
        self.join(request.session, entropy);
    }

    /// Whether this node takes part in making another presignature of this group.
    pub(super) fn would_presign(&self, session: &SigningSession) -> bool {
        let held = self.stock.pool.held(session.key, &session.signers);
        self.presigning_key() == Some(session.key)
            && session.presignatures.is_empty()
            && held < self.config.limits.presignatures_most
            && !self.is_halted(session.key, &session.signers)
    }

    /// A presigning has succeeded here.
    pub(super) fn on_presignature(
        &mut self,
        session: &SigningSession,
        began: Timestamp,
        presignature: Presignature,
        entropy: &mut dyn CryptoRngCore,
    ) {
        let label = Label {
            key: session.key,
            signers: session.signers.clone(),
            made_at: self.now,
            took: self.now.since(began),
        };
        self.stock.pool.add(Stocked { presignature, label });
        if session.leader == self.config.me {
            self.presigning.ordered = self.presigning.ordered.saturating_sub(1);
        }
        self.stock_changed();
        self.attend_presigning(entropy);
    }

    /// A presigning has come to nothing; `fault` says what went wrong, if it was not time.
    pub(super) fn on_presigning_failed(&mut self, session: &SigningSession, fault: Option<&str>) {
        self.presigning.resting.insert(session.signers.clone(), self.now.plus(REST));
        self.timers.set_by(Timer::Presigning, self.now.plus(REST));
        if let Some(reason) = fault {
            self.count_presigning_fault(session, reason);
        }
    }

    /// Puts a fault in the making of a presignature on record, in stock or not.
    pub(super) fn count_presigning_fault(&mut self, session: &SigningSession, reason: &str) {
        sometimes!(PresigningFaults);
        let (key, signers) = (session.key, session.signers.clone());
        self.record(Fact::PresigningFailed { key, signers: signers.clone(), reason: reason.to_owned() });
        let limit = self.config.limits.presigning_faults;
        let count = self.state.presigning_faults(key, &signers);
        let halted = if count >= limit { ": this group presigns no more with this key" } else { "" };
        let detail = format!("fault {count} of {limit} in a presigning: {reason}{halted}");
        self.effects.push(Effect::Alert(Alert::Presigning { signers, detail }));
    }

    /// A person wants presignatures.
    pub(super) fn order_presignatures(&mut self, count: u16) -> Result<u16, Refusal> {
        if let Some(refusal) = self.unsound() {
            return Err(refusal);
        }
        let key = self.presigning_key().ok_or(Refusal::NoKey(Scheme::Segwit))?;
        let Some(leader) = self.signing_groups(key).first().and_then(|group| group.first().copied()) else {
            return Err(self.no_quorum());
        };
        if leader == self.config.me {
            self.on_presign_order(count);
        } else {
            self.send(leader, Message::PresignOrder { count });
        }
        Ok(count)
    }

    pub(super) fn on_presign_order(&mut self, count: u16) {
        let ordered = self.presigning.ordered.saturating_add(usize::from(count));
        self.presigning.ordered = ordered.min(self.config.limits.presignatures_most);
        self.timers.set_by(Timer::Presigning, self.now);
    }

    /// The group to sign `inputs` inputs with stock at hand, and what it uses; `None` if no group has enough. Leaders
    /// differ in which they use first, so that two at once do not reach for the same.
    pub(super) fn choose_stock(
        &self,
        key: KeyId,
        able: &[NodeId],
        inputs: usize,
    ) -> Option<(Vec<NodeId>, Vec<PresignatureId>)> {
        let suspect = |node: &NodeId| self.signing.suspects.get(node).is_some_and(|until| self.now < *until);
        let (_, signers, mut ready) = self
            .stock
            .pool
            .groups(key)
            .into_iter()
            .filter(|group| group.contains(&self.config.me))
            .filter(|group| group.iter().all(|node| able.contains(node) && !suspect(node)))
            .map(|group| (group, self.stock.pool.ready(key, group, self.config.me)))
            .filter(|(_, ready)| ready.len() >= inputs)
            .map(|(group, ready)| (ready.len(), group.to_vec(), ready))
            .max_by(|(a, first, _), (b, second, _)| a.cmp(b).then_with(|| second.cmp(first)))?;
        ready.sort_by_cached_key(|id| crate::codec::digest("mpc-wallet/stock-order", &(self.config.me, id)));
        ready.truncate(inputs);
        Some((signers, ready))
    }

    /// Most inputs that stock at hand can sign; `None` where nothing needs any.
    pub(super) fn inputs_in_stock(&self, key: KeyId) -> Option<usize> {
        self.presigning_suite(key.scheme)?;
        let live = self.live();
        self.stock
            .pool
            .groups(key)
            .into_iter()
            .filter(|group| group.iter().all(|node| live.contains(node)))
            .map(|group| self.stock.pool.ready(key, group, self.config.me).len())
            .max()
            .or(Some(0))
    }

    pub(super) fn pool_view(&self) -> Option<PoolView> {
        let key = self.presigning_key()?;
        let (pool, me) = (&self.stock.pool, self.config.me);
        let wanted = self.signing_groups(key);
        let live = self.live();
        let mut signers: Vec<Vec<NodeId>> = wanted.clone();
        for group in pool.groups(key) {
            if !signers.iter().any(|known| known == group) {
                signers.push(group.to_vec());
            }
        }
        let groups: Vec<GroupView> = signers
            .into_iter()
            .map(|group| GroupView {
                held: pool.held(key, &group),
                ready: pool.ready(key, &group, me).len(),
                alive: group.iter().all(|node| live.contains(node)),
                in_use: wanted.first() == Some(&group),
                faults: self.state.presigning_faults(key, &group),
                signers: group,
            })
            .collect();
        Some(PoolView {
            key,
            low: self.config.limits.presignatures_low,
            high: self.config.limits.presignatures_high,
            most: self.config.limits.presignatures_most,
            ordered: self.presigning.ordered,
            making: self.any_session(|session| session.subject == Subject::Presigning),
            used: self.state.used_count(),
            groups,
        })
    }
}
