//! Coins for whoever asks.
//!
//! All coinbases pay one script that anybody may spend, so the faucet needs no key and no wallet and
//! works with every node. That is right on regtest and nowhere else.

use anyhow::Context as _;
use bitcoin::absolute::LockTime;
use bitcoin::opcodes::OP_TRUE;
use bitcoin::script::Builder;
use bitcoin::{Address, Amount, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, transaction};

use super::ledger::{Coin, script_key};
use super::node::Node;
use super::policy::COINBASE_MATURITY;

/// Coinbases that are spendable from the start, 50 BTC each: no faucet call of a devnet has to mine
/// for them, and the blocks take milliseconds.
const MATURE_AT_START: u32 = 20;
/// The most that one call may ask for: regtest issues 15,000 BTC in all.
const MAX_TOTAL: Amount = Amount::from_int_btc(10_000);
/// Outputs of one call: keeps the transaction below the standard weight.
const MAX_OUTPUTS: u32 = 1_000;
/// Blocks mined at a time, and how often, while coins are short.
const REFILL: (u32, u32) = (10, 100);
/// What the faucet pays for its own transactions, in satoshi per vB.
const SAT_PER_VB: u64 = 2;
/// Change below this goes to the fee.
const MIN_CHANGE: u64 = 1_000;

/// Pays confirmed coins out of coinbases.
pub(crate) struct Faucet {
    redeem: ScriptBuf,
    script: ScriptBuf,
}

impl Faucet {
    /// A faucet without coins; [`Faucet::prepare`] fills it.
    pub(crate) fn new() -> Self {
        let redeem = Builder::new().push_opcode(OP_TRUE).into_script();
        let script = redeem.to_p2wsh();
        Self { redeem, script }
    }

    /// The script that every coinbase should pay.
    pub(crate) fn script(&self) -> &ScriptBuf {
        &self.script
    }

    /// Mines the first coinbases and matures them.
    pub(crate) fn prepare(&self, node: &mut dyn Node) -> anyhow::Result<()> {
        node.mine(COINBASE_MATURITY.saturating_add(MATURE_AT_START), &self.script)
    }

    /// Pays `count` outputs of `amount` each to an address in one transaction and mines a block,
    /// which confirms whatever else waits in the mempool, too. Errors when more than 10,000 BTC or
    /// 1,000 outputs are asked for, when regtest's coins run out, or when the node refuses.
    pub(crate) fn pay(
        &self,
        node: &mut dyn Node,
        address: &Address,
        amount: Amount,
        count: u32,
    ) -> anyhow::Result<Txid> {
        anyhow::ensure!(
            (1..=MAX_OUTPUTS).contains(&count),
            "count is {count}; ask for 1 to {MAX_OUTPUTS} outputs"
        );
        let total = amount.checked_mul(count.into()).filter(|total| *total <= MAX_TOTAL);
        let total = total
            .with_context(|| format!("{count} × {amount} is more than the faucet's limit of {MAX_TOTAL}"))?;
        node.refresh()?;
        let output = TxOut { value: amount, script_pubkey: address.script_pubkey() };
        let outputs = vec![output; usize::try_from(count)?];
        for _ in 0..=REFILL.1 {
            if let Some(tx) = self.build(node, &outputs, total) {
                let txid = node.submit(&tx).context("the faucet's transaction was refused")?;
                node.mine(1, &self.script)?;
                return Ok(txid);
            }
            node.mine(REFILL.0, &self.script)?;
        }
        anyhow::bail!("the faucet cannot find {total}: this regtest chain's coins are spent")
    }

    /// A signed transaction; `None` while the spendable coins do not suffice.
    fn build(&self, node: &dyn Node, outputs: &[TxOut], total: Amount) -> Option<Transaction> {
        let mut coins = self.spendable(node);
        coins.sort_by_key(|coin| std::cmp::Reverse(coin.output.value));
        let mut tx = Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input: Vec::new(),
            output: outputs.to_vec(),
        };
        tx.output.push(TxOut { value: Amount::ZERO, script_pubkey: self.script.clone() });
        let mut gathered = Amount::ZERO;
        for coin in coins {
            gathered = gathered.checked_add(coin.output.value)?;
            tx.input.push(TxIn {
                previous_output: coin.outpoint,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::from_slice(&[self.redeem.as_bytes()]),
            });
            let fee = Amount::from_sat(u64::try_from(tx.vsize()).ok()?.checked_mul(SAT_PER_VB)?);
            let Some(change) = gathered.checked_sub(total).and_then(|rest| rest.checked_sub(fee)) else {
                continue;
            };
            if change.to_sat() < MIN_CHANGE {
                tx.output.pop();
            } else if let Some(last) = tx.output.last_mut() {
                last.value = change;
            }
            return Some(tx);
        }
        None
    }

    fn spendable(&self, node: &dyn Node) -> Vec<Coin> {
        let ledger = node.ledger();
        let next = ledger.tip_height().saturating_add(1);
        let mature = |coin: &Coin| {
            coin.height
                .is_some_and(|height| !coin.coinbase || next.saturating_sub(height) >= COINBASE_MATURITY)
        };
        ledger.unspent(&script_key(&self.script)).into_iter().filter(mature).collect()
    }
}
