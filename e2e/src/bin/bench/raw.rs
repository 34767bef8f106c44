//! The cryptography of one payment in one thread: what no implementation around it can beat.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mpc_wallet_core::VoteKey;
use mpc_wallet_core::mpc::{
    KeyShare, KeygenParams, Machine, Output, Progress, Recipient, SigningParams, Slot, Suite,
};
use rand_core::{OsRng, RngCore as _};

use super::sample::{Samples, millis};

const PARTIES: u16 = 5;
const THRESHOLD: u16 = 4;
/// Signing sessions measured.
const SESSIONS: u32 = 50;
/// Votes measured.
const VOTES: u32 = 500;
/// As long as a vote's encoding.
const VOTE_BYTES: usize = 192;

/// What was measured.
pub(crate) struct Raw {
    keygen: Duration,
    session: Samples,
    vote_sign: Duration,
    vote_verify: Duration,
}

/// Runs one key generation, many signing sessions and many votes.
pub(crate) fn measure() -> anyhow::Result<Raw> {
    let began = Instant::now();
    let shares = keygen()?;
    let keygen = began.elapsed();
    let mut session = Samples::default();
    for _ in 0..SESSIONS {
        let began = Instant::now();
        sign(&shares)?;
        session.add(began.elapsed());
    }

    let key = VoteKey::from_bytes(&seed())?;
    let (public, ballot) = (key.public(), vec![7u8; VOTE_BYTES]);
    let began = Instant::now();
    let mut vote = key.sign("bench", &ballot);
    for _ in 1..VOTES {
        vote = key.sign("bench", &ballot);
    }
    let vote_sign = began.elapsed();
    let began = Instant::now();
    for _ in 0..VOTES {
        anyhow::ensure!(public.verify("bench", &ballot, &vote), "a good vote was refused");
    }
    Ok(Raw { keygen, session, vote_sign, vote_verify: began.elapsed() })
}

impl Raw {
    /// The measurements as a Markdown table.
    pub(crate) fn table(&self) -> String {
        let each = |span: Duration| {
            u64::try_from(span.as_micros()).unwrap_or(u64::MAX).checked_div(VOTES.into()).unwrap_or(0)
        };
        format!(
            "| the cryptography alone, one thread | p50 | p99 |\n|---|---|---|\n\
             | key generation, {PARTIES} parties together (once) | {} | |\n\
             | signing session of one input, {THRESHOLD} signers together ({} runs) | {} | {} |\n\
             | sign a vote (mean of {VOTES}) | {} | |\n\
             | verify a vote (mean of {VOTES}) | {} | |\n",
            millis(u64::try_from(self.keygen.as_micros()).unwrap_or(u64::MAX)),
            self.session.len(),
            self.session.percentile(50),
            self.session.percentile(99),
            millis(each(self.vote_sign)),
            millis(each(self.vote_verify)),
        )
    }
}

/// Fresh entropy.
pub(super) fn seed() -> [u8; 32] {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

fn keygen() -> anyhow::Result<Vec<Arc<KeyShare>>> {
    let execution_id = seed();
    let machines = (0..PARTIES).map(|me| {
        let params = KeygenParams { execution_id, me: Slot(me), parties: PARTIES, threshold: THRESHOLD };
        Ok(Suite::Givre.keygen(params, seed())?)
    });
    let outputs = run(machines.collect::<anyhow::Result<_>>()?)?;
    let shares = outputs.into_iter().map(|output| match output {
        Output::KeyShare(share) => Ok(Arc::new(share)),
        Output::Presignature(_) | Output::Signatures(_) => {
            Err(anyhow::anyhow!("key generation gave a signature"))
        }
    });
    shares.collect()
}

fn sign(shares: &[Arc<KeyShare>]) -> anyhow::Result<()> {
    let (execution_id, message) = (seed(), seed());
    let signers: Vec<Slot> = (0..THRESHOLD).map(Slot).collect();
    let machines = signers.iter().zip(shares).map(|(me, share)| {
        let params =
            SigningParams { execution_id, me: *me, signers: signers.clone(), messages: vec![message] };
        Ok(Suite::signing(Arc::clone(share), params, seed())?)
    });
    run(machines.collect::<anyhow::Result<_>>()?)?;
    Ok(())
}

/// Carries messages between machines until all have finished.
pub(super) fn run(mut machines: Vec<Box<dyn Machine>>) -> anyhow::Result<Vec<Output>> {
    let parties = u16::try_from(machines.len())?;
    let mut outputs: Vec<Option<Output>> = machines.iter().map(|_| None).collect();
    let mut due: VecDeque<u16> = (0..parties).collect();
    while let Some(me) = due.pop_front() {
        let slot = usize::from(me);
        let done = outputs.get_mut(slot).context("no such party")?;
        if done.is_some() {
            continue;
        }
        let advance = machines.get_mut(slot).context("no such party")?.advance();
        match advance.progress {
            Progress::Running => {}
            Progress::Finished(output) => *done = Some(output),
            Progress::Failed(fault) => anyhow::bail!("an honest run failed: {fault:?}"),
        }
        for outgoing in advance.outgoing {
            for (to, machine) in (0..parties).zip(&mut machines) {
                let addressed = match outgoing.to {
                    Recipient::All => to != me,
                    Recipient::One(Slot(only)) => to == only,
                };
                if addressed {
                    machine.receive(Slot(me), &outgoing.payload);
                    // A machine is run once for all that waits for it, as a node does.
                    if !due.contains(&to) {
                        due.push_back(to);
                    }
                }
            }
        }
    }
    outputs.into_iter().map(|output| output.context("a machine did not finish")).collect()
}
