//! Who stopped all signing, who lifted it, and why.

use mpc_wallet_core::freeze::{SignedFreeze, SignedLift};
use serde_json::{Value, json};

use super::{
    facts::{Scribe, text},
    fault::Fault,
};
use crate::units::rfc3339;

impl Scribe<'_> {
    pub(super) async fn frozen(&self, freeze: &SignedFreeze) -> Result<(), Fault> {
        let said = &freeze.body;
        let details = json!({
            "subject": said.id().to_string(),
            "operator": text(&said.operator),
            "reason": text(&said.reason),
            "at": rfc3339(said.at),
        });
        self.said_once("freeze", said.node.get(), &details).await
    }

    pub(super) async fn lifted(&self, lift: &SignedLift) -> Result<(), Fault> {
        let said = &lift.body;
        let details = json!({
            "subject": format!("{} {}", said.frozen_by, said.up_to.0),
            "frozen_by": said.frozen_by.get(),
            "up_to": rfc3339(said.up_to),
            "operator": text(&said.operator),
        });
        self.said_once("lift", said.node.get(), &details).await
    }

    /// A member's statement: every node tells it, the first is written.
    async fn said_once(&self, event: &str, node: u16, details: &Value) -> Result<(), Fault> {
        self.run(
            "INSERT INTO audit_log (event_type, node_id, details)
             SELECT $1, $2, $3::jsonb
              WHERE NOT EXISTS (SELECT 1 FROM audit_log
                                 WHERE event_type = $1 AND node_id = $2 AND details ->> 'subject' = $3::jsonb ->> 'subject')",
            &[&event, &i32::from(node), details],
        )
        .await?;
        Ok(())
    }
}
