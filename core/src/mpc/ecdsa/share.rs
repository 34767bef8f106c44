//! One party's share of an ECDSA key: a Shamir share, a Paillier key, and what the others proved of theirs.
//!
//! It is stored as bytes of our own layout around the library's core share: the library writes numbers as text
//! in a base that it reads back unchecked, and its check of a whole share indexes a list by an untrusted number.

use cggmp24::backend::Integer;
use cggmp24::fast_paillier::utils::CrtExp;
use cggmp24::key_share::{AuxInfo, DirtyAuxInfo, IncompleteKeyShare, PedersenParams, Validate};
use generic_ec::curves::Secp256k1;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use zeroize::Zeroizing;

use super::Level;
use crate::mpc::MAX_PARTIES;

type E = Secp256k1;

/// A share at one level of security.
pub(in crate::mpc) struct Share<L: Level> {
    whole: cggmp24::KeyShare<E, L>,
    /// The factors of our own ring-Pedersen modulus.
    ring: [Integer; 2],
}

/// A number at rest: big-endian bytes, not negative.
struct Number(Zeroizing<Vec<u8>>);

#[derive(Serialize, Deserialize)]
struct Stored {
    core: IncompleteKeyShare<E>,
    paillier: [Number; 2],
    ring: [Number; 2],
    /// By index in the key: Paillier modulus, ring modulus, s and t.
    parties: Vec<[Number; 4]>,
}

impl<L: Level> Share<L> {
    /// Joins what key generation and auxiliary protocol yielded; `ring` are the primes of our ring modulus.
    pub(super) fn new(core: IncompleteKeyShare<E>, aux: AuxInfo<L>, ring: [Integer; 2]) -> Option<Self> {
        Self::from_parts(core, aux.into_inner(), ring)
    }

    fn from_parts(core: IncompleteKeyShare<E>, mut aux: DirtyAuxInfo<L>, ring: [Integer; 2]) -> Option<Self> {
        let parties = core.public_shares.len();
        if aux.N.len() != parties
            || aux.pedersen_params.len() != parties
            || parties > usize::from(MAX_PARTIES)
        {
            return None;
        }
        let own = aux.pedersen_params.get_mut(usize::from(core.i))?;
        let [p, q] = &ring;
        if p * q != own.hat_N {
            return None;
        }
        own.crt = Some(CrtExp::build_n(p, q)?);
        let aux = aux.validate().ok()?;
        let whole = cggmp24::KeyShare::from_parts((core, aux)).ok()?;
        Some(Self { whole, ring })
    }

    /// The share as the library takes it.
    pub(super) fn whole(&self) -> &cggmp24::KeyShare<E, L> {
        &self.whole
    }

    /// The share of the key itself.
    pub(in crate::mpc) fn core(&self) -> &cggmp24::key_share::DirtyIncompleteKeyShare<E> {
        &self.whole.core
    }

    /// What the parties agreed on besides the key, for a digest: the level; all moduli and ring parameters.
    pub(in crate::mpc) fn public_parts(&self) -> (Vec<u8>, Vec<Vec<u8>>) {
        let aux = &self.whole.aux;
        let numbers = aux.N.iter().zip(&aux.pedersen_params);
        let numbers = numbers.flat_map(|(n, ring)| [n, &ring.hat_N, &ring.s, &ring.t]);
        (L::NAME.to_vec(), numbers.map(Integer::to_bytes_msf).collect())
    }
}

impl Number {
    fn of(number: &Integer) -> Self {
        Self(Zeroizing::new(number.to_bytes_msf()))
    }

    fn read(&self) -> Integer {
        Integer::from_bytes_msf(&self.0)
    }
}

impl<L: Level> Serialize for Share<L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let aux = &self.whole.aux;
        let parties = aux
            .N
            .iter()
            .zip(&aux.pedersen_params)
            .map(|(n, ring)| [n, &ring.hat_N, &ring.s, &ring.t].map(Number::of));
        let core = self.whole.core.clone().validate().map_err(|_| serde::ser::Error::custom("key share"))?;
        let stored = Stored {
            core,
            paillier: [&aux.p, &aux.q].map(Number::of),
            ring: self.ring.each_ref().map(Number::of),
            parties: parties.collect(),
        };
        stored.serialize(serializer)
    }
}

impl<'de, L: Level> Deserialize<'de> for Share<L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Stored { core, paillier, ring, parties } = Stored::deserialize(deserializer)?;
        let [p, q] = paillier.each_ref().map(Number::read);
        let (moduli, pedersen_params) = parties
            .iter()
            .map(|numbers| numbers.each_ref().map(Number::read))
            .map(|[n, ring, s, t]| (n, PedersenParams { hat_N: ring, s, t, multiexp: None, crt: None }))
            .unzip();
        let aux = DirtyAuxInfo { p, q, N: moduli, pedersen_params, security_level: std::marker::PhantomData };
        let ring = ring.each_ref().map(Number::read);
        Self::from_parts(core, aux, ring).ok_or(D::Error::custom("parts do not belong together"))
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Number;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the bytes of a number")
            }

            fn visit_bytes<X>(self, bytes: &[u8]) -> Result<Number, X> {
                Ok(Number(Zeroizing::new(bytes.to_vec())))
            }

            fn visit_byte_buf<X>(self, bytes: Vec<u8>) -> Result<Number, X> {
                Ok(Number(Zeroizing::new(bytes)))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}
