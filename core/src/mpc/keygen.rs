//! Key generation for the Taproot key: CGGMP21's threshold protocol of the library.
//!
//! Rounds: commitment, confirmation (the library's echo hash, with the view of the mailbox), opening to all
//! with a secret share to each, and proof of knowledge of the share that resulted.

use generic_ec::curves::Secp256k1;
use givre::keygen::security_level::SecurityLevel128;
use givre::keygen::{ExecutionId, KeygenError, ThresholdMsg};
use k256::sha2::Sha256;
use rand_chacha::ChaCha20Rng;
use zeroize::Zeroizing;

use super::key::Secret;
use super::library::{Driver, Party, Protocol, Solo, read_blame};
use super::mailbox::{COMMIT, CONFIRM};
use super::{Fault, FaultReason, KeyShare, KeygenParams, MAX_PARTIES, Machine, Output, rng};

type Msg = ThresholdMsg<Secp256k1, SecurityLevel128, Sha256>;

const OPEN: u8 = 2;
const SHARE: u8 = 3;
const PROVE: u8 = 4;

/// A key generation of the Taproot key.
struct Keygen {
    threshold: u16,
}

/// A machine for one key generation; `params` have been checked.
pub(super) fn machine(params: KeygenParams, seed: [u8; 32]) -> Box<dyn Machine> {
    let context = params.context(b"givre");
    let (me, parties, threshold) = (params.me, params.parties, params.threshold);
    let rng = rng(&Zeroizing::new(seed), &context);
    let driver =
        Driver::new(Keygen { threshold }, context, me, parties, |party| run(params, context, rng, party));
    Box::new(Solo::new(driver, |share| {
        KeyShare::new(Secret::Givre(Box::new(share)))
            .map(Output::KeyShare)
            .map_err(|_| Fault::by_nobody(FaultReason::Library))
    }))
}

async fn run(
    params: KeygenParams,
    context: [u8; 32],
    mut rng: ChaCha20Rng,
    party: Party<Msg>,
) -> Result<givre::KeyShare<Secp256k1>, KeygenError> {
    givre::keygen::<Secp256k1>(ExecutionId::new(&context), params.me.0, params.parties)
        .set_threshold(params.threshold)
        .enforce_reliable_broadcast(true)
        .start(&mut rng, party)
        .await
}

impl Protocol for Keygen {
    type Msg = Msg;
    type Output = givre::KeyShare<Secp256k1>;
    type Error = KeygenError;

    const NAME: &'static str = "key generation";
    const AWAITED: &'static [&'static [u8]] = &[&[COMMIT], &[CONFIRM], &[OPEN, SHARE], &[PROVE]];
    const PRIVATE: &'static [u8] = &[SHARE];
    /// The largest is the opening: 222 bytes, and 76 for each coefficient of the polynomial, of which there
    /// are as many as the threshold.
    const MAX_BODY: usize = 256 + 80 * MAX_PARTIES as usize;

    fn round_of(message: &Msg) -> u8 {
        match message {
            Msg::Round1(_) => COMMIT,
            Msg::ReliabilityCheck(_) => CONFIRM,
            Msg::Round2Broad(_) => OPEN,
            Msg::Round2Uni(_) => SHARE,
            Msg::Round3(_) => PROVE,
        }
    }

    fn accept(&self, message: &Msg) -> Result<(), FaultReason> {
        match message {
            // The library refuses this too; it stands here because locked funds are beyond repair.
            Msg::Round2Broad(opening) if opening.F.coefs().len() != usize::from(self.threshold) => {
                Err(FaultReason::BadPolynomial)
            }
            Msg::Round1(_)
            | Msg::Round2Broad(_)
            | Msg::Round2Uni(_)
            | Msg::Round3(_)
            | Msg::ReliabilityCheck(_) => Ok(()),
        }
    }

    fn blame(error: &KeygenError) -> Fault {
        read_blame(error, &BLAMES)
    }
}

/// How the key generations of both schemes say whom they blame.
pub(super) const BLAMES: [(&str, &str, FaultReason); 5] = [
    ("InvalidDecommitment", "faulty_party: ", FaultReason::BadDecommitment),
    ("InvalidSchnorrProof", "faulty_party: ", FaultReason::BadProof),
    ("FeldmanVerificationFailed { parties:", " ", FaultReason::BadSecretShare),
    ("InvalidDataSize { parties:", " ", FaultReason::BadPolynomial),
    // Views are compared before the library sees the hashes, and they agreed: the hash contradicts its
    // own sender.
    ("Round1NotReliable", "(", FaultReason::BadEcho),
];
