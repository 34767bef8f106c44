//! The mempool's door in the embedded chain: which transactions it takes, with Bitcoin Core's texts.
//!
//! Scripts and signatures are judged by libbitcoinconsensus. The rules around them (values, fees,
//! dust, locks, chains of unconfirmed transactions, replacement) are restated here as far as a wallet
//! can meet them. The defaults are those of Bitcoin Core 25 to 28 and of Knots, the stricter ones:
//! 1 sat/vB to relay, replacement only of transactions that signal it (BIP125). The bitcoind backend
//! is the judge of this restatement: both run the same tests.

use std::collections::BTreeSet;

use bitcoin::absolute::{Height, Time};
use bitcoin::{Amount, OutPoint, Transaction, TxOut, Txid, consensus, relative};

use super::ledger::Ledger;
use super::node::Rejection;

/// Blocks before a coinbase may be spent.
pub(crate) const COINBASE_MATURITY: u32 = 100;
/// Relay fee in satoshi per vB, also the step by which a replacement must pay more.
const RELAY_SAT_PER_VB: u64 = 1;
/// Unconfirmed transactions in one chain, the new one included.
const CHAIN_LIMIT: usize = 25;
/// Transactions that one replacement may evict.
const REPLACEMENT_LIMIT: usize = 100;
/// The most that `sendrawtransaction` lets a transaction pay without being told to: 0.10 BTC/kvB.
const MAX_SAT_PER_VB: u64 = 10_000;
/// Below this many bytes without witness a transaction is not relayed.
const MIN_BASE_SIZE: usize = 65;
/// The largest weight that is relayed.
const MAX_WEIGHT: u64 = 400_000;

/// Decides about a transaction and returns those that must leave the mempool for it.
pub(crate) fn check(ledger: &Ledger, tx: &Transaction) -> Result<BTreeSet<Txid>, Rejection> {
    shape(tx)?;
    standard(tx)?;
    absolute_lock(ledger, tx)?;
    let txid = tx.compute_txid();
    let in_chain = ledger.get(&txid).is_some_and(|record| record.height.is_some());
    if in_chain && (0..).zip(&tx.output).any(|(vout, _)| unspent_in_chain(ledger, OutPoint { txid, vout })) {
        return Err(Rejection { code: -27, message: "Transaction outputs already in utxo set".into() });
    }
    let replaced = conflicts(ledger, tx)?;
    let spent = spent_outputs(ledger, tx)?;
    let fee = fee(tx, &spent)?;
    relative_lock(ledger, tx)?;
    let vsize = u64::try_from(tx.vsize()).unwrap_or(u64::MAX);
    let floor = vsize.saturating_mul(RELAY_SAT_PER_VB);
    if fee < floor {
        return Err(Rejection::by_rules(format!("min relay fee not met, {fee} < {floor}")));
    }
    let evicted = replacement(ledger, tx, fee, vsize, &replaced)?;
    chain_length(ledger, tx)?;
    scripts(tx, &spent)?;
    if fee > vsize.saturating_mul(MAX_SAT_PER_VB) {
        return Err(Rejection::not_considered(
            "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)",
        ));
    }
    Ok(evicted)
}

fn shape(tx: &Transaction) -> Result<(), Rejection> {
    let refuse = |text: &str| Err(Rejection::by_rules(text));
    if tx.input.is_empty() {
        return refuse("bad-txns-vin-empty");
    }
    if tx.output.is_empty() {
        return refuse("bad-txns-vout-empty");
    }
    let mut total = Amount::ZERO;
    for output in &tx.output {
        if output.value > Amount::MAX_MONEY {
            return refuse("bad-txns-vout-toolarge");
        }
        total = match total.checked_add(output.value) {
            Some(sum) if sum <= Amount::MAX_MONEY => sum,
            Some(_) | None => return refuse("bad-txns-txouttotal-toolarge"),
        };
    }
    let inputs: BTreeSet<_> = tx.input.iter().map(|input| input.previous_output).collect();
    if inputs.len() != tx.input.len() {
        return refuse("bad-txns-inputs-duplicate");
    }
    if tx.is_coinbase() {
        return refuse("coinbase");
    }
    if inputs.contains(&OutPoint::null()) {
        return refuse("bad-txns-prevout-null");
    }
    Ok(())
}

fn standard(tx: &Transaction) -> Result<(), Rejection> {
    if !(1..=3).contains(&tx.version.0) {
        return Err(Rejection::by_rules("version"));
    }
    if tx.weight().to_wu() > MAX_WEIGHT {
        return Err(Rejection::by_rules("tx-size"));
    }
    if tx.base_size() < MIN_BASE_SIZE {
        return Err(Rejection::by_rules("tx-size-small"));
    }
    for output in &tx.output {
        let script = &output.script_pubkey;
        let known =
            script.is_p2pkh() || script.is_p2sh() || script.is_witness_program() || script.is_op_return();
        if !known {
            return Err(Rejection::by_rules("scriptpubkey"));
        }
        if output.value < script.minimal_non_dust() {
            return Err(Rejection::by_rules("dust"));
        }
    }
    Ok(())
}

/// A transaction enters if it could be in the next block: its height lock is at most the tip, its
/// time lock lies before the tip's median time (BIP113).
fn absolute_lock(ledger: &Ledger, tx: &Transaction) -> Result<(), Rejection> {
    let median = ledger.tip().map_or(0, |tip| tip.median_time);
    let height = Height::from_consensus(ledger.tip_height());
    let time = Time::from_consensus(median.saturating_sub(1));
    let (Ok(height), Ok(time)) = (height, time) else {
        return Ok(());
    };
    if tx.is_absolute_timelock_satisfied(height, time) {
        Ok(())
    } else {
        Err(Rejection::by_rules("non-final"))
    }
}

/// Relative locks (BIP68), seen from the next block.
fn relative_lock(ledger: &Ledger, tx: &Transaction) -> Result<(), Rejection> {
    if tx.version.0 < 2 {
        return Ok(());
    }
    let next = ledger.tip_height().saturating_add(1);
    let now = ledger.tip().map_or(0, |tip| tip.median_time);
    for input in &tx.input {
        let Some(lock) = input.sequence.to_relative_lock_time() else {
            continue;
        };
        let created =
            ledger.get(&input.previous_output.txid).and_then(|record| record.height).unwrap_or(next);
        let open = match lock {
            relative::LockTime::Blocks(blocks) => created.saturating_add(blocks.value().into()) <= next,
            relative::LockTime::Time(intervals) => {
                let since = ledger.block_at(created.saturating_sub(1)).map_or(now, |block| block.median_time);
                since.saturating_add(u32::from(intervals.value()).saturating_mul(512)) <= now
            }
        };
        if !open {
            return Err(Rejection::by_rules("non-BIP68-final"));
        }
    }
    Ok(())
}

fn unspent_in_chain(ledger: &Ledger, outpoint: OutPoint) -> bool {
    ledger
        .spender(&outpoint)
        .and_then(|(spender, _)| ledger.get(&spender))
        .is_none_or(|record| record.height.is_none())
}

/// The unconfirmed transactions that spend the same inputs. Confirmed ones make the input "missing",
/// which [`spent_outputs`] reports.
fn conflicts(ledger: &Ledger, tx: &Transaction) -> Result<BTreeSet<Txid>, Rejection> {
    let mut found = BTreeSet::new();
    for input in &tx.input {
        let Some((other, _)) = ledger.spender(&input.previous_output) else {
            continue;
        };
        let Some(record) = ledger.get(&other).filter(|record| record.height.is_none()) else {
            continue;
        };
        if !record.tx.is_explicitly_rbf() {
            return Err(Rejection::by_rules("txn-mempool-conflict"));
        }
        found.insert(other);
    }
    Ok(found)
}

fn spent_outputs(ledger: &Ledger, tx: &Transaction) -> Result<Vec<TxOut>, Rejection> {
    let next = ledger.tip_height().saturating_add(1);
    let mut spent = Vec::new();
    for input in &tx.input {
        let outpoint = input.previous_output;
        match ledger.output(&outpoint) {
            Some(output) if unspent_in_chain(ledger, outpoint) => spent.push(output.clone()),
            Some(_) | None => {
                return Err(Rejection::not_considered("bad-txns-inputs-missingorspent"));
            }
        }
    }
    for input in &tx.input {
        let Some(parent) = ledger.get(&input.previous_output.txid) else {
            continue;
        };
        let depth = next.saturating_sub(parent.height.unwrap_or(next));
        if parent.tx.is_coinbase() && depth < COINBASE_MATURITY {
            return Err(Rejection::by_rules(format!(
                "bad-txns-premature-spend-of-coinbase, tried to spend coinbase at depth {depth}"
            )));
        }
    }
    Ok(spent)
}

fn fee(tx: &Transaction, spent: &[TxOut]) -> Result<u64, Rejection> {
    let total_in: Amount = spent.iter().map(|output| output.value).sum();
    let total_out: Amount = tx.output.iter().map(|output| output.value).sum();
    total_in.checked_sub(total_out).map(Amount::to_sat).ok_or_else(|| {
        Rejection::by_rules(format!(
            "bad-txns-in-belowout, value in ({}) < value out ({})",
            money(total_in),
            money(total_out),
        ))
    })
}

/// Bitcoin with two to eight decimals, as Bitcoin Core writes it.
fn money(amount: Amount) -> String {
    let precise = format!("{:.8}", amount.display_in(bitcoin::Denomination::Bitcoin));
    let trimmed = precise.trim_end_matches('0');
    let decimals = trimmed.split('.').nth(1).map_or(0, str::len);
    format!("{trimmed}{}", "0".repeat(2usize.saturating_sub(decimals)))
}

/// BIP125: a replacement pays a better rate than each transaction it conflicts with, more than all
/// that it evicts plus its own relay, and brings no new unconfirmed input.
fn replacement(
    ledger: &Ledger,
    tx: &Transaction,
    fee: u64,
    vsize: u64,
    direct: &BTreeSet<Txid>,
) -> Result<BTreeSet<Txid>, Rejection> {
    let mut evicted = BTreeSet::new();
    if direct.is_empty() {
        return Ok(evicted);
    }
    let txid = tx.compute_txid();
    let mut old_parents = BTreeSet::new();
    for other in direct {
        let Some(record) = ledger.get(other) else {
            continue;
        };
        let other_fee = ledger.fee(&record.tx);
        let other_vsize = u64::try_from(record.tx.vsize()).unwrap_or(u64::MAX);
        if fee.saturating_mul(other_vsize) <= other_fee.saturating_mul(vsize) {
            return Err(Rejection::by_rules(format!(
                "insufficient fee, rejecting replacement {txid}; {fee} sat for {vsize} vB is no better rate than {other_fee} sat for {other_vsize} vB"
            )));
        }
        old_parents.extend(record.tx.input.iter().map(|input| input.previous_output.txid));
        evicted.extend(ledger.descendants(other));
    }
    if evicted.len() > REPLACEMENT_LIMIT {
        return Err(Rejection::by_rules(format!(
            "too many potential replacements, rejecting replacement {txid}; too many potential replacements ({} > {REPLACEMENT_LIMIT})",
            evicted.len()
        )));
    }
    for input in &tx.input {
        let parent = input.previous_output.txid;
        if evicted.contains(&parent) {
            return Err(Rejection::by_rules(format!(
                "bad-txns-spends-conflicting-tx, {txid} spends conflicting transaction {parent}"
            )));
        }
        let unconfirmed = ledger.get(&parent).is_some_and(|record| record.height.is_none());
        if unconfirmed && !old_parents.contains(&parent) {
            return Err(Rejection::by_rules(format!(
                "replacement-adds-unconfirmed, replacement {txid} adds unconfirmed input"
            )));
        }
    }
    let old_fees: u64 = evicted.iter().filter_map(|other| Some(ledger.fee(&ledger.get(other)?.tx))).sum();
    let needed = old_fees.saturating_add(vsize.saturating_mul(RELAY_SAT_PER_VB));
    if fee < needed {
        return Err(Rejection::by_rules(format!(
            "insufficient fee, rejecting replacement {txid}, not enough additional fees to relay; {fee} < {needed}"
        )));
    }
    Ok(evicted)
}

fn chain_length(ledger: &Ledger, tx: &Transaction) -> Result<(), Rejection> {
    let ancestors: BTreeSet<Txid> =
        tx.input.iter().flat_map(|input| ledger.ancestors(&input.previous_output.txid)).collect();
    if ancestors.len() >= CHAIN_LIMIT {
        return Err(Rejection::by_rules(format!(
            "too-long-mempool-chain, too many unconfirmed ancestors [limit: {CHAIN_LIMIT}]"
        )));
    }
    for ancestor in &ancestors {
        if ledger.descendants(ancestor).len() >= CHAIN_LIMIT {
            return Err(Rejection::by_rules(format!(
                "too-long-mempool-chain, too many descendants for tx {ancestor} [limit: {CHAIN_LIMIT}]"
            )));
        }
    }
    Ok(())
}

/// Runs libbitcoinconsensus over every input, Taproot rules included: those need all spent outputs.
fn scripts(tx: &Transaction, spent: &[TxOut]) -> Result<(), Rejection> {
    let raw = consensus::serialize(tx);
    let mut utxos = Vec::with_capacity(spent.len());
    for output in spent {
        let script = output.script_pubkey.as_bytes();
        let (Ok(length), Ok(value)) = (u32::try_from(script.len()), i64::try_from(output.value.to_sat()))
        else {
            return Err(Rejection::by_rules("bad-txns-inputvalues-outofrange"));
        };
        utxos.push(bitcoinconsensus::Utxo {
            script_pubkey: script.as_ptr(),
            script_pubkey_len: length,
            value,
        });
    }
    for (index, output) in spent.iter().enumerate() {
        let verdict = bitcoinconsensus::verify(
            output.script_pubkey.as_bytes(),
            output.value.to_sat(),
            &raw,
            Some(&utxos),
            index,
        );
        if verdict.is_err() {
            // The library does not say which rule failed; Core would name it in the brackets.
            return Err(Rejection::by_rules(format!(
                "mempool-script-verify-flag-failed (libbitcoinconsensus refused input {index})"
            )));
        }
    }
    Ok(())
}
