//! How a receiver knows that an event comes from this node (Standard Webhooks, "symmetric" signatures).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;
use zeroize::Zeroizing;

/// What every secret begins with.
const PREFIX: &str = "whsec_";
/// Bytes that a secret may have.
const SIZES: std::ops::RangeInclusive<usize> = 24..=64;

/// Not `whsec_` and the base64 of 24 to 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a webhook's secret, which is whsec_ and the base64 of 24 to 64 random bytes: (printf whsec_; openssl rand -base64 32) makes one"
)]
pub struct NotASecret;

/// What a webhook's sender and receiver share.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl Secret {
    /// Reads `whsec_…`.
    ///
    /// # Errors
    /// [`NotASecret`], which does not quote it.
    pub fn parse(text: &str) -> Result<Self, NotASecret> {
        let digits = text.strip_prefix(PREFIX).ok_or(NotASecret)?;
        let bytes = STANDARD.decode(digits).map(Zeroizing::new).map_err(|_| NotASecret)?;
        if !SIZES.contains(&bytes.len()) {
            return Err(NotASecret);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The value of `webhook-signature` for a body sent under this id at this second since 1970.
    pub(super) fn sign(&self, id: &str, timestamp: &str, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn signatures_are_those_of_the_published_libraries() {
        // The vector in the tests of every reference library of standard-webhooks.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_too_short_or_in_another_form_is_no_secret() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for bytes in [24, 32, 64] {
            assert!(Secret::parse(&of(bytes)).is_ok(), "{bytes}");
        }
        for text in [of(23), of(65), of(32).replace("whsec_", ""), of(32) + "=", String::new()] {
            assert_eq!(Secret::parse(&text).err(), Some(NotASecret), "{text}");
        }
    }
}
