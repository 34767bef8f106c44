//! A wallet's public key, as its members agree on it.

use std::fmt;

use bitcoin::{XOnlyPublicKey, hex::DisplayHex, secp256k1::PublicKey};
use serde::{Deserialize, Serialize};

/// The key that the members share: a point of secp256k1, never infinity. It is encoded compressed (SEC 1, 33 bytes), and
/// other bytes than those of such a point do not decode.
///
/// P2WPKH commits to the whole of it; Taproot takes its x coordinate as internal key (BIP-341) and disregards the parity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WalletKey(PublicKey);

impl WalletKey {
    /// Reads a compressed point; `None` if the bytes are none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 33]) -> Option<Self> {
        PublicKey::from_slice(bytes).ok().map(Self)
    }

    /// The compressed point.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 33] {
        self.0.serialize()
    }

    /// The point itself.
    #[must_use]
    pub const fn point(&self) -> PublicKey {
        self.0
    }

    /// Its x coordinate: the internal key of a Taproot wallet, before the BIP-341 tweak.
    #[must_use]
    pub fn x_only(&self) -> XOnlyPublicKey {
        self.0.x_only_public_key().0
    }
}

impl From<PublicKey> for WalletKey {
    fn from(point: PublicKey) -> Self {
        Self(point)
    }
}

impl fmt::Display for WalletKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_bytes().as_hex())
    }
}

impl fmt::Debug for WalletKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WalletKey({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use bitcoin::hex::FromHex;

    use super::*;
    use crate::codec;

    /// SEC 2: the generator, whose y coordinate is even.
    const GENERATOR: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    fn generator() -> [u8; 33] {
        <[u8; 33]>::from_hex(GENERATOR).unwrap()
    }

    #[test]
    fn a_key_is_encoded_as_the_compressed_point_and_nothing_else() {
        let key = WalletKey::from_bytes(&generator()).unwrap();
        assert_eq!(key.to_string(), GENERATOR);
        let bytes = codec::encode(&key).unwrap();
        assert_eq!(bytes, [&[codec::VERSION], generator().as_slice()].concat());
        assert_eq!(codec::decode(&bytes, 64), Ok(key));
    }

    #[test]
    fn keys_of_either_parity_have_one_x_coordinate_and_are_two() {
        let even = WalletKey::from_bytes(&generator()).unwrap();
        let mut bytes = generator();
        bytes[0] = 3;
        let odd = WalletKey::from_bytes(&bytes).unwrap();
        assert_eq!(even.x_only(), odd.x_only());
        assert_ne!(even, odd);
        assert_eq!(odd.to_bytes(), bytes);
    }

    #[test]
    fn bytes_that_are_no_compressed_point_are_no_key() {
        type Edit = fn(&mut [u8; 33]);
        let edits: [(&str, Edit); 5] = [
            ("infinity", |bytes| bytes.fill(0)),
            ("prefix of an uncompressed point", |bytes| bytes[0] = 4),
            ("prefix of a hybrid point", |bytes| bytes[0] = 6),
            // 5³ + 7 is no square modulo the field's prime.
            ("x coordinate of no point", |bytes| {
                bytes[1..].fill(0);
                bytes[32] = 5;
            }),
            ("x coordinate above the prime", |bytes| bytes[1..].fill(0xff)),
        ];
        for (desc, edit) in edits {
            let mut bytes = generator();
            edit(&mut bytes);
            assert_eq!(WalletKey::from_bytes(&bytes), None, "{desc}");
            let encoded = [&[codec::VERSION], bytes.as_slice()].concat();
            assert!(codec::decode::<WalletKey>(&encoded, 64).is_err(), "{desc}");
        }
    }
}
