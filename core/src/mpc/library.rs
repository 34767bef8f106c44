//! Protocols of the libraries, owned and driven by hand.
//!
//! A library's protocol is an `async` function over a stream and a sink. Here both ends are one shared
//! in-memory queue; the future owns its randomness and identifiers, and awaits nothing but the next message,
//! so one [`Driver::advance`] goes as far as the messages allow. Dropping the future drops the secrets.
//!
//! The libraries panic on some of what a peer may send (a number in base 99 is one example). A panic inside
//! one is caught here and ends the run, not the node.
#![expect(
    clippy::disallowed_types,
    reason = "the future and its driver share queues and must be Send; one thread at a time holds both"
)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Debug;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use round_based::{Incoming, MessageDestination, MessageType, MpcParty, Sink, Stream};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::mailbox::Mailbox;
use super::{Advance, Fault, FaultReason, Machine, Outgoing, Output, Progress, Recipient, Slot, Stage};

/// What the driver must know of a protocol. Rounds are numbered so that the commitments come in
/// [`COMMIT`](super::mailbox::COMMIT) and their echo in [`CONFIRM`](super::mailbox::CONFIRM).
pub(super) trait Protocol: Send + 'static {
    /// Any message of the protocol.
    type Msg: Serialize + DeserializeOwned + Send + 'static;
    /// What it yields.
    type Output: Send + 'static;
    /// How it fails.
    type Error: Debug + Send + 'static;

    /// What people call it.
    const NAME: &'static str;
    /// The rounds in the order in which they are awaited; those of one entry together.
    const AWAITED: &'static [&'static [u8]];
    /// Rounds with another message for each recipient.
    const PRIVATE: &'static [u8];
    /// Most bytes of one body, with the most parties.
    const MAX_BODY: usize;

    /// The round of a message.
    fn round_of(message: &Self::Msg) -> u8;
    /// Refuses what the library would trip over, or what is too dear to leave to it alone.
    fn accept(&self, message: &Self::Msg) -> Result<(), FaultReason>;
    /// Whom the library blames, and for what.
    fn blame(error: &Self::Error) -> Fault;
}

/// One party's end of the library's network.
pub(super) type Party<M> = MpcParty<M, (Ends<M>, Ends<M>)>;

type Outcome<P> = Result<<P as Protocol>::Output, <P as Protocol>::Error>;

type Running<P> = Pin<Box<dyn Future<Output = Outcome<P>> + Send>>;

struct Queues<M> {
    incoming: VecDeque<Incoming<M>>,
    outgoing: VecDeque<round_based::Outgoing<M>>,
}

/// One run of one protocol of a library.
pub(super) struct Driver<P: Protocol> {
    protocol: P,
    context: [u8; 32],
    mailbox: Mailbox,
    queues: Arc<Mutex<Queues<P::Msg>>>,
    /// `None` once the run is over.
    running: Option<Running<P>>,
}

impl<P: Protocol> Driver<P> {
    /// A run among `parties`, not begun: `start` makes its future.
    pub(super) fn new<F>(
        protocol: P,
        context: [u8; 32],
        me: Slot,
        parties: u16,
        start: impl FnOnce(Party<P::Msg>) -> F,
    ) -> Self
    where
        F: Future<Output = Result<P::Output, P::Error>> + Send + 'static,
    {
        let queues = Arc::new(Mutex::new(Queues { incoming: VecDeque::new(), outgoing: VecDeque::new() }));
        let running = start(MpcParty::connected((Ends(queues.clone()), Ends(queues.clone()))));
        let last = P::AWAITED.iter().copied().flatten().max().copied().unwrap_or(0);
        Self {
            protocol,
            context,
            mailbox: Mailbox::new(context, me, parties, last.saturating_add(1), P::MAX_BODY),
            queues,
            running: Some(Box::pin(running)),
        }
    }

    /// Whether a payload claims to belong to this run.
    pub(super) fn is_addressed_by(&self, payload: &[u8]) -> bool {
        payload.starts_with(&self.context)
    }

    /// See [`Machine::receive`].
    pub(super) fn receive(&mut self, from: Slot, payload: &[u8]) {
        if self.running.is_none() {
            return;
        }
        let Some((round, body)) = self.mailbox.open(from, payload) else {
            return;
        };
        match self.read(round, body) {
            Ok(msg) => {
                let msg_type =
                    if P::PRIVATE.contains(&round) { MessageType::P2P } else { MessageType::Broadcast };
                lock(&self.queues).incoming.push_back(Incoming { id: 0, sender: from.0, msg_type, msg });
            }
            Err(reason) => self.mailbox.blame(from, reason),
        }
    }

    /// Goes as far as the messages allow; gives the output once.
    pub(super) fn advance(&mut self, outgoing: &mut Vec<Outgoing>) -> Result<Option<P::Output>, Fault> {
        let result = self.run(outgoing);
        if !matches!(result, Ok(None)) {
            self.stop();
        }
        result
    }

    /// Drops what is secret.
    pub(super) fn stop(&mut self) {
        self.running = None;
        let mut queues = lock(&self.queues);
        queues.incoming.clear();
        queues.outgoing.clear();
    }

    /// See [`Machine::waiting_for`].
    pub(super) fn waiting_for(&self) -> Vec<Slot> {
        if self.running.is_none() {
            return Vec::new();
        }
        P::AWAITED
            .iter()
            .map(|rounds| self.missing(rounds))
            .find(|missing| !missing.is_empty())
            .unwrap_or_default()
    }

    /// See [`Machine::stage`].
    pub(super) fn stage(&self) -> Option<Stage> {
        self.running.as_ref()?;
        let rounds = P::AWAITED.len();
        let done = P::AWAITED.iter().take_while(|rounds| self.missing(rounds).is_empty()).count();
        let number = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
        Some(Stage { name: P::NAME, round: number(rounds.min(done + 1)), rounds: number(rounds) })
    }

    fn missing(&self, rounds: &[u8]) -> Vec<Slot> {
        let mut missing: Vec<Slot> = rounds.iter().flat_map(|round| self.mailbox.missing(*round)).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    fn run(&mut self, outgoing: &mut Vec<Outgoing>) -> Result<Option<P::Output>, Fault> {
        if self.running.is_none() {
            return Err(Fault::by_nobody(FaultReason::Ended));
        }
        loop {
            self.mailbox.check()?;
            let (polled, yielded) = self.poll()?;
            let sent = std::mem::take(&mut lock(&self.queues).outgoing);
            for message in sent {
                outgoing.push(self.frame(&message).ok_or(Fault::by_nobody(FaultReason::Library))?);
            }
            match polled {
                Poll::Pending if yielded => {}
                // Our own commitment may have completed the view.
                Poll::Pending => return self.mailbox.check().map(|()| None),
                Poll::Ready(Ok(output)) => return Ok(Some(output)),
                Poll::Ready(Err(error)) => return Err(P::blame(&error)),
            }
        }
    }

    /// Polls once; says too whether the library only paused in a long computation.
    fn poll(&mut self) -> Result<(Poll<Outcome<P>>, bool), Fault> {
        let Some(running) = self.running.as_mut() else {
            return Err(Fault::by_nobody(FaultReason::Ended));
        };
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let poll = || running.as_mut().poll(&mut Context::from_waker(&waker));
        let polled =
            catch_unwind(AssertUnwindSafe(poll)).map_err(|_| Fault::by_nobody(FaultReason::Library))?;
        Ok((polled, woken.0.load(Ordering::Relaxed)))
    }

    fn frame(&mut self, message: &round_based::Outgoing<P::Msg>) -> Option<Outgoing> {
        let body = Zeroizing::new(postcard::to_allocvec(&message.msg).ok()?);
        let to = match message.recipient {
            MessageDestination::AllParties => Recipient::All,
            MessageDestination::OneParty(slot) => Recipient::One(Slot(slot)),
        };
        Some(Outgoing { to, payload: self.mailbox.frame(P::round_of(&message.msg), &body)? })
    }

    fn read(&self, round: u8, body: &[u8]) -> Result<P::Msg, FaultReason> {
        let decode = || postcard::take_from_bytes::<P::Msg>(body);
        let (message, rest) = catch_unwind(decode).ok().and_then(Result::ok).ok_or(FaultReason::Malformed)?;
        if !rest.is_empty() || P::round_of(&message) != round {
            return Err(FaultReason::Malformed);
        }
        self.protocol.accept(&message)?;
        Ok(message)
    }
}

/// Makes a run's output of what the library yielded.
type Finish<P> = Box<dyn FnOnce(<P as Protocol>::Output) -> Result<Output, Fault> + Send>;

/// A machine that is one run of one protocol.
pub(super) struct Solo<P: Protocol> {
    driver: Driver<P>,
    finish: Option<Finish<P>>,
}

impl<P: Protocol> Solo<P> {
    pub(super) fn new(
        driver: Driver<P>,
        finish: impl FnOnce(P::Output) -> Result<Output, Fault> + Send + 'static,
    ) -> Self {
        Self { driver, finish: Some(Box::new(finish)) }
    }

    fn run(&mut self, outgoing: &mut Vec<Outgoing>) -> Result<Option<Output>, Fault> {
        let Some(yielded) = self.driver.advance(outgoing)? else {
            return Ok(None);
        };
        let finish = self.finish.take().ok_or(Fault::by_nobody(FaultReason::Ended))?;
        finish(yielded).map(Some)
    }
}

impl<P: Protocol> Machine for Solo<P> {
    fn receive(&mut self, from: Slot, payload: &[u8]) {
        self.driver.receive(from, payload);
    }

    fn advance(&mut self) -> Advance {
        let mut outgoing = Vec::new();
        let progress = progress(self.run(&mut outgoing));
        Advance { outgoing, progress }
    }

    fn waiting_for(&self) -> Vec<Slot> {
        self.driver.waiting_for()
    }

    fn stage(&self) -> Option<Stage> {
        self.driver.stage()
    }
}

/// The progress that a step's result means.
pub(super) fn progress(result: Result<Option<Output>, Fault>) -> Progress {
    match result {
        Ok(None) => Progress::Running,
        Ok(Some(output)) => Progress::Finished(output),
        Err(fault) => Progress::Failed(fault),
    }
}

/// Reads from a library's error whom it blames. The types that say so are private and the debug text is all
/// there is; a text that is not understood names nobody. `kinds` has for each kind of error its name, what
/// stands before each culprit's number, and what it means. Tests hold the texts of the libraries in use.
pub(super) fn read_blame(error: &impl Debug, kinds: &[(&str, &str, FaultReason)]) -> Fault {
    let text = format!("{error:?}");
    for (kind, mark, reason) in kinds {
        if let Some((_, list)) = text.split_once(kind) {
            return Fault { culprits: numbers_after(list, mark), reason: *reason };
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

fn lock<M>(queues: &Mutex<Queues<M>>) -> MutexGuard<'_, Queues<M>> {
    // Only one thread drives a machine; a panic elsewhere cannot leave a queue half-changed.
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes that the library asked to be polled again.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The protocol's ends of the queues.
pub(super) struct Ends<M>(Arc<Mutex<Queues<M>>>);

impl<M> Stream for Ends<M> {
    type Item = Result<Incoming<M>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match lock(&self.0).incoming.pop_front() {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => Poll::Pending,
        }
    }
}

impl<M> Sink<round_based::Outgoing<M>> for Ends<M> {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: round_based::Outgoing<M>) -> Result<(), Infallible> {
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
