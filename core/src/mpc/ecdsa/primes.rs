//! Safe primes for Paillier keys, found ahead of a key generation.

use cggmp24::PregeneratedPrimes;
use cggmp24::backend::Integer;
use zeroize::Zeroizing;

use super::Level;
#[cfg(any(test, feature = "testing"))]
use crate::mpc::Slot;
use crate::mpc::{RefusedParams, Suite, digest, rng};

/// First byte of the encoding.
const VERSION: u8 = 1;
/// Version, strength, checksum.
const HEADER: usize = 1 + 1 + 32;
/// How many primes a party needs: two for its Paillier key, two for its ring-Pedersen parameters.
const COUNT: usize = 4;
/// Bytes of a prime at the level of 128 bits.
const FULL: usize = 1536 / 8;

/// A party's secret primes, for one key generation. Neither cloned nor printed, erased on drop.
///
/// Whoever learns one breaks the party's Paillier key, and reads its key share out of the messages of later
/// presignings. Use each set once.
pub struct Primes {
    strength: Strength,
    /// Big-endian, each as long as the strength says.
    numbers: Zeroizing<Vec<u8>>,
}

/// What the primes are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    /// 1536 bits each.
    Full,
    /// 520 bits each: no security, and arithmetic that tests can afford.
    #[cfg(any(test, feature = "testing"))]
    Toy,
    /// Not primes at all.
    #[cfg(any(test, feature = "testing"))]
    Mock,
}

/// Why bytes are not a set of primes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrimesError {
    /// Written by another version.
    #[error("primes have version {version}, this program reads {VERSION}; delete them and generate others")]
    Version {
        /// Version found.
        version: u8,
    },
    /// Not what was written, or of a strength that this build does not use.
    #[error("primes are damaged or not for use; delete them and generate others")]
    Damaged,
}

impl Strength {
    fn tag(self) -> u8 {
        match self {
            Self::Full => 0,
            #[cfg(any(test, feature = "testing"))]
            Self::Toy => 1,
            #[cfg(any(test, feature = "testing"))]
            Self::Mock => 2,
        }
    }

    fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            0 => Some(Self::Full),
            #[cfg(any(test, feature = "testing"))]
            1 => Some(Self::Toy),
            #[cfg(any(test, feature = "testing"))]
            2 => Some(Self::Mock),
            _ => None,
        }
    }

    /// Bytes of one number.
    fn width(self) -> usize {
        match self {
            Self::Full => FULL,
            #[cfg(any(test, feature = "testing"))]
            Self::Toy => 520 / 8,
            #[cfg(any(test, feature = "testing"))]
            Self::Mock => 32,
        }
    }
}

impl Primes {
    /// Most bytes of an encoded set.
    pub const MAX_BYTES: usize = HEADER + COUNT * FULL;

    /// Finds primes for a key generation of `suite` from 32 bytes of fresh entropy. Takes about a minute of CPU
    /// time, sometimes several: for a worker thread of low priority, long before the key generation.
    ///
    /// # Errors
    /// [`RefusedParams::Primes`] if the suite has no use for primes.
    pub fn generate(suite: Suite, seed: [u8; 32]) -> Result<Self, RefusedParams> {
        let seed = Zeroizing::new(seed);
        match suite {
            Suite::Cggmp24 => Self::search::<super::Full>(&seed, Strength::Full).ok_or(RefusedParams::Primes),
            #[cfg(any(test, feature = "testing"))]
            Suite::MockEcdsa => {
                let numbers = (0..4u8).flat_map(|index| super::mock::secret(&seed, index)).collect();
                Ok(Self { strength: Strength::Mock, numbers: Zeroizing::new(numbers) })
            }
            #[cfg(any(test, feature = "testing"))]
            Suite::Mock => Err(RefusedParams::Primes),
            Suite::Givre => Err(RefusedParams::Primes),
        }
    }

    /// Ready-made primes without security for the party in this slot, 0 to 4. They are public, and a key made with
    /// them is refused by builds without the feature `testing`.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn toy(slot: Slot) -> Option<Self> {
        let mut lines = include_str!("toy-primes.txt").lines().skip(COUNT * slot.index());
        let mut numbers = Zeroizing::new(Vec::with_capacity(COUNT * Strength::Toy.width()));
        for _ in 0..COUNT {
            numbers.extend(<Vec<u8> as bitcoin::hex::FromHex>::from_hex(lines.next()?).ok()?);
        }
        Some(Self { strength: Strength::Toy, numbers })
    }

    fn search<L: Level>(seed: &Zeroizing<[u8; 32]>, strength: Strength) -> Option<Self> {
        let mut rng = rng(seed, &digest("mpc-wallet/primes", &[&[strength.tag()]]));
        let found = PregeneratedPrimes::<L>::generate(&mut rng);
        let mut numbers = Zeroizing::new(Vec::with_capacity(COUNT * strength.width()));
        for prime in found.primes_ref() {
            let bytes = Zeroizing::new(prime.to_bytes_msf());
            let start = numbers.len() + strength.width().checked_sub(bytes.len())?;
            numbers.resize(start, 0);
            numbers.extend_from_slice(&bytes);
        }
        Some(Self { strength, numbers })
    }

    pub(super) fn strength(&self) -> Strength {
        self.strength
    }

    /// The primes as numbers; `None` if they are too small for the level.
    pub(super) fn numbers<L: Level>(&self) -> Option<[Integer; COUNT]> {
        let numbers: Vec<Integer> =
            self.numbers.chunks_exact(self.strength.width()).map(Integer::from_bytes_msf).collect();
        Some(
            PregeneratedPrimes::<L>::try_from(<[Integer; COUNT]>::try_from(numbers).ok()?)
                .ok()?
                .into_primes(),
        )
    }

    /// The primes for encrypted storage.
    #[must_use]
    pub fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        // All at once: growing would leave copies of the secret behind in freed memory.
        Zeroizing::new(
            [&[VERSION, self.strength.tag()][..], &self.checksum(), self.numbers.as_slice()].concat(),
        )
    }

    /// Reads what [`to_secret_bytes`](Self::to_secret_bytes) wrote. The caller erases `bytes`.
    ///
    /// # Errors
    /// See [`PrimesError`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, PrimesError> {
        let (&version, rest) = bytes.split_first().ok_or(PrimesError::Damaged)?;
        if version != VERSION {
            return Err(PrimesError::Version { version });
        }
        let (&tag, rest) = rest.split_first().ok_or(PrimesError::Damaged)?;
        let (checksum, numbers) = rest.split_first_chunk::<32>().ok_or(PrimesError::Damaged)?;
        let strength = Strength::from_tag(tag)
            .filter(|strength| numbers.len() == COUNT * strength.width())
            .ok_or(PrimesError::Damaged)?;
        let primes = Self { strength, numbers: Zeroizing::new(numbers.to_vec()) };
        if primes.checksum() == *checksum { Ok(primes) } else { Err(PrimesError::Damaged) }
    }

    fn checksum(&self) -> [u8; 32] {
        digest("mpc-wallet/primes-at-rest", &[&[self.strength.tag()], &self.numbers])
    }
}

impl std::fmt::Debug for Primes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Primes").field("strength", &self.strength).finish_non_exhaustive()
    }
}
