//! Sending a transaction, and finding out what became of it.

use bitcoin::Transaction;
use mpc_wallet_core::chain::BroadcastOutcome;

use super::{Esplora, classify::classify, error::BackendError};

impl Esplora {
    /// Sends a transaction that consensus code has verified. An error means that nothing was sent.
    ///
    /// Posted once: a second post after a lost answer would only be told that the inputs are spent. Where the answer
    /// leaves it open, the backend is asked where the transaction is.
    pub(super) async fn broadcast(
        &self,
        transaction: &Transaction,
    ) -> Result<BroadcastOutcome, BackendError> {
        self.verify_network().await?;
        let txid = transaction.compute_txid();
        let outcome = match self.api.send(transaction).await {
            Ok(reply) => classify(txid, reply.status.as_u16(), &reply.text()),
            Err(error) => BroadcastOutcome::Unknown(error.to_string()),
        };
        if !matches!(outcome, BroadcastOutcome::InputsMissing | BroadcastOutcome::Unknown(_)) {
            return Ok(outcome);
        }
        Ok(match self.api.tx(txid).await {
            Ok(Some(status)) if status.confirmed => BroadcastOutcome::AlreadyConfirmed,
            Ok(Some(_)) => BroadcastOutcome::Accepted,
            Ok(None) => outcome,
            Err(error) => {
                self.health.failed(&error);
                outcome
            }
        })
    }
}
