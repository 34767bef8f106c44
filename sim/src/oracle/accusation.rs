//! I5: no honest node is ever accused by an honest node of more than silence.

use mpc_wallet_core::{NodeId, record::Fact, vote::Violation};

use super::{Honest, Observed, Oracle, statements};

/// No proof, ban or accusation of an honest node against another. Silence is exempt: a crash and a cut look like it.
#[derive(Clone, Debug)]
pub struct NoFalseAccusation {
    honest: Honest,
}

impl NoFalseAccusation {
    /// For a cluster with these honest members.
    #[must_use]
    pub const fn new(honest: Honest) -> Self {
        Self { honest }
    }

    /// Whether it matters that `by` accuses `accused`.
    fn matters(&self, by: NodeId, accused: NodeId) -> bool {
        self.honest.contains(&by) && self.honest.contains(&accused)
    }
}

impl Oracle for NoFalseAccusation {
    fn name(&self) -> &'static str {
        "no_false_accusation"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Durable { node: by, record } => {
                if let Fact::Proven(evidence) = &record.fact
                    && self.matters(*by, evidence.accused())
                {
                    return Err(format!("{by} recorded proof against {}: {evidence:?}", evidence.accused()));
                }
                if let Fact::Banned { node, violation, .. } = &record.fact
                    && self.matters(*by, *node)
                {
                    return Err(format!("{by} banned {node} for {violation}"));
                }
                if let Fact::Struck { node, violation, detail, .. } = &record.fact
                    && *violation != Violation::Timeout
                    && self.matters(*by, *node)
                {
                    return Err(format!("{by} holds {violation} against {node}: {detail}"));
                }
                Ok(())
            }
            Observed::Sent { from, message, .. } => {
                let accused = statements::evidence(message).into_iter().map(|evidence| evidence.accused());
                match accused.into_iter().find(|accused| self.matters(*from, *accused)) {
                    Some(accused) => Err(format!("{from} passes on an accusation of {accused}")),
                    None => Ok(()),
                }
            }
            Observed::Accused { by, node, violation }
                if *violation != Some(Violation::Timeout) && self.matters(*by, *node) =>
            {
                Err(format!(
                    "{by} accuses {node} of {}",
                    violation.map_or("something worth a ban", Violation::name)
                ))
            }
            Observed::Accused { .. }
            | Observed::Released { .. }
            | Observed::Heard { .. }
            | Observed::Promised { .. }
            | Observed::Broadcast { .. }
            | Observed::Confirmed { .. }
            | Observed::Stolen { .. }
            | Observed::Restored { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }
}
