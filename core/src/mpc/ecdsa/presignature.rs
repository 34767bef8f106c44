//! A presignature: what is left of a presigning, for one signature.

use bitcoin::hashes::{Hash, sha256d};
use bitcoin::secp256k1::{Message, PublicKey, Secp256k1 as Libsecp, ecdsa};
use cggmp24::signing::{PresignatureCommitment, PresignaturePublicData};
use generic_ec::coords::AlwaysHasAffineX;
use generic_ec::curves::Secp256k1;
use generic_ec::{NonZero, Point, Scalar, SecretScalar};
use zeroize::Zeroizing;

use crate::mpc::{KeyShare, MAX_PARTIES, Slot, digest};

type E = Secp256k1;

/// First byte of the encoding.
const VERSION: u8 = 1;
const POINT: usize = 33;
const SCALAR: usize = 32;

/// Bytes of a presignature's id and of a partial signature.
pub(super) const ID: usize = 32;
pub(super) const PARTIAL: usize = SCALAR;

/// One signer's part of a signature whose message is not known yet. Whoever sees two signatures made from one
/// presignature knows the key: this type is neither cloned nor printed, is erased on drop, and is moved into its
/// one use. Bytes of it ([`to_secret_bytes`](Self::to_secret_bytes)) are another presignature in waiting: the
/// caller deletes them, durably, before the use, and keeps them out of backups.
///
/// ```compile_fail,E0382
/// # use mpc_wallet_core::mpc::ecdsa::Presignature;
/// fn twice(presignature: Presignature, sign: impl Fn(Presignature)) {
///     sign(presignature);
///     sign(presignature);
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use mpc_wallet_core::mpc::ecdsa::Presignature;
/// fn copy(presignature: &Presignature) -> Presignature {
///     Presignature::clone(presignature)
/// }
/// ```
pub struct Presignature {
    terms: Terms,
    id: [u8; ID],
    secret: Box<Secret>,
}

/// What a presignature is for.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Terms {
    /// Digest of the public side of the key.
    pub(super) key: [u8; 32],
    /// This party's position in `signers`.
    pub(super) me: Slot,
    /// The signers, as indices in the key, ascending.
    pub(super) signers: Vec<Slot>,
}

enum Secret {
    Cggmp24 {
        k: SecretScalar<E>,
        chi: SecretScalar<E>,
        public: PresignaturePublicData<E>,
    },
    #[cfg(any(test, feature = "testing"))]
    Mock(super::mock::MockPresignature),
}

/// What remains of a presignature after its use: enough to check the others' partial signatures.
pub(super) struct Spent {
    id: [u8; ID],
    digest: [u8; 32],
    kind: SpentKind,
}

enum SpentKind {
    Cggmp24 {
        m: Scalar<E>,
        r: Scalar<E>,
        public: PresignaturePublicData<E>,
        key: PublicKey,
    },
    #[cfg(any(test, feature = "testing"))]
    Mock(super::mock::MockPresignature, Vec<Slot>),
}

/// A digest that may be signed with a presignature.
#[derive(Clone, Copy)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    /// The double SHA-256 of bytes at hand: may be signed with any presignature.
    pub(super) fn of(preimage: &[u8]) -> Self {
        Self(sha256d::Hash::hash(preimage).to_byte_array())
    }

    /// A digest that was fixed before the presigning began: may be signed with that presignature alone.
    pub(super) fn fixed_before(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    pub(super) fn bytes(self) -> [u8; 32] {
        self.0
    }
}

/// Why bytes are not a presignature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PresignatureError {
    /// Written by another version.
    #[error("presignature has version {version}, this program reads {VERSION}; drop it and presign again")]
    Version {
        /// Version found.
        version: u8,
    },
    /// Not what was written.
    #[error("presignature is damaged; drop it and presign again")]
    Damaged,
}

impl Presignature {
    /// Most bytes of an encoded presignature.
    pub const MAX_BYTES: usize =
        HEADER + MAX_PARTIES as usize * 2 + POINT + 2 * SCALAR + MAX_PARTIES as usize * 2 * POINT;

    /// `None` if the parts do not belong together.
    pub(super) fn new(
        secret: cggmp24::Presignature<E>,
        public: PresignaturePublicData<E>,
        terms: Terms,
        share: &KeyShare,
    ) -> Option<Self> {
        let key = Point::<E>::from_bytes(share.point().serialize()).ok()?;
        let sums = public.commitments.iter().fold((Point::zero(), Point::zero()), |(deltas, keys), one| {
            (deltas + one.tilde_Delta, keys + one.tilde_S)
        });
        if sums != (Point::generator().to_point(), key) {
            return None;
        }
        Self::of_parts(secret.tilde_k, secret.tilde_chi, public, terms)
    }

    fn of_parts(
        k: SecretScalar<E>,
        chi: SecretScalar<E>,
        public: PresignaturePublicData<E>,
        terms: Terms,
    ) -> Option<Self> {
        let own = public.commitments.get(terms.me.index())?;
        let gamma = public.Gamma;
        let fits = gamma * &k == own.tilde_Delta && gamma * &chi == own.tilde_S;
        if !fits || public.commitments.len() != terms.signers.len() {
            return None;
        }
        let id =
            digest("mpc-wallet/presignature", &[&terms.key, &terms.signer_bytes(), &public_bytes(&public)]);
        Some(Self { terms, id, secret: Box::new(Secret::Cggmp24 { k, chi, public }) })
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn mock(mock: super::mock::MockPresignature, terms: Terms) -> Self {
        let id = digest("mock/presignature", &[&terms.key, &terms.signer_bytes(), &mock.tag()]);
        Self { terms, id, secret: Box::new(Secret::Mock(mock)) }
    }

    /// The mock presignature with this number, as the first of its signers holds it.
    #[cfg(test)]
    pub(crate) fn fixture(number: u8, signers: Vec<Slot>) -> Self {
        let terms = Terms { key: [0; 32], me: Slot(0), signers };
        Self::mock(super::mock::MockPresignature::fixture(number), terms)
    }

    /// The same at all its signers, and at no other presignature. Public.
    #[must_use]
    pub fn id(&self) -> [u8; ID] {
        self.id
    }

    /// [`KeyShare::public_digest`] of the key it belongs to.
    #[must_use]
    pub fn key_digest(&self) -> [u8; 32] {
        self.terms.key
    }

    /// The signers it belongs to, as indices in the key, ascending.
    #[must_use]
    pub fn signers(&self) -> &[Slot] {
        &self.terms.signers
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Makes the one partial signature, and keeps what is public. `key` is the key it belongs to.
    pub(super) fn spend(self, digest: Digest, key: PublicKey) -> ([u8; PARTIAL], Spent) {
        let (id, digest) = (self.id, digest.bytes());
        match *self.secret {
            Secret::Cggmp24 { k, chi, public } => {
                let m = Scalar::from_be_bytes_mod_order(digest);
                let r = nonce_coordinate(&public);
                let sigma = m * k.as_ref() + r * chi.as_ref();
                let mut partial = [0; PARTIAL];
                partial.copy_from_slice(&sigma.to_be_bytes());
                (partial, Spent { id, digest, kind: SpentKind::Cggmp24 { m, r, public, key } })
            }
            #[cfg(any(test, feature = "testing"))]
            Secret::Mock(mock) => {
                let partial = mock.partial(&self.terms.signers, self.terms.me, &digest);
                (partial, Spent { id, digest, kind: SpentKind::Mock(mock, self.terms.signers) })
            }
        }
    }

    /// The presignature for encrypted storage.
    #[must_use]
    pub fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Room for all: growing would leave copies of the secret behind in freed memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::MAX_BYTES));
        bytes.push(VERSION);
        bytes.push(match self.secret.as_ref() {
            Secret::Cggmp24 { .. } => 0,
            #[cfg(any(test, feature = "testing"))]
            Secret::Mock(_) => 1,
        });
        bytes.extend_from_slice(&self.terms.key);
        bytes.extend_from_slice(&self.terms.me.0.to_be_bytes());
        bytes.extend_from_slice(&super::parties(&self.terms.signers).to_be_bytes());
        bytes.extend_from_slice(&self.terms.signer_bytes());
        match self.secret.as_ref() {
            Secret::Cggmp24 { k, chi, public } => {
                bytes.extend_from_slice(&Zeroizing::new(k.as_ref().to_be_bytes().to_vec()));
                bytes.extend_from_slice(&Zeroizing::new(chi.as_ref().to_be_bytes().to_vec()));
                bytes.extend_from_slice(&public_bytes(public));
            }
            #[cfg(any(test, feature = "testing"))]
            Secret::Mock(mock) => bytes.extend_from_slice(&mock.to_bytes()),
        }
        bytes
    }

    /// Reads what [`to_secret_bytes`](Self::to_secret_bytes) wrote. The caller erases `bytes`, wherever they are:
    /// reading them twice makes two presignatures of one.
    ///
    /// # Errors
    /// See [`PresignatureError`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, PresignatureError> {
        match bytes.first() {
            Some(&VERSION) => Self::read(bytes).ok_or(PresignatureError::Damaged),
            Some(&version) => Err(PresignatureError::Version { version }),
            None => Err(PresignatureError::Damaged),
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEADER>()?;
        let ([_, kind], head) = head.split_first_chunk::<2>()?;
        let (key, head) = head.split_first_chunk::<32>()?;
        let (me, signers) = head.split_first_chunk::<2>()?;
        let signers = usize::from(u16::from_be_bytes(signers.try_into().ok()?));
        let (list, rest) = rest.split_at_checked(2 * signers)?;
        let (list, []) = list.as_chunks::<2>() else { return None };
        let terms = Terms {
            key: *key,
            me: Slot(u16::from_be_bytes(*me)),
            signers: list.iter().map(|slot| Slot(u16::from_be_bytes(*slot))).collect(),
        };
        if signers > usize::from(MAX_PARTIES) || !terms.signers.is_sorted_by(|a, b| a < b) {
            return None;
        }
        match kind {
            0 => Self::read_cggmp24(terms, rest),
            #[cfg(any(test, feature = "testing"))]
            1 => Some(Self::mock(super::mock::MockPresignature::from_bytes(rest)?, terms)),
            _ => None,
        }
    }

    fn read_cggmp24(terms: Terms, bytes: &[u8]) -> Option<Self> {
        let (k, bytes) = bytes.split_at_checked(SCALAR)?;
        let (chi, bytes) = bytes.split_at_checked(SCALAR)?;
        let (gamma, bytes) = bytes.split_at_checked(POINT)?;
        let (commitments, []) = bytes.as_chunks::<{ 2 * POINT }>() else { return None };
        let commitments = commitments
            .iter()
            .map(|both| {
                let (delta, s) = both.split_at_checked(POINT)?;
                Some(PresignatureCommitment {
                    tilde_Delta: Point::from_bytes(delta).ok()?,
                    tilde_S: Point::from_bytes(s).ok()?,
                })
            })
            .collect::<Option<Vec<_>>>()?;
        let gamma = NonZero::from_point(Point::from_bytes(gamma).ok()?)?;
        let secret = |bytes| SecretScalar::from_be_bytes(bytes).ok();
        Self::of_parts(secret(k)?, secret(chi)?, PresignaturePublicData { Gamma: gamma, commitments }, terms)
    }
}

/// Version, kind, key digest, own position, number of signers.
const HEADER: usize = 1 + 1 + 32 + 2 + 2;

impl Terms {
    fn signer_bytes(&self) -> Vec<u8> {
        self.signers.iter().flat_map(|slot| slot.0.to_be_bytes()).collect()
    }
}

impl Spent {
    /// [`Presignature::id`] of what was spent.
    pub(super) fn id(&self) -> &[u8; ID] {
        &self.id
    }

    /// Whether a signer's partial signature fits its part of the presignature.
    pub(super) fn partial_is_valid(&self, signer: Slot, partial: &[u8; PARTIAL]) -> bool {
        match &self.kind {
            SpentKind::Cggmp24 { m, r, public, .. } => {
                let own = public.commitments.get(signer.index());
                own.zip(Scalar::from_be_bytes(partial).ok())
                    .is_some_and(|(own, sigma)| public.Gamma * sigma == own.tilde_Delta * m + own.tilde_S * r)
            }
            #[cfg(any(test, feature = "testing"))]
            SpentKind::Mock(mock, signers) => mock.partial(signers, signer, &self.digest) == *partial,
        }
    }

    /// The signature of all partial ones, compact and with low S, if it verifies.
    pub(super) fn combine(&self, partials: &[[u8; PARTIAL]]) -> Option<[u8; 64]> {
        match &self.kind {
            SpentKind::Cggmp24 { r, key, .. } => {
                let s = partials.iter().try_fold(Scalar::<E>::zero(), |sum, partial| {
                    Some(sum + Scalar::from_be_bytes(partial).ok()?)
                })?;
                let compact: [u8; 64] =
                    [r.to_be_bytes().as_bytes(), s.to_be_bytes().as_bytes()].concat().try_into().ok()?;
                let mut signature = ecdsa::Signature::from_compact(&compact).ok()?;
                signature.normalize_s();
                let signature = signature.serialize_compact();
                verify(key, &self.digest, &signature).then_some(signature)
            }
            #[cfg(any(test, feature = "testing"))]
            SpentKind::Mock(mock, signers) => mock.combine(signers, &self.digest, partials),
        }
    }
}

/// ECDSA verification by libsecp256k1, which takes low S only.
pub(in crate::mpc) fn verify(key: &PublicKey, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
    ecdsa::Signature::from_compact(signature).is_ok_and(|signature| {
        Libsecp::verification_only().verify_ecdsa(&Message::from_digest(*digest), &signature, key).is_ok()
    })
}

/// The x coordinate of the nonce, which is r of the signature.
fn nonce_coordinate(public: &PresignaturePublicData<E>) -> Scalar<E> {
    public.Gamma.x().to_scalar()
}

fn public_bytes(public: &PresignaturePublicData<E>) -> Vec<u8> {
    let points = public.commitments.iter().flat_map(|one| [one.tilde_Delta, one.tilde_S]);
    std::iter::once(public.Gamma.into_inner())
        .chain(points)
        .flat_map(|point| point.to_bytes(true).as_bytes().to_vec())
        .collect()
}

impl std::fmt::Debug for Presignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presignature").field("signers", &self.terms.signers).finish_non_exhaustive()
    }
}
