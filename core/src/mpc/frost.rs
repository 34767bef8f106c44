//! FROST (RFC 9591) over secp256k1 with BIP-340 signatures under the BIP-341 output key.
//!
//! Nonces, shares and aggregation are the library's. Ours is what the library leaves out: the check of each
//! share on its own, so that a bad one has a name, and the last verification by another library.

use bitcoin::XOnlyPublicKey;
use bitcoin::key::TapTweak;
use bitcoin::secp256k1::{Message, Secp256k1 as Libsecp, schnorr};
use generic_ec::curves::Secp256k1;
use generic_ec::{NonZero, Point, Scalar};
use givre::ciphersuite::{Bitcoin, Ciphersuite, NormalizedPoint};
use givre::signing::aggregate::AggregateOptions;
use givre::signing::round1::{PublicCommitments, SecretNonces, commit};
use givre::signing::round2::{SigShare, SigningOptions};
use givre::signing::taproot;
use k256::sha2::digest::{FixedOutput, Update};
use rand_chacha::ChaCha20Rng;

use super::key::Secret;
use super::signing::Scheme;
use super::{KeyShare, RefusedParams, Slot};

type E = Secp256k1;

/// Bytes of a compressed point.
const POINT: usize = 33;
/// Bytes of a scalar.
const SCALAR: usize = 32;

/// Nonces for one message. The library's type can be cloned and stored; this one cannot.
pub(super) struct Nonces(SecretNonces<E>);

/// A signing key with the public side of its BIP-341 tweak.
pub(super) struct Frost {
    share: givre::KeyShare<E>,
    internal_key: XOnlyPublicKey,
    /// The output key with even Y.
    output_key: NormalizedPoint<Bitcoin, NonZero<Point<E>>>,
    /// Public shares of the key under the output key, by index in the key.
    public_shares: Vec<Point<E>>,
}

/// One message with everything that its commitments determine (RFC 9591, sections 4.4 to 4.6).
pub(super) struct Session {
    message: [u8; 32],
    commitments: Vec<(u16, PublicCommitments<E>)>,
    challenge: Scalar<E>,
    /// By signer: its nonce commitment D + ρE with the sign it has in the signature, and its Lagrange
    /// coefficient.
    expected: Vec<(Slot, Point<E>, Scalar<E>)>,
}

impl Frost {
    pub(super) fn new(share: &KeyShare) -> Result<Self, RefusedParams> {
        let internal_key = share.public_key();
        let share = match share.secret() {
            Secret::Givre(share) => share.as_ref().clone(),
            Secret::Cggmp24(_) => return Err(RefusedParams::Share),
            #[cfg(any(test, feature = "testing"))]
            Secret::ToyCggmp24(_) | Secret::Mock(_) | Secret::MockEcdsa(_) => {
                return Err(RefusedParams::Share);
            }
        };
        // The secret shares are negated when the internal key is odd, shifted by the tweak, and negated again
        // when the output key is odd; the public shares follow them.
        let (internal, internal_flip) = normalize(share.shared_public_key);
        let tweak = taproot::tweak::<Bitcoin>(internal, None).ok_or(RefusedParams::Share)?;
        let shift = Point::generator() * tweak;
        let output = NonZero::from_point(*internal + shift).ok_or(RefusedParams::Share)?;
        let (output_key, output_flip) = normalize(output);
        let public_shares = share
            .public_shares
            .iter()
            .map(|point| flip(flip(point.into_inner(), internal_flip) + shift, output_flip))
            .collect();
        Ok(Self { share, internal_key, output_key, public_shares })
    }
}

/// The point with even Y, and whether that took a negation.
fn normalize(point: NonZero<Point<E>>) -> (NormalizedPoint<Bitcoin, NonZero<Point<E>>>, bool) {
    match NormalizedPoint::try_normalize(point) {
        Ok(even) => (even, false),
        Err(negated) => (negated, true),
    }
}

fn flip(point: Point<E>, negate: bool) -> Point<E> {
    if negate { -point } else { point }
}

/// The binding factor input common to all signers: key, message and commitment list, hashed as the library does.
struct Binding {
    key: [u8; POINT],
    message: Vec<u8>,
    commitments: Vec<u8>,
}

impl Binding {
    fn factor(&self, id: &Scalar<E>) -> Scalar<E> {
        let id = Bitcoin::serialize_scalar(id);
        Bitcoin::h1(&[&self.key, &self.message, &self.commitments, id.as_ref()])
    }
}

impl Scheme for Frost {
    const COMMITMENT_BYTES: usize = 2 * POINT;
    const SHARE_BYTES: usize = SCALAR;

    type Nonces = Nonces;
    type Commitment = PublicCommitments<E>;
    type Session = Session;
    type Share = SigShare<E>;

    fn commit(&self, rng: &mut ChaCha20Rng) -> (Nonces, PublicCommitments<E>) {
        // The key share goes into the hash (RFC 9591, section 4.1): weak entropy alone does not reveal a nonce.
        let (nonces, commitments) = commit::<Bitcoin>(rng, &self.share);
        (Nonces(nonces), commitments)
    }

    fn session(&self, message: &[u8; 32], commitments: &[(Slot, PublicCommitments<E>)]) -> Option<Session> {
        let mut signers = commitments
            .iter()
            .map(|(slot, commitment)| Some((self.share.share_preimage(slot.0)?, *slot, *commitment)))
            .collect::<Option<Vec<_>>>()?;
        signers.sort_unstable_by_key(|(id, _, _)| *id);

        let mut list = Bitcoin::h5();
        for (id, _, commitment) in &signers {
            list.update(Bitcoin::serialize_scalar(id).as_ref());
            list.update(Bitcoin::serialize_point(&commitment.hiding_comm).as_ref());
            list.update(Bitcoin::serialize_point(&commitment.binding_comm).as_ref());
        }
        let mut key = [0; POINT];
        key.copy_from_slice(Bitcoin::serialize_point(&self.output_key).as_ref().get(..POINT)?);
        let binding = Binding {
            key,
            message: Bitcoin::h4().chain(message).finalize_fixed().to_vec(),
            commitments: list.finalize_fixed().to_vec(),
        };

        let nonces: Vec<Point<E>> = signers
            .iter()
            .map(|(id, _, commitment)| commitment.hiding_comm + commitment.binding_comm * binding.factor(id))
            .collect();
        let (group, negated) =
            match NormalizedPoint::<Bitcoin, _>::try_normalize(nonces.iter().sum::<Point<E>>()) {
                Ok(even) => (even, false),
                Err(even) => (even, true),
            };
        let expected = signers
            .iter()
            .zip(nonces)
            .map(|((id, slot, _), nonce)| {
                let others = signers.iter().map(|(other, _, _)| *other).filter(|other| other != id);
                let (above, below) = others.fold((Scalar::one(), Scalar::one()), |(above, below), other| {
                    (above * other, below * (other - *id))
                });
                Some((*slot, flip(nonce, negated), above * below.invert()?))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Session {
            message: *message,
            commitments: signers.iter().map(|(_, slot, commitment)| (slot.0, *commitment)).collect(),
            challenge: Bitcoin::compute_challenge(&group, &self.output_key, message),
            expected,
        })
    }

    fn sign(&self, session: &Session, nonces: Nonces) -> Option<SigShare<E>> {
        SigningOptions::<Bitcoin>::new(&self.share, nonces.0, &session.message, &session.commitments)
            .set_taproot_tweak(None)
            .ok()?
            .sign()
            .ok()
    }

    fn share_is_valid(&self, session: &Session, signer: Slot, share: &SigShare<E>) -> bool {
        let Some((_, nonce, lagrange)) = session.expected.iter().find(|(slot, _, _)| *slot == signer) else {
            return false;
        };
        let Some(public_share) = self.public_shares.get(signer.index()) else {
            return false;
        };
        Point::generator() * share.0 == *nonce + *public_share * (session.challenge * lagrange)
    }

    fn aggregate(&self, session: &Session, shares: &[(Slot, SigShare<E>)]) -> Option<[u8; 64]> {
        let signers = session
            .commitments
            .iter()
            .map(|(signer, commitment)| {
                let (_, share) = shares.iter().find(|(slot, _)| slot.0 == *signer)?;
                Some((*signer, *commitment, *share))
            })
            .collect::<Option<Vec<_>>>()?;
        let signature = AggregateOptions::<Bitcoin>::new(self.share.as_ref(), &signers, &session.message)
            .set_taproot_tweak(None)
            .ok()?
            .aggregate()
            .ok()?;
        let mut bytes = [0; 64];
        signature.write_to_slice(&mut bytes);
        verify(self.internal_key, &session.message, &bytes).then_some(bytes)
    }

    fn write_commitment(commitment: &PublicCommitments<E>) -> Vec<u8> {
        [commitment.hiding_comm.to_bytes(true).as_bytes(), commitment.binding_comm.to_bytes(true).as_bytes()]
            .concat()
    }

    fn read_commitment(bytes: &[u8]) -> Option<PublicCommitments<E>> {
        let (hiding, binding) = bytes.split_at_checked(POINT)?;
        Some(PublicCommitments { hiding_comm: read_point(hiding)?, binding_comm: read_point(binding)? })
    }

    fn write_share(share: &SigShare<E>) -> Vec<u8> {
        share.0.to_be_bytes().as_bytes().to_vec()
    }

    fn read_share(bytes: &[u8]) -> Option<SigShare<E>> {
        Scalar::from_be_bytes(bytes).ok().map(SigShare)
    }
}

/// A compressed point on the curve, not infinity.
fn read_point(bytes: &[u8]) -> Option<Point<E>> {
    let point = Point::from_bytes(bytes).ok()?;
    (bytes.len() == POINT && !point.is_zero()).then_some(point)
}

/// BIP-340 verification under the BIP-341 output key of `internal_key`, by libsecp256k1.
pub(super) fn verify(internal_key: XOnlyPublicKey, message: &[u8; 32], signature: &[u8; 64]) -> bool {
    let secp = Libsecp::verification_only();
    let (output_key, _) = internal_key.tap_tweak(&secp, None);
    schnorr::Signature::from_slice(signature).is_ok_and(|signature| {
        let message = Message::from_digest(*message);
        secp.verify_schnorr(&signature, &message, &output_key.to_x_only_public_key()).is_ok()
    })
}
