//! The core's refusals as problems: status, sentence, numbers.

use axum::http::StatusCode;
use bitcoin::Txid;
use mpc_wallet_core::{policy::PolicyBreach, refusal::Refusal};

use super::{freeze, problem::Problem};
use crate::units::fee_rate_to_decimal;

/// Seconds after which a node that lacked something may have it.
const SOON: u32 = 2;
/// Seconds until a chain backend or a missing member may be back.
const LATER: u32 = 10;

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = refusal.code();
        let problem = |status, retry: Option<u32>| {
            let problem = Self::new(status, code, sentence(&refusal.to_string()));
            match retry {
                Some(seconds) => problem.retry_after(seconds),
                None => problem,
            }
        };
        match &refusal {
            Refusal::NoKey(_) | Refusal::KeygenRunning(_) | Refusal::KeyExists(_) => {
                problem(StatusCode::CONFLICT, None)
            }
            Refusal::UnsupportedScheme(_) => problem(StatusCode::UNPROCESSABLE_ENTITY, None),
            Refusal::InProgress => problem(StatusCode::CONFLICT, Some(SOON)),
            Refusal::InsufficientFunds { needed, spendable, locked, unconfirmed } => {
                problem(StatusCode::UNPROCESSABLE_ENTITY, None)
                    .with("needed_sats", *needed)
                    .with("spendable_sats", *spendable)
                    .with("missing_sats", needed.saturating_sub(*spendable))
                    .with("locked_sats", *locked)
                    .with("unconfirmed_sats", *unconfirmed)
            }
            Refusal::TooManyInputs { limit } => {
                problem(StatusCode::UNPROCESSABLE_ENTITY, None).with("input_limit", *limit)
            }
            Refusal::Policy(breach) => policy(code, breach),
            Refusal::KeyReused { txid } => {
                problem(StatusCode::UNPROCESSABLE_ENTITY, None).with("txid", txid.to_string())
            }
            Refusal::MetadataTooLong { .. } => {
                problem(StatusCode::UNPROCESSABLE_ENTITY, None).at("/metadata")
            }
            Refusal::ExternalIdTooLong { .. } => {
                problem(StatusCode::UNPROCESSABLE_ENTITY, None).at("/external_id")
            }
            Refusal::ChainStale { .. } | Refusal::NoFeeEstimate => {
                problem(StatusCode::SERVICE_UNAVAILABLE, Some(LATER))
            }
            Refusal::NoQuorum { online, total, needed } => {
                problem(StatusCode::SERVICE_UNAVAILABLE, Some(SOON))
                    .with("online_nodes", *online)
                    .with("total_nodes", *total)
                    .with("threshold", *needed)
            }
            Refusal::NotEveryoneOnline { online, total } => {
                problem(StatusCode::SERVICE_UNAVAILABLE, Some(LATER))
                    .with("online_nodes", *online)
                    .with("total_nodes", *total)
            }
            Refusal::NoCoordinator | Refusal::Busy { .. } | Refusal::QueueFull { .. } => {
                problem(StatusCode::SERVICE_UNAVAILABLE, Some(SOON))
            }
            Refusal::Confirming { .. } => problem(StatusCode::SERVICE_UNAVAILABLE, Some(SOON)),
            Refusal::Quarantined => problem(StatusCode::SERVICE_UNAVAILABLE, Some(LATER)),
            Refusal::UnknownTransaction(_) => problem(StatusCode::NOT_FOUND, None),
            Refusal::ApprovalNotRequired { state } | Refusal::NotVoting { state } => {
                problem(StatusCode::CONFLICT, None).with("state", state.name())
            }
            Refusal::AlreadyDecided { operator, approve } => problem(StatusCode::CONFLICT, None)
                .with("operator", operator.clone())
                .with("approve", *approve),
            Refusal::OwnPayment { .. } => problem(StatusCode::FORBIDDEN, None),
            Refusal::MayHaveDecided => problem(StatusCode::CONFLICT, None),
            Refusal::UnfitDecision(_) => problem(StatusCode::UNPROCESSABLE_ENTITY, None).at("/comment"),
            Refusal::Frozen { node, operator, reason, at, needed } => {
                freeze::frozen(*node, operator, reason, *at, *needed)
            }
            Refusal::AlreadyFrozen(id) => {
                problem(StatusCode::CONFLICT, None).with("freeze_id", id.to_string())
            }
            Refusal::NotFrozen => problem(StatusCode::CONFLICT, None),
            Refusal::Words(error) => freeze::words(error),
            Refusal::NotReplaceable { state, .. } => {
                problem(StatusCode::CONFLICT, None).with("state", state.name())
            }
            Refusal::InBlock { height, .. } => {
                problem(StatusCode::CONFLICT, None).with("block_height", *height)
            }
            Refusal::ReplacedBefore { by } => {
                problem(StatusCode::CONFLICT, None).with("replaced_by", by.to_string())
            }
            Refusal::ChangeSpent { by } => {
                problem(StatusCode::CONFLICT, None).with("spent_by", by.to_string())
            }
            Refusal::ReplacementTooCheap { rate, fee, least, least_rate } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                code,
                too_cheap((*rate, *fee), (*least_rate, *least)),
            )
            .at("/fee_rate")
            .with("minimum_fee_sats", *least),
            Refusal::ChangeTooSmall { fee, available } => problem(StatusCode::UNPROCESSABLE_ENTITY, None)
                .with("needed_sats", *fee)
                .with("available_sats", *available),
            Refusal::Internal(what) => {
                tracing::error!(what, "the core found an inconsistency");
                Self::internal()
            }
        }
    }
}

/// What the policy refuses: 403 where a person's permission is missing, 422 where other numbers would do.
fn policy(code: &'static str, breach: &PolicyBreach) -> Problem {
    let unfit = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
    match breach {
        PolicyBreach::Amount { limit, .. } => {
            Problem::new(StatusCode::FORBIDDEN, code, sentence(&breach.to_string()))
                .at("/amount_sats")
                .with("limit_sats", *limit)
        }
        PolicyBreach::NotWhitelisted => {
            Problem::new(StatusCode::FORBIDDEN, code, sentence(&breach.to_string())).at("/recipient")
        }
        PolicyBreach::FeeRateTooLow { rate, floor } => unfit(format!(
            "Fee rate {} sat/vB is below this cluster's floor of {} sat/vB.",
            fee_rate_to_decimal(*rate),
            fee_rate_to_decimal(*floor)
        ))
        .at("/fee_rate"),
        PolicyBreach::FeeRateTooHigh { rate, ceiling } => unfit(format!(
            "Fee rate {} sat/vB exceeds this cluster's ceiling of {} sat/vB.",
            fee_rate_to_decimal(*rate),
            fee_rate_to_decimal(*ceiling)
        ))
        .at("/fee_rate"),
        PolicyBreach::FeeTooHigh { limit, .. } => {
            unfit(sentence(&breach.to_string())).at("/fee_rate").with("limit_sats", *limit)
        }
        PolicyBreach::Dust { limit, .. } => {
            unfit(sentence(&breach.to_string())).at("/amount_sats").with("minimum_sats", *limit)
        }
    }
}

/// A replacement's rate in sat/kvB and what it makes in satoshis, and the least of both.
fn too_cheap((rate, fee): (u64, u64), (least_rate, least): (u64, u64)) -> String {
    format!(
        "A replacement at {} sat/vB pays {fee} sat; the network takes none below {least} sat, ask for at least {} sat/vB.",
        fee_rate_to_decimal(rate),
        fee_rate_to_decimal(least_rate)
    )
}

/// A clause as a sentence: capital letter, full stop. A txid at its beginning stays as it is written.
fn sentence(clause: &str) -> String {
    if clause.split(' ').next().is_some_and(|word| word.parse::<Txid>().is_ok()) {
        return format!("{clause}.");
    }
    let mut letters = clause.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).chain(['.']).collect())
}
