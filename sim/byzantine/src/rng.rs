//! Randomness by name: every part of the world draws from its own stream.
//!
//! A stream's key is a hash of the plan's seed and the stream's label, so a draw added in one part never shifts what
//! another part sees, and two runs of one plan draw the same values everywhere.

use bitcoin::hashes::{Hash, HashEngine, sha256};
use rand_chacha::ChaCha12Rng;
use rand_core::{CryptoRng, RngCore, SeedableRng};

/// One million: probabilities are given in parts per million, so that no float decides anything.
pub const MILLION: u32 = 1_000_000;

/// One named stream.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha12Rng);

impl Stream {
    /// The stream of `seed` with this label.
    #[must_use]
    pub fn new(seed: u64, label: &str) -> Self {
        let mut engine = sha256::Hash::engine();
        engine.input(b"mpc-wallet-sim/stream");
        engine.input(&seed.to_be_bytes());
        engine.input(label.as_bytes());
        Self(ChaCha12Rng::from_seed(sha256::Hash::from_engine(engine).to_byte_array()))
    }

    /// A number below `bound`; 0 if `bound` is 0. The bias of the remainder is below 2⁻³² for every bound used here.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// A number from `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least).saturating_add(1))
    }

    /// Whether an event of this probability, in parts per million, happens.
    pub fn chance(&mut self, ppm: u32) -> bool {
        self.below(u64::from(MILLION)) < u64::from(ppm)
    }

    /// A number from 1 to `most` whose magnitude is uniform: small values are as likely as large ones.
    pub fn log_uniform(&mut self, most: u64) -> u64 {
        let bits = u64::BITS - most.max(1).leading_zeros();
        let shift = self.below(u64::from(bits));
        let magnitude = 1u64 << shift;
        self.between(magnitude, magnitude.saturating_mul(2).saturating_sub(1)).min(most.max(1))
    }

    /// One of the items; `None` if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.below(u64::try_from(items.len()).unwrap_or(u64::MAX));
        items.get(usize::try_from(index).unwrap_or(usize::MAX))
    }

    /// The next raw value: at the end of a run it shows how often the stream was drawn from.
    #[must_use]
    pub fn last_word(mut self) -> u64 {
        self.0.next_u64()
    }
}

impl RngCore for Stream {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill_bytes(dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.try_fill_bytes(dest)
    }
}

// Simulated nodes are given this where production gives the operating system's generator.
impl CryptoRng for Stream {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_and_by_label_and_by_nothing_else() {
        let draw = |seed, label| Stream::new(seed, label).next_u64();
        assert_eq!(draw(1, "network"), draw(1, "network"));
        assert_ne!(draw(1, "network"), draw(2, "network"));
        assert_ne!(draw(1, "network"), draw(1, "disk"));
    }

    #[test]
    fn draws_stay_in_their_bounds() {
        let mut stream = Stream::new(7, "bounds");
        for _ in 0..2_000 {
            assert!((3..=9).contains(&stream.between(3, 9)));
            assert!((1..=1_000).contains(&stream.log_uniform(1_000)));
            assert!(!stream.chance(0));
            assert!(stream.chance(MILLION));
        }
        assert_eq!(stream.below(0), 0);
        assert_eq!(stream.pick::<u8>(&[]), None);
    }

    #[test]
    fn the_first_draw_of_a_stream_never_changes() {
        assert_eq!(Stream::new(1, "network").next_u64(), 6_637_564_997_139_763_535);
    }
}
