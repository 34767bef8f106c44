//! What this node will approve. Every node holds its own copy and judges alone.

use std::collections::BTreeSet;

use bitcoin::{Amount, ScriptBuf};
use serde::{Deserialize, Serialize};

use crate::{codec, ids::PolicyVersion, tx::Proposal};

/// Limits on one payment. Fee rates are in sat per 1000 virtual bytes, because 0.1 sat/vB is legal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Most that one payment may send to its recipient; `None` is no limit.
    pub max_amount: Option<Amount>,
    /// Least fee rate, sat/kvB: below it a payment may hang for ever.
    pub fee_rate_floor: u64,
    /// Highest fee rate, sat/kvB.
    pub fee_rate_ceiling: u64,
    /// Most that one payment may pay in fees.
    pub max_fee: Amount,
    /// Least amount of an output, never below Bitcoin's dust limit.
    pub min_output: Amount,
    /// The only scripts that may be paid; `None` is no whitelist.
    pub whitelist: Option<BTreeSet<ScriptBuf>>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_amount: None,
            fee_rate_floor: 1_000,
            fee_rate_ceiling: 1_000_000,
            max_fee: Amount::from_sat(1_000_000),
            min_output: Amount::from_sat(546),
            whitelist: None,
        }
    }
}

/// A rule of the policy and how it was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum PolicyBreach {
    /// More than one payment may send.
    #[error("{amount} sat exceeds the limit of {limit} sat for one payment")]
    Amount {
        /// Asked.
        amount: u64,
        /// Allowed.
        limit: u64,
    },
    /// Recipient not on the list.
    #[error("the recipient is not on this cluster's whitelist")]
    NotWhitelisted,
    /// Too little fee to be mined.
    #[error("fee rate {rate} sat/kvB is below this cluster's floor of {floor} sat/kvB")]
    FeeRateTooLow {
        /// Asked, sat/kvB.
        rate: u64,
        /// Allowed, sat/kvB.
        floor: u64,
    },
    /// Fee rate beyond reason.
    #[error("fee rate {rate} sat/kvB exceeds this cluster's ceiling of {ceiling} sat/kvB")]
    FeeRateTooHigh {
        /// Asked, sat/kvB.
        rate: u64,
        /// Allowed, sat/kvB.
        ceiling: u64,
    },
    /// Fee beyond reason.
    #[error("fee {fee} sat exceeds this cluster's limit of {limit} sat")]
    FeeTooHigh {
        /// Asked.
        fee: u64,
        /// Allowed.
        limit: u64,
    },
    /// Output too small to be worth spending.
    #[error("{amount} sat is below the {limit} sat minimum for this output type")]
    Dust {
        /// Asked.
        amount: u64,
        /// Allowed.
        limit: u64,
    },
}

impl Policy {
    /// Digest that names it; votes carry it, and a mismatch between nodes is visible.
    #[must_use]
    pub fn version(&self) -> PolicyVersion {
        PolicyVersion::from_bytes(codec::digest("mpc-wallet/policy", self))
    }

    /// Least amount an output paying `script` may have.
    #[must_use]
    pub fn least_output(&self, script: &ScriptBuf) -> Amount {
        self.min_output.max(script.minimal_non_dust())
    }

    /// Checks what is known before a transaction is built.
    ///
    /// # Errors
    /// The first rule that `amount` to `recipient` breaks.
    pub fn check_payment(&self, recipient: &ScriptBuf, amount: Amount) -> Result<(), PolicyBreach> {
        let least = self.least_output(recipient);
        if amount < least {
            return Err(PolicyBreach::Dust { amount: amount.to_sat(), limit: least.to_sat() });
        }
        match self.max_amount {
            Some(limit) if amount > limit => {
                return Err(PolicyBreach::Amount { amount: amount.to_sat(), limit: limit.to_sat() });
            }
            Some(_) | None => {}
        }
        match &self.whitelist {
            Some(list) if !list.contains(recipient) => Err(PolicyBreach::NotWhitelisted),
            Some(_) | None => Ok(()),
        }
    }

    /// Checks a fee rate in sat/kvB.
    ///
    /// # Errors
    /// Outside floor and ceiling.
    pub const fn check_fee_rate(&self, rate: u64) -> Result<(), PolicyBreach> {
        if rate < self.fee_rate_floor {
            return Err(PolicyBreach::FeeRateTooLow { rate, floor: self.fee_rate_floor });
        }
        if rate > self.fee_rate_ceiling {
            return Err(PolicyBreach::FeeRateTooHigh { rate, ceiling: self.fee_rate_ceiling });
        }
        Ok(())
    }

    /// Checks an absolute fee.
    ///
    /// # Errors
    /// Above the limit.
    pub fn check_fee(&self, fee: Amount) -> Result<(), PolicyBreach> {
        if fee > self.max_fee {
            return Err(PolicyBreach::FeeTooHigh { fee: fee.to_sat(), limit: self.max_fee.to_sat() });
        }
        Ok(())
    }

    /// Checks a finished proposal: payment, fee and fee rate over its signed size of `vsize` vB.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check_proposal(&self, proposal: &Proposal, vsize: u64) -> Result<(), PolicyBreach> {
        self.check_payment(&proposal.recipient, proposal.amount)?;
        self.check_fee(proposal.fee)?;
        let rate = proposal.fee.to_sat().saturating_mul(1_000).checked_div(vsize).unwrap_or(u64::MAX);
        self.check_fee_rate(rate)
    }
}
