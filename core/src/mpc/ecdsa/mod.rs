//! Threshold ECDSA for the SegWit key: CGGMP24 of the library `cggmp24`, with exactly `t` signers.
//!
//! # Protocols
//!
//! 1. **Safe primes** ([`Primes`]): minutes of CPU time, alone, ahead of the key generation.
//! 2. **Key generation**: the threshold protocol for the key, then the auxiliary protocol, in which every party
//!    proves its Paillier key and ring-Pedersen parameters to every other. One machine. The execution id of
//!    each is derived from the run's context and its name.
//! 3. **Presigning** ([`PresigningParams`]): seconds of CPU time, no message needed. Yields a [`Presignature`]
//!    at each signer.
//! 4. **Online signing** ([`OnlineParams`]): one round from presignatures, microseconds.
//! 5. **Interactive signing** (`SigningParams`): 3 and 4 in one machine, for when no presignature is left.
//!
//! # What is upheld here, and the attack that follows otherwise
//!
//! | rule | attack without it |
//! |---|---|
//! | a presignature is moved into the one run that uses it, is neither cloned nor rebuilt, and makes one partial signature | two signatures from one presignature reveal the key |
//! | a pooled presignature signs only the double SHA-256 of bytes that the caller shows | a digest chosen to suit a known presignature forges a signature on another message (Groth and Shoup, 2021/1330, section 1.1.2) |
//! | a digest without its bytes is signed only with presignatures made after the digest was fixed | the same |
//! | no derivation of child keys | presignatures and additive derivation together allow forgery (the same paper) |
//! | every partial signature is checked against the public part of the presignature | one bad partial signature spoils the result and nobody knows whose it was |
//! | every partial signature names its presignature | signers that hold another one are taken for cheaters |
//! | moduli are odd, positive and of the full length before the library sees them | its arithmetic panics on some of the others |
//! | all proofs are on, at the level of 128 bits, in every build that can hold coins | a small or structured modulus gives the key share away (CVE-2023-33241) |
//! | an aborted presigning is final | repeated aborts each leak a bit (eprint 2021/1621): the caller must not start over with the same peers in silence |
//!
//! The library keeps Paillier secrets and nonces in numbers that are dropped without being erased; what this
//! crate holds itself is erased.

use std::collections::BTreeSet;
use std::sync::Arc;

use cggmp24::security_level::{SecurityLevel, SecurityLevel128};

use super::key::Secret;
use super::library::progress;
use super::{
    Advance, KeyShare, KeygenParams, MAX_MESSAGES, Machine, Output, RefusedParams, SigningParams, Slot, Stage,
};

mod interactive;
mod keygen;
#[cfg(any(test, feature = "testing"))]
pub(super) mod mock;
mod online;
mod presignature;
mod presigning;
mod primes;
mod share;

pub use online::{MAX_PREIMAGE, OnlineParams};
pub(super) use presignature::verify;
pub use presignature::{Presignature, PresignatureError};
pub use presigning::PresigningParams;
pub use primes::{Prime, PrimeSearch, Primes, PrimesError};
pub(super) use share::Share;

#[cfg(not(any(feature = "num-bigint", feature = "gmp")))]
compile_error!("no big numbers for ECDSA: choose the feature num-bigint or gmp");
#[cfg(all(feature = "num-bigint", feature = "gmp"))]
compile_error!(
    "features num-bigint and gmp exclude each other: with both, the slow one would be used; add --no-default-features"
);

/// A level of security of the library.
pub(super) trait Level: SecurityLevel {
    /// Tells levels apart in digests.
    const NAME: &'static [u8];

    /// A share at this level as it is kept.
    fn keep(share: Share<Self>) -> Secret;
}

/// 128 bits: the only level for coins.
pub(super) type Full = SecurityLevel128;

impl Level for Full {
    const NAME: &'static [u8] = b"cggmp24";

    fn keep(share: Share<Self>) -> Secret {
        Secret::Cggmp24(Arc::new(share))
    }
}

/// No security: about the smallest numbers for which all proofs hold (moduli of 4 × 256 bits and more).
#[cfg(any(test, feature = "testing"))]
#[derive(Clone)]
pub(super) struct Toy;

#[cfg(any(test, feature = "testing"))]
cggmp24::define_security_level!(Toy {
    kappa_bits: 256,
    rsa_prime_bitlen: 520,
    rsa_pubkey_bitlen: 1039,
    epsilon: 320,
    ell: 256,
    ell_prime: 640,
    m: 128,
});

#[cfg(any(test, feature = "testing"))]
impl Level for Toy {
    const NAME: &'static [u8] = b"cggmp24 toy";

    fn keep(share: Share<Self>) -> Secret {
        Secret::ToyCggmp24(Arc::new(share))
    }
}

/// A machine for one key generation; `params` have been checked.
pub(super) fn keygen(
    params: &KeygenParams,
    primes: &Primes,
    seed: [u8; 32],
) -> Result<Box<dyn Machine>, RefusedParams> {
    keygen::machine(params, primes, seed)
}

/// A machine for one presigning.
pub(super) fn presigning(
    share: Arc<KeyShare>,
    params: &PresigningParams,
    seed: [u8; 32],
) -> Result<Box<dyn Machine>, RefusedParams> {
    check_signers(&share, params.me, &params.signers)?;
    presigning::start(share, params, &seed.into()).map(|run| Box::new(Presigning(run)) as Box<dyn Machine>)
}

/// A machine for one online round.
pub(super) fn online(
    share: &KeyShare,
    presignatures: Vec<Presignature>,
    params: &OnlineParams,
) -> Result<Box<dyn Machine>, RefusedParams> {
    check_signers(share, params.me, &params.signers)?;
    let messages = params.preimages.len();
    if !(1..=MAX_MESSAGES).contains(&messages) {
        return Err(RefusedParams::Messages { messages });
    }
    let digests = params.digests().ok_or(RefusedParams::Preimage)?;
    let fits = |presignature: &Presignature| {
        let terms = presignature.terms();
        terms.key == share.public_digest() && terms.me == params.me && terms.signers == params.signers
    };
    let ids: BTreeSet<_> = presignatures.iter().map(Presignature::id).collect();
    if ids.len() != messages || presignatures.len() != messages || !presignatures.iter().all(fits) {
        return Err(RefusedParams::Presignatures);
    }
    let context = online::context(&params.execution_id, &params.signers, &digests, share);
    let mut online = online::Online::new(context, params.me, parties(&params.signers), digests, share);
    online.supply(presignatures);
    Ok(Box::new(online))
}

/// A machine that presigns and signs; `params` have been checked, apart from the number of signers.
pub(super) fn interactive(
    share: &Arc<KeyShare>,
    params: &SigningParams,
    seed: [u8; 32],
) -> Result<Box<dyn Machine>, RefusedParams> {
    check_signers(share, params.me, &params.signers)?;
    Ok(Box::new(interactive::Interactive::new(share, params, seed)?))
}

/// Exactly threshold many signers of the key, this party among them.
fn check_signers(share: &KeyShare, me: Slot, signers: &[Slot]) -> Result<(), RefusedParams> {
    super::check_signers(share, me, signers)?;
    let threshold = share.threshold();
    if signers.len() > usize::from(threshold) {
        return Err(RefusedParams::TooManySigners { signers: signers.len(), threshold });
    }
    Ok(())
}

/// The number of parties of a run of these signers, who are at most [`super::MAX_PARTIES`].
fn parties(signers: &[Slot]) -> u16 {
    u16::try_from(signers.len()).unwrap_or(u16::MAX)
}

/// A presigning on its own.
struct Presigning(presigning::AnyDriver);

impl Machine for Presigning {
    fn receive(&mut self, from: Slot, payload: &[u8]) {
        self.0.receive(from, payload);
    }

    fn advance(&mut self) -> Advance {
        let mut outgoing = Vec::new();
        let made = self.0.advance(&mut outgoing);
        let progress = progress(made.map(|made| made.map(Output::Presignature)));
        Advance { outgoing, progress }
    }

    fn waiting_for(&self) -> Vec<Slot> {
        self.0.waiting_for()
    }

    fn stage(&self) -> Option<Stage> {
        self.0.stage()
    }
}
