//! Online signing: one round, from presignatures.
//!
//! The one message of each signer is, for each signature, the id of the presignature and the partial signature.

use super::presignature::{Digest, ID, PARTIAL, Presignature, Spent};
use crate::mpc::mailbox::{COMMIT, Mailbox};
use crate::mpc::{
    Advance, Fault, FaultReason, KeyShare, Machine, Outgoing, Output, Recipient, Slot, Stage, digest,
};

/// Most bytes of a preimage. That of a P2WPKH input (BIP-143) has 182.
pub const MAX_PREIMAGE: usize = 1024;

/// Parameters of online signing. Every party must use the same, apart from `me`.
#[derive(Debug, Clone)]
pub struct OnlineParams {
    /// Unique to this run.
    pub execution_id: [u8; 32],
    /// This party's position in `signers`; slots of the run are such positions.
    pub me: Slot,
    /// Who signs, as indices in the key, strictly ascending: those of every presignature.
    pub signers: Vec<Slot>,
    /// The bytes whose double SHA-256 is signed, one for each input, 1 to [`MAX_MESSAGES`](crate::mpc::MAX_MESSAGES) of at most
    /// [`MAX_PREIMAGE`] bytes. For a SegWit input they are the BIP-143 preimage, made by this node from the
    /// transaction that it approved.
    pub preimages: Vec<Vec<u8>>,
}

impl OnlineParams {
    /// What is signed; `None` if a preimage is too long.
    pub(super) fn digests(&self) -> Option<Vec<Digest>> {
        let digest = |preimage: &Vec<u8>| (preimage.len() <= MAX_PREIMAGE).then(|| Digest::of(preimage));
        self.preimages.iter().map(digest).collect()
    }
}

/// What makes a round different from every other: bound into every message.
pub(super) fn context(
    execution_id: &[u8; 32],
    signers: &[Slot],
    digests: &[Digest],
    share: &KeyShare,
) -> [u8; 32] {
    let signers: Vec<u8> = signers.iter().flat_map(|slot| slot.0.to_be_bytes()).collect();
    let digests: Vec<u8> = digests.iter().flat_map(|digest| digest.bytes()).collect();
    digest("mpc-wallet/online", &[execution_id, &share.public_digest(), &signers, &digests])
}

/// One signer's part in the round.
pub(super) struct Online {
    me: Slot,
    context: [u8; 32],
    mailbox: Mailbox,
    point: bitcoin::secp256k1::PublicKey,
    /// By signer, as received or sent, with whether it has been checked.
    bodies: Vec<Option<(Vec<u8>, bool)>>,
    phase: Phase,
}

enum Phase {
    /// Nothing may be signed yet: the presignatures are still being made.
    Waiting {
        digests: Vec<Digest>,
    },
    Ready {
        signatures: Vec<(Presignature, Digest)>,
    },
    Sent {
        spent: Vec<Spent>,
    },
    Ended,
}

const ITEM: usize = ID + PARTIAL;

impl Online {
    /// A round whose presignatures [`supply`](Self::supply) brings later.
    pub(super) fn new(
        context: [u8; 32],
        me: Slot,
        parties: u16,
        digests: Vec<Digest>,
        share: &KeyShare,
    ) -> Self {
        Self {
            me,
            context,
            mailbox: Mailbox::new(context, me, parties, COMMIT + 1, ITEM * digests.len()),
            point: share.point(),
            bodies: vec![None; usize::from(parties)],
            phase: Phase::Waiting { digests },
        }
    }

    /// Gives the presignatures, one for each digest, in order; more or fewer end the round.
    pub(super) fn supply(&mut self, presignatures: Vec<Presignature>) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Waiting { digests } if digests.len() == presignatures.len() => {
                Phase::Ready { signatures: presignatures.into_iter().zip(digests).collect() }
            }
            Phase::Waiting { .. } | Phase::Ready { .. } | Phase::Sent { .. } | Phase::Ended => Phase::Ended,
        };
    }

    pub(super) fn is_addressed_by(&self, payload: &[u8]) -> bool {
        payload.starts_with(&self.context)
    }

    /// Goes as far as the messages allow; every way that does not put a phase in place leaves the end.
    fn run(&mut self, outgoing: &mut Vec<Outgoing>) -> Result<Option<Output>, Fault> {
        let mut phase = std::mem::replace(&mut self.phase, Phase::Ended);
        if let Phase::Ready { signatures } = phase {
            // Before anything leaves: another run's parameters must not be answered with a partial signature.
            self.mailbox.check()?;
            let (payload, spent) = self.sign(signatures).ok_or(Fault::by_nobody(FaultReason::Library))?;
            outgoing.push(Outgoing { to: Recipient::All, payload });
            phase = Phase::Sent { spent };
        }
        match phase {
            Phase::Sent { spent } => {
                self.mailbox.check()?;
                self.check_partials(&spent)?;
                if self.mailbox.missing(COMMIT).is_empty() {
                    return self.combine(&spent).map(|signatures| Some(Output::Signatures(signatures)));
                }
                self.phase = Phase::Sent { spent };
                Ok(None)
            }
            Phase::Ready { .. } | Phase::Waiting { .. } => {
                self.phase = phase;
                Ok(None)
            }
            Phase::Ended => Err(Fault::by_nobody(FaultReason::Ended)),
        }
    }

    /// Spends the presignatures on our partial signatures, and the message that carries these.
    fn sign(&mut self, signatures: Vec<(Presignature, Digest)>) -> Option<(Vec<u8>, Vec<Spent>)> {
        let mut body = Vec::with_capacity(ITEM * signatures.len());
        let mut all_spent = Vec::with_capacity(signatures.len());
        for (presignature, digest) in signatures {
            let (partial, spent) = presignature.spend(digest, self.point);
            body.extend_from_slice(spent.id());
            body.extend_from_slice(&partial);
            all_spent.push(spent);
        }
        let payload = self.mailbox.frame(COMMIT, &body)?;
        *self.bodies.get_mut(self.me.index())? = Some((body, false));
        Some((payload, all_spent))
    }

    /// Checks what has arrived since, our own too: a fault of this machine's memory or arithmetic must not be
    /// laid at another's door.
    fn check_partials(&mut self, spent: &[Spent]) -> Result<(), Fault> {
        for (slot, body) in (0u16..).map(Slot).zip(&mut self.bodies) {
            let Some((body, checked)) = body.as_mut().filter(|(_, checked)| !*checked) else {
                continue;
            };
            for (message, (spent, (id, partial))) in spent.iter().zip(items(body)).enumerate() {
                if id != spent.id() {
                    return Err(Fault::by_nobody(FaultReason::OtherRun { from: slot }));
                }
                if !spent.partial_is_valid(slot, partial) {
                    return Err(if slot == self.me {
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

    fn combine(&self, spent: &[Spent]) -> Result<Vec<[u8; 64]>, Fault> {
        let combine = |(message, spent): (usize, &Spent)| {
            let partials: Option<Vec<[u8; PARTIAL]>> = self
                .bodies
                .iter()
                .map(|body| items(&body.as_ref()?.0).nth(message).map(|(_, partial)| *partial))
                .collect();
            partials
                .and_then(|partials| spent.combine(&partials))
                .ok_or(Fault::by_nobody(FaultReason::BadSignature { message }))
        };
        spent.iter().enumerate().map(combine).collect()
    }

    fn messages(&self) -> usize {
        match &self.phase {
            Phase::Waiting { digests } => digests.len(),
            Phase::Ready { signatures } => signatures.len(),
            Phase::Sent { spent } => spent.len(),
            Phase::Ended => 0,
        }
    }
}

/// Ids and partial signatures of a body.
fn items(body: &[u8]) -> impl Iterator<Item = (&[u8; ID], &[u8; PARTIAL])> {
    let (items, _) = body.as_chunks::<ITEM>();
    items.iter().filter_map(|item| {
        let (id, partial) = item.split_first_chunk::<ID>()?;
        Some((id, partial.try_into().ok()?))
    })
}

impl Machine for Online {
    fn receive(&mut self, from: Slot, payload: &[u8]) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        let Some((_, body)) = self.mailbox.open(from, payload) else {
            return;
        };
        let fits = body.len() == ITEM * self.messages();
        match self.bodies.get_mut(from.index()).filter(|_| fits) {
            Some(place) => *place = Some((body.to_vec(), false)),
            None => self.mailbox.blame(from, FaultReason::Malformed),
        }
    }

    fn advance(&mut self) -> Advance {
        let mut outgoing = Vec::new();
        let progress = crate::mpc::library::progress(self.run(&mut outgoing));
        Advance { outgoing, progress }
    }

    fn has_released(&self) -> bool {
        self.bodies.get(self.me.index()).is_some_and(Option::is_some)
    }

    fn waiting_for(&self) -> Vec<Slot> {
        match self.phase {
            Phase::Waiting { .. } | Phase::Ready { .. } | Phase::Sent { .. } => self.mailbox.missing(COMMIT),
            Phase::Ended => Vec::new(),
        }
    }

    fn stage(&self) -> Option<Stage> {
        match self.phase {
            Phase::Waiting { .. } | Phase::Ready { .. } | Phase::Sent { .. } => {
                Some(Stage { name: "online signing", round: 1, rounds: 1 })
            }
            Phase::Ended => None,
        }
    }
}
