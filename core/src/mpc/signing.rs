//! The two-round signing machine, for any scheme: commit to nonces, then sign.
//!
//! One run signs k messages at once: round [`COMMIT`] carries k commitments, round [`CONFIRM`] k shares.

use std::mem;

use rand_chacha::ChaCha20Rng;
use zeroize::Zeroizing;

use super::mailbox::{COMMIT, CONFIRM, Mailbox};
use super::{
    Advance, Fault, FaultReason, KeyShare, Machine, Outgoing, Output, Progress, Recipient, SigningParams,
    Slot, rng,
};

/// What a scheme adds to the message flow. Signers are named by their index in the key.
pub(super) trait Scheme: Send + 'static {
    /// Bytes of one commitment on the wire.
    const COMMITMENT_BYTES: usize;
    /// Bytes of one share on the wire.
    const SHARE_BYTES: usize;

    /// Secret, for one message of one run; not `Clone`, consumed by [`sign`](Self::sign).
    type Nonces: Send;
    /// Public counterpart of the nonces.
    type Commitment: Copy + Send;
    /// One message with the commitments of all signers.
    type Session: Send;
    /// One signer's part of one signature.
    type Share: Copy + Send;

    fn commit(&self, rng: &mut ChaCha20Rng) -> (Self::Nonces, Self::Commitment);
    fn session(&self, message: &[u8; 32], commitments: &[(Slot, Self::Commitment)]) -> Option<Self::Session>;
    fn sign(&self, session: &Self::Session, nonces: Self::Nonces) -> Option<Self::Share>;
    fn share_is_valid(&self, session: &Self::Session, signer: Slot, share: &Self::Share) -> bool;
    /// The signature, if it verifies.
    fn aggregate(&self, session: &Self::Session, shares: &[(Slot, Self::Share)]) -> Option<[u8; 64]>;

    fn write_commitment(commitment: &Self::Commitment) -> Vec<u8>;
    fn read_commitment(bytes: &[u8]) -> Option<Self::Commitment>;
    fn write_share(share: &Self::Share) -> Vec<u8>;
    fn read_share(bytes: &[u8]) -> Option<Self::Share>;
}

/// One signer's part in a run.
pub(super) struct Signing<S: Scheme> {
    scheme: S,
    context: [u8; 32],
    params: SigningParams,
    mailbox: Mailbox,
    /// By signer, then by message; our own included once made.
    commitments: Vec<Option<Vec<S::Commitment>>>,
    shares: Vec<Option<Vec<S::Share>>>,
    phase: Phase<S>,
    released: bool,
}

enum Phase<S: Scheme> {
    /// Nothing has happened yet.
    Ready {
        seed: Zeroizing<[u8; 32]>,
    },
    Committed {
        nonces: Vec<S::Nonces>,
    },
    /// `checked[i]`: the shares of signer `i` have been found valid.
    Signed {
        sessions: Vec<S::Session>,
        checked: Vec<bool>,
    },
    Ended,
}

impl<S: Scheme> Signing<S> {
    pub(super) fn new(scheme: S, share: &KeyShare, params: SigningParams, seed: [u8; 32]) -> Self {
        let context = params.context(share);
        let signers = params.signers.len();
        let body_limit = params.messages.len() * S::COMMITMENT_BYTES.max(S::SHARE_BYTES);
        // The number of signers is at most that of the key's parties.
        let parties = u16::try_from(signers).unwrap_or(u16::MAX);
        Self {
            scheme,
            context,
            mailbox: Mailbox::new(context, params.me, parties, CONFIRM + 1, body_limit),
            params,
            commitments: vec![None; signers],
            shares: vec![None; signers],
            phase: Phase::Ready { seed: Zeroizing::new(seed) },
            released: false,
        }
    }

    /// Goes as far as the messages allow. The phase is moved out and dropped on every way that does not put
    /// a next one in its place, and the nonces with it.
    fn run(&mut self) -> Result<Advance, Fault> {
        let mut outgoing = Vec::new();
        let mut phase = mem::replace(&mut self.phase, Phase::Ended);
        self.mailbox.check()?;
        if let Phase::Ready { seed } = &phase {
            let (nonces, payload) = self.commit(seed).ok_or(Fault::by_nobody(FaultReason::Library))?;
            outgoing.push(Outgoing { to: Recipient::All, payload });
            phase = Phase::Committed { nonces };
            // Views that arrived early can be compared now, before a share leaves.
            self.mailbox.check()?;
        }
        if let Phase::Committed { nonces } = phase {
            phase = if self.mailbox.missing(COMMIT).is_empty() {
                let (sessions, payload) = self.sign(nonces).ok_or(Fault::by_nobody(FaultReason::Library))?;
                outgoing.push(Outgoing { to: Recipient::All, payload });
                self.released = true;
                let checked = vec![false; self.params.signers.len()];
                Phase::Signed { sessions, checked }
            } else {
                Phase::Committed { nonces }
            };
        }
        if let Phase::Signed { sessions, checked } = &mut phase {
            self.check_shares(sessions, checked)?;
            if self.mailbox.missing(CONFIRM).is_empty() {
                let signatures = self.aggregate(sessions)?;
                return Ok(Advance {
                    outgoing,
                    progress: Progress::Finished(Output::Signatures(signatures)),
                });
            }
        }
        self.phase = phase;
        Ok(Advance { outgoing, progress: Progress::Running })
    }

    /// Fresh nonces for each message, and the message that commits to them.
    fn commit(&mut self, seed: &[u8; 32]) -> Option<(Vec<S::Nonces>, Vec<u8>)> {
        let mut rng = rng(seed, &self.context);
        let (nonces, commitments): (Vec<_>, Vec<_>) =
            self.params.messages.iter().map(|_| self.scheme.commit(&mut rng)).unzip();
        let body: Vec<u8> = commitments.iter().flat_map(S::write_commitment).collect();
        *self.commitments.get_mut(self.params.me.index())? = Some(commitments);
        Some((nonces, self.mailbox.frame(COMMIT, &body)?))
    }

    /// Spends the nonces on our shares, and the message that carries these.
    fn sign(&mut self, nonces: Vec<S::Nonces>) -> Option<(Vec<S::Session>, Vec<u8>)> {
        let mut sessions = Vec::with_capacity(nonces.len());
        let mut own = Vec::with_capacity(nonces.len());
        for (index, (message, nonces)) in self.params.messages.iter().zip(nonces).enumerate() {
            let commitments = by_signer(&self.params.signers, &self.commitments, index)?;
            let session = self.scheme.session(message, &commitments)?;
            own.push(self.scheme.sign(&session, nonces)?);
            sessions.push(session);
        }
        let body: Vec<u8> = own.iter().flat_map(S::write_share).collect();
        *self.shares.get_mut(self.params.me.index())? = Some(own);
        Some((sessions, self.mailbox.frame(CONFIRM, &body)?))
    }

    /// Checks the shares that have arrived since, our own too: a fault of this machine's memory or
    /// arithmetic must not be laid at another's door.
    fn check_shares(&self, sessions: &[S::Session], checked: &mut [bool]) -> Result<(), Fault> {
        let rows = (0u16..).map(Slot).zip(&self.params.signers).zip(&self.shares).zip(checked);
        for (((slot, signer), shares), checked) in rows {
            let Some(shares) = shares.as_ref().filter(|_| !*checked) else {
                continue;
            };
            for (message, (session, share)) in sessions.iter().zip(shares).enumerate() {
                if !self.scheme.share_is_valid(session, *signer, share) {
                    return Err(if slot == self.params.me {
                        Fault::by_nobody(FaultReason::BadSignature { message })
                    } else {
                        Fault::by(slot, FaultReason::BadSignatureShare { message })
                    });
                }
            }
            *checked = true;
        }
        Ok(())
    }

    fn aggregate(&self, sessions: &[S::Session]) -> Result<Vec<[u8; 64]>, Fault> {
        let sign = |(message, session)| {
            by_signer(&self.params.signers, &self.shares, message)
                .and_then(|shares| self.scheme.aggregate(session, &shares))
                .ok_or(Fault::by_nobody(FaultReason::BadSignature { message }))
        };
        sessions.iter().enumerate().map(sign).collect()
    }

    /// Reads a body of exactly one item for each message.
    fn read<T>(&self, body: &[u8], size: usize, item: fn(&[u8]) -> Option<T>) -> Option<Vec<T>> {
        if body.len() != size * self.params.messages.len() {
            return None;
        }
        body.chunks_exact(size).map(item).collect()
    }
}

/// What each signer contributed for one message.
fn by_signer<T: Copy>(signers: &[Slot], rows: &[Option<Vec<T>>], message: usize) -> Option<Vec<(Slot, T)>> {
    signers.iter().zip(rows).map(|(signer, row)| Some((*signer, *row.as_ref()?.get(message)?))).collect()
}

impl<S: Scheme> Machine for Signing<S> {
    fn receive(&mut self, from: Slot, payload: &[u8]) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        let Some((round, body)) = self.mailbox.open(from, payload) else {
            return;
        };
        let accepted = if round == COMMIT {
            self.read(body, S::COMMITMENT_BYTES, S::read_commitment)
                .zip(self.commitments.get_mut(from.index()))
                .map(|(commitments, place)| *place = Some(commitments))
        } else {
            self.read(body, S::SHARE_BYTES, S::read_share)
                .zip(self.shares.get_mut(from.index()))
                .map(|(shares, place)| *place = Some(shares))
        };
        if accepted.is_none() {
            self.mailbox.blame(from, FaultReason::Malformed);
        }
    }

    fn advance(&mut self) -> Advance {
        if matches!(self.phase, Phase::Ended) {
            return Advance {
                outgoing: Vec::new(),
                progress: Progress::Failed(Fault::by_nobody(FaultReason::Ended)),
            };
        }
        self.run().unwrap_or_else(|fault| {
            self.phase = Phase::Ended;
            Advance { outgoing: Vec::new(), progress: Progress::Failed(fault) }
        })
    }

    fn has_released(&self) -> bool {
        self.released
    }

    fn waiting_for(&self) -> Vec<Slot> {
        match self.phase {
            Phase::Ready { .. } | Phase::Committed { .. } => self.mailbox.missing(COMMIT),
            Phase::Signed { .. } => self.mailbox.missing(CONFIRM),
            Phase::Ended => Vec::new(),
        }
    }
}
