//! I4: one-time secrets are used once.

use std::collections::{BTreeMap, BTreeSet};

use mpc_wallet_core::{NodeId, SessionId, message::Message, record::Fact};

use super::{Honest, Observed, Oracle, shares::Sessions};
use crate::trace::short_hash;

type Place = (NodeId, SessionId, Option<NodeId>, u32);

/// An honest node says one thing at each place of a run, across crashes; its shares leave after their nonces are burnt on
/// disk, and a session's nonces are burnt once.
pub struct Once {
    honest: Honest,
    said: BTreeMap<Place, Vec<u8>>,
    burnt: BTreeSet<(NodeId, SessionId)>,
    sessions: Sessions,
}

impl Once {
    /// For a cluster with these honest members.
    #[must_use]
    pub fn new(honest: Honest) -> Self {
        Self { honest, said: BTreeMap::new(), burnt: BTreeSet::new(), sessions: Sessions::default() }
    }
}

impl Oracle for Once {
    fn name(&self) -> &'static str {
        "once"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Durable { node, record } => {
                if let Fact::ShareReleased { session, .. } = &record.fact
                    && !self.burnt.insert((*node, *session))
                    && self.honest.contains(node)
                {
                    return Err(format!("{node} made a second share set in session {session}"));
                }
                Ok(())
            }
            Observed::Sent { from, message, .. } => {
                self.sessions.learn(message);
                let Message::Mpc(mpc) = message else { return Ok(()) };
                if !self.honest.contains(from) {
                    return Ok(());
                }
                let body = &mpc.body;
                if body.from != *from {
                    return Err(format!("{from} speaks in the name of {}", body.from));
                }
                let place = (body.from, body.session, body.to, body.sequence);
                let first = self.said.entry(place).or_insert_with(|| body.payload.clone());
                if *first != body.payload {
                    return Err(format!(
                        "{from} said {} and then {} at place {} of session {}",
                        short_hash(first),
                        short_hash(&body.payload),
                        body.sequence,
                        body.session
                    ));
                }
                if self.sessions.holds_share(body) && !self.burnt.contains(&(*from, body.session)) {
                    return Err(format!(
                        "{from} sent a share in session {} without a durable record that its nonces are burnt",
                        body.session
                    ));
                }
                Ok(())
            }
            Observed::Released { .. }
            | Observed::Heard { .. }
            | Observed::Promised { .. }
            | Observed::Broadcast { .. }
            | Observed::Confirmed { .. }
            | Observed::Stolen { .. }
            | Observed::Accused { .. }
            | Observed::Restored { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }
}
