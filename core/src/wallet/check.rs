//! Whether a proposal is what it says: everything that needs no look at the chain.

use std::collections::BTreeSet;

use bitcoin::{Amount, OutPoint, policy::MAX_STANDARD_TX_WEIGHT, transaction::Version};

use super::{SEQUENCE, Wallet, fees::signed_weight, is_standard_recipient};
use crate::{config::Limits, tx::Proposal, vote::RejectReason};

/// Checks the form of a proposal that spends from `wallet`, and gives its signed size in vB.
///
/// Accepted is exactly what [`build`](super::build) makes: version 2, the one sequence number, a lock time that is a
/// height (how high is for the caller, who knows the tip), distinct unsigned inputs within the limit, every coin
/// ours, one output that pays the recipient the amount, at most one other, which pays this wallet and is no dust.
/// Coins, outputs and fee must add up. A payment to this wallet itself is a consolidation and fine. Whether the
/// amount, the fee and the recipient are *allowed* is the policy's question.
///
/// # Errors
/// [`RejectReason::Key`] for another key's proposal, [`RejectReason::Input`] for a claimed coin that is not ours,
/// [`RejectReason::Malformed`] for the rest: the first thing found wrong.
pub fn check_structure(wallet: &Wallet, proposal: &Proposal, limits: &Limits) -> Result<u64, RejectReason> {
    if proposal.key != wallet.key {
        return Err(RejectReason::Key(proposal.key));
    }
    let metadata = proposal.metadata.as_ref().map_or(0, String::len);
    if metadata > limits.metadata_bytes {
        return refuse(format!(
            "metadata has {metadata} bytes, at most {} are allowed",
            limits.metadata_bytes
        ));
    }
    check_header(proposal)?;
    check_inputs(wallet, proposal, limits.inputs)?;
    check_outputs(wallet, proposal)?;
    check_sums(proposal)?;
    let tx = &proposal.unsigned_tx;
    let weight = signed_weight(wallet.key.scheme, tx.input.len(), tx.script_pubkey_lens());
    if weight.to_wu() > u64::from(MAX_STANDARD_TX_WEIGHT) {
        return refuse(format!("signed weight {weight} exceeds the standard {MAX_STANDARD_TX_WEIGHT}"));
    }
    Ok(weight.to_vbytes_ceil())
}

fn check_header(proposal: &Proposal) -> Result<(), RejectReason> {
    let tx = &proposal.unsigned_tx;
    if tx.version != Version::TWO {
        return refuse(format!("transaction version {}, must be 2", tx.version));
    }
    if !tx.lock_time.is_block_height() {
        return refuse(format!("lock time {} is a time, must be a block height", tx.lock_time));
    }
    Ok(())
}

fn check_inputs(wallet: &Wallet, proposal: &Proposal, limit: usize) -> Result<(), RejectReason> {
    let inputs = &proposal.unsigned_tx.input;
    if inputs.is_empty() || inputs.len() > limit {
        return refuse(format!("{} inputs, must be 1 to {limit}", inputs.len()));
    }
    if proposal.prevouts.len() != inputs.len() {
        return refuse(format!("{} claimed coins for {} inputs", proposal.prevouts.len(), inputs.len()));
    }
    let mut seen = BTreeSet::new();
    let ours = wallet.script();
    for (input, claim) in inputs.iter().zip(&proposal.prevouts) {
        let coin = input.previous_output;
        if coin == OutPoint::null() {
            return refuse("an input spends no coin");
        }
        if !seen.insert(coin) {
            return refuse(format!("input {coin} is spent twice"));
        }
        if input.sequence != SEQUENCE {
            return refuse(format!("input {coin} has sequence {}, must be {SEQUENCE}", input.sequence));
        }
        if !input.script_sig.is_empty() || !input.witness.is_empty() {
            return refuse(format!("input {coin} is signed already"));
        }
        if claim.script != ours {
            let problem = "its script is not this wallet's".to_owned();
            return Err(RejectReason::Input { coin: coin.to_string(), problem });
        }
    }
    Ok(())
}

fn check_outputs(wallet: &Wallet, proposal: &Proposal) -> Result<(), RejectReason> {
    let Proposal { recipient, amount, unsigned_tx: tx, .. } = proposal;
    if !is_standard_recipient(recipient) {
        return refuse("the recipient's script is none of P2PKH, P2SH, P2WPKH, P2WSH, P2TR");
    }
    // In a payment to ourselves both outputs have our script; the one of the amount is the payment. If both are,
    // it does not matter which.
    let pays =
        tx.output.iter().position(|output| output.value == *amount && output.script_pubkey == *recipient);
    let Some(payment) = pays else {
        return refuse(format!("no output pays the recipient {} sat", amount.to_sat()));
    };
    let mut others = tx.output.iter().enumerate().filter(|(index, _)| *index != payment);
    let Some((_, change)) = others.next() else { return Ok(()) };
    if others.next().is_some() {
        return refuse(format!("{} outputs, must be payment and at most one change", tx.output.len()));
    }
    if change.script_pubkey != wallet.script() {
        return refuse("an output pays neither the recipient the amount nor this wallet");
    }
    let dust = change.script_pubkey.minimal_non_dust();
    if change.value < dust {
        let (change, dust) = (change.value.to_sat(), dust.to_sat());
        return refuse(format!("change of {change} sat is below the dust limit of {dust} sat"));
    }
    Ok(())
}

fn check_sums(proposal: &Proposal) -> Result<(), RejectReason> {
    let spent = sum(proposal.prevouts.iter().map(|coin| coin.value));
    let paid = sum(proposal.unsigned_tx.output.iter().map(|output| output.value));
    let (Some(spent), Some(paid)) = (spent, paid) else {
        return refuse(format!("coins or outputs exceed {}", Amount::MAX_MONEY));
    };
    if paid.checked_add(proposal.fee) != Some(spent) {
        let (spent, paid, fee) = (spent.to_sat(), paid.to_sat(), proposal.fee.to_sat());
        return refuse(format!("coins of {spent} sat are not outputs of {paid} sat and a fee of {fee} sat"));
    }
    Ok(())
}

/// Sum of amounts; `None` if it exceeds all bitcoin there can be.
fn sum(mut amounts: impl Iterator<Item = Amount>) -> Option<Amount> {
    amounts.try_fold(Amount::ZERO, |total, amount| {
        total.checked_add(amount).filter(|total| *total <= Amount::MAX_MONEY)
    })
}

fn refuse<T>(problem: impl Into<String>) -> Result<T, RejectReason> {
    Err(RejectReason::Malformed(problem.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use bitcoin::{ScriptBuf, Sequence, TxOut, Witness, absolute::LockTime};

    use super::*;
    use crate::{ids::Scheme, wallet::fixture};

    fn good(scheme: Scheme) -> Proposal {
        fixture::proposal(scheme, &[60_000, 50_000], 500, 9_500)
    }

    fn other(scheme: Scheme) -> Scheme {
        match scheme {
            Scheme::Taproot => Scheme::Segwit,
            Scheme::Segwit => Scheme::Taproot,
        }
    }

    /// Position of the change in [`good`].
    fn change_at(proposal: &Proposal) -> usize {
        usize::from(proposal.unsigned_tx.output[0].script_pubkey == proposal.recipient)
    }

    fn change(proposal: &mut Proposal) -> &mut TxOut {
        let at = change_at(proposal);
        &mut proposal.unsigned_tx.output[at]
    }

    fn payment(proposal: &mut Proposal) -> &mut TxOut {
        let at = 1 - change_at(proposal);
        &mut proposal.unsigned_tx.output[at]
    }

    #[test]
    fn what_was_built_is_accepted_with_its_signed_size() {
        // Two inputs, P2WPKH recipient, change; one input, P2WPKH recipient.
        for (scheme, with_change, without) in [(Scheme::Taproot, 200, 99), (Scheme::Segwit, 209, 110)] {
            let wallet = fixture::wallet(scheme);
            let size = |proposal: &Proposal| check_structure(&wallet, proposal, &Limits::default());
            assert_eq!(size(&good(scheme)), Ok(with_change), "{scheme}");
            assert_eq!(size(&fixture::proposal(scheme, &[60_000], 500, 0)), Ok(without), "{scheme}");
        }
    }

    #[test]
    fn every_deviation_is_refused() {
        type Edit = fn(&mut Proposal);
        let edits: &[(&str, Edit, &str)] = &[
            ("amount above what is paid", |p| p.amount += Amount::ONE_SAT, "no output pays"),
            ("amount below what is paid", |p| p.amount -= Amount::ONE_SAT, "no output pays"),
            ("output pays less", |p| payment(p).value -= Amount::ONE_SAT, "no output pays"),
            ("change takes more", |p| change(p).value += Amount::ONE_SAT, "coins of"),
            ("change takes less", |p| change(p).value -= Amount::ONE_SAT, "coins of"),
            ("another recipient", |p| p.recipient = fixture::stranger(), "no output pays"),
            ("payment to another", |p| payment(p).script_pubkey = fixture::stranger(), "no output pays"),
            ("change to another", |p| change(p).script_pubkey = fixture::stranger(), "neither"),
            (
                "change to our other wallet",
                |p| change(p).script_pubkey = fixture::wallet(other(p.key.scheme)).script(),
                "neither",
            ),
            ("change to the recipient", |p| change(p).script_pubkey = fixture::recipient(), "neither"),
            ("recipient paid twice", |p| *change(p) = payment(p).clone(), "neither"),
            (
                "third output, even to us",
                |p| {
                    let extra = TxOut { value: Amount::from_sat(1_000), ..change(p).clone() };
                    change(p).value -= extra.value;
                    p.unsigned_tx.output.push(extra);
                },
                "3 outputs",
            ),
            ("no outputs", |p| p.unsigned_tx.output.clear(), "no output pays"),
            (
                "dust change",
                |p| {
                    let kept = Amount::from_sat(fixture::dust(p.key.scheme) - 1);
                    let before = std::mem::replace(&mut change(p).value, kept);
                    p.fee += before - kept;
                },
                "dust",
            ),
            (
                "data output",
                |p| {
                    let script = ScriptBuf::from_hex("6a0401020304").unwrap();
                    payment(p).script_pubkey = script.clone();
                    p.recipient = script;
                },
                "none of",
            ),
            ("fee above the difference", |p| p.fee += Amount::ONE_SAT, "coins of"),
            ("fee below the difference", |p| p.fee -= Amount::ONE_SAT, "coins of"),
            ("fee beyond all numbers", |p| p.fee = Amount::MAX, "coins of"),
            ("coin claimed larger", |p| p.prevouts[0].value += Amount::ONE_SAT, "coins of"),
            ("coins beyond all bitcoin", |p| p.prevouts[0].value = Amount::MAX_MONEY, "exceed"),
            ("coins beyond all numbers", |p| p.prevouts[0].value = Amount::MAX, "exceed"),
            ("outputs beyond all bitcoin", |p| change(p).value = Amount::MAX_MONEY, "exceed"),
            ("foreign coin", |p| p.prevouts[1].script = fixture::stranger(), "not this wallet's"),
            (
                "coin of our other wallet",
                |p| p.prevouts[1].script = fixture::wallet(other(p.key.scheme)).script(),
                "not this wallet's",
            ),
            ("claim missing", |p| p.prevouts.truncate(1), "1 claimed"),
            ("claim too many", |p| p.prevouts.push(p.prevouts[0].clone()), "3 claimed"),
            (
                "coin spent twice",
                |p| p.unsigned_tx.input[1].previous_output = p.unsigned_tx.input[0].previous_output,
                "twice",
            ),
            ("no coin", |p| p.unsigned_tx.input[0].previous_output = OutPoint::null(), "no coin"),
            (
                "no inputs",
                |p| {
                    p.unsigned_tx.input.clear();
                    p.prevouts.clear();
                },
                "0 inputs",
            ),
            ("final sequence", |p| p.unsigned_tx.input[1].sequence = Sequence::MAX, "sequence"),
            ("relative lock", |p| p.unsigned_tx.input[0].sequence = Sequence::from_height(1), "sequence"),
            ("scriptSig", |p| p.unsigned_tx.input[0].script_sig = fixture::stranger(), "signed already"),
            (
                "witness",
                |p| p.unsigned_tx.input[0].witness = Witness::from_slice(&[[1u8; 64]]),
                "signed already",
            ),
            ("version 1", |p| p.unsigned_tx.version = Version::ONE, "version 1"),
            ("version 3", |p| p.unsigned_tx.version = Version(3), "version 3"),
            (
                "lock time that is a time",
                |p| p.unsigned_tx.lock_time = LockTime::from_consensus(500_000_000),
                "lock time",
            ),
            ("metadata too long", |p| p.metadata = Some("x".repeat(1_025)), "1025 bytes"),
            ("another key", |p| p.key.epoch += 1, "not the current key"),
            ("the key of our other wallet", |p| p.key.scheme = other(p.key.scheme), "not the current key"),
        ];
        for scheme in Scheme::ALL {
            for (desc, edit, expected) in edits {
                let mut proposal = good(scheme);
                edit(&mut proposal);
                let reason = check_structure(&fixture::wallet(scheme), &proposal, &Limits::default())
                    .map_err(|reason| reason.to_string());
                let refused = reason.as_ref().is_err_and(|text| text.contains(expected));
                assert!(refused, "{scheme}, {desc}: {reason:?}");
            }
        }
    }

    #[test]
    fn the_limit_of_inputs_is_the_last_allowed() {
        for (inputs, allowed) in [(25, true), (26, false)] {
            let proposal = fixture::proposal(Scheme::Taproot, &vec![10_000; inputs], 2_000, 9_500);
            let wallet = fixture::wallet(Scheme::Taproot);
            let accepted = check_structure(&wallet, &proposal, &Limits::default()).is_ok();
            assert_eq!(accepted, allowed, "{inputs} inputs");
        }
    }

    #[test]
    fn a_transaction_too_heavy_for_relay_is_refused() {
        let limits = Limits { inputs: 2_000, ..Limits::default() };
        for (scheme, inputs, allowed) in [
            (Scheme::Taproot, 1_700, true),
            (Scheme::Taproot, 1_740, false),
            (Scheme::Segwit, 1_460, true),
            (Scheme::Segwit, 1_475, false),
        ] {
            let proposal = fixture::proposal(scheme, &vec![10_000; inputs], 200_000, 9_500);
            let size = check_structure(&fixture::wallet(scheme), &proposal, &limits);
            assert_eq!(size.is_ok(), allowed, "{inputs} {scheme} inputs: {size:?}");
        }
    }

    #[test]
    fn a_payment_to_the_wallet_itself_is_a_consolidation() {
        for scheme in Scheme::ALL {
            let wallet = fixture::wallet(scheme);
            for (desc, change, accepted) in [
                ("no change", 0, true),
                ("change", 9_500, true),
                ("change as large as the amount", 54_750, true),
                ("least change", fixture::dust(scheme), true),
                ("dust change", fixture::dust(scheme) - 1, false),
            ] {
                let mut proposal = fixture::proposal(scheme, &[60_000, 50_000], 500, change);
                for output in &mut proposal.unsigned_tx.output {
                    output.script_pubkey = wallet.script();
                }
                proposal.recipient = wallet.script();
                let verdict = check_structure(&wallet, &proposal, &Limits::default());
                assert_eq!(verdict.is_ok(), accepted, "{scheme}, {desc}: {verdict:?}");
            }
        }
    }
}
