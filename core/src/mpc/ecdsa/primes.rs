//! Safe primes for Paillier keys, found ahead of a key generation.

use cggmp24::PregeneratedPrimes;
use cggmp24::backend::Integer;
use crypto_primes::hazmat::{Sieve, random_odd_uint};
use k256::elliptic_curve::bigint::{Encoding as _, U1536, Uint};
use rand_chacha::ChaCha20Rng;
use zeroize::{Zeroize as _, Zeroizing};

use super::Level;
#[cfg(any(test, feature = "testing"))]
use crate::mpc::Slot;
use crate::mpc::{RefusedParams, Suite, digest, rng};

/// First byte of the encoding.
const VERSION: u8 = 1;
/// Version, strength, checksum.
const HEADER: usize = 1 + 1 + 32;
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

/// A search for primes of a set, to be gone on with step by step: whoever runs it may stop in between, and have one go on
/// for each processor.
///
/// Its numbers are ordinary memory, which nobody erases: run it where memory is not dumped.
pub struct PrimeSearch(Search<{ U1536::LIMBS }>);

/// A safe prime of 1536 bits, erased on drop.
pub struct Prime(U1536);

/// A search for safe primes that fill the width.
struct Search<const LIMBS: usize> {
    rng: ChaCha20Rng,
    /// What no small prime divides, upwards from a random number.
    candidates: Sieve<LIMBS>,
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
    pub const MAX_BYTES: usize = HEADER + Self::COUNT * FULL;

    /// How many primes a party needs: two for its Paillier key, two for its ring-Pedersen parameters.
    pub const COUNT: usize = 4;

    /// Finds primes for a key generation of `suite` from 32 bytes of fresh entropy. Takes about a minute of CPU
    /// time, sometimes several: for a worker thread of low priority, long before the key generation. A [`PrimeSearch`]
    /// can be shared out among threads.
    ///
    /// # Errors
    /// [`RefusedParams::Primes`] if the suite has no use for primes.
    pub fn generate(suite: Suite, seed: [u8; 32]) -> Result<Self, RefusedParams> {
        let seed = Zeroizing::new(seed);
        match suite {
            Suite::Cggmp24 => {
                let mut search = PrimeSearch::of_seed(&seed);
                let mut find = || {
                    loop {
                        if let Some(prime) = search.step() {
                            return prime;
                        }
                    }
                };
                Ok(Self::of([(); Self::COUNT].map(|()| find())))
            }
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
        let mut lines = include_str!("toy-primes.txt").lines().skip(Self::COUNT * slot.index());
        let mut numbers = Zeroizing::new(Vec::with_capacity(Self::COUNT * Strength::Toy.width()));
        for _ in 0..Self::COUNT {
            numbers.extend(<Vec<u8> as bitcoin::hex::FromHex>::from_hex(lines.next()?).ok()?);
        }
        Some(Self { strength: Strength::Toy, numbers })
    }

    /// The set of these primes.
    #[must_use]
    pub fn of(primes: [Prime; Self::COUNT]) -> Self {
        let mut numbers = Zeroizing::new(Vec::with_capacity(Self::COUNT * FULL));
        for prime in &primes {
            numbers.extend_from_slice(&*Zeroizing::new(prime.0.to_be_bytes()));
        }
        Self { strength: Strength::Full, numbers }
    }

    pub(super) fn strength(&self) -> Strength {
        self.strength
    }

    /// The primes as numbers; `None` if they are too small for the level.
    pub(super) fn numbers<L: Level>(&self) -> Option<[Integer; Self::COUNT]> {
        let numbers: Vec<Integer> =
            self.numbers.chunks_exact(self.strength.width()).map(Integer::from_bytes_msf).collect();
        Some(
            PregeneratedPrimes::<L>::try_from(<[Integer; Self::COUNT]>::try_from(numbers).ok()?)
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
            .filter(|strength| numbers.len() == Self::COUNT * strength.width())
            .ok_or(PrimesError::Damaged)?;
        let primes = Self { strength, numbers: Zeroizing::new(numbers.to_vec()) };
        if primes.checksum() == *checksum { Ok(primes) } else { Err(PrimesError::Damaged) }
    }

    fn checksum(&self) -> [u8; 32] {
        digest("mpc-wallet/primes-at-rest", &[&[self.strength.tag()], &self.numbers])
    }
}

impl PrimeSearch {
    /// A search for `suite` from 32 bytes of fresh entropy.
    ///
    /// # Errors
    /// [`RefusedParams::Primes`] if primes of that suite are not searched for.
    pub fn new(suite: Suite, seed: [u8; 32]) -> Result<Self, RefusedParams> {
        let seed = Zeroizing::new(seed);
        match suite {
            Suite::Cggmp24 => Ok(Self::of_seed(&seed)),
            Suite::Givre => Err(RefusedParams::Primes),
            #[cfg(any(test, feature = "testing"))]
            Suite::Mock | Suite::MockEcdsa => Err(RefusedParams::Primes),
        }
    }

    fn of_seed(seed: &[u8; 32]) -> Self {
        Self(Search::new(rng(seed, &digest("mpc-wallet/primes", &[&[Strength::Full.tag()]]))))
    }

    /// Looks at the next number, which takes milliseconds. `Some` about once in four thousand times; further steps look
    /// for another prime.
    pub fn step(&mut self) -> Option<Prime> {
        self.0.step().map(Prime)
    }
}

impl<const LIMBS: usize> Search<LIMBS> {
    fn new(mut rng: ChaCha20Rng) -> Self {
        let candidates = Self::candidates(&mut rng);
        Self { rng, candidates }
    }

    fn candidates(rng: &mut ChaCha20Rng) -> Sieve<LIMBS> {
        let bits = Uint::<LIMBS>::BITS;
        Sieve::new(&random_odd_uint(rng, bits), bits, true)
    }

    fn step(&mut self) -> Option<Uint<LIMBS>> {
        let candidate = self.candidates.next();
        let found = candidate.filter(|number| crypto_primes::is_safe_prime_with_rng(&mut self.rng, number));
        // The next prime must be anywhere else: the product of two that are close is easily factored.
        if found.is_some() || candidate.is_none() {
            self.candidates = Self::candidates(&mut self.rng);
        }
        found
    }
}

impl Drop for Prime {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Prime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prime").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Primes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Primes").field("strength", &self.strength).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use k256::elliptic_curve::bigint::U128;
    use rand_core::SeedableRng as _;

    use super::*;

    /// With 128 bits: those of 1536 take their time.
    fn search(seed: u8) -> Search<{ U128::LIMBS }> {
        Search::new(ChaCha20Rng::from_seed([seed; 32]))
    }

    fn find(search: &mut Search<{ U128::LIMBS }>) -> U128 {
        std::iter::repeat_with(|| search.step()).flatten().next().unwrap()
    }

    #[test]
    fn what_is_found_is_a_safe_prime_that_fills_its_width() {
        let mut search = search(1);
        for _ in 0..8 {
            let prime = find(&mut search);
            assert_eq!(prime.bits(), 128);
            for number in [prime, prime >> 1] {
                let number = Integer::from_bytes_msf(&number.to_be_bytes());
                let factor = (2u32..2_000).find(|divisor| number.mod_u(*divisor) == 0);
                assert_eq!(factor, None);
                assert!(fermat(&number, 3) && fermat(&number, 5), "{number:?}");
            }
        }
    }

    /// Whether the number passes Fermat's test, by the other library.
    fn fermat(number: &Integer, base: u32) -> bool {
        let one = Integer::from(1u32);
        let exponent = number - &one;
        Integer::from(base).pow_mod_ref(&exponent, number).is_some_and(|power| power == one)
    }

    #[test]
    fn primes_of_one_search_lie_far_apart() {
        let mut search = search(2);
        let mut found: Vec<U128> = (0..8).map(|_| find(&mut search)).collect();
        found.sort();
        for pair in found.windows(2) {
            assert!(pair[1].wrapping_sub(&pair[0]).bits() > 100, "{pair:?}");
        }
    }

    #[test]
    fn a_set_is_its_primes_in_their_order_and_wide_enough_for_coins() {
        let numbers = [3u64, 5, 7, 9].map(|low| (U1536::ONE << 1_535) | U1536::from(low));
        let set = Primes::of(numbers.map(Prime));
        let read = Primes::from_secret_bytes(&set.to_secret_bytes()).unwrap();
        let expected = numbers.map(|number| Integer::from_bytes_msf(&number.to_be_bytes()));
        assert_eq!(read.numbers::<super::super::Full>().unwrap(), expected);
    }

    #[test]
    fn a_search_is_repeated_by_its_seed() {
        let [first, again, other] = [3, 3, 4].map(|seed| find(&mut search(seed)));
        assert_eq!(first, again);
        assert_ne!(first, other);
    }
}
