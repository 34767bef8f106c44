//! The one binary encoding of everything sent or kept: a version byte, then postcard.
//!
//! Decoding is *canonical*: bytes that decode to a value but are not its encoding are refused, so a digest over
//! bytes and a digest over values are the same digest. Sizes are bounded by the caller before a byte is parsed;
//! postcard never allocates more than the input could fill.

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
    postcard::to_extend(value, vec![VERSION]).map_err(|e| CodecError::Malformed(e.to_string()))
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
