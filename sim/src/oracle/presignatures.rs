//! I4: a presignature is used once, in the words of one session, and is on record as used before they leave.

use std::collections::{BTreeMap, BTreeSet};

use mpc_wallet_core::{NodeId, PresignatureId, SessionId, message::Message, record::Fact};

use super::{Honest, Observed, Oracle};

/// Reads all traffic: whoever speaks in a session that names presignatures uses them. No honest node ever uses one in two
/// sessions, across crashes, stops and restored backups, or speaks before its journal says what it uses there; and no
/// journal of one says it of two.
pub struct PresignatureOnce {
    honest: Honest,
    /// What each session uses, from the requests for it.
    named: BTreeMap<SessionId, Vec<PresignatureId>>,
    /// By words: in which session a node has used a presignature.
    used: BTreeMap<(NodeId, PresignatureId), SessionId>,
    /// By its journal as it is.
    recorded: BTreeMap<NodeId, BTreeMap<PresignatureId, SessionId>>,
}

impl PresignatureOnce {
    /// For a cluster with these honest members.
    #[must_use]
    pub const fn new(honest: Honest) -> Self {
        Self { honest, named: BTreeMap::new(), used: BTreeMap::new(), recorded: BTreeMap::new() }
    }

    fn record(&mut self, node: NodeId, fact: &Fact) -> Result<(), String> {
        let Fact::PresignaturesUsed { session, presignatures, .. } = fact else { return Ok(()) };
        let recorded = self.recorded.entry(node).or_default();
        let again =
            presignatures.iter().find_map(|used| Some((used.id, recorded.insert(used.id, *session)?)));
        match again {
            Some((id, first)) => Err(format!(
                "{node} records in session {session} that it uses {id}, as in session {first} before"
            )),
            None => Ok(()),
        }
    }

    fn speak(&mut self, node: NodeId, session: SessionId) -> Result<(), String> {
        for id in self.named.get(&session).into_iter().flatten() {
            let first = *self.used.entry((node, *id)).or_insert(session);
            if first != session {
                return Err(format!(
                    "{node} uses presignature {id} in session {first} and in session {session}"
                ));
            }
            let recorded = self.recorded.get(&node).and_then(|journal| journal.get(id));
            if recorded != Some(&session) {
                return Err(format!(
                    "{node} speaks in session {session} without a durable record that it uses presignature {id} there"
                ));
            }
        }
        Ok(())
    }
}

impl Oracle for PresignatureOnce {
    fn name(&self) -> &'static str {
        "presignature_once"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Durable { node, record } if self.honest.contains(node) => {
                self.record(*node, &record.fact)
            }
            Observed::Restored { node, records } if self.honest.contains(node) => {
                self.recorded.remove(node);
                records.iter().try_for_each(|record| self.record(*node, &record.fact))
            }
            Observed::Sent { from, message, .. } => {
                if let Message::SignRequest(request) = message {
                    let named: BTreeSet<_> = request.session.presignatures.iter().copied().collect();
                    self.named.insert(request.session.id(), named.into_iter().collect());
                }
                if let Message::Mpc(words) = message
                    && self.honest.contains(from)
                {
                    return self.speak(*from, words.body.session);
                }
                Ok(())
            }
            Observed::Durable { .. }
            | Observed::Restored { .. }
            | Observed::Released { .. }
            | Observed::Heard { .. }
            | Observed::Promised { .. }
            | Observed::Broadcast { .. }
            | Observed::Confirmed { .. }
            | Observed::Stolen { .. }
            | Observed::Accused { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }
}
