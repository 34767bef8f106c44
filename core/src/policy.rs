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
    /// When people are asked before this node approves; `None` is never.
    pub approval: Option<Approval>,
}

/// Which payments people are asked about, and how many people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Payments that send more than this; a payment of exactly this goes through by itself.
    pub above: Amount,
    /// Members, from 1 to n, at each of which an operator must approve.
    pub operators: u16,
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
            approval: None,
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

    /// Whom it asks before `amount` may be sent; `None`: nobody.
    #[must_use]
    pub fn approval_of(&self, amount: Amount) -> Option<&Approval> {
        self.approval.as_ref().filter(|approval| amount > approval.above)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cluster, proposal};

    fn witness_script() -> ScriptBuf {
        ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::from_raw_hash(bitcoin::hashes::Hash::all_zeros()))
    }

    /// The fixture pays 10,001 sat with a fee of 500 sat; a vsize of 100 vB makes that 5,000 sat/kvB.
    fn sentence(change: impl Fn(&mut Policy, &mut Proposal)) -> Option<String> {
        let (mut policy, mut proposal) = (Policy::default(), proposal(&cluster(5, 4), 1, &[1]));
        change(&mut policy, &mut proposal);
        policy.check_proposal(&proposal, 100).err().map(|breach| breach.to_string())
    }

    #[test]
    fn every_breach_says_the_value_and_the_limit() {
        type Change = fn(&mut Policy, &mut Proposal);
        let table: [(Change, Option<&str>); 15] = [
            (|_, _| {}, None),
            (|policy, _| policy.max_amount = Some(Amount::from_sat(10_001)), None),
            (
                |policy, _| policy.max_amount = Some(Amount::from_sat(10_000)),
                Some("10001 sat exceeds the limit of 10000 sat for one payment"),
            ),
            (|_, proposal| proposal.amount = Amount::from_sat(546), None),
            (
                |_, proposal| proposal.amount = Amount::from_sat(545),
                Some("545 sat is below the 546 sat minimum for this output type"),
            ),
            (
                |policy, proposal| {
                    policy.min_output = Amount::ZERO;
                    proposal.amount = Amount::from_sat(293);
                },
                Some("293 sat is below the 294 sat minimum for this output type"),
            ),
            (
                |policy, proposal| {
                    policy.min_output = Amount::ZERO;
                    proposal.recipient = witness_script();
                    proposal.amount = Amount::from_sat(329);
                },
                Some("329 sat is below the 330 sat minimum for this output type"),
            ),
            (|policy, proposal| policy.whitelist = Some([proposal.recipient.clone()].into()), None),
            (
                |policy, _| policy.whitelist = Some([witness_script()].into()),
                Some("the recipient is not on this cluster's whitelist"),
            ),
            (
                |policy, _| policy.whitelist = Some(BTreeSet::new()),
                Some("the recipient is not on this cluster's whitelist"),
            ),
            (|policy, _| policy.max_fee = Amount::from_sat(500), None),
            (
                |policy, _| policy.max_fee = Amount::from_sat(499),
                Some("fee 500 sat exceeds this cluster's limit of 499 sat"),
            ),
            (|policy, _| (policy.fee_rate_floor, policy.fee_rate_ceiling) = (5_000, 5_000), None),
            (
                |policy, _| policy.fee_rate_floor = 5_001,
                Some("fee rate 5000 sat/kvB is below this cluster's floor of 5001 sat/kvB"),
            ),
            (
                |policy, _| policy.fee_rate_ceiling = 4_999,
                Some("fee rate 5000 sat/kvB exceeds this cluster's ceiling of 4999 sat/kvB"),
            ),
        ];
        for (row, (change, expected)) in table.into_iter().enumerate() {
            assert_eq!(sentence(change).as_deref(), expected, "row {row}");
        }
    }

    #[test]
    fn a_transaction_without_size_or_with_an_absurd_fee_is_refused() {
        let cluster = cluster(5, 4);
        let mut proposal = proposal(&cluster, 1, &[1]);
        let policy = Policy { max_fee: Amount::MAX_MONEY, ..Policy::default() };
        assert!(matches!(policy.check_proposal(&proposal, 0), Err(PolicyBreach::FeeRateTooHigh { .. })));
        proposal.fee = Amount::MAX_MONEY;
        assert!(matches!(policy.check_proposal(&proposal, 100), Err(PolicyBreach::FeeRateTooHigh { .. })));
    }

    #[test]
    fn people_are_asked_above_the_amount_and_not_at_it() {
        let asks = Approval { above: Amount::from_sat(10_000), operators: 2 };
        let policy = Policy { approval: Some(asks), ..Policy::default() };
        assert_eq!(policy.approval_of(Amount::from_sat(10_000)), None);
        assert_eq!(policy.approval_of(Amount::from_sat(10_001)), Some(&asks));
        assert_eq!(Policy::default().approval_of(Amount::MAX_MONEY), None);
    }

    #[test]
    fn any_change_of_a_policy_changes_its_version() {
        type Change = fn(&mut Policy);
        let changes: [Change; 9] = [
            |policy| policy.max_amount = Some(Amount::ZERO),
            |policy| policy.fee_rate_floor += 1,
            |policy| policy.fee_rate_ceiling += 1,
            |policy| policy.max_fee += Amount::ONE_SAT,
            |policy| policy.min_output += Amount::ONE_SAT,
            |policy| policy.whitelist = Some(BTreeSet::new()),
            |policy| policy.approval = Some(Approval { above: Amount::ZERO, operators: 1 }),
            |policy| policy.approval = Some(Approval { above: Amount::ZERO, operators: 2 }),
            |policy| policy.approval = Some(Approval { above: Amount::ONE_SAT, operators: 1 }),
        ];
        let mut versions = BTreeSet::from([Policy::default().version()]);
        for change in changes {
            let mut policy = Policy::default();
            change(&mut policy);
            versions.insert(policy.version());
        }
        assert_eq!(versions.len(), changes.len() + 1);
    }
}
