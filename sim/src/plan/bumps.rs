//! Clients that raise the fee of a payment, as data.

use serde::{Deserialize, Serialize};

/// Somebody has the fee of a payment raised, at one node.
///
/// What is replaced is the payment's newest transaction, as that node knows it. Nothing happens if the payment has not been
/// accepted by then, or if the node is down or lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bump {
    /// When.
    pub at: u64,
    /// Which of the plan's payments, counted from 0.
    pub payment: usize,
    /// At which node.
    pub node: u16,
    /// Fee rate in sat/kvB; without one the node chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee_rate: Option<u64>,
}
