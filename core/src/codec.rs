//! The one binary encoding of everything sent or kept: a version byte, then postcard.
//!
//! Decoding is *canonical*: bytes that decode to a value but are not its encoding are refused, so a digest over
//! bytes and a digest over values are the same digest. Sizes are bounded by the caller before a byte is parsed;
//! a length that the input cannot fill reserves a mebibyte at most before it is found out.

use bitcoin::hashes::{Hash, HashEngine, sha256};
use serde::{Serialize, de::DeserializeOwned};

/// Version of the encoding; a change of any type below it must change it.
pub const VERSION: u8 = 1;

/// Why bytes were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Nothing there.
    #[error("empty input")]
    Empty,
    /// Longer than the caller allows.
    #[error("{size} bytes exceed the limit of {limit}")]
    TooLarge {
        /// Bytes given.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Written by another version of the software.
    #[error("encoding version {found}, this software speaks {VERSION}")]
    Version {
        /// First byte seen.
        found: u8,
    },
    /// Not an encoding of the expected type.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A value's encoding is unique; this was another spelling of it.
    #[error("not the canonical encoding")]
    NotCanonical,
}

/// Encodes `value`, version byte first.
///
/// # Errors
/// [`CodecError::Malformed`] if the type cannot be encoded, which no type of this crate is.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    postcard::to_stdvec(&(VERSION, value)).map_err(|e| CodecError::Malformed(e.to_string()))
}

/// Decodes a value of at most `limit` bytes.
///
/// # Errors
/// Refuses anything that is not exactly what [`encode`] makes of the value.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLarge { size: bytes.len(), limit });
    }
    let (&version, body) = bytes.split_first().ok_or(CodecError::Empty)?;
    if version != VERSION {
        return Err(CodecError::Version { found: version });
    }
    let value: T = postcard::from_bytes(body).map_err(|e| CodecError::Malformed(e.to_string()))?;
    if encode(&value)? != bytes {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}

/// Domain-separated digest of a value: BIP-340 tagged hash of its encoding, so that no digest of one kind can
/// stand for another.
#[must_use]
pub fn digest<T: Serialize>(tag: &str, value: &T) -> [u8; 32] {
    // Encoding into memory cannot fail for the types of this crate; an empty body still hashes under its tag.
    let body = encode(value).unwrap_or_default();
    tagged_hash(tag, &[&body])
}

/// BIP-340 tagged hash over the concatenation of `parts`; the caller makes the concatenation unambiguous.
#[must_use]
pub fn tagged_hash(tag: &str, parts: &[&[u8]]) -> [u8; 32] {
    let tag = sha256::Hash::hash(tag.as_bytes());
    let mut engine = sha256::Hash::engine();
    engine.input(tag.as_byte_array());
    engine.input(tag.as_byte_array());
    for part in parts {
        engine.input(part);
    }
    sha256::Hash::from_engine(engine).to_byte_array()
}

/// Bitcoin's own types travel in Bitcoin's own consensus encoding.
pub mod consensus {
    use bitcoin::consensus::{Decodable, Encodable, deserialize, serialize};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    /// Writes the consensus encoding as a byte string.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize_as<T: Encodable, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
        serialize(value).serialize(s)
    }

    /// Reads a byte string that must be exactly one consensus encoding.
    ///
    /// # Errors
    /// Those of the deserializer and of Bitcoin's decoder.
    pub fn deserialize_as<'de, T: Decodable, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
        deserialize(&Vec::<u8>::deserialize(d)?).map_err(D::Error::custom)
    }
}

/// `serde(with)` for a 64-byte signature.
pub mod signature_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    /// Writes the bytes as a byte string.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &[u8; 64], s: S) -> Result<S::Ok, S::Error> {
        value.as_slice().serialize(s)
    }

    /// Reads exactly 64 bytes.
    ///
    /// # Errors
    /// Those of the deserializer, or another length.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 64], D::Error> {
        let bytes = Vec::<u8>::deserialize(d)?;
        <[u8; 64]>::try_from(bytes.as_slice()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;

    use super::*;
    use crate::{
        ids::{Channel, LogIndex},
        message::{Message, max_message_bytes},
    };

    const LIMIT: usize = 1_000;

    #[test]
    fn another_spelling_of_a_number_is_refused() {
        // 5 as a varint of two bytes: postcard reads it, and would never write it.
        assert_eq!(postcard::from_bytes::<u32>(&[0x85, 0x00]), Ok(5));
        assert_eq!(decode::<u32>(&[VERSION, 0x85, 0x00], LIMIT), Err(CodecError::NotCanonical));
        assert_eq!(decode::<u32>(&[VERSION, 0x05], LIMIT), Ok(5));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode(&5_u32).unwrap();
        bytes.push(0);
        assert!(decode::<u32>(&bytes, LIMIT).is_err());
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        assert_eq!(decode::<u32>(&[VERSION + 1, 5], LIMIT), Err(CodecError::Version { found: VERSION + 1 }));
        assert_eq!(decode::<u32>(&[], LIMIT), Err(CodecError::Empty));
    }

    #[test]
    fn too_many_bytes_are_refused_before_one_is_parsed() {
        // Not even the version is right, yet it is the size that is reported.
        let bytes = vec![0xff; LIMIT + 1];
        let refused = CodecError::TooLarge { size: LIMIT + 1, limit: LIMIT };
        assert_eq!(decode::<Vec<u8>>(&bytes, LIMIT), Err(refused));
    }

    #[test]
    fn a_message_on_the_wrong_channel_is_refused() {
        let bytes = Message::SyncRequest { since: LogIndex(3), challenge: 7 }.encode().unwrap();
        assert!(Message::decode(Channel::StateSync, &bytes).is_ok());
        let refused = Message::decode(Channel::Events, &bytes).unwrap_err();
        assert_eq!(refused.to_string(), "malformed: a message of channel state_sync on channel events");
    }

    #[test]
    fn each_channel_has_its_own_limit() {
        for channel in Channel::ALL {
            let limit = max_message_bytes(channel);
            let refused = Message::decode(channel, &vec![VERSION; limit + 1]).unwrap_err();
            assert_eq!(refused, CodecError::TooLarge { size: limit + 1, limit }, "{}", channel.name());
        }
    }

    #[test]
    fn a_length_that_the_input_cannot_fill_is_refused_unreserved() {
        // 2^32 − 1 elements announced in five bytes. Reserving 64 bytes for each would need 256 GiB and abort.
        let claim = [VERSION, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(decode::<Vec<u8>>(&claim, LIMIT).is_err());
        assert!(decode::<String>(&claim, LIMIT).is_err());
        assert!(decode::<Vec<[u64; 8]>>(&claim, LIMIT).is_err());
        assert!(decode::<Vec<Message>>(&claim, LIMIT).is_err());
        assert!(decode::<std::collections::BTreeMap<u64, [u64; 8]>>(&claim, LIMIT).is_err());
    }

    #[test]
    fn a_digest_of_one_kind_is_not_a_digest_of_another() {
        assert_ne!(digest("a", &1_u32), digest("b", &1_u32));
        assert_ne!(digest("a", &1_u32), digest("a", &2_u32));
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(
            body in proptest::collection::vec(any::<u8>(), 0..64),
            kind in 0_u8..20,
        ) {
            let bytes = [&[VERSION, kind], body.as_slice()].concat();
            if let Ok(message) = decode::<Message>(&bytes, LIMIT) {
                prop_assert_eq!(message.encode().unwrap(), bytes);
            }
        }

        #[test]
        fn values_come_back(numbers: Vec<u64>, text: String, pair: Option<(i32, bool)>) {
            let value = (numbers, text, pair);
            let bytes = encode(&value).unwrap();
            prop_assert_eq!(decode(&bytes, usize::MAX), Ok(value));
        }
    }
}
