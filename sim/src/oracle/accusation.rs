//! I5: every node of this world is honest, so nobody may ever be accused of more than silence.

use mpc_wallet_core::{record::Fact, vote::Violation};

use super::{Observed, Oracle, statements};

/// No proof, ban or accusation against anyone. Silence is exempt: a crash and a cut look like it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFalseAccusation;

impl Oracle for NoFalseAccusation {
    fn name(&self) -> &'static str {
        "no_false_accusation"
    }

    fn observe(&mut self, seen: &Observed<'_>) -> Result<(), String> {
        match seen {
            Observed::Durable { node: by, record } => {
                if let Fact::Proven(evidence) = &record.fact {
                    return Err(format!("{by} recorded proof against {}: {evidence:?}", evidence.accused()));
                }
                if let Fact::Banned { node, violation, .. } = &record.fact {
                    return Err(format!("{by} banned {node} for {violation}"));
                }
                if let Fact::Struck { node, violation, detail, .. } = &record.fact
                    && *violation != Violation::Timeout
                {
                    return Err(format!("{by} holds {violation} against {node}: {detail}"));
                }
                Ok(())
            }
            Observed::Sent { from, message, .. } => match statements::evidence(message).first() {
                Some(evidence) => Err(format!("{from} passes on an accusation of {}", evidence.accused())),
                None => Ok(()),
            },
            Observed::Accused { by, node, violation } if *violation != Some(Violation::Timeout) => {
                Err(format!(
                    "{by} accuses {node} of {}",
                    violation.map_or("something worth a ban", Violation::name)
                ))
            }
            Observed::Accused { .. }
            | Observed::Released { .. }
            | Observed::Promised { .. }
            | Observed::Broadcast { .. }
            | Observed::Confirmed { .. }
            | Observed::Restored { .. }
            | Observed::Compared { .. } => Ok(()),
        }
    }
}
