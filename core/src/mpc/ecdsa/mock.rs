//! Threshold ECDSA without security for simulators: the rounds of the real protocols at the price of a few
//! hashes. The key and its shares are those of the [mock scheme](crate::mpc::mock).

use std::collections::BTreeMap;
use std::marker::PhantomData;

use bitcoin::XOnlyPublicKey;
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use round_based::{Incoming, MessageDestination, SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::keygen::{Contexts, Keygen};
use super::presignature::Terms;
use super::primes::Strength;
use super::{Presignature, Primes};
use crate::mpc::key::Secret;
use crate::mpc::library::{Driver, Party, Protocol};
use crate::mpc::mailbox::{COMMIT, CONFIRM};
use crate::mpc::mock::{self, MockKey, MockShare, Session, marked};
use crate::mpc::{Fault, FaultReason, KeyShare, KeygenParams, Machine, RefusedParams, Slot, digest, rng};

/// Secret number `index` of a seed, with the mark of mock secrets.
pub(super) fn secret(seed: &[u8; 32], index: u8) -> [u8; 32] {
    marked(&digest("mock/ecdsa-secret", &[seed, &[index]]))
}

/// A machine for one key generation; `params` have been checked.
pub(in crate::mpc) fn keygen(
    params: &KeygenParams,
    primes: &Primes,
    seed: [u8; 32],
) -> Result<Box<dyn Machine>, RefusedParams> {
    if primes.strength() != Strength::Mock {
        return Err(RefusedParams::Primes);
    }
    let seed = Zeroizing::new(seed);
    let KeygenParams { execution_id: _, me, parties, threshold } = *params;
    let contexts = Contexts::of(params, b"mock ecdsa");
    let key = driver::<Key>(contexts.key, me, parties, &seed);
    let aux = driver::<Aux>(contexts.aux, me, parties, &seed);
    Ok(Box::new(Keygen::new(key, aux, move |agreed, _| {
        let key = MockKey::new(*agreed.first_chunk()?, threshold, parties)?;
        KeyShare::new(Secret::MockEcdsa(MockShare::new(key, me))).ok()
    })))
}

/// What a mock protocol imitates.
pub(super) trait Imitation: Send + 'static {
    const NAME: &'static str;
    const AWAITED: &'static [&'static [u8]];
    const PRIVATE: &'static [u8];
    /// What a false proof is called.
    const FALSE: FaultReason;
}

/// The protocol for the key.
struct Key;

impl Imitation for Key {
    const NAME: &'static str = "key generation";
    const AWAITED: &'static [&'static [u8]] = &[&[COMMIT], &[CONFIRM], &[2, 3], &[4]];
    const PRIVATE: &'static [u8] = &[3];
    const FALSE: FaultReason = FaultReason::BadProof;
}

/// The protocol for the auxiliary information.
struct Aux;

impl Imitation for Aux {
    const NAME: &'static str = "proofs of the Paillier keys";
    const AWAITED: &'static [&'static [u8]] = &[&[COMMIT], &[CONFIRM], &[2], &[3]];
    const PRIVATE: &'static [u8] = &[3];
    const FALSE: FaultReason = FaultReason::BadPaillierKey;
}

/// A protocol in which the parties commit to contributions, reveal them in the round of the confirmations, and
/// fill the other rounds with values that each recipient can check.
pub(super) struct Mock<I>(PhantomData<I>);

/// Any message.
#[derive(Serialize, Deserialize)]
pub(super) struct Message {
    round: u8,
    value: [u8; 32],
}

/// How it fails.
#[derive(Debug)]
pub(super) enum Failure {
    False(Slot),
    Decommitment(Slot),
    Network,
}

impl<I: Imitation> Protocol for Mock<I> {
    type Msg = Message;
    /// Digest of all contributions, the same at every party.
    type Output = [u8; 32];
    type Error = Failure;

    const NAME: &'static str = I::NAME;
    const AWAITED: &'static [&'static [u8]] = I::AWAITED;
    const PRIVATE: &'static [u8] = I::PRIVATE;
    const MAX_BODY: usize = 33;

    fn round_of(message: &Message) -> u8 {
        message.round
    }

    fn accept(&self, _: &Message) -> Result<(), FaultReason> {
        Ok(())
    }

    fn blame(error: &Failure) -> Fault {
        match error {
            Failure::False(slot) => Fault::by(*slot, I::FALSE),
            Failure::Decommitment(slot) => Fault::by(*slot, FaultReason::BadDecommitment),
            Failure::Network => Fault::by_nobody(FaultReason::Library),
        }
    }
}

/// One run of an imitation.
pub(super) fn driver<I: Imitation>(
    context: [u8; 32],
    me: Slot,
    parties: u16,
    seed: &Zeroizing<[u8; 32]>,
) -> Driver<Mock<I>> {
    let rng = rng(seed, &context);
    Driver::new(Mock(PhantomData), context, me, parties, |party| run::<I>(context, me, parties, rng, party))
}

async fn run<I: Imitation>(
    context: [u8; 32],
    me: Slot,
    parties: u16,
    mut rng: ChaCha20Rng,
    party: Party<Message>,
) -> Result<[u8; 32], Failure> {
    let mut network = Network { party, parties, arrived: BTreeMap::new() };
    let mut contribution = [0; 32];
    rng.fill_bytes(&mut contribution);
    let commitment = digest("mock/contribution", &[&contribution]);
    let filler = |round: u8, from: Slot, to: Option<Slot>| {
        let to = to.map(|to| to.0.to_be_bytes()).unwrap_or_default();
        digest("mock/filler", &[&context, &[round], &from.0.to_be_bytes(), &to])
    };
    for awaited in I::AWAITED {
        for &round in *awaited {
            match round {
                COMMIT => network.send(round, None, commitment).await?,
                CONFIRM => network.send(round, None, contribution).await?,
                _ if I::PRIVATE.contains(&round) => {
                    for to in (0..parties).map(Slot).filter(|to| *to != me) {
                        network.send(round, Some(to), filler(round, me, Some(to))).await?;
                    }
                }
                _ => network.send(round, None, filler(round, me, None)).await?,
            }
        }
        for &round in *awaited {
            let arrived = network.all(round).await?;
            let to = Some(me).filter(|_| I::PRIVATE.contains(&round));
            let lie =
                arrived.iter().find(|(from, value)| round > CONFIRM && **value != filler(round, **from, to));
            if let Some((from, _)) = lie {
                return Err(Failure::False(*from));
            }
        }
    }
    let commitments = network.all(COMMIT).await?;
    let mut contributions = network.all(CONFIRM).await?;
    let differs =
        |from: &Slot, value: &[u8; 32]| commitments.get(from) != Some(&digest("mock/contribution", &[value]));
    if let Some((from, _)) = contributions.iter().find(|(from, value)| differs(from, value)) {
        return Err(Failure::Decommitment(*from));
    }
    contributions.insert(me, contribution);
    let all: Vec<[u8; 32]> = contributions.into_values().collect();
    Ok(digest("mock/agreed", &[&context, all.as_flattened()]))
}

/// A party's network, with what has arrived.
struct Network {
    party: Party<Message>,
    parties: u16,
    arrived: BTreeMap<u8, BTreeMap<Slot, [u8; 32]>>,
}

impl Network {
    async fn send(&mut self, round: u8, to: Option<Slot>, value: [u8; 32]) -> Result<(), Failure> {
        let recipient = to.map_or(MessageDestination::AllParties, |to| MessageDestination::OneParty(to.0));
        let message = round_based::Outgoing { recipient, msg: Message { round, value } };
        self.party.delivery.1.send(message).await.map_err(|_| Failure::Network)
    }

    /// What the others sent in a round, once all have.
    async fn all(&mut self, round: u8) -> Result<BTreeMap<Slot, [u8; 32]>, Failure> {
        loop {
            let arrived = self.arrived.entry(round).or_default();
            if arrived.len() + 1 == usize::from(self.parties) {
                return Ok(arrived.clone());
            }
            let next = self.party.delivery.0.next().await;
            let Some(Ok(Incoming { sender, msg, .. })) = next else { return Err(Failure::Network) };
            self.arrived.entry(msg.round).or_default().insert(Slot(sender), msg.value);
        }
    }
}

/// The protocol for a presignature.
pub(super) struct Presigning;

impl Imitation for Presigning {
    const NAME: &'static str = "presigning";
    const AWAITED: &'static [&'static [u8]] = &[&[COMMIT, 2], &[CONFIRM], &[3], &[4]];
    const PRIVATE: &'static [u8] = &[2, 3];
    const FALSE: FaultReason = FaultReason::BadCiphertext;
}

/// What a presigning yields.
#[derive(ZeroizeOnDrop)]
pub(super) struct MockPresignature {
    /// Never used; here to be found where it must not be.
    secret: [u8; 32],
    #[zeroize(skip)]
    agreed: [u8; 32],
    #[zeroize(skip)]
    key: MockKey,
}

/// Makes a presignature of what the parties agreed on.
pub(super) fn presignature(agreed: [u8; 32], terms: Terms, share: &KeyShare) -> Option<Presignature> {
    let Secret::MockEcdsa(own) = share.secret() else { return None };
    let me = terms.me.0.to_be_bytes();
    let secret = marked(&digest("mock/presignature-secret", &[&agreed, &me]));
    Some(Presignature::mock(MockPresignature { secret, agreed, key: own.key() }, terms))
}

impl MockPresignature {
    /// What tells it from every other. Public.
    pub(super) fn tag(&self) -> [u8; 32] {
        self.agreed
    }

    pub(super) fn partial(&self, signers: &[Slot], signer: Slot, message: &[u8; 32]) -> [u8; 32] {
        signers
            .get(signer.index())
            .map(|index| self.key.signature_share(*index, &self.session(signers, message)))
            .unwrap_or_default()
    }

    pub(super) fn combine(
        &self,
        signers: &[Slot],
        message: &[u8; 32],
        partials: &[[u8; 32]],
    ) -> Option<[u8; 64]> {
        let mut signature = self.key.signature(&self.session(signers, message), partials)?;
        low(&mut signature);
        verify(self.key.public_key()?, message, &signature).then_some(signature)
    }

    fn session(&self, signers: &[Slot], message: &[u8; 32]) -> Session {
        Session::new(*message, signers, &self.agreed)
    }

    /// One of a key that nobody has.
    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    pub(super) fn fixture(number: u8) -> Self {
        Self { secret: [number; 32], agreed: [number; 32], key: MockKey::new([0; _], 2, 3).unwrap() }
    }

    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.secret.as_slice(), &self.agreed, &self.key.to_bytes()].concat())
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (secret, bytes) = bytes.split_first_chunk()?;
        let (agreed, key) = bytes.split_first_chunk()?;
        Some(Self { secret: *secret, agreed: *agreed, key: MockKey::from_bytes(key)? })
    }
}

/// Whether threshold many shares of the key made this signature for this message.
pub(in crate::mpc) fn verify(public_key: XOnlyPublicKey, message: &[u8; 32], signature: &[u8; 64]) -> bool {
    mock::verify_up_to(public_key, message, signature, low)
}

/// Gives a mock signature the form of an ECDSA signature with low S.
fn low(signature: &mut [u8; 64]) {
    let [_, s] = signature.as_chunks_mut::<32>().0 else { return };
    s[0] &= 0x7f;
}
