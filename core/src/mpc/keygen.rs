//! Key generation: CGGMP21's threshold protocol of the library, owned and driven by hand.
//!
//! The library's protocol is an `async` function over a stream and a sink. Here both ends are one shared
//! in-memory queue; the future owns its randomness and identifiers, and awaits nothing but the next message,
//! so one poll goes as far as the messages allow. Dropping the future drops the secrets.
//!
//! Rounds: commitment, confirmation (the library's echo hash, with the view of the mailbox), opening to all
//! with a secret share to each, and proof of knowledge of the share that resulted.
#![expect(
    clippy::disallowed_types,
    reason = "the future and its driver share queues and must be Send; one thread at a time holds both"
)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use generic_ec::curves::Secp256k1;
use givre::keygen::security_level::SecurityLevel128;
use givre::keygen::{ExecutionId, KeygenError, ThresholdMsg};
use k256::sha2::Sha256;
use rand_chacha::ChaCha20Rng;
use round_based::{Incoming, MessageDestination, MessageType, MpcParty, Sink, Stream};

use super::key::Secret;
use super::mailbox::{COMMIT, CONFIRM, Mailbox};
use super::{
    Advance, Fault, FaultReason, KeyShare, KeygenParams, MAX_PARTIES, Machine, Outgoing, Output, Progress,
    Recipient, Slot, rng,
};

type Msg = ThresholdMsg<Secp256k1, SecurityLevel128, Sha256>;
type Protocol = Pin<Box<dyn Future<Output = Result<givre::KeyShare<Secp256k1>, KeygenError>> + Send>>;

const OPEN: u8 = 2;
const SHARE: u8 = 3;
const PROVE: u8 = 4;
const ROUNDS: u8 = PROVE + 1;

/// Most bytes of one body. The largest is the opening: 222 bytes, and 76 for each coefficient of the
/// polynomial, of which there are as many as the threshold.
const MAX_BODY: usize = 256 + 80 * MAX_PARTIES as usize;

/// Key generation by the library, with its future polled by hand.
pub(super) struct Keygen {
    mailbox: Mailbox,
    queues: Arc<Mutex<Queues>>,
    /// `None` once the run is over.
    protocol: Option<Protocol>,
    threshold: u16,
}

#[derive(Default)]
struct Queues {
    incoming: VecDeque<Incoming<Msg>>,
    outgoing: VecDeque<round_based::Outgoing<Msg>>,
}

impl Keygen {
    /// `params` have been checked.
    pub(super) fn new(params: &KeygenParams, seed: [u8; 32]) -> Self {
        let context = params.context(b"givre");
        let queues = Arc::new(Mutex::new(Queues::default()));
        let party = MpcParty::connected((Ends(queues.clone()), Ends(queues.clone())));
        let protocol = run(params.clone(), context, rng(&zeroize::Zeroizing::new(seed), &context), party);
        Self {
            mailbox: Mailbox::new(context, params.me, params.parties, ROUNDS, MAX_BODY),
            queues,
            protocol: Some(Box::pin(protocol)),
            threshold: params.threshold,
        }
    }

    fn run(&mut self, outgoing: &mut Vec<Outgoing>) -> Result<Option<KeyShare>, Fault> {
        let Some(protocol) = self.protocol.as_mut() else {
            return Err(Fault::by_nobody(FaultReason::Ended));
        };
        self.mailbox.check()?;
        let polled = protocol.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let sent = std::mem::take(&mut lock(&self.queues).outgoing);
        for message in sent {
            outgoing.push(self.frame(&message).ok_or(Fault::by_nobody(FaultReason::Library))?);
        }
        match polled {
            // Our own commitment may have completed the view.
            Poll::Pending => self.mailbox.check().map(|()| None),
            Poll::Ready(Ok(share)) => KeyShare::new(Secret::Givre(Box::new(share)))
                .map(Some)
                .map_err(|_| Fault::by_nobody(FaultReason::Library)),
            Poll::Ready(Err(error)) => Err(blame(&error)),
        }
    }

    fn frame(&mut self, message: &round_based::Outgoing<Msg>) -> Option<Outgoing> {
        let body = zeroize::Zeroizing::new(postcard::to_allocvec(&message.msg).ok()?);
        let to = match message.recipient {
            MessageDestination::AllParties => Recipient::All,
            MessageDestination::OneParty(slot) => Recipient::One(Slot(slot)),
        };
        Some(Outgoing { to, payload: self.mailbox.frame(round_of(&message.msg), &body)? })
    }

    fn read(&self, round: u8, body: &[u8]) -> Result<Msg, FaultReason> {
        let (message, rest) = postcard::take_from_bytes::<Msg>(body).map_err(|_| FaultReason::Malformed)?;
        if !rest.is_empty() || round_of(&message) != round {
            return Err(FaultReason::Malformed);
        }
        match &message {
            // The library refuses this too; it stands here because locked funds are beyond repair.
            Msg::Round2Broad(opening) if opening.F.coefs().len() != usize::from(self.threshold) => {
                Err(FaultReason::BadPolynomial)
            }
            Msg::Round1(_)
            | Msg::Round2Broad(_)
            | Msg::Round2Uni(_)
            | Msg::Round3(_)
            | Msg::ReliabilityCheck(_) => Ok(message),
        }
    }
}

impl Machine for Keygen {
    fn receive(&mut self, from: Slot, payload: &[u8]) {
        if self.protocol.is_none() {
            return;
        }
        let Some((round, body)) = self.mailbox.open(from, payload) else {
            return;
        };
        match self.read(round, body) {
            Ok(msg) => {
                let msg_type = if round == SHARE { MessageType::P2P } else { MessageType::Broadcast };
                lock(&self.queues).incoming.push_back(Incoming { id: 0, sender: from.0, msg_type, msg });
            }
            Err(reason) => self.mailbox.blame(from, reason),
        }
    }

    fn advance(&mut self) -> Advance {
        let mut outgoing = Vec::new();
        let progress = match self.run(&mut outgoing) {
            Ok(None) => Progress::Running,
            Ok(Some(share)) => {
                self.protocol = None;
                Progress::Finished(Output::KeyShare(share))
            }
            Err(fault) => {
                self.protocol = None;
                *lock(&self.queues) = Queues::default();
                Progress::Failed(fault)
            }
        };
        Advance { outgoing, progress }
    }

    fn waiting_for(&self) -> Vec<Slot> {
        if self.protocol.is_none() {
            return Vec::new();
        }
        let opened = || {
            let mut missing = [self.mailbox.missing(OPEN), self.mailbox.missing(SHARE)].concat();
            missing.sort_unstable();
            missing.dedup();
            missing
        };
        [self.mailbox.missing(COMMIT), self.mailbox.missing(CONFIRM), opened(), self.mailbox.missing(PROVE)]
            .into_iter()
            .find(|missing| !missing.is_empty())
            .unwrap_or_default()
    }
}

async fn run(
    params: KeygenParams,
    context: [u8; 32],
    mut rng: ChaCha20Rng,
    party: MpcParty<Msg, (Ends, Ends)>,
) -> Result<givre::KeyShare<Secp256k1>, KeygenError> {
    givre::keygen::<Secp256k1>(ExecutionId::new(&context), params.me.0, params.parties)
        .set_threshold(params.threshold)
        .enforce_reliable_broadcast(true)
        .start(&mut rng, party)
        .await
}

fn round_of(message: &Msg) -> u8 {
    match message {
        Msg::Round1(_) => COMMIT,
        Msg::ReliabilityCheck(_) => CONFIRM,
        Msg::Round2Broad(_) => OPEN,
        Msg::Round2Uni(_) => SHARE,
        Msg::Round3(_) => PROVE,
    }
}

/// Reads from the library's error whom it blames. The type that says so is private and its debug text is all
/// there is; a text that is not understood names nobody. Tests hold the texts of the library in use.
fn blame(error: &KeygenError) -> Fault {
    let kinds = [
        ("InvalidDecommitment", "faulty_party: ", FaultReason::BadDecommitment),
        ("InvalidSchnorrProof", "faulty_party: ", FaultReason::BadProof),
        ("FeldmanVerificationFailed { parties:", " ", FaultReason::BadSecretShare),
        ("InvalidDataSize { parties:", " ", FaultReason::BadPolynomial),
        // Views are compared before the library sees the hashes, and they agreed: the hash contradicts its
        // own sender.
        ("Round1NotReliable", "(", FaultReason::BadEcho),
    ];
    let text = format!("{error:?}");
    for (kind, mark, reason) in kinds {
        if let Some((_, list)) = text.split_once(kind) {
            return Fault { culprits: numbers_after(list, mark), reason };
        }
    }
    Fault::by_nobody(FaultReason::Library)
}

/// The number that follows each occurrence of `mark`, a list's bracket aside.
fn numbers_after(text: &str, mark: &str) -> Vec<Slot> {
    text.split(mark)
        .skip(1)
        .filter_map(|rest| {
            let digits: String =
                rest.trim_start_matches('[').chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok().map(Slot)
        })
        .collect()
}

fn lock(queues: &Mutex<Queues>) -> MutexGuard<'_, Queues> {
    // Only one thread drives a machine; a panic elsewhere cannot leave a queue half-changed.
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The protocol's ends of the queues.
struct Ends(Arc<Mutex<Queues>>);

impl Stream for Ends {
    type Item = Result<Incoming<Msg>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match lock(&self.0).incoming.pop_front() {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => Poll::Pending,
        }
    }
}

impl Sink<round_based::Outgoing<Msg>> for Ends {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: round_based::Outgoing<Msg>) -> Result<(), Infallible> {
        lock(&self.0).outgoing.push_back(message);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}
