//! Presigning: the part of a signature that needs no message.

use std::sync::Arc;

use cggmp24::ExecutionId;
use cggmp24::signing::msg::Msg;
use cggmp24::signing::{PresignaturePublicData, SigningError};
use generic_ec::curves::Secp256k1;
use k256::sha2::Sha256;
use rand_chacha::ChaCha20Rng;
use zeroize::Zeroizing;

use super::presignature::{Presignature, Terms};
use super::{Level, Share};
use crate::mpc::key::Secret;
use crate::mpc::library::{Driver, Party, Protocol, read_blame};
use crate::mpc::mailbox::{COMMIT, CONFIRM};
use crate::mpc::{Fault, FaultReason, KeyShare, RefusedParams, Slot, digest, rng};

type E = Secp256k1;

/// Proofs about the encrypted commitments, made for each of the others.
const PROVE_TO: u8 = 2;
/// Products of secrets, encrypted for each of the others.
const MULTIPLY: u8 = 3;
const CLOSE: u8 = 4;

/// Parameters of a presigning. Every party must use the same, apart from `me`.
#[derive(Debug, Clone)]
pub struct PresigningParams {
    /// Unique to this run.
    pub execution_id: [u8; 32],
    /// This party's position in `signers`; slots of the run are such positions.
    pub me: Slot,
    /// Who signs, as indices in the key, strictly ascending; exactly threshold many.
    pub signers: Vec<Slot>,
}

impl PresigningParams {
    /// What makes this run different from every other: bound into every message and proof.
    fn context(&self, share: &KeyShare) -> [u8; 32] {
        let signers: Vec<u8> = self.signers.iter().flat_map(|slot| slot.0.to_be_bytes()).collect();
        digest("mpc-wallet/presigning", &[&self.execution_id, &share.public_digest(), &signers])
    }

    pub(super) fn terms(&self, share: &KeyShare) -> Terms {
        Terms { key: share.public_digest(), me: self.me, signers: self.signers.clone() }
    }
}

/// One presigning, as far as it is alike at all levels.
pub(super) type AnyDriver = Box<dyn Run>;

/// A run that yields a presignature.
pub(super) trait Run: Send {
    /// See [`Driver::is_addressed_by`].
    fn is_addressed_by(&self, payload: &[u8]) -> bool;
    /// See [`crate::mpc::Machine::receive`].
    fn receive(&mut self, from: Slot, payload: &[u8]);
    /// See [`Driver::advance`].
    fn advance(&mut self, outgoing: &mut Vec<crate::mpc::Outgoing>) -> Result<Option<Presignature>, Fault>;
    /// See [`crate::mpc::Machine::waiting_for`].
    fn waiting_for(&self) -> Vec<Slot>;
    /// See [`crate::mpc::Machine::stage`].
    fn stage(&self) -> Option<crate::mpc::Stage>;
}

/// A driver with what makes a presignature of its output.
struct Presigning<P: Protocol> {
    driver: Driver<P>,
    terms: Terms,
    make: fn(P::Output, Terms, &KeyShare) -> Option<Presignature>,
    share: Arc<KeyShare>,
}

impl<P: Protocol> Run for Presigning<P> {
    fn is_addressed_by(&self, payload: &[u8]) -> bool {
        self.driver.is_addressed_by(payload)
    }

    fn receive(&mut self, from: Slot, payload: &[u8]) {
        self.driver.receive(from, payload);
    }

    fn advance(&mut self, outgoing: &mut Vec<crate::mpc::Outgoing>) -> Result<Option<Presignature>, Fault> {
        let Some(output) = self.driver.advance(outgoing)? else {
            return Ok(None);
        };
        (self.make)(output, self.terms.clone(), &self.share)
            .map(Some)
            .ok_or(Fault::by_nobody(FaultReason::Library))
    }

    fn waiting_for(&self) -> Vec<Slot> {
        self.driver.waiting_for()
    }

    fn stage(&self) -> Option<crate::mpc::Stage> {
        self.driver.stage()
    }
}

/// A run with this key share; `params` have been checked.
pub(super) fn start(
    share: Arc<KeyShare>,
    params: &PresigningParams,
    seed: &Zeroizing<[u8; 32]>,
) -> Result<AnyDriver, RefusedParams> {
    match share.secret() {
        Secret::Cggmp24(own) => Ok(at_level(own.clone(), share.clone(), params, seed)),
        #[cfg(any(test, feature = "testing"))]
        Secret::ToyCggmp24(own) => Ok(at_level(own.clone(), share.clone(), params, seed)),
        #[cfg(any(test, feature = "testing"))]
        Secret::MockEcdsa(_) => {
            let context = params.context(&share);
            let signers = super::parties(&params.signers);
            Ok(Box::new(Presigning {
                driver: super::mock::driver::<super::mock::Presigning>(context, params.me, signers, seed),
                terms: params.terms(&share),
                make: super::mock::presignature,
                share,
            }))
        }
        #[cfg(any(test, feature = "testing"))]
        Secret::Mock(_) => Err(RefusedParams::Share),
        Secret::Givre(_) => Err(RefusedParams::Share),
    }
}

fn at_level<L: Level>(
    own: Arc<Share<L>>,
    share: Arc<KeyShare>,
    params: &PresigningParams,
    seed: &Zeroizing<[u8; 32]>,
) -> AnyDriver {
    let context = params.context(&share);
    let rng = rng(seed, &context);
    let signers: Vec<u16> = params.signers.iter().map(|slot| slot.0).collect();
    let driver = Driver::new(Cggmp24, context, params.me, super::parties(&params.signers), |party| {
        run(own, params.me, signers, context, rng, party)
    });
    let make = |(secret, public), terms, share: &KeyShare| Presignature::new(secret, public, terms, share);
    Box::new(Presigning { driver, terms: params.terms(&share), make, share })
}

async fn run<L: Level>(
    share: Arc<Share<L>>,
    me: Slot,
    signers: Vec<u16>,
    context: [u8; 32],
    mut rng: ChaCha20Rng,
    party: Party<Msg<E, Sha256>>,
) -> Result<(cggmp24::Presignature<E>, PresignaturePublicData<E>), SigningError> {
    cggmp24::signing(ExecutionId::new(&context), me.0, &signers, share.whole())
        .enforce_reliable_broadcast(true)
        .generate_presignature(&mut rng, party)
        .await
}

/// The library's protocol.
struct Cggmp24;

impl Protocol for Cggmp24 {
    type Msg = Msg<E, Sha256>;
    type Output = (cggmp24::Presignature<E>, PresignaturePublicData<E>);
    type Error = SigningError;

    const NAME: &'static str = "presigning";
    const AWAITED: &'static [&'static [u8]] = &[&[COMMIT, PROVE_TO], &[CONFIRM], &[MULTIPLY], &[CLOSE]];
    const PRIVATE: &'static [u8] = &[PROVE_TO, MULTIPLY];
    /// The largest is that of the products: four ciphertexts and their proofs, in hexadecimal, 27 kB.
    const MAX_BODY: usize = 32 * 1024;

    fn round_of(message: &Self::Msg) -> u8 {
        match message {
            Msg::Round1a(_) => COMMIT,
            Msg::ReliabilityCheck(_) => CONFIRM,
            Msg::Round1b(_) => PROVE_TO,
            Msg::Round2(_) => MULTIPLY,
            Msg::Round3(_) => CLOSE,
            // Never sent without a message to sign; no round has this number.
            Msg::Round4(_) => u8::MAX,
        }
    }

    fn accept(&self, _: &Self::Msg) -> Result<(), FaultReason> {
        Ok(())
    }

    fn blame(error: &SigningError) -> Fault {
        let by = "faulty_party: ";
        read_blame(
            error,
            &[
                ("EncProofOfK", by, FaultReason::BadCiphertext),
                ("InvalidPsi", by, FaultReason::BadCiphertext),
                ("Round1aNotReliable", by, FaultReason::BadEcho),
                ("MismatchedDelta", by, FaultReason::BadPresignature),
            ],
        )
    }
}
