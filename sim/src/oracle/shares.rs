//! Which words of a signing session hold shares of a signature.
//!
//! | session | its shares are in |
//! |---|---|
//! | Taproot | everything after the commitments |
//! | SegWit, with presignatures | its only words |
//! | SegWit, without | the words that follow its presignings: they open a round of their own and are longer than the commitments that open a presigning |

use std::collections::BTreeMap;

use mpc_wallet_core::{
    Scheme, SessionId,
    message::{Message, MpcMessage, SigningSession, Subject},
};

/// Sequence of the first message of a Taproot session that holds signature shares: before it come the commitments.
pub(super) const FIRST_SHARE: u32 = 1;

/// Where a frame says which round of its protocol it belongs to: behind the 32 bytes of its context.
const ROUND: usize = 32;

/// Longest frame that opens a presigning of the mock scheme: context, round, two lengths of a byte, a body of 33 bytes.
const COMMITMENT: usize = 32 + 1 + 2 + 33;

/// How the shares of a session are told from its other words.
#[derive(Clone, Copy)]
enum Kind {
    Taproot,
    Online,
    Interactive,
}

/// The sessions that sign a payment, as far as anybody has asked for them in public.
#[derive(Default)]
pub(super) struct Sessions(BTreeMap<SessionId, Kind>);

impl Sessions {
    /// Learns of a session from the request for it.
    pub(super) fn learn(&mut self, message: &Message) {
        if let Message::SignRequest(request) = message
            && matches!(request.session.subject, Subject::Payment { .. })
        {
            self.0.insert(request.session.id(), Kind::of(&request.session));
        }
    }

    /// Whether these words hold shares of a payment's signatures.
    pub(super) fn holds_share(&self, words: &MpcMessage) -> bool {
        match self.0.get(&words.session) {
            None => false,
            Some(Kind::Taproot) => words.sequence >= FIRST_SHARE,
            Some(Kind::Online) => true,
            Some(Kind::Interactive) => {
                words.to.is_none() && words.payload.get(ROUND) == Some(&0) && words.payload.len() > COMMITMENT
            }
        }
    }
}

impl Kind {
    const fn of(session: &SigningSession) -> Self {
        match session.key.scheme {
            Scheme::Taproot => Self::Taproot,
            Scheme::Segwit if session.presignatures.is_empty() => Self::Interactive,
            Scheme::Segwit => Self::Online,
        }
    }
}
