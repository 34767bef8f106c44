//! Threshold ECDSA at its full level, in one thread: what the SegWit wallet's slow and fast steps cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bitcoin::hex::FromHex as _;
use mpc_wallet_core::mpc::ecdsa::{OnlineParams, Presignature, PresigningParams, Primes};
use mpc_wallet_core::mpc::{KeyShare, KeygenParams, Output, Slot, Suite};
use mpc_wallet_e2e::cluster::repository;

use super::raw::{run, seed};
use super::sample::Samples;

/// All of them sign: what others cost the signers is the same, and the key is made sooner.
const PARTIES: u16 = 4;

/// What was measured.
pub(crate) struct Ecdsa {
    keygen: Samples,
    presigning: Samples,
    online: Samples,
}

/// Makes one key with ready-made primes, then presignatures, and signs with each.
pub(crate) fn measure(signatures: u32) -> anyhow::Result<Ecdsa> {
    let began = Instant::now();
    let shares = keygen()?;
    let mut keygen = Samples::default();
    keygen.add(each(began));
    let (mut presigning, mut online) = (Samples::default(), Samples::default());
    for _ in 0..signatures {
        let began = Instant::now();
        let made = presign(&shares)?;
        presigning.add(each(began));
        let began = Instant::now();
        sign(&shares, made)?;
        online.add(each(began));
    }
    Ok(Ecdsa { keygen, presigning, online })
}

impl Ecdsa {
    /// The measurements as a Markdown table, by signer.
    pub(crate) fn table(&self) -> String {
        format!(
            "| threshold ECDSA alone, one thread, CPU of each of {PARTIES} signers | p50 | p99 |\n|---|---|---|\n\
             | key generation with primes at hand (once) | {} | |\n\
             | presigning ({} runs) | {} | {} |\n\
             | online signing of one input, all checks included | {} | {} |\n",
            self.keygen.percentile(50),
            self.presigning.len(),
            self.presigning.percentile(50),
            self.presigning.percentile(99),
            self.online.percentile(50),
            self.online.percentile(99),
        )
    }
}

/// Each signer's part of what one thread has done for all of them.
fn each(began: Instant) -> Duration {
    began.elapsed().checked_div(PARTIES.into()).unwrap_or_default()
}

fn signers() -> Vec<Slot> {
    (0..PARTIES).map(Slot).collect()
}

fn keygen() -> anyhow::Result<Vec<Arc<KeyShare>>> {
    let execution_id = seed();
    let machines = signers().into_iter().map(|me| {
        let params = KeygenParams { execution_id, me, parties: PARTIES, threshold: PARTIES };
        Ok(Suite::Cggmp24.keygen_with_primes(params, primes(me)?, seed())?)
    });
    let outputs = run(machines.collect::<anyhow::Result<_>>()?)?;
    let shares = outputs.into_iter().map(|output| match output {
        Output::KeyShare(share) => Ok(Arc::new(share)),
        Output::Presignature(_) | Output::Signatures(_) => {
            Err(anyhow::anyhow!("key generation gave something else"))
        }
    });
    shares.collect()
}

fn primes(slot: Slot) -> anyhow::Result<Primes> {
    let number = slot.0.saturating_add(1);
    let file = repository().join(format!("e2e/data/primes/node-{number}.hex"));
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Primes::from_secret_bytes(&Vec::from_hex(text.trim())?)?)
}

fn presign(shares: &[Arc<KeyShare>]) -> anyhow::Result<Vec<Presignature>> {
    let execution_id = seed();
    let machines = signers().into_iter().zip(shares).map(|(me, share)| {
        let params = PresigningParams { execution_id, me, signers: signers() };
        Ok(Suite::presigning(Arc::clone(share), &params, seed())?)
    });
    let outputs = run(machines.collect::<anyhow::Result<_>>()?)?;
    let made = outputs.into_iter().map(|output| match output {
        Output::Presignature(presignature) => Ok(presignature),
        Output::KeyShare(_) | Output::Signatures(_) => Err(anyhow::anyhow!("presigning gave something else")),
    });
    made.collect()
}

fn sign(shares: &[Arc<KeyShare>], presignatures: Vec<Presignature>) -> anyhow::Result<()> {
    let (execution_id, preimage) = (seed(), seed().to_vec());
    let machines = signers().into_iter().zip(shares).zip(presignatures).map(|((me, share), presignature)| {
        let params = OnlineParams { execution_id, me, signers: signers(), preimages: vec![preimage.clone()] };
        Ok(Suite::online(share, vec![presignature], &params)?)
    });
    run(machines.collect::<anyhow::Result<_>>()?)?;
    Ok(())
}
