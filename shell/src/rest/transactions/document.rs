//! A payment as the API shows it.

use bitcoin::{Script, Transaction, TxOut, consensus, hex::DisplayHex};
use mpc_wallet_core::{Scheme, overview::Overview, wallet::signed_vsize};
use serde::Serialize;
use serde_json::Number;
use utoipa::ToSchema;

use crate::{
    read::{PresignatureRow, TransactionDetail, TransactionRow, TransitionRow, VoteRow},
    rest::{
        address,
        approval::Approval,
        schema::{Links, StateName, WalletType},
        state::ApiOptions,
    },
    units::{fee_rate_to_decimal, rfc3339},
};

/// A payment as lists show it.
#[derive(Serialize, ToSchema)]
#[schema(as = TransactionSummary)]
pub(in crate::rest) struct Summary {
    /// The Bitcoin txid, known from the beginning.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub(super) txid: String,
    state: StateName,
    /// Why it is where it is; the vocabulary may grow.
    #[schema(examples("awaiting_votes", "in_mempool"))]
    sub_status: String,
    /// The wallet that pays.
    #[schema(value_type = WalletType)]
    r#type: String,
    /// Address, or the script in hexadecimal digits where no address names it.
    recipient: String,
    /// What the recipient gets.
    amount_sats: u64,
    /// What the miners get.
    fee_sats: u64,
    /// The payer's own reference.
    #[schema(required)]
    metadata: Option<String>,
    /// The payer's name of the payment, for good.
    #[schema(required)]
    external_id: Option<String>,
    /// The node that proposed it.
    proposed_by: u16,
    /// Name of the API key with which it was posted; of this node only, and `null` where none was asked for.
    #[schema(required)]
    initiated_by: Option<String>,
    /// What the members vote on.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    digest: String,
    /// Blocks on top of and including its own.
    confirmations: u32,
    /// So many make it `confirmed`.
    confirmations_required: u32,
    #[schema(required)]
    block: Option<Block>,
    /// The transaction for the same payment that this one takes the place of, for a higher fee.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    #[schema(required)]
    replaces: Option<String>,
    /// The transaction that takes the place of this one, or is to; one that was given up is not named.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    #[schema(required)]
    replaced_by: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// No vote counts after this.
    #[schema(format = DateTime)]
    expires_at: String,
    links: Links,
}

/// The block that holds it.
#[derive(Serialize, ToSchema)]
struct Block {
    height: u32,
    #[schema(pattern = "^[0-9a-f]{64}$")]
    hash: String,
}

/// A payment with its story.
#[derive(Serialize, ToSchema)]
#[schema(as = Transaction)]
pub(in crate::rest) struct Detail {
    #[serde(flatten)]
    summary: Summary,
    votes: Vec<Vote>,
    vote_count: VoteCount,
    approval: Approval,
    /// States it passed, in order.
    timeline: Vec<Transition>,
    /// One-time values that this node has used for it, the first used first.
    presignatures: Vec<Presignature>,
    /// Consensus encoding without witnesses, hexadecimal digits.
    unsigned_tx: String,
    /// Consensus encoding with witnesses, as soon as it is signed.
    #[schema(required)]
    signed_tx: Option<String>,
    /// Virtual bytes; before it is signed, what it will measure at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    vsize: Option<u64>,
    /// Satoshis for each of these virtual bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    fee_rate_sat_vb: Option<Number>,
    /// Coins spent, read from the transaction's own bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<Vec<Input>>,
    /// Where the money goes, read from the transaction's own bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Vec<Output>>,
}

/// How the vote stands.
#[derive(Serialize, ToSchema)]
struct VoteCount {
    required: u16,
    total: usize,
    approved: usize,
    rejected: usize,
    /// Members that have not voted, as far as this node has heard.
    missing: Vec<u16>,
}

/// One member's vote.
#[derive(Serialize, ToSchema)]
struct Vote {
    node_id: u16,
    round: u32,
    approve: bool,
    /// Why not.
    #[schema(required)]
    reason: Option<String>,
    /// BIP-340, hexadecimal digits.
    signature: String,
    #[schema(format = DateTime)]
    received_at: String,
}

/// One change of state or of its reason.
#[derive(Serialize, ToSchema)]
struct Transition {
    /// `null` for the first.
    #[schema(required)]
    from: Option<StateName>,
    to: StateName,
    sub_status: String,
    cause: String,
    #[schema(format = DateTime)]
    at: String,
}

/// One presignature or set of nonces at its end.
#[derive(Serialize, ToSchema)]
struct Presignature {
    id: String,
    protocol: String,
    generation_time_ms: u64,
    #[schema(format = DateTime)]
    generated_at: String,
    #[schema(format = DateTime)]
    used_at: String,
}

/// A coin that is spent.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct Input {
    /// `txid:index`
    pub(in crate::rest) outpoint: String,
    /// Whose coin it is, as every voter has checked.
    #[schema(required)]
    pub(in crate::rest) address: Option<String>,
    #[schema(required)]
    pub(in crate::rest) amount_sats: Option<u64>,
}

/// A coin that is made.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct Output {
    /// Address, or the script in hexadecimal digits where no address names it.
    pub(in crate::rest) address: String,
    pub(in crate::rest) amount_sats: u64,
    /// `recipient` or `change`
    #[schema(value_type = String, pattern = "^(recipient|change)$")]
    pub(in crate::rest) kind: &'static str,
}

impl Summary {
    pub(super) fn of(row: TransactionRow, options: &ApiOptions) -> Self {
        Self {
            links: links(&row.txid),
            txid: row.txid,
            state: StateName(row.state),
            sub_status: row.sub_status,
            r#type: row.scheme,
            recipient: address::show(Script::from_bytes(&row.recipient_script), options.network),
            amount_sats: row.amount_sats,
            fee_sats: row.fee_sats,
            metadata: row.metadata,
            external_id: row.external_id,
            proposed_by: row.origin.get(),
            initiated_by: row.initiator,
            digest: row.digest,
            confirmations: row.confirmations,
            confirmations_required: options.confirmations_required,
            block: row.block_hash.zip(row.block_height).map(|(hash, height)| Block { height, hash }),
            replaces: row.replaces,
            replaced_by: row.replaced_by,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
            expires_at: rfc3339(row.expires_at),
        }
    }
}

impl Detail {
    pub(super) fn of(detail: &TransactionDetail, overview: &Overview, options: &ApiOptions) -> Self {
        let TransactionDetail { row, encodings, .. } = detail;
        let signed = encodings.signed_tx.as_deref().and_then(decode);
        let measured = signed.as_ref().map(|tx| u64::try_from(tx.vsize()).unwrap_or(u64::MAX));
        // Read from its own bytes, not from what was said about it.
        let decoded = signed.or_else(|| decode(&encodings.unsigned_tx));
        let vsize = measured.or_else(|| size_to_be(row, decoded.as_ref()?));
        let fee_rate_sat_vb = vsize.and_then(|vsize| fee_rate(row.fee_sats, vsize));
        Self {
            summary: Summary::of(row.clone(), options),
            votes: detail.votes.iter().map(vote).collect(),
            vote_count: vote_count(&detail.votes, overview),
            approval: Approval::of(detail, overview.approval.as_ref()),
            timeline: detail.timeline.iter().map(transition).collect(),
            presignatures: detail.presignatures.iter().map(presignature).collect(),
            unsigned_tx: encodings.unsigned_tx.to_lower_hex_string(),
            signed_tx: encodings.signed_tx.as_ref().map(|bytes| bytes.to_lower_hex_string()),
            vsize,
            fee_rate_sat_vb,
            inputs: decoded.as_ref().map(|tx| inputs(tx, &encodings.prevouts, options)),
            outputs: decoded.as_ref().map(|tx| outputs(tx, row, options)),
        }
    }
}

/// The path of a payment.
pub(in crate::rest) fn path_of(txid: &str) -> String {
    format!("/api/v1/transactions/{txid}")
}

pub(super) fn links(txid: &str) -> Links {
    Links { this: path_of(txid) }
}

fn decode(bytes: &[u8]) -> Option<Transaction> {
    consensus::deserialize(bytes).ok()
}

fn fee_rate(fee_sats: u64, vsize: u64) -> Option<Number> {
    fee_rate_to_decimal(fee_sats.saturating_mul(1_000).checked_div(vsize)?).parse().ok()
}

/// What an unsigned transaction will measure once it is signed; for P2WPKH, at most.
fn size_to_be(row: &TransactionRow, tx: &Transaction) -> Option<u64> {
    let scheme = Scheme::ALL.into_iter().find(|scheme| scheme.name() == row.scheme)?;
    Some(signed_vsize(scheme, tx))
}

/// The inputs with what each spends: the outputs that every voter has checked against their transactions.
fn inputs(tx: &Transaction, prevouts: &[u8], options: &ApiOptions) -> Vec<Input> {
    let spent: Vec<TxOut> = consensus::deserialize(prevouts).unwrap_or_default();
    let input = |(index, input): (usize, &bitcoin::TxIn)| {
        let output = spent.get(index);
        Input {
            outpoint: input.previous_output.to_string(),
            address: output.map(|output| address::show(&output.script_pubkey, options.network)),
            amount_sats: output.map(|output| output.value.to_sat()),
        }
    };
    tx.input.iter().enumerate().map(input).collect()
}

fn outputs(tx: &Transaction, row: &TransactionRow, options: &ApiOptions) -> Vec<Output> {
    let output = |output: &bitcoin::TxOut| {
        let pays = output.script_pubkey.as_bytes() == row.recipient_script.as_slice()
            && output.value.to_sat() == row.amount_sats;
        Output {
            address: address::show(&output.script_pubkey, options.network),
            amount_sats: output.value.to_sat(),
            kind: if pays { "recipient" } else { "change" },
        }
    };
    tx.output.iter().map(output).collect()
}

fn vote_count(votes: &[VoteRow], overview: &Overview) -> VoteCount {
    let approved = votes.iter().filter(|vote| vote.approve).count();
    let members = overview.members.iter().map(|member| member.node);
    let missing = members.filter(|node| !votes.iter().any(|vote| vote.node == *node));
    VoteCount {
        required: overview.threshold,
        total: overview.members.len(),
        approved,
        rejected: votes.len() - approved,
        missing: missing.map(|node| node.get()).collect(),
    }
}

fn vote(vote: &VoteRow) -> Vote {
    Vote {
        node_id: vote.node.get(),
        round: vote.round,
        approve: vote.approve,
        reason: vote.reason.clone(),
        signature: vote.signature.clone(),
        received_at: rfc3339(vote.received_at),
    }
}

fn transition(step: &TransitionRow) -> Transition {
    Transition {
        from: step.from.map(StateName),
        to: StateName(step.to),
        sub_status: step.sub_status.clone(),
        cause: step.cause.clone(),
        at: rfc3339(step.at),
    }
}

fn presignature(used: &PresignatureRow) -> Presignature {
    Presignature {
        id: used.id.clone(),
        protocol: used.protocol.clone(),
        generation_time_ms: used.generation_time.0,
        generated_at: rfc3339(used.generated_at),
        used_at: rfc3339(used.used_at),
    }
}
