//! Signing without stock: a presigning for each message, all at once, then the online round.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::online::{Online, context};
use super::presignature::{Digest, Presignature};
use super::presigning::{AnyDriver, PresigningParams, start};
use crate::mpc::library::progress;
use crate::mpc::{
    Advance, Fault, FaultReason, KeyShare, Machine, Outgoing, Output, Progress, RefusedParams, SigningParams,
    Slot, Stage, digest,
};

/// One signer's part in a run.
pub(super) struct Interactive {
    presignings: Vec<(AnyDriver, Option<Presignature>)>,
    online: Online,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Presigning,
    Online,
    Ended,
}

impl Interactive {
    /// `params` have been checked.
    pub(super) fn new(
        share: &Arc<KeyShare>,
        params: &SigningParams,
        seed: [u8; 32],
    ) -> Result<Self, RefusedParams> {
        let seed = Zeroizing::new(seed);
        // The digests go into every presigning's id: each presignature is made for one digest fixed before.
        let digests: Vec<Digest> = params.messages.iter().copied().map(Digest::fixed_before).collect();
        let run = context(&params.execution_id, &params.signers, &digests, share);
        let presigning = |index: usize| {
            // At most `MAX_MESSAGES`.
            let index = u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes();
            let execution_id = digest("mpc-wallet/interactive", &[&run, &index]);
            let params = PresigningParams { execution_id, me: params.me, signers: params.signers.clone() };
            Ok((start(share.clone(), &params, &seed)?, None))
        };
        Ok(Self {
            presignings: (0..digests.len()).map(presigning).collect::<Result<_, RefusedParams>>()?,
            online: Online::new(run, params.me, super::parties(&params.signers), digests, share),
            state: State::Presigning,
        })
    }

    fn run(&mut self, outgoing: &mut Vec<Outgoing>) -> Result<Option<Output>, Fault> {
        let state = std::mem::replace(&mut self.state, State::Ended);
        if state == State::Ended {
            return Err(Fault::by_nobody(FaultReason::Ended));
        }
        if state == State::Presigning {
            for (driver, presignature) in self.presignings.iter_mut().filter(|(_, done)| done.is_none()) {
                *presignature = driver.advance(outgoing)?;
            }
            if self.presignings.iter().any(|(_, presignature)| presignature.is_none()) {
                self.state = State::Presigning;
                return Ok(None);
            }
            let made = self.presignings.drain(..).filter_map(|(_, presignature)| presignature);
            self.online.supply(made.collect());
        }
        let advance = self.online.advance();
        outgoing.extend(advance.outgoing);
        match advance.progress {
            Progress::Running => {
                self.state = State::Online;
                Ok(None)
            }
            Progress::Finished(output) => Ok(Some(output)),
            Progress::Failed(fault) => Err(fault),
        }
    }
}

impl Machine for Interactive {
    fn receive(&mut self, from: Slot, payload: &[u8]) {
        if self.state == State::Ended {
            return;
        }
        if self.online.is_addressed_by(payload) {
            return self.online.receive(from, payload);
        }
        // What is for none goes to the first, to be judged. Once there is none, it comes too late to matter.
        let addressed = self.presignings.iter().position(|(driver, _)| driver.is_addressed_by(payload));
        if let Some((driver, _)) = self.presignings.get_mut(addressed.unwrap_or(0)) {
            driver.receive(from, payload);
        }
    }

    fn advance(&mut self) -> Advance {
        let mut outgoing = Vec::new();
        let progress = progress(self.run(&mut outgoing));
        if self.state == State::Ended {
            self.presignings.clear();
        }
        Advance { outgoing, progress }
    }

    fn has_released(&self) -> bool {
        self.online.has_released()
    }

    fn waiting_for(&self) -> Vec<Slot> {
        let mut slots: Vec<Slot> = match self.state {
            State::Presigning => {
                self.presignings.iter().flat_map(|(driver, _)| driver.waiting_for()).collect()
            }
            State::Online => self.online.waiting_for(),
            State::Ended => Vec::new(),
        };
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    fn stage(&self) -> Option<Stage> {
        match self.state {
            State::Presigning => self.presignings.iter().find_map(|(driver, _)| driver.stage()),
            State::Online => self.online.stage(),
            State::Ended => None,
        }
    }
}
