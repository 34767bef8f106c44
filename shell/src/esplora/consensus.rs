//! The last check before a transaction leaves: consensus code verifies every input against the output it spends.

use bitcoin::{Transaction, TxOut, consensus::encode};
use bitcoinconsensus::{Utxo, VERIFY_ALL_PRE_TAPROOT, VERIFY_TAPROOT};

/// Without the Taproot flag any witness spends a P2TR output.
const FLAGS: u32 = VERIFY_ALL_PRE_TAPROOT | VERIFY_TAPROOT;

/// Why consensus refuses a transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConsensusError {
    #[error("{prevouts} outputs given for {inputs} inputs; a transaction spends at least one, each known")]
    Inputs { inputs: usize, prevouts: usize },
    #[error("it pays {paid} sat out of {spent} sat")]
    Amounts { spent: u128, paid: u128 },
    #[error("amount or script of input {input} is out of range")]
    Range { input: usize },
    #[error("the witness of input {input} does not satisfy the output it spends ({code:?})")]
    Script { input: usize, code: bitcoinconsensus::Error },
}

/// Verifies scripts, witnesses and amounts of all inputs. Costs about 0.1 ms an input, more with hundreds of inputs.
pub(super) fn verify(transaction: &Transaction, prevouts: &[TxOut]) -> Result<(), ConsensusError> {
    let inputs = transaction.input.len();
    if inputs == 0 || inputs != prevouts.len() {
        return Err(ConsensusError::Inputs { inputs, prevouts: prevouts.len() });
    }
    let total = |outputs: &[TxOut]| outputs.iter().map(|o| u128::from(o.value.to_sat())).sum::<u128>();
    let (spent, paid) = (total(prevouts), total(&transaction.output));
    if paid > spent {
        return Err(ConsensusError::Amounts { spent, paid });
    }
    let bytes = encode::serialize(transaction);
    // BIP-341 signs the amounts and scripts of all inputs. The views point into `prevouts`, which outlives them.
    let mut views = Vec::with_capacity(inputs);
    for (input, output) in prevouts.iter().enumerate() {
        let range = |_| ConsensusError::Range { input };
        views.push(Utxo {
            script_pubkey: output.script_pubkey.as_bytes().as_ptr(),
            script_pubkey_len: u32::try_from(output.script_pubkey.len()).map_err(range)?,
            value: i64::try_from(output.value.to_sat()).map_err(range)?,
        });
    }
    for (input, output) in prevouts.iter().enumerate() {
        bitcoinconsensus::verify_with_flags(
            output.script_pubkey.as_bytes(),
            output.value.to_sat(),
            &bytes,
            Some(&views),
            input,
            FLAGS,
        )
        .map_err(|code| ConsensusError::Script { input, code })?;
    }
    Ok(())
}
