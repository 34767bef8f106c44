//! Key generation: first the key, then the auxiliary information that presigning needs.

use cggmp24::key_refresh::{KeyRefreshError, PregeneratedPrimes, msg as aux};
use cggmp24::key_share::{AuxInfo, IncompleteKeyShare};
use cggmp24::keygen::{KeygenError, ThresholdMsg};
use cggmp24::{ExecutionId, backend::Integer};
use generic_ec::curves::Secp256k1;
use k256::sha2::Sha256;
use rand_chacha::ChaCha20Rng;
use zeroize::Zeroizing;

use super::primes::Strength;
use super::{Full, Level, Primes, Share};
use crate::mpc::keygen::BLAMES;
use crate::mpc::library::{Driver, Party, Protocol, progress, read_blame};
use crate::mpc::mailbox::{COMMIT, CONFIRM};
use crate::mpc::{
    Advance, Fault, FaultReason, KeyShare, KeygenParams, MAX_PARTIES, Machine, Outgoing, Output,
    RefusedParams, Slot, Stage, digest, rng,
};

type E = Secp256k1;

const OPEN: u8 = 2;
const SHARE: u8 = 3;
const PROVE: u8 = 4;
/// Proofs about one's own modulus, made for each of the others.
const PROVE_TO: u8 = 3;

/// A machine for one key generation; `params` have been checked.
pub(super) fn machine(
    params: &KeygenParams,
    primes: &Primes,
    seed: [u8; 32],
) -> Result<Box<dyn Machine>, RefusedParams> {
    let seed = Zeroizing::new(seed);
    match primes.strength() {
        Strength::Full => start::<Full>(params, primes, &seed),
        #[cfg(any(test, feature = "testing"))]
        Strength::Toy => start::<super::Toy>(params, primes, &seed),
        #[cfg(any(test, feature = "testing"))]
        Strength::Mock => Err(RefusedParams::Primes),
    }
}

fn start<L: Level>(
    params: &KeygenParams,
    primes: &Primes,
    seed: &Zeroizing<[u8; 32]>,
) -> Result<Box<dyn Machine>, RefusedParams> {
    let [p, q, ring_p, ring_q] = primes.numbers::<L>().ok_or(RefusedParams::Primes)?;
    let ring = [ring_p.clone(), ring_q.clone()];
    let pregenerated =
        PregeneratedPrimes::<L>::try_from([p, q, ring_p, ring_q]).map_err(|_| RefusedParams::Primes)?;
    let KeygenParams { execution_id: _, me, parties, threshold } = *params;

    let contexts = Contexts::of(params, L::NAME);
    let (context, rng_) = (contexts.key, rng(seed, &contexts.key));
    let key = Driver::new(Key { threshold }, context, me, parties, |party| {
        generate_key(params.clone(), context, rng_, party)
    });
    let (context, rng_) = (contexts.aux, rng(seed, &contexts.aux));
    let aux = Driver::new(Aux::<L>(std::marker::PhantomData), context, me, parties, |party| {
        generate_aux(me.0, parties, pregenerated, context, rng_, party)
    });
    Ok(Box::new(Keygen::new(key, aux, |core, aux| {
        let share = Share::new(core, aux, ring)?;
        KeyShare::new(L::keep(share)).ok()
    })))
}

/// The contexts of the two protocols of one key generation.
pub(super) struct Contexts {
    pub(super) key: [u8; 32],
    pub(super) aux: [u8; 32],
}

impl Contexts {
    pub(super) fn of(params: &KeygenParams, suite: &[u8]) -> Self {
        let run = params.context(suite);
        let phase = |name: &[u8]| digest("mpc-wallet/phase", &[&run, name]);
        Self { key: phase(b"key"), aux: phase(b"auxiliary information") }
    }
}

async fn generate_key(
    params: KeygenParams,
    context: [u8; 32],
    mut rng: ChaCha20Rng,
    party: Party<<Key as Protocol>::Msg>,
) -> Result<IncompleteKeyShare<E>, KeygenError> {
    cggmp24::keygen::<E>(ExecutionId::new(&context), params.me.0, params.parties)
        .set_threshold(params.threshold)
        .enforce_reliable_broadcast(true)
        .start(&mut rng, party)
        .await
}

async fn generate_aux<L: Level>(
    me: u16,
    parties: u16,
    primes: PregeneratedPrimes<L>,
    context: [u8; 32],
    mut rng: ChaCha20Rng,
    party: Party<aux::Msg<Sha256, L>>,
) -> Result<AuxInfo<L>, KeyRefreshError> {
    cggmp24::aux_info_gen(ExecutionId::new(&context), me, parties, primes)
        .enforce_reliable_broadcast(true)
        .start(&mut rng, party)
        .await
}

/// The protocol for the key.
struct Key {
    threshold: u16,
}

impl Protocol for Key {
    type Msg = ThresholdMsg<E, Full, Sha256>;
    type Output = IncompleteKeyShare<E>;
    type Error = KeygenError;

    const NAME: &'static str = "key generation";
    const AWAITED: &'static [&'static [u8]] = &[&[COMMIT], &[CONFIRM], &[OPEN, SHARE], &[PROVE]];
    const PRIVATE: &'static [u8] = &[SHARE];
    /// As for the Taproot key.
    const MAX_BODY: usize = 256 + 80 * MAX_PARTIES as usize;

    fn round_of(message: &Self::Msg) -> u8 {
        match message {
            ThresholdMsg::Round1(_) => COMMIT,
            ThresholdMsg::ReliabilityCheck(_) => CONFIRM,
            ThresholdMsg::Round2Broad(_) => OPEN,
            ThresholdMsg::Round2Uni(_) => SHARE,
            ThresholdMsg::Round3(_) => PROVE,
        }
    }

    fn accept(&self, message: &Self::Msg) -> Result<(), FaultReason> {
        match message {
            // The library refuses this too; it stands here because locked funds are beyond repair.
            ThresholdMsg::Round2Broad(opening) if opening.F.coefs().len() != usize::from(self.threshold) => {
                Err(FaultReason::BadPolynomial)
            }
            ThresholdMsg::Round1(_)
            | ThresholdMsg::Round2Broad(_)
            | ThresholdMsg::Round2Uni(_)
            | ThresholdMsg::Round3(_)
            | ThresholdMsg::ReliabilityCheck(_) => Ok(()),
        }
    }

    fn blame(error: &KeygenError) -> Fault {
        read_blame(error, &BLAMES)
    }
}

/// The protocol for the auxiliary information.
struct Aux<L>(std::marker::PhantomData<L>);

impl<L: Level> Protocol for Aux<L> {
    type Msg = aux::Msg<Sha256, L>;
    type Output = AuxInfo<L>;
    type Error = KeyRefreshError;

    const NAME: &'static str = "proofs of the Paillier keys";
    const AWAITED: &'static [&'static [u8]] = &[&[COMMIT], &[CONFIRM], &[OPEN], &[PROVE_TO]];
    const PRIVATE: &'static [u8] = &[PROVE_TO];
    /// The largest is the proof to each: some 270 numbers of 3072 bits, in hexadecimal, 207 kB.
    const MAX_BODY: usize = 224 * 1024;

    fn round_of(message: &Self::Msg) -> u8 {
        match message {
            aux::Msg::Round1(_) => COMMIT,
            aux::Msg::ReliabilityCheck(_) => CONFIRM,
            aux::Msg::Round2(_) => OPEN,
            aux::Msg::Round3(_) => PROVE_TO,
        }
    }

    fn accept(&self, message: &Self::Msg) -> Result<(), FaultReason> {
        match message {
            aux::Msg::Round2(opening) if !is_modulus::<L>(&opening.N) || !is_modulus::<L>(&opening.hat_N) => {
                Err(FaultReason::BadPaillierKey)
            }
            aux::Msg::Round1(_)
            | aux::Msg::Round2(_)
            | aux::Msg::Round3(_)
            | aux::Msg::ReliabilityCheck(_) => Ok(()),
        }
    }

    fn blame(error: &KeyRefreshError) -> Fault {
        let by = "faulty_party: ";
        read_blame(
            error,
            &[
                ("InvalidDecommitment", by, FaultReason::BadDecommitment),
                ("InvalidModProof", by, FaultReason::BadPaillierKey),
                ("InvalidFacProof", by, FaultReason::BadPaillierKey),
                ("InvalidRingPedersenParameters", by, FaultReason::BadPaillierKey),
                ("Round1NotReliable", by, FaultReason::BadEcho),
            ],
        )
    }
}

/// Whether a number can be the product of two odd primes of the level's length.
fn is_modulus<L: Level>(n: &Integer) -> bool {
    let full = u64::from(2 * L::RSA_PRIME_BITLEN);
    n.cmp0().is_gt() && !n.is_even() && (full - 1..=full).contains(&n.significant_bits())
}

/// Makes the share of what the two protocols yielded.
type Join<K, A> =
    Box<dyn FnOnce(<K as Protocol>::Output, <A as Protocol>::Output) -> Option<KeyShare> + Send>;

/// One protocol after the other, as one machine. Messages of the second may arrive during the first.
pub(super) struct Keygen<K: Protocol, A: Protocol> {
    key: Driver<K>,
    aux: Driver<A>,
    state: State<K, A>,
}

enum State<K: Protocol, A: Protocol> {
    Key(Join<K, A>),
    Aux(K::Output, Join<K, A>),
    Ended,
}

impl<K: Protocol, A: Protocol> Keygen<K, A> {
    pub(super) fn new(
        key: Driver<K>,
        aux: Driver<A>,
        join: impl FnOnce(K::Output, A::Output) -> Option<KeyShare> + Send + 'static,
    ) -> Self {
        Self { key, aux, state: State::Key(Box::new(join)) }
    }

    /// Goes as far as the messages allow; every way that does not put a state in place leaves the end.
    fn run(&mut self, outgoing: &mut Vec<Outgoing>) -> Result<Option<Output>, Fault> {
        let mut state = std::mem::replace(&mut self.state, State::Ended);
        if let State::Key(join) = state {
            let Some(core) = self.key.advance(outgoing)? else {
                self.state = State::Key(join);
                return Ok(None);
            };
            state = State::Aux(core, join);
        }
        let State::Aux(core, join) = state else {
            return Err(Fault::by_nobody(FaultReason::Ended));
        };
        let Some(aux) = self.aux.advance(outgoing)? else {
            self.state = State::Aux(core, join);
            return Ok(None);
        };
        let share = join(core, aux).ok_or(Fault::by_nobody(FaultReason::Library))?;
        Ok(Some(Output::KeyShare(share)))
    }
}

impl<K: Protocol, A: Protocol> Machine for Keygen<K, A> {
    fn receive(&mut self, from: Slot, payload: &[u8]) {
        if self.aux.is_addressed_by(payload) {
            self.aux.receive(from, payload);
        } else {
            self.key.receive(from, payload);
        }
    }

    fn advance(&mut self) -> Advance {
        let mut outgoing = Vec::new();
        let progress = progress(self.run(&mut outgoing));
        if matches!(self.state, State::Ended) {
            self.key.stop();
            self.aux.stop();
        }
        Advance { outgoing, progress }
    }

    fn waiting_for(&self) -> Vec<Slot> {
        match &self.state {
            State::Key(_) => self.key.waiting_for(),
            State::Aux(..) => self.aux.waiting_for(),
            State::Ended => Vec::new(),
        }
    }

    fn stage(&self) -> Option<Stage> {
        match &self.state {
            State::Key(_) => self.key.stage(),
            State::Aux(..) => self.aux.stage(),
            State::Ended => None,
        }
    }
}
