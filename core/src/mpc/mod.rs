//! Multi-party protocols as owned machines: key generation and signing for the Taproot wallet, and for the SegWit
//! wallet in [`ecdsa`].
//!
//! A [`Machine`] is one party's part in one run. It holds everything it needs, performs no I/O, reads no
//! clock, and can be moved to a worker thread. Messages go in through [`Machine::receive`], work happens in
//! [`Machine::advance`], and messages for the other parties come out of it. Who a party is outside the run
//! (node id, certificate) is the caller's business: here it is a [`Slot`].
//!
//! # What the caller must provide
//!
//! - **Authentic senders.** `from` is the identity the transport proved, never a field of the message.
//!   Otherwise anyone speaks for anyone, and a named culprit may be innocent.
//! - **Private channels.** Key generation sends each party a secret share ([`Recipient::One`]).
//! - **A fresh execution id and a fresh seed for every run**, also across restarts. The seed is 32 bytes of
//!   operating system entropy; two runs from one seed with different peers' commitments reuse a nonce, which
//!   gives the key share away. A machine is never stored and never rebuilt from its inputs.
//! - **Deadlines.** A machine waits for ever; [`Machine::waiting_for`] names the silent when time is up.
//! - **The digest to sign.** A machine signs the 32 bytes that it is given; that they are the signature hash
//!   of an approved transaction is checked before.
//!
//! # What a machine upholds, and the attack that follows otherwise
//!
//! | rule | attack without it |
//! |---|---|
//! | every message carries the *context*: a hash of the execution id and of every parameter of the run | replay of another run's message; parties with different parameters accusing each other half-way |
//! | a nonce is made for one message of one run, moved into its one use and dropped | nonce reuse: two shares under one nonce reveal the key share |
//! | a signature share exists only after all commitments have arrived and agree | nonces chosen after seeing ours; with the binding factor this closes the attacks on concurrent runs (Drijvers et al., ROS) |
//! | commitments are valid points other than infinity | a nonce with a missing half is not bound to the message |
//! | the second round repeats what was seen in the first (a *view*: one digest for each party) | *multicast is not broadcast*: a party that tells two stories makes honest parties fail each other's checks and ban each other |
//! | each share is checked against its signer's public share | one bad share spoils the signature and nobody knows whose it was |
//! | key generation accepts only polynomials of exactly `t` coefficients | a longer one raises the threshold above what the parties believe, and locks the funds |
//! | slots are `0..n` with evaluation points `1..=n`, each once | evaluation at zero is the secret key itself |
//! | the finished signature is verified, by another library, under the BIP-341 output key | a faulty signature leaves the node and may leak the key |
//! | length limits come before decoding | memory exhaustion by a peer |
//!
//! # Blame
//!
//! A [`Fault`] names a culprit only if what the accuser received from that slot, and nobody else's word, shows
//! the fault. Where it is one party's word against another's, `culprits` is empty and [`Fault::suspects`]
//! lists those concerned: their signed messages decide, outside. An honest party is never a culprit in the
//! eyes of an honest party, provided that the caller keeps the promises above.

use std::sync::Arc;

use bitcoin::XOnlyPublicKey;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::secp256k1::PublicKey;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::ids::Scheme;

pub mod ecdsa;
mod fault;
mod frost;
mod key;
mod keygen;
mod library;
mod mailbox;
#[cfg(any(test, feature = "testing"))]
mod mock;
mod signing;
#[cfg(test)]
mod tests;

pub use fault::{Fault, FaultReason, RefusedParams};
pub use key::{KeyShare, KeyShareError};
#[cfg(any(test, feature = "testing"))]
pub use mock::MOCK_SECRET_MARK;

/// Most parties of one run. The wallet has five nodes; the bound exists so that no buffer, and no message
/// limit derived from it, depends on a peer.
pub const MAX_PARTIES: u16 = 32;

/// Most messages signed in one run, one for each transaction input. Coin selection stays far below: 256
/// key-path inputs weigh about 59 kvB, and standardness ends at 100 kvB.
pub const MAX_MESSAGES: usize = 256;

/// Position of a party inside one run, counted from 0. Not a node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub u16);

impl Slot {
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "slot {}", self.0)
    }
}

/// Whom a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    /// Every other party; each must get the same bytes.
    All,
    /// One party. The payload is secret from the others.
    One(Slot),
}

/// A message that the machine wants delivered.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Whom it is for.
    pub to: Recipient,
    /// The bytes, to be handed unchanged to the recipient's [`Machine::receive`].
    pub payload: Vec<u8>,
}

/// How far a run has come.
#[derive(Debug)]
pub enum Progress {
    /// Blocked on messages of other parties.
    Running,
    /// Done. Given once; the machine has dropped its secrets.
    Finished(Output),
    /// Over without output. The machine has dropped its secrets.
    Failed(Fault),
}

/// What a run produced.
#[derive(Debug)]
pub enum Output {
    /// Key generation: this party's share. Every party has one only if every party says so; prove the key
    /// by a signature before use.
    KeyShare(KeyShare),
    /// Presigning: this party's presignature. Every signer has one only if every signer says so; compare the
    /// ids before use.
    Presignature(ecdsa::Presignature),
    /// Signing: one signature for each message, in the order given, verified: BIP-340, or compact ECDSA with
    /// low S.
    Signatures(Vec<[u8; 64]>),
}

/// Result of one [`Machine::advance`].
pub struct Advance {
    /// Messages to send, whatever `progress` says: the others may still need them to finish.
    pub outgoing: Vec<Outgoing>,
    /// How far the run has come.
    pub progress: Progress,
}

/// Where a run stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// What is being done, in a few words.
    pub name: &'static str,
    /// The round that is awaited, from 1.
    pub round: u8,
    /// How many rounds this stage has.
    pub rounds: u8,
}

/// One party's part in one run of a protocol. Dropping it drops its secrets.
pub trait Machine: Send {
    /// Takes one message that `from` sent. Repetitions are ignored, in any order of rounds; what cannot be
    /// part of this run becomes a [`Fault`] at the next [`advance`](Self::advance). Messages that claim to
    /// be from this party itself or from a slot outside the run are dropped. Never panics.
    fn receive(&mut self, from: Slot, payload: &[u8]);

    /// Runs until blocked on messages, finished or failed. May take long (milliseconds for each message to
    /// sign): for worker threads. After the end it keeps failing with [`FaultReason::Ended`].
    fn advance(&mut self) -> Advance;

    /// Slots whose message the current round lacks; empty once the run is over.
    fn waiting_for(&self) -> Vec<Slot>;

    /// Whether a share of a signature has been among the messages so far: from then on somebody may hold a signature.
    fn has_released(&self) -> bool {
        false
    }

    /// Where the run stands; `None` once it is over, and for protocols that end before anyone could look.
    fn stage(&self) -> Option<Stage> {
        None
    }
}

/// Parameters of a key generation. Every party must use the same, apart from `me`.
#[derive(Debug, Clone)]
pub struct KeygenParams {
    /// Unique to this run.
    pub execution_id: [u8; 32],
    /// This party's slot, which becomes its index in the key.
    pub me: Slot,
    /// Number of parties, 2 to [`MAX_PARTIES`].
    pub parties: u16,
    /// Number of parties needed to sign, 2 to `parties`.
    pub threshold: u16,
}

/// Parameters of a signing run. Every party must use the same, apart from `me`.
#[derive(Debug, Clone)]
pub struct SigningParams {
    /// Unique to this run.
    pub execution_id: [u8; 32],
    /// This party's position in `signers`; slots of the run are such positions.
    pub me: Slot,
    /// Who signs, as indices in the key, strictly ascending; at least threshold many.
    pub signers: Vec<Slot>,
    /// The 32-byte digests to sign, one for each input, 1 to [`MAX_MESSAGES`].
    pub messages: Vec<[u8; 32]>,
}

/// A signature scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// FROST over secp256k1 with BIP-340 signatures, keys from the CGGMP21 key generation.
    Givre,
    /// CGGMP24 threshold ECDSA over secp256k1, low-S signatures; see [`ecdsa`].
    Cggmp24,
    /// A cheap scheme without security for simulators: same message flow as Givre, recognisable secrets.
    #[cfg(any(test, feature = "testing"))]
    Mock,
    /// The same with the message flow of Cggmp24.
    #[cfg(any(test, feature = "testing"))]
    MockEcdsa,
}

/// Which suite serves each kind of wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suites {
    /// For Taproot keys.
    pub taproot: Suite,
    /// For SegWit keys.
    pub segwit: Suite,
}

impl Suites {
    /// What holds coins.
    pub const PRODUCTION: Self = Self { taproot: Suite::Givre, segwit: Suite::Cggmp24 };

    /// Cheap ones without security, for simulators.
    #[cfg(any(test, feature = "testing"))]
    pub const MOCK: Self = Self { taproot: Suite::Mock, segwit: Suite::MockEcdsa };

    /// The one for keys of `scheme`.
    #[must_use]
    pub const fn of(self, scheme: Scheme) -> Suite {
        match scheme {
            Scheme::Taproot => self.taproot,
            Scheme::Segwit => self.segwit,
        }
    }
}

impl Suite {
    /// Whether this suite has the machines to make and use keys of `scheme`.
    #[must_use]
    pub const fn makes(self, scheme: Scheme) -> bool {
        match (self, scheme) {
            (Self::Givre, Scheme::Taproot) | (Self::Cggmp24, Scheme::Segwit) => true,
            (Self::Givre, Scheme::Segwit) | (Self::Cggmp24, Scheme::Taproot) => false,
            #[cfg(any(test, feature = "testing"))]
            (Self::Mock, Scheme::Taproot | Scheme::Segwit) | (Self::MockEcdsa, Scheme::Segwit) => true,
            #[cfg(any(test, feature = "testing"))]
            (Self::MockEcdsa, Scheme::Taproot) => false,
        }
    }

    /// Whether a key generation of this suite takes primes, found ahead by each party, and single signatures take
    /// presignatures.
    #[must_use]
    pub const fn presigns(self) -> bool {
        match self {
            Self::Cggmp24 => true,
            Self::Givre => false,
            #[cfg(any(test, feature = "testing"))]
            Self::Mock => false,
            #[cfg(any(test, feature = "testing"))]
            Self::MockEcdsa => true,
        }
    }

    /// Starts a key generation of a suite that needs no primes. `seed` is fresh entropy for this run alone.
    ///
    /// # Errors
    /// [`RefusedParams`] if a parameter is out of its range or the suite needs primes.
    pub fn keygen(self, params: KeygenParams, seed: [u8; 32]) -> Result<Box<dyn Machine>, RefusedParams> {
        params.check()?;
        Ok(match self {
            Self::Givre => keygen::machine(params, seed),
            #[cfg(any(test, feature = "testing"))]
            Self::Mock => Box::new(mock::MockKeygen::new(params, seed)),
            Self::Cggmp24 => return Err(RefusedParams::Primes),
            #[cfg(any(test, feature = "testing"))]
            Self::MockEcdsa => return Err(RefusedParams::Primes),
        })
    }

    /// Starts a key generation of a suite that needs primes, generated for that suite and used for this run
    /// alone. `seed` is fresh entropy for this run alone. Single steps of the machine take up to a minute.
    ///
    /// # Errors
    /// [`RefusedParams`] if a parameter is out of its range or the primes are not for this suite.
    pub fn keygen_with_primes(
        self,
        params: KeygenParams,
        primes: ecdsa::Primes,
        seed: [u8; 32],
    ) -> Result<Box<dyn Machine>, RefusedParams> {
        params.check()?;
        match self {
            Self::Cggmp24 => ecdsa::keygen(&params, &primes, seed),
            #[cfg(any(test, feature = "testing"))]
            Self::MockEcdsa => ecdsa::mock::keygen(&params, &primes, seed),
            #[cfg(any(test, feature = "testing"))]
            Self::Mock => Err(RefusedParams::Primes),
            Self::Givre => Err(RefusedParams::Primes),
        }
    }

    /// Starts a presigning for an ECDSA key. `seed` is fresh entropy for this run alone. Single steps of the
    /// machine take up to seconds.
    ///
    /// # Errors
    /// [`RefusedParams`] if a parameter is out of its range or does not fit the share.
    pub fn presigning(
        share: Arc<KeyShare>,
        params: &ecdsa::PresigningParams,
        seed: [u8; 32],
    ) -> Result<Box<dyn Machine>, RefusedParams> {
        ecdsa::presigning(share, params, seed)
    }

    /// Starts the online round of an ECDSA key. The presignatures, one for each message, are spent, whether or
    /// not the run succeeds or even starts: the caller has erased every other trace of them, durably, before.
    ///
    /// # Errors
    /// [`RefusedParams`] if a parameter is out of its range or does not fit the share or the presignatures.
    pub fn online(
        share: &KeyShare,
        presignatures: Vec<ecdsa::Presignature>,
        params: &ecdsa::OnlineParams,
    ) -> Result<Box<dyn Machine>, RefusedParams> {
        ecdsa::online(share, presignatures, params)
    }

    /// Starts a signing run in the scheme of `share`. `seed` is fresh entropy for this run alone. For ECDSA this
    /// is the slow way, without presignatures: seconds of CPU time for each message.
    ///
    /// # Errors
    /// [`RefusedParams`] if a parameter is out of its range or does not fit the share.
    pub fn signing(
        share: Arc<KeyShare>,
        params: SigningParams,
        seed: [u8; 32],
    ) -> Result<Box<dyn Machine>, RefusedParams> {
        params.check(&share)?;
        Ok(match share.suite() {
            Self::Givre => Box::new(signing::Signing::new(frost::Frost::new(&share)?, &share, params, seed)),
            #[cfg(any(test, feature = "testing"))]
            Self::Mock => {
                Box::new(signing::Signing::new(mock::MockScheme::new(&share)?, &share, params, seed))
            }
            Self::Cggmp24 => return ecdsa::interactive(&share, &params, seed),
            #[cfg(any(test, feature = "testing"))]
            Self::MockEcdsa => return ecdsa::interactive(&share, &params, seed),
        })
    }

    /// Whether `signature` is valid for `message` under the BIP-341 output key of `internal_key` with no
    /// script tree (BIP-340 verification by libsecp256k1). The signature of a Taproot wallet.
    #[must_use]
    pub fn verify(self, internal_key: XOnlyPublicKey, message: &[u8; 32], signature: &[u8; 64]) -> bool {
        match self {
            Self::Givre => frost::verify(internal_key, message, signature),
            #[cfg(any(test, feature = "testing"))]
            Self::Mock => mock::verify(internal_key, message, signature),
            // An ECDSA key is a point, of which this is one half.
            Self::Cggmp24 => false,
            #[cfg(any(test, feature = "testing"))]
            Self::MockEcdsa => false,
        }
    }

    /// Whether `signature`, r and s big-endian, is valid for `message` under `key`, and its s in the lower half
    /// (ECDSA verification by libsecp256k1). The signature of a P2WPKH wallet.
    #[must_use]
    pub fn verify_ecdsa(self, key: &PublicKey, message: &[u8; 32], signature: &[u8; 64]) -> bool {
        match self {
            Self::Givre | Self::Cggmp24 => ecdsa::verify(key, message, signature),
            #[cfg(any(test, feature = "testing"))]
            Self::Mock => mock::verify(key.x_only_public_key().0, message, signature),
            #[cfg(any(test, feature = "testing"))]
            Self::MockEcdsa => ecdsa::mock::verify(key.x_only_public_key().0, message, signature),
        }
    }
}

impl KeygenParams {
    fn check(&self) -> Result<(), RefusedParams> {
        let Self { execution_id: _, me, parties, threshold } = *self;
        if !(2..=MAX_PARTIES).contains(&parties) {
            return Err(RefusedParams::Parties { parties });
        }
        if !(2..=parties).contains(&threshold) {
            return Err(RefusedParams::Threshold { threshold, parties });
        }
        if me.0 >= parties {
            return Err(RefusedParams::NotAParty { me, parties });
        }
        Ok(())
    }

    /// What makes this run different from every other: bound into every message and proof.
    fn context(&self, suite: &[u8]) -> [u8; 32] {
        digest(
            "mpc-wallet/keygen",
            &[suite, &self.execution_id, &self.parties.to_be_bytes(), &self.threshold.to_be_bytes()],
        )
    }
}

impl SigningParams {
    fn check(&self, share: &KeyShare) -> Result<(), RefusedParams> {
        check_signers(share, self.me, &self.signers)?;
        if !(1..=MAX_MESSAGES).contains(&self.messages.len()) {
            return Err(RefusedParams::Messages { messages: self.messages.len() });
        }
        Ok(())
    }

    /// What makes this run different from every other: bound into every message.
    fn context(&self, share: &KeyShare) -> [u8; 32] {
        let signers: Vec<u8> = self.signers.iter().flat_map(|slot| slot.0.to_be_bytes()).collect();
        digest(
            "mpc-wallet/signing",
            &[&self.execution_id, &share.public_digest(), &signers, self.messages.as_flattened()],
        )
    }
}

/// At least threshold many signers of the key, in order, this party among them.
fn check_signers(share: &KeyShare, me: Slot, signers: &[Slot]) -> Result<(), RefusedParams> {
    if signers.len() < usize::from(share.threshold()) {
        return Err(RefusedParams::TooFewSigners { signers: signers.len(), threshold: share.threshold() });
    }
    if !signers.is_sorted_by(|a, b| a < b) || signers.last().is_some_and(|s| s.0 >= share.parties()) {
        return Err(RefusedParams::Signers { parties: share.parties() });
    }
    if signers.get(me.index()) != Some(&share.slot()) {
        return Err(RefusedParams::NotASigner { me, share: share.slot() });
    }
    Ok(())
}

/// SHA-256 over `tag` and `parts`, each with its length in front, so that no two inputs hash alike by
/// moving a border.
fn digest(tag: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut engine = sha256::Hash::engine();
    for part in std::iter::once(&tag.as_bytes()).chain(parts) {
        // A length in memory always fits 64 bits; saturating keeps the function total.
        engine.input(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        engine.input(part);
    }
    sha256::Hash::from_engine(engine).to_byte_array()
}

/// The run's randomness. The context goes in, so that a seed used twice by mistake still gives unrelated
/// values in runs with other parameters.
fn rng(seed: &[u8; 32], context: &[u8; 32]) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(digest("mpc-wallet/seed", &[seed, context]))
}
