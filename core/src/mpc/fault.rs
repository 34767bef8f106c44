//! Why a run ended without output, and whom that concerns.

use super::{MAX_MESSAGES, MAX_PARTIES, Slot};

/// The end of a run without output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Slots whose own messages show the fault; empty when nobody can be named.
    pub culprits: Vec<Slot>,
    /// What happened.
    pub reason: FaultReason,
}

impl Fault {
    pub(super) fn by(culprit: Slot, reason: FaultReason) -> Self {
        Self { culprits: vec![culprit], reason }
    }

    pub(super) fn by_nobody(reason: FaultReason) -> Self {
        Self { culprits: Vec::new(), reason }
    }

    /// Slots of whom one is at fault or misconfigured, without proof which: the signed messages of the run
    /// decide. Empty when `culprits` says all that is known.
    #[must_use]
    pub fn suspects(&self) -> Vec<Slot> {
        match self.reason {
            FaultReason::OtherRun { from } => vec![from],
            FaultReason::SplitView { reporter, subject } if self.culprits.is_empty() => {
                vec![reporter, subject]
            }
            FaultReason::SplitView { .. }
            | FaultReason::Oversized { .. }
            | FaultReason::Malformed
            | FaultReason::Conflicting { .. }
            | FaultReason::BadEcho
            | FaultReason::BadDecommitment
            | FaultReason::BadPolynomial
            | FaultReason::BadSecretShare
            | FaultReason::BadProof
            | FaultReason::BadPaillierKey
            | FaultReason::BadCiphertext
            | FaultReason::BadPresignature
            | FaultReason::BadSignatureShare { .. }
            | FaultReason::BadSignature { .. }
            | FaultReason::Library
            | FaultReason::Ended => Vec::new(),
        }
    }
}

/// What went wrong in a run. Rounds and messages are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FaultReason {
    /// A message above the limit of its protocol; it was not decoded.
    #[error("message of {bytes} bytes exceeds the limit of {limit}")]
    Oversized {
        /// Length received.
        bytes: usize,
        /// Most that an honest party sends.
        limit: usize,
    },
    /// Bytes that no honest party sends: not decodable, wrong counts, invalid points or scalars.
    #[error("message is not one of this protocol")]
    Malformed,
    /// A message of a run with another execution id or other parameters. Nobody is accused: compare the
    /// configurations first.
    #[error(
        "message of {from} belongs to a run with another id or other parameters; compare what both were asked to run"
    )]
    OtherRun {
        /// The sender.
        from: Slot,
    },
    /// Two different messages of one sender in one round.
    #[error("two different messages in round {round}")]
    Conflicting {
        /// The round.
        round: u8,
    },
    /// `reporter` says that it got another first-round message from `subject` than we did. One of the two
    /// lies; if `subject` is this party, `reporter` is the culprit.
    #[error(
        "{reporter} reports another first message of {subject} than arrived here; compare the signed messages"
    )]
    SplitView {
        /// Who reports.
        reporter: Slot,
        /// Whose message it is about.
        subject: Slot,
    },
    /// Key generation: the confirmation hash contradicts the sender's own view.
    #[error("confirmation does not match the messages it confirms")]
    BadEcho,
    /// Key generation: what was opened is not what was committed to.
    #[error("opening does not match its commitment")]
    BadDecommitment,
    /// Key generation: a polynomial that would change the threshold.
    #[error("polynomial is not of the agreed threshold")]
    BadPolynomial,
    /// Key generation: the secret share sent to this party is not on the sender's polynomial.
    #[error("secret share does not lie on its polynomial")]
    BadSecretShare,
    /// Key generation: the sender does not know its own share.
    #[error("proof of knowledge of the key share is invalid")]
    BadProof,
    /// ECDSA key generation: a modulus that cannot be one, or a false proof about it.
    #[error("Paillier key or ring-Pedersen parameters are unsound or not proven")]
    BadPaillierKey,
    /// Presigning: a false proof about an encrypted value. Never start over with the same peers in silence:
    /// each try may leak.
    #[error("proof about an encrypted value of presigning is invalid; look into it before presigning again")]
    BadCiphertext,
    /// Presigning: all proofs hold and yet the contributions do not fit together. The protocol cannot say whose
    /// is false. Never start over with the same peers in silence: each try may leak.
    #[error("contributions do not make a presignature; look into it before presigning again")]
    BadPresignature,
    /// Signing: a share that does not fit its signer's commitment and public share.
    #[error("signature share for message {message} is invalid")]
    BadSignatureShare {
        /// Index of the message.
        message: usize,
    },
    /// Signing: all shares were accepted and yet the signature does not verify; this node is unsound.
    #[error("finished signature for message {message} does not verify; check this node's memory and build")]
    BadSignature {
        /// Index of the message.
        message: usize,
    },
    /// The cryptographic library gave up without naming anyone; with negligible probability in honest runs.
    #[error("cryptographic library failed without naming a party; run again with a new execution id")]
    Library,
    /// The machine had already given its result.
    #[error("run is already over")]
    Ended,
}

/// Parameters for which no run is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusedParams {
    /// Number of parties out of range.
    #[error("{parties} parties: use 2 to {MAX_PARTIES}")]
    Parties {
        /// Number asked for.
        parties: u16,
    },
    /// Threshold out of range.
    #[error("threshold {threshold} of {parties} parties: use 2 to {parties}")]
    Threshold {
        /// Threshold asked for.
        threshold: u16,
        /// Number of parties.
        parties: u16,
    },
    /// Own slot outside the run.
    #[error("{me} is outside a run of {parties} parties")]
    NotAParty {
        /// Own slot.
        me: Slot,
        /// Number of parties.
        parties: u16,
    },
    /// Fewer signers than the key needs.
    #[error("{signers} signers: the key needs {threshold}")]
    TooFewSigners {
        /// Signers given.
        signers: usize,
        /// The key's threshold.
        threshold: u16,
    },
    /// Signers not strictly ascending or not of this key.
    #[error("signers must be strictly ascending indices below {parties}")]
    Signers {
        /// Parties of the key.
        parties: u16,
    },
    /// Own position does not hold the share's index.
    #[error("{me} of the signers is not the holder of the share of {share}")]
    NotASigner {
        /// Own position in the list of signers.
        me: Slot,
        /// Index of the key share.
        share: Slot,
    },
    /// More signers than the key needs, in a scheme that takes exactly as many.
    #[error("{signers} signers: this scheme takes exactly {threshold}")]
    TooManySigners {
        /// Signers given.
        signers: usize,
        /// The key's threshold.
        threshold: u16,
    },
    /// Number of messages out of range.
    #[error("{messages} messages to sign: use 1 to {MAX_MESSAGES}")]
    Messages {
        /// Number given.
        messages: usize,
    },
    /// Primes are missing, given to a suite without use for them, or made for another.
    #[error("this suite needs primes generated for it, or none at all")]
    Primes,
    /// A preimage is too long.
    #[error("a preimage has more than {} bytes; BIP-143 makes 182", super::ecdsa::MAX_PREIMAGE)]
    Preimage,
    /// Presignatures are not one for each message, or not all different, of this key and of these signers. They
    /// are gone.
    #[error("presignatures must be one for each message, all different, of this key and these signers")]
    Presignatures,
    /// The key share is of another suite or its BIP-341 tweak is undefined.
    #[error("key share cannot be used with this suite")]
    Share,
}
