//! Transactions, their rounds and their votes.

use bitcoin::{Address, Script, Transaction, Txid, consensus::serialize, hex::DisplayHex};
use mpc_wallet_core::{
    Timestamp,
    record::BlockRef,
    tx::{SignedProposal, State, SubStatus},
    vote::{Decision, FIRST_ROUND, Vote},
};

use super::{
    facts::{Scribe, ms, text},
    fault::Fault,
    merge::{self, Row, Told},
};

/// A node's word that a transaction changed state.
pub(super) struct Move<'a> {
    pub(super) txid: Txid,
    pub(super) from: State,
    pub(super) to: State,
    pub(super) sub_status: &'a SubStatus,
    pub(super) cause: &'a str,
    pub(super) at: Timestamp,
}

impl Scribe<'_> {
    pub(super) async fn proposed(&self, proposal: &SignedProposal, at: Timestamp) -> Result<(), Fault> {
        let body = &proposal.body;
        let (txid, network) = (body.txid().to_string(), self.teller.cluster.network());
        let (amount, fee) = (sats(body.amount.to_sat()), sats(body.fee.to_sat()));
        self.run(
            "INSERT INTO transactions (txid, sub_status, scheme, recipient, amount_sats, fee_sats, metadata, proposed_by,
                 digest, unsigned_tx, created_at, updated_at, expires_at, told_by, state_at, sub_status_at,
                 external_id, replaces)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, at_ms($11), at_ms($12), at_ms($13), $14, at_ms($12),
                 at_ms($12), $15, $16)
             ON CONFLICT (txid) DO NOTHING",
            &[
                &txid,
                &SubStatus::AwaitingVotes.to_string(),
                &body.key.scheme.name(),
                &address(&body.recipient, network),
                &amount,
                &fee,
                &body.metadata.as_deref().map(text),
                &i32::from(body.origin.get()),
                &body.digest().to_string(),
                &serialize(&body.unsigned_tx),
                &ms(body.created_at),
                &ms(at),
                &ms(body.expires_at),
                &self.me(),
                &body.external_id.as_deref().map(text),
                &body.replaces.map(|original| original.to_string()),
            ],
        )
        .await?;
        let Some((id, _)) = self.row(&txid).await? else { return Ok(()) };
        self.view(id, State::Pending, &SubStatus::AwaitingVotes, at).await
    }

    pub(super) async fn voted(&self, vote: &Vote, at: Timestamp) -> Result<(), Fault> {
        let ballot = &vote.body;
        let (txid, round) = (ballot.txid.to_string(), i64::from(ballot.round));
        self.open_round(&txid, round, at).await?;
        let reason = match &ballot.decision {
            Decision::Approve => None,
            Decision::Reject(reason) => Some(text(&reason.to_string())),
        };
        // As in the tally, a member's first vote of a round stays.
        self.run(
            "INSERT INTO votes (round_id, node_id, approve, reason, signature, received_at)
             SELECT round.id, $3, $4, $5, $6, at_ms($7)
               FROM voting_rounds round JOIN transactions tx ON tx.id = round.tx_id
              WHERE tx.txid = $1 AND round.round_number = $2
             ON CONFLICT (round_id, node_id) DO NOTHING",
            &[
                &txid,
                &round,
                &i32::from(ballot.voter.get()),
                &reason.is_none(),
                &reason,
                &vote.signature.0.to_lower_hex_string(),
                &ms(at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn open_round(&self, txid: &str, round: i64, at: Timestamp) -> Result<(), Fault> {
        let cluster = &self.teller.cluster;
        let timeout = at.plus(self.teller.voting_round);
        self.run(
            "INSERT INTO voting_rounds (tx_id, round_number, total_nodes, threshold, started_at, timeout_at)
             SELECT id, $2, $3, $4, at_ms($5), least(at_ms($6), expires_at) FROM transactions
              WHERE txid = $1 AND NOT EXISTS (
                  SELECT 1 FROM voting_rounds WHERE tx_id = transactions.id AND round_number = $2)
             ON CONFLICT (tx_id, round_number) DO NOTHING",
            &[
                &txid,
                &round,
                &i32::from(cluster.total()),
                &i32::from(cluster.threshold()),
                &ms(at),
                &ms(timeout),
            ],
        )
        .await?;
        Ok(())
    }

    pub(super) async fn moved(&self, told: Move<'_>) -> Result<(), Fault> {
        let txid = told.txid.to_string();
        if told.to == State::Voting {
            self.open_round(&txid, i64::from(FIRST_ROUND), told.at).await?;
        }
        let Some((id, row)) = self.row(&txid).await? else { return Ok(()) };
        self.view(id, told.to, told.sub_status, told.at).await?;
        let by_the_chain = matches!(told.sub_status, SubStatus::InputSpent | SubStatus::Replaced);
        if by_the_chain && !self.enough_tell_a_failure(id).await? {
            return Ok(());
        }
        let moves = merge::moves(row, Told { from: told.from, to: told.to, at: told.at });
        if moves.is_empty() {
            return self.restate(id, told.to, told.sub_status, told.at).await;
        }
        for state in moves {
            self.run(
                "UPDATE transactions
                    SET state = $2::text::transaction_state, sub_status = $3, cause = $4, told_by = $5,
                        state_at = at_ms($6), sub_status_at = at_ms($6), updated_at = greatest(updated_at, at_ms($6)),
                        reopened_at = CASE WHEN state = 'confirmed' THEN at_ms($6) ELSE reopened_at END
                  WHERE id = $1",
                &[
                    &id,
                    &state.name(),
                    &text(&told.sub_status.to_string()),
                    &text(told.cause),
                    &self.me(),
                    &ms(told.at),
                ],
            )
            .await?;
        }
        Ok(())
    }

    pub(super) async fn sub_status(
        &self,
        txid: Txid,
        sub_status: &SubStatus,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let Some((id, _)) = self.row(&txid.to_string()).await? else { return Ok(()) };
        let own = self
            .tx
            .prepare_cached("SELECT state::text FROM transaction_views WHERE tx_id = $1 AND node_id = $2")
            .await?;
        let own = self.tx.query_opt(&own, &[&id, &self.me()]).await?;
        let Some(own) = own else { return Ok(()) };
        let Some(state) = named(own.try_get(0)?) else { return Ok(()) };
        self.view(id, state, sub_status, at).await?;
        self.restate(id, state, sub_status, at).await
    }

    pub(super) async fn signed(&self, finished: &Transaction, at: Timestamp) -> Result<(), Fault> {
        // Another node's witnesses may differ and are as good; the first to come stay.
        self.run(
            "UPDATE transactions SET signed_tx = $2, bitcoin_txid = txid, updated_at = greatest(updated_at, at_ms($3))
              WHERE txid = $1 AND signed_tx IS NULL",
            &[&finished.compute_txid().to_string(), &serialize(finished), &ms(at)],
        )
        .await?;
        Ok(())
    }

    /// What the chain shows is news, and the newest counts.
    pub(super) async fn seen(
        &self,
        txid: Txid,
        block: Option<BlockRef>,
        confirmations: u32,
        at: Timestamp,
    ) -> Result<(), Fault> {
        let (height, hash) =
            (block.map(|block| i64::from(block.height)), block.map(|block| block.hash.to_string()));
        let depth = i32::try_from(confirmations).unwrap_or(i32::MAX);
        self.run(
            "UPDATE transactions
                SET confirmations = $2, block_height = $3, block_hash = $4, seen_at = at_ms($5),
                    updated_at = greatest(updated_at, at_ms($5))
              WHERE txid = $1 AND (seen_at IS NULL OR seen_at <= at_ms($5))",
            &[&txid.to_string(), &depth, &height, &hash, &ms(at)],
        )
        .await?;
        Ok(())
    }

    /// The transaction's number here, and where its row stands; `None` if somebody took it out.
    async fn row(&self, txid: &str) -> Result<Option<(i64, Row)>, Fault> {
        let statement = self
            .tx
            .prepare_cached(
                "SELECT id, state::text, (extract(epoch FROM state_at) * 1000)::bigint,
                        (extract(epoch FROM reopened_at) * 1000)::bigint
                   FROM transactions WHERE txid = $1 FOR UPDATE",
            )
            .await?;
        let Some(row) = self.tx.query_opt(&statement, &[&txid]).await? else { return Ok(None) };
        let Some(state) = named(row.try_get(1)?) else { return Ok(None) };
        let moment = |ms: i64| Timestamp(u64::try_from(ms).unwrap_or(0));
        let reopened = row.try_get::<_, Option<i64>>(3)?.map(moment);
        Ok(Some((row.try_get(0)?, Row { state, since: moment(row.try_get(2)?), reopened })))
    }

    /// This node's own state of a transaction; its clock never goes back, so the newest word stays.
    async fn view(&self, id: i64, state: State, sub_status: &SubStatus, at: Timestamp) -> Result<(), Fault> {
        self.run(
            "INSERT INTO transaction_views AS known (tx_id, node_id, state, sub_status, told_at)
             VALUES ($1, $2, $3::text::transaction_state, $4, at_ms($5))
             ON CONFLICT (tx_id, node_id) DO UPDATE
                SET state = excluded.state, sub_status = excluded.sub_status, told_at = excluded.told_at
              WHERE known.told_at <= excluded.told_at",
            &[&id, &self.me(), &state.name(), &text(&sub_status.to_string()), &ms(at)],
        )
        .await?;
        Ok(())
    }

    /// Another reason for the state the row is in: the newest by the tellers' clocks.
    async fn restate(
        &self,
        id: i64,
        state: State,
        sub_status: &SubStatus,
        at: Timestamp,
    ) -> Result<(), Fault> {
        self.run(
            "UPDATE transactions
                SET sub_status = $3, sub_status_at = at_ms($4), updated_at = greatest(updated_at, at_ms($4))
              WHERE id = $1 AND state = $2::text::transaction_state AND sub_status_at <= at_ms($4)",
            &[&id, &state.name(), &text(&sub_status.to_string()), &ms(at)],
        )
        .await?;
        Ok(())
    }

    /// Whether more nodes than may lie, or all that feed this database, tell that the transaction failed.
    async fn enough_tell_a_failure(&self, id: i64) -> Result<bool, Fault> {
        let statement = self
            .tx
            .prepare_cached(
                "SELECT (SELECT count(*) FROM transaction_views WHERE tx_id = $1 AND state = 'failed'),
                        (SELECT count(*) FROM feed_cursors)",
            )
            .await?;
        let row = self.tx.query_one(&statement, &[&id]).await?;
        let (tell, feed): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let trusted = i64::from(self.teller.cluster.faults_tolerated()).saturating_add(1);
        Ok(tell >= trusted.min(feed.max(1)))
    }
}

fn named(name: &str) -> Option<State> {
    State::ALL.into_iter().find(|state| state.name() == name)
}

/// No proposal is admitted that moves more than there is, so this fits.
fn sats(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// A script as people read it: its address, or its bytes in hex if it has none.
fn address(script: &Script, network: bitcoin::Network) -> String {
    Address::from_script(script, network)
        .map_or_else(|_| script.to_hex_string(), |address| address.to_string())
}
