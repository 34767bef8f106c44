//! One run of a multi-party protocol, as its node sees it: the machine, on its way to a worker or back, what was
//! said and heard, and who contradicted himself.
//!
//! Every message is signed by its sender and bound to the run and its place in it. What has been said is kept and
//! repeated word for word when asked: a second answer to one question would be equivocation, and with a nonce in it
//! would give the key share away (I4).

use std::collections::BTreeMap;

use crate::{
    identity::{Signed, VoteKey},
    ids::{BootId, JobId, NodeId, SessionId},
    message::MpcMessage,
    mpc::{Advance, Machine, Outgoing, Progress, Recipient, Slot, Stage},
    sometimes,
    step::Work,
    vote::Evidence,
};

/// A run and this node's part in it.
pub(crate) struct Run {
    id: SessionId,
    me: NodeId,
    boot: BootId,
    parties: Vec<NodeId>,
    machine: Option<Box<dyn Machine>>,
    job: Option<JobId>,
    fresh: bool,
    inbox: Vec<(Slot, Vec<u8>)>,
    said: Vec<Signed<MpcMessage>>,
    heard: BTreeMap<(NodeId, Option<NodeId>, u32), Signed<MpcMessage>>,
    heard_bytes: BTreeMap<NodeId, usize>,
    stage: Option<Stage>,
}

/// What a message turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Something new for the machine.
    New,
    /// Known, or not for this node.
    Nothing,
    /// It contradicts what the same member said in the same place.
    Equivocation(Box<Evidence>),
}

/// Most different places one party may speak in: signing without presignatures takes five for each input.
const MAX_SEQUENCE: u32 = 256;

/// Most bytes kept of what one party said: the longest run, with its retold broadcasts, takes a tenth.
const MAX_HEARD_BYTES: usize = 16 * 1024 * 1024;

impl Run {
    /// A run of `machine` among `parties`, in slot order.
    pub(crate) fn new(
        id: SessionId,
        (me, boot): (NodeId, BootId),
        parties: Vec<NodeId>,
        machine: Box<dyn Machine>,
    ) -> Self {
        Self {
            id,
            me,
            boot,
            parties,
            machine: Some(machine),
            job: None,
            fresh: true,
            inbox: Vec::new(),
            said: Vec::new(),
            heard: BTreeMap::new(),
            heard_bytes: BTreeMap::new(),
            stage: None,
        }
    }

    /// Takes a message whose signature was checked.
    pub(crate) fn hear(&mut self, message: Signed<MpcMessage>) -> Heard {
        let body = &message.body;
        let for_me = body.to.is_none_or(|to| to == self.me);
        let Some(slot) = self.slot(body.from) else { return Heard::Nothing };
        if body.session != self.id || body.from == self.me || !for_me || body.sequence >= MAX_SEQUENCE {
            return Heard::Nothing;
        }
        let place = (body.from, body.to, body.sequence);
        if let Some(first) = self.heard.get(&place) {
            // What a member said before it restarted stands; that it says something else now proves nothing.
            sometimes!(ShareAgain, first.body == message.body && message.body.sequence > 0);
            if first.body == message.body || first.body.boot != message.body.boot {
                return Heard::Nothing;
            }
            return Heard::Equivocation(Box::new(Evidence::Equivocation {
                first: Box::new(first.clone()),
                second: Box::new(message),
            }));
        }
        let bytes = self.heard_bytes.entry(body.from).or_default();
        let more = bytes.saturating_add(body.payload.len());
        if more > MAX_HEARD_BYTES {
            return Heard::Nothing;
        }
        *bytes = more;
        self.inbox.push((slot, body.payload.clone()));
        self.heard.insert(place, message);
        Heard::New
    }

    /// The next job, if the machine is here and has something to do.
    pub(crate) fn work(&mut self, job: JobId) -> Option<Work> {
        if self.inbox.is_empty() && !self.fresh {
            return None;
        }
        let machine = self.machine.take()?;
        self.fresh = false;
        self.job = Some(job);
        Some(Work::Advance { machine, inbox: std::mem::take(&mut self.inbox) })
    }

    /// Takes the machine back. Gives the messages to say now, and how far the run is.
    pub(crate) fn returned(
        &mut self,
        job: JobId,
        machine: Box<dyn Machine>,
        advance: Advance,
        key: &VoteKey,
    ) -> Option<(Vec<Signed<MpcMessage>>, Progress)> {
        if self.job != Some(job) {
            return None;
        }
        self.job = None;
        self.stage = machine.stage();
        self.machine = Some(machine);
        let mut saying = Vec::with_capacity(advance.outgoing.len());
        for outgoing in advance.outgoing {
            if let Some(message) = self.compose(outgoing, key) {
                self.said.push(message.clone());
                saying.push(message);
            }
        }
        Some((saying, advance.progress))
    }

    fn compose(&self, outgoing: Outgoing, key: &VoteKey) -> Option<Signed<MpcMessage>> {
        let to = match outgoing.to {
            Recipient::All => None,
            Recipient::One(slot) => Some(*self.parties.get(slot.index())?),
        };
        let earlier = self.said.iter().filter(|said| said.body.to == to).count();
        let body = MpcMessage {
            session: self.id,
            from: self.me,
            boot: self.boot,
            to,
            sequence: u32::try_from(earlier).ok()?,
            payload: outgoing.payload,
        };
        Some(Signed::new(body, key))
    }

    /// Everything said so far, for whoever may have missed it.
    pub(crate) fn said(&self) -> &[Signed<MpcMessage>] {
        &self.said
    }

    /// How much that is.
    pub(crate) fn said_bytes(&self) -> usize {
        self.said.iter().map(|said| said.body.payload.len()).sum()
    }

    /// Where the protocol stood when it was last here.
    pub(crate) const fn stage(&self) -> Option<Stage> {
        self.stage
    }

    /// Who is to hear a message: its addressee, or every other party.
    pub(crate) fn audience(&self, message: &MpcMessage) -> Vec<NodeId> {
        match message.to {
            Some(to) => vec![to],
            None => self.parties.iter().copied().filter(|party| *party != self.me).collect(),
        }
    }

    /// Parties whose message the machine waits for; empty while it computes.
    pub(crate) fn silent(&self) -> Vec<NodeId> {
        self.machine
            .iter()
            .flat_map(|machine| machine.waiting_for())
            .filter_map(|slot| self.parties.get(slot.index()).copied())
            .collect()
    }

    /// The members at these slots.
    pub(crate) fn nodes(&self, slots: &[Slot]) -> Vec<NodeId> {
        slots.iter().filter_map(|slot| self.parties.get(slot.index()).copied()).collect()
    }

    fn slot(&self, node: NodeId) -> Option<Slot> {
        let index = self.parties.iter().position(|party| *party == node)?;
        u16::try_from(index).ok().map(Slot)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::{
        fixture::{cluster, key},
        step::JobResult,
    };

    const ID: SessionId = SessionId::from_bytes([5; 32]);
    const ME: NodeId = NodeId::new(2);

    /// Says something to all and something to slot 2 each time, and remembers what it was given.
    #[derive(Default)]
    struct Parrot {
        heard: Vec<(Slot, Vec<u8>)>,
        turns: u8,
    }

    impl Machine for Parrot {
        fn receive(&mut self, from: Slot, payload: &[u8]) {
            self.heard.push((from, payload.to_vec()));
        }

        fn advance(&mut self) -> Advance {
            self.turns += 1;
            let say = |to, word: &[u8]| Outgoing { to, payload: [word, &[self.turns]].concat() };
            let outgoing = vec![say(Recipient::All, b"all"), say(Recipient::One(Slot(2)), b"one")];
            Advance { outgoing, progress: Progress::Running }
        }

        fn waiting_for(&self) -> Vec<Slot> {
            vec![Slot(0), Slot(2)]
        }
    }

    /// Nodes 1, 2, 4 and 5; this is node-2, in slot 1.
    fn run() -> Run {
        Run::new(ID, (ME, BootId(1)), [1, 2, 4, 5].map(NodeId::new).to_vec(), Box::new(Parrot::default()))
    }

    fn word(from: u16, payload: &[u8]) -> MpcMessage {
        MpcMessage {
            session: ID,
            from: NodeId::new(from),
            boot: BootId(1),
            to: None,
            sequence: 0,
            payload: payload.to_vec(),
        }
    }

    fn said(body: MpcMessage) -> Signed<MpcMessage> {
        let speaker = key(body.from.get());
        Signed::new(body, &speaker)
    }

    fn inbox(run: &mut Run) -> Vec<(Slot, Vec<u8>)> {
        let Work::Advance { inbox, .. } = run.work(JobId(1)).unwrap() else { panic!("another job") };
        inbox
    }

    #[test]
    fn new_words_reach_the_machine_once_under_their_speakers_slot() {
        let mut run = run();
        assert_eq!(run.hear(said(word(4, b"a"))), Heard::New);
        assert_eq!(run.hear(said(word(4, b"a"))), Heard::Nothing);
        assert_eq!(run.hear(said(word(1, b"b"))), Heard::New);
        assert_eq!(inbox(&mut run), [(Slot(2), b"a".to_vec()), (Slot(0), b"b".to_vec())]);
    }

    #[test]
    fn the_same_words_signed_anew_are_no_news() {
        let mut run = run();
        let first = said(word(4, b"a"));
        let mut again = first.clone();
        again.signature.0[0] ^= 1;
        assert_eq!(run.hear(first), Heard::New);
        assert_eq!(run.hear(again), Heard::Nothing);
    }

    #[test]
    fn what_was_said_before_a_restart_stands_and_nobody_is_blamed() {
        let mut run = run();
        assert_eq!(run.hear(said(word(4, b"a"))), Heard::New);
        let after = MpcMessage { boot: BootId(2), ..word(4, b"b") };
        assert_eq!(run.hear(said(after)), Heard::Nothing);
        assert_eq!(inbox(&mut run), [(Slot(2), b"a".to_vec())]);
    }

    #[test]
    fn other_words_in_the_same_place_are_proof_and_do_not_reach_the_machine() {
        let mut run = run();
        assert_eq!(run.hear(said(word(4, b"a"))), Heard::New);
        let Heard::Equivocation(evidence) = run.hear(said(word(4, b"b"))) else { panic!("not noticed") };
        assert_eq!(evidence.verify(&cluster(5, 4)), Ok(()));
        assert_eq!(evidence.accused(), NodeId::new(4));
        assert_eq!(inbox(&mut run), [(Slot(2), b"a".to_vec())]);
    }

    #[test]
    fn different_places_hold_different_words() {
        let mut run = run();
        let (mut later, mut aside) = (word(4, b"b"), word(4, b"c"));
        later.sequence = 1;
        aside.to = Some(ME);
        for body in [word(4, b"a"), later, aside] {
            assert_eq!(run.hear(said(body)), Heard::New);
        }
    }

    #[test]
    fn what_is_not_for_this_run_and_node_is_ignored() {
        type Change = fn(&mut MpcMessage);
        let changes: [(&str, Change); 6] = [
            ("another session", |m| m.session = SessionId::from_bytes([6; 32])),
            ("this node's own words", |m| m.from = ME),
            ("a member that is no signer", |m| m.from = NodeId::new(3)),
            ("a stranger", |m| m.from = NodeId::new(9)),
            ("for another party", |m| m.to = Some(NodeId::new(5))),
            ("further than any protocol goes", |m| m.sequence = MAX_SEQUENCE),
        ];
        for (desc, change) in changes {
            let mut run = run();
            let mut body = word(4, b"a");
            change(&mut body);
            assert_eq!(run.hear(said(body)), Heard::Nothing, "{desc}");
            assert!(run.heard.is_empty() && run.inbox.is_empty(), "{desc} is kept");
        }
    }

    #[test]
    fn a_speaker_fills_a_bounded_number_of_places() {
        let mut run = run();
        for sequence in 0..1_000 {
            let mut body = word(4, b"a");
            body.sequence = sequence;
            run.hear(said(body));
        }
        assert_eq!(run.heard.len(), usize::try_from(MAX_SEQUENCE).unwrap());
    }

    #[test]
    fn there_is_work_at_first_and_then_only_after_news() {
        let mut run = run();
        let Work::Advance { machine, .. } = run.work(JobId(1)).unwrap() else { panic!("another job") };
        assert!(run.silent().is_empty(), "it computes, it does not wait");
        run.hear(said(word(4, b"a")));
        assert!(run.work(JobId(2)).is_none(), "the machine is away");
        let JobResult::Advanced { machine, advance } = (Work::Advance { machine, inbox: vec![] }).run()
        else {
            panic!("another job")
        };
        run.returned(JobId(1), machine, advance, &key(2)).unwrap();
        assert_eq!(run.silent(), [NodeId::new(1), NodeId::new(4)]);
        let Work::Advance { machine, inbox } = run.work(JobId(3)).unwrap() else { panic!("another job") };
        assert_eq!(inbox.len(), 1);
        let JobResult::Advanced { machine, advance } = (Work::Advance { machine, inbox: vec![] }).run()
        else {
            panic!("another job")
        };
        run.returned(JobId(3), machine, advance, &key(2)).unwrap();
        assert!(run.work(JobId(4)).is_none(), "nothing new");
    }

    #[test]
    fn a_result_of_another_job_is_not_taken() {
        let mut run = run();
        let work = run.work(JobId(1)).unwrap();
        let JobResult::Advanced { machine, advance } = work.run() else { panic!("another job") };
        assert!(run.returned(JobId(2), machine, advance, &key(2)).is_none());
        assert!(run.said().is_empty());
    }

    #[test]
    fn words_are_numbered_by_listener_signed_and_kept() {
        let mut run = run();
        for job in 1..=2 {
            let Some(work) = run.work(JobId(job)) else { panic!("no work for job {job}") };
            let JobResult::Advanced { machine, advance } = work.run() else { panic!("another job") };
            let (saying, _) = run.returned(JobId(job), machine, advance, &key(2)).unwrap();
            assert!(saying.iter().all(|message| message.verify(&key(2).public())));
            run.hear(said(word(4, b"a")));
        }
        let places: Vec<_> = run.said().iter().map(|said| (said.body.to, said.body.sequence)).collect();
        let one = Some(NodeId::new(4));
        assert_eq!(places, [(None, 0), (one, 0), (None, 1), (one, 1)]);
        let all = run.audience(&run.said()[0].body);
        assert_eq!(all, [1, 4, 5].map(NodeId::new), "every other party");
        assert_eq!(run.audience(&run.said()[1].body), [NodeId::new(4)]);
    }
}
