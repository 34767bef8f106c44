//! A scheme without security for simulators: the message flow of the real one at the price of a few hashes.
//!
//! Every secret is derived from the public key's seed, so whoever reads this file can forge. What it keeps of
//! a real scheme is what a simulation needs: a signature verifies only if at least threshold many shares of
//! the key went into it for exactly this message; a bad share names its signer; two runs give two different
//! signatures; and every secret starts with [`MOCK_SECRET_MARK`], so that a search through messages, logs and
//! disks finds a leak.

use std::mem;

use bitcoin::XOnlyPublicKey;
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use serde::{Deserialize, Serialize};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::key::Secret;
use super::mailbox::{COMMIT, CONFIRM, Mailbox};
use super::signing::Scheme;
use super::{
    Advance, Fault, FaultReason, KeyShare, KeygenParams, MAX_PARTIES, Machine, Outgoing, Output, Progress,
    Recipient, RefusedParams, Slot, digest, rng,
};

/// First 16 bytes of every secret of this scheme: key shares and nonces.
pub const MOCK_SECRET_MARK: [u8; 16] = *b"MOCK-SECRET-LEAK";

const SEED: usize = 16;
const TAG: usize = 10;

/// The public side of a mock key; key and secrets derive from it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MockKey {
    seed: [u8; SEED],
    threshold: u8,
    parties: u8,
}

/// One party's share of a mock key.
#[derive(Serialize, Deserialize, ZeroizeOnDrop)]
pub(super) struct MockShare {
    #[zeroize(skip)]
    key: MockKey,
    slot: u16,
    secret: [u8; 32],
}

impl MockKey {
    /// `None` if there are too many parties for the encoding.
    pub(super) fn new(seed: [u8; SEED], threshold: u16, parties: u16) -> Option<Self> {
        Some(Self { seed, threshold: threshold.try_into().ok()?, parties: parties.try_into().ok()? })
    }

    /// A point on the curve, so that it makes an address like a real key.
    pub(super) fn public_key(&self) -> Option<XOnlyPublicKey> {
        // Half of all digests are an x coordinate.
        (0..=u8::MAX).find_map(|attempt| {
            let x = digest("mock/key", &[&self.seed, &[self.threshold, self.parties, attempt]]);
            XOnlyPublicKey::from_slice(&x).ok()
        })
    }

    fn secret(&self, slot: Slot) -> [u8; 32] {
        marked(&digest("mock/share", &[&self.seed, &slot.0.to_be_bytes()]))
    }

    pub(super) fn signature_share(&self, slot: Slot, session: &Session) -> [u8; 32] {
        let signers = session.signers.to_be_bytes();
        digest("mock/sign", &[&self.secret(slot), &session.message, &signers, &session.tag])
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        [self.seed.as_slice(), &[self.threshold, self.parties]].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (seed, numbers) = bytes.split_first_chunk()?;
        let [threshold, parties] = *numbers else { return None };
        Some(Self { seed: *seed, threshold, parties })
    }

    /// What the shares of a session's signers make, in their order.
    pub(super) fn signature(&self, session: &Session, shares: &[[u8; 32]]) -> Option<[u8; 64]> {
        let authenticator = authenticator(shares);
        let parts: [&[u8]; 5] = [
            &self.seed,
            &[self.threshold, self.parties],
            &session.signers.to_be_bytes(),
            &session.tag,
            &authenticator,
        ];
        parts.concat().try_into().ok()
    }

    /// The shares of all signers of the session.
    fn signature_shares(&self, session: &Session) -> Vec<[u8; 32]> {
        (0..u16::from(self.parties))
            .filter(|slot| session.signers.checked_shr((*slot).into()).unwrap_or(0) & 1 == 1)
            .map(|slot| self.signature_share(Slot(slot), session))
            .collect()
    }
}

/// Its first bit is clear, so that the second half of a signature passes for an s in the lower half: a P2WPKH witness
/// takes no other.
fn authenticator(shares: &[[u8; 32]]) -> [u8; 32] {
    let mut digest = digest("mock/signature", &[shares.as_flattened()]);
    if let Some(first) = digest.first_mut() {
        *first &= 0x7f;
    }
    digest
}

impl MockShare {
    pub(super) fn new(key: MockKey, slot: Slot) -> Self {
        Self { key, slot: slot.0, secret: key.secret(slot) }
    }

    pub(super) fn key(&self) -> MockKey {
        self.key
    }

    pub(super) fn public_key(&self) -> Option<XOnlyPublicKey> {
        let sound = self.secret == self.key.secret(self.slot())
            && self.slot < self.parties()
            && self.parties() <= MAX_PARTIES
            && (2..=self.parties()).contains(&self.threshold());
        if sound { self.key.public_key() } else { None }
    }

    pub(super) fn public_digest(&self) -> [u8; 32] {
        digest("mock/public", &[&self.key.seed, &[self.key.threshold, self.key.parties]])
    }

    pub(super) fn threshold(&self) -> u16 {
        self.key.threshold.into()
    }

    pub(super) fn parties(&self) -> u16 {
        self.key.parties.into()
    }

    pub(super) fn slot(&self) -> Slot {
        Slot(self.slot)
    }
}

/// A secret with the mark in front and the first half of `unique` behind.
pub(super) fn marked(unique: &[u8; 32]) -> [u8; 32] {
    let mut secret = *unique;
    for (byte, mark) in secret.iter_mut().zip(MOCK_SECRET_MARK) {
        *byte = mark;
    }
    secret
}

/// A nonce; only its digest leaves.
#[derive(ZeroizeOnDrop)]
pub(super) struct Nonce([u8; 32]);

/// One message with what its commitments determine.
pub(super) struct Session {
    message: [u8; 32],
    /// Bit i: index i of the key signs.
    signers: u32,
    /// Digest of all commitments: tells runs apart, as a nonce does.
    tag: [u8; TAG],
}

impl Session {
    /// `unique` tells runs apart.
    pub(super) fn new(message: [u8; 32], signers: &[Slot], unique: &[u8]) -> Self {
        let signers =
            signers.iter().fold(0u32, |bits, slot| bits | 1u32.checked_shl(slot.0.into()).unwrap_or(0));
        let mut tag = [0; TAG];
        for (byte, hashed) in tag.iter_mut().zip(digest("mock/tag", &[unique])) {
            *byte = hashed;
        }
        Self { message, signers, tag }
    }
}

/// The mock scheme as one signer runs it.
pub(super) struct MockScheme {
    key: MockKey,
    slot: Slot,
}

impl MockScheme {
    pub(super) fn new(share: &KeyShare) -> Result<Self, RefusedParams> {
        match share.secret() {
            Secret::Mock(share) => Ok(Self { key: share.key, slot: share.slot() }),
            Secret::Givre(_) | Secret::Cggmp24(_) | Secret::ToyCggmp24(_) | Secret::MockEcdsa(_) => {
                Err(RefusedParams::Share)
            }
        }
    }
}

impl Scheme for MockScheme {
    const COMMITMENT_BYTES: usize = 32;
    const SHARE_BYTES: usize = 32;

    type Nonces = Nonce;
    type Commitment = [u8; 32];
    type Session = Session;
    type Share = [u8; 32];

    fn commit(&self, rng: &mut ChaCha20Rng) -> (Nonce, [u8; 32]) {
        let mut random = [0; 32];
        rng.fill_bytes(&mut random);
        let nonce = Nonce(marked(&random));
        let commitment = digest("mock/commitment", &[&nonce.0, &random]);
        (nonce, commitment)
    }

    fn session(&self, message: &[u8; 32], commitments: &[(Slot, [u8; 32])]) -> Option<Session> {
        let signers: Vec<Slot> = commitments.iter().map(|(slot, _)| *slot).collect();
        let all: Vec<[u8; 32]> = commitments.iter().map(|(_, commitment)| *commitment).collect();
        Some(Session::new(*message, &signers, all.as_flattened()))
    }

    fn sign(&self, session: &Session, _spent: Nonce) -> Option<[u8; 32]> {
        Some(self.key.signature_share(self.slot, session))
    }

    fn share_is_valid(&self, session: &Session, signer: Slot, share: &[u8; 32]) -> bool {
        self.key.signature_share(signer, session) == *share
    }

    fn aggregate(&self, session: &Session, shares: &[(Slot, [u8; 32])]) -> Option<[u8; 64]> {
        let shares: Vec<[u8; 32]> = shares.iter().map(|(_, share)| *share).collect();
        let signature = self.key.signature(session, &shares)?;
        verify(self.key.public_key()?, &session.message, &signature).then_some(signature)
    }

    fn write_commitment(commitment: &[u8; 32]) -> Vec<u8> {
        commitment.to_vec()
    }

    fn read_commitment(bytes: &[u8]) -> Option<[u8; 32]> {
        bytes.try_into().ok()
    }

    fn write_share(share: &[u8; 32]) -> Vec<u8> {
        share.to_vec()
    }

    fn read_share(bytes: &[u8]) -> Option<[u8; 32]> {
        bytes.try_into().ok()
    }
}

/// Whether threshold many shares of the key made this signature for this message.
pub(super) fn verify(public_key: XOnlyPublicKey, message: &[u8; 32], signature: &[u8; 64]) -> bool {
    verify_up_to(public_key, message, signature, |_| {})
}

/// The same for signatures that have been given another form.
pub(super) fn verify_up_to(
    public_key: XOnlyPublicKey,
    message: &[u8; 32],
    signature: &[u8; 64],
    form: fn(&mut [u8; 64]),
) -> bool {
    read_signature(message, signature).is_some_and(|(key, session)| {
        let sound = key.public_key() == Some(public_key)
            && session.signers.count_ones() >= u32::from(key.threshold)
            && session.signers.checked_shr(key.parties.into()).unwrap_or(0) == 0;
        let expected = key.signature(&session, &key.signature_shares(&session)).map(|mut signature| {
            form(&mut signature);
            signature
        });
        sound && expected.as_ref() == Some(signature)
    })
}

fn read_signature(message: &[u8; 32], signature: &[u8; 64]) -> Option<(MockKey, Session)> {
    let (seed, rest) = signature.split_first_chunk()?;
    let ([threshold, parties], rest) = rest.split_first_chunk()?;
    let (signers, rest) = rest.split_first_chunk()?;
    let (tag, _) = rest.split_first_chunk()?;
    let key = MockKey { seed: *seed, threshold: *threshold, parties: *parties };
    let session = Session { message: *message, signers: u32::from_be_bytes(*signers), tag: *tag };
    Some((key, session))
}

/// Mock key generation in three rounds: commit to a contribution, reveal it, confirm the key.
pub(super) struct MockKeygen {
    params: KeygenParams,
    mailbox: Mailbox,
    /// By round and slot; our own included once made.
    bodies: [Vec<Option<[u8; 32]>>; 3],
    phase: Phase,
}

enum Phase {
    Ready { seed: Zeroizing<[u8; 32]> },
    Committed { contribution: [u8; 32] },
    Revealed,
    Confirmed { key: MockKey },
    Ended,
}

const KEY: u8 = CONFIRM + 1;

impl MockKeygen {
    /// `params` have been checked.
    pub(super) fn new(params: KeygenParams, seed: [u8; 32]) -> Self {
        let context = params.context(b"mock");
        let nobody = vec![None; usize::from(params.parties)];
        Self {
            mailbox: Mailbox::new(context, params.me, params.parties, KEY + 1, 32),
            params,
            bodies: [nobody.clone(), nobody.clone(), nobody],
            phase: Phase::Ready { seed: Zeroizing::new(seed) },
        }
    }

    fn send(&mut self, round: u8, body: [u8; 32]) -> Result<Outgoing, Fault> {
        self.put(round, self.params.me, body);
        let payload = self.mailbox.frame(round, &body).ok_or(Fault::by_nobody(FaultReason::Library))?;
        Ok(Outgoing { to: Recipient::All, payload })
    }

    fn put(&mut self, round: u8, slot: Slot, body: [u8; 32]) {
        let place = self.bodies.get_mut(usize::from(round)).and_then(|bodies| bodies.get_mut(slot.index()));
        if let Some(place) = place {
            *place = Some(body);
        }
    }

    fn round(&self, round: u8) -> Vec<[u8; 32]> {
        self.bodies.get(usize::from(round)).into_iter().flatten().flatten().copied().collect()
    }

    /// The first slot whose body of `round` fails the check.
    fn blame(
        &self,
        round: u8,
        reason: FaultReason,
        holds: impl Fn(usize, &[u8; 32]) -> bool,
    ) -> Result<(), Fault> {
        let bodies = self.round(round);
        let slots = (0u16..).map(Slot).zip(&bodies);
        match slots.into_iter().find(|(slot, body)| !holds(slot.index(), body)) {
            Some((slot, _)) => Err(Fault::by(slot, reason)),
            None => Ok(()),
        }
    }

    fn run(&mut self, outgoing: &mut Vec<Outgoing>) -> Result<Option<KeyShare>, Fault> {
        self.mailbox.check()?;
        if let Phase::Ready { seed } = &self.phase {
            let mut contribution = [0; 32];
            rng(seed, &self.params.context(b"mock")).fill_bytes(&mut contribution);
            outgoing.push(self.send(COMMIT, digest("mock/contribution", &[&contribution]))?);
            self.phase = Phase::Committed { contribution };
            self.mailbox.check()?;
        }
        if let Phase::Committed { contribution } = self.phase
            && self.mailbox.missing(COMMIT).is_empty()
        {
            outgoing.push(self.send(CONFIRM, contribution)?);
            self.phase = Phase::Revealed;
            self.mailbox.check()?;
        }
        if matches!(self.phase, Phase::Revealed) && self.mailbox.missing(CONFIRM).is_empty() {
            let commitments = self.round(COMMIT);
            self.blame(CONFIRM, FaultReason::BadDecommitment, |slot, contribution| {
                commitments.get(slot) == Some(&digest("mock/contribution", &[contribution]))
            })?;
            let seed = digest("mock/seed", &[self.round(CONFIRM).as_flattened()]);
            let key = seed
                .first_chunk()
                .and_then(|seed| MockKey::new(*seed, self.params.threshold, self.params.parties))
                .ok_or(Fault::by_nobody(FaultReason::Library))?;
            outgoing.push(self.send(KEY, digest("mock/confirm", &[&key.seed]))?);
            self.phase = Phase::Confirmed { key };
        }
        if let Phase::Confirmed { key } = self.phase
            && self.mailbox.missing(KEY).is_empty()
        {
            self.blame(KEY, FaultReason::BadProof, |_, confirmed| {
                *confirmed == digest("mock/confirm", &[&key.seed])
            })?;
            return KeyShare::new(Secret::Mock(MockShare::new(key, self.params.me)))
                .map(Some)
                .map_err(|_| Fault::by_nobody(FaultReason::Library));
        }
        Ok(None)
    }
}

impl Machine for MockKeygen {
    fn receive(&mut self, from: Slot, payload: &[u8]) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        let Some((round, body)) = self.mailbox.open(from, payload) else {
            return;
        };
        match body.try_into() {
            Ok(body) => self.put(round, from, body),
            Err(_) => self.mailbox.blame(from, FaultReason::Malformed),
        }
    }

    fn advance(&mut self) -> Advance {
        let mut outgoing = Vec::new();
        if matches!(self.phase, Phase::Ended) {
            return Advance { outgoing, progress: Progress::Failed(Fault::by_nobody(FaultReason::Ended)) };
        }
        let progress = match self.run(&mut outgoing) {
            Ok(None) => {
                return Advance { outgoing, progress: Progress::Running };
            }
            Ok(Some(share)) => Progress::Finished(Output::KeyShare(share)),
            Err(fault) => Progress::Failed(fault),
        };
        drop(mem::replace(&mut self.phase, Phase::Ended));
        Advance { outgoing, progress }
    }

    fn waiting_for(&self) -> Vec<Slot> {
        match self.phase {
            Phase::Ready { .. } | Phase::Committed { .. } => self.mailbox.missing(COMMIT),
            Phase::Revealed => self.mailbox.missing(CONFIRM),
            Phase::Confirmed { .. } => self.mailbox.missing(KEY),
            Phase::Ended => Vec::new(),
        }
    }
}
