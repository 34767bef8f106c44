//! The driver loop of a host, as production has it: input → step → append → fsync → commit → effects. Here an fsync
//! is an event, and a crash can fall between any two of these.

use std::{fmt::Write, rc::Rc};

use mpc_wallet_core::{
    NodeId,
    chain::ChainQuery,
    message::Message,
    mutant, sometimes,
    step::{Alert, Effect, Input, Receipt, Step},
};

use super::{
    Crash, CrashPoint, Event, Host, MAX_SENT_PER_SECOND, MAX_STEPS_PER_MS, Outcome, Parcel, Phase, Span,
    World, defect, faults::Death, host::HostError, network::Arrival,
};
use crate::{oracle::Observed, plan::DiskTrouble, trace::short_hash};

impl World {
    /// Gives a node something to think about, if it is up.
    pub(super) fn input(&mut self, node: NodeId, input: Input) -> Outcome {
        let now = self.queue.now();
        let Some(host) = self.hosts.get_mut(&node) else { return Ok(()) };
        let Some(live) = host.live.as_mut().filter(|live| live.stopping.is_none()) else { return Ok(()) };
        let spin = self.spinning.entry(node).or_default();
        *spin = if spin.0 == now { (now, spin.1 + 1) } else { (now, 1) };
        if spin.1 > MAX_STEPS_PER_MS {
            let deadline = live.node.deadline();
            return Err(defect(format!(
                "{node} took {} steps in one millisecond, next {deadline:?}",
                spin.1
            )));
        }
        let step = live.step(host.clock.show(now), input);
        let before = host.disk.appended().0;
        let count = u64::try_from(step.records().len()).unwrap_or(u64::MAX);
        if step.last().0 != before.saturating_add(count) {
            return Err(defect(format!(
                "{node} numbers its step's last record {}, but it is record {}",
                step.last().0,
                before.saturating_add(count)
            )));
        }
        let crash = host.triggered(&step);
        if let Some(crash) = crash
            && crash.when == CrashPoint::BeforeAppend
        {
            return self.crash(node, Death::of(crash));
        }
        let Some(host) = self.hosts.get_mut(&node) else { return Ok(()) };
        if !step.records().is_empty()
            && let Some(trouble) = host.failing.take()
        {
            if let DiskTrouble::Stalls { millis } = trouble {
                host.disk.stall(millis);
            } else {
                return self.fail_append(node, trouble, step.records());
            }
        }
        host.disk.append(step.records()).map_err(HostError::from)?;
        if let Some(live) = &mut host.live {
            live.waiting.push_back((step, crash));
        }
        self.flush(node);
        self.release(node)
    }

    /// Starts an fsync if one is due.
    fn flush(&mut self, node: NodeId) {
        let Some(host) = self.hosts.get_mut(&node) else { return };
        let Some(boot) = host.boot_number() else { return };
        if let Some(delay) = host.disk.start_flush() {
            self.queue.after(delay, Event::Flushed { node, boot });
        }
    }

    pub(super) fn flushed(&mut self, node: NodeId, boot: u64) -> Outcome {
        if !self.is_boot(node, boot) {
            return Ok(());
        }
        let now = self.queue.now();
        if let Some(host) = self.hosts.get_mut(&node) {
            host.disk.finish_flush(now);
        }
        self.show_durable(node)?;
        self.flush(node);
        self.release(node)
    }

    /// Shows the oracles what became durable.
    pub(super) fn show_durable(&mut self, node: NodeId) -> Outcome {
        let Some(host) = self.hosts.get_mut(&node) else { return Ok(()) };
        let records = host.disk.read(host.shown).map_err(HostError::from)?;
        host.shown += records.len();
        for record in &records {
            self.tally.records += 1;
            if self.honest.contains(&node) {
                self.tally.blame(&record.fact);
            }
            let mut line = String::new();
            describe(&record.fact, &mut line);
            self.note(node, format_args!("durable {line}"));
            self.observe(&Observed::Durable { node, record })?;
        }
        Ok(())
    }

    /// Commits every step that the disk covers, and acts.
    pub(super) fn release(&mut self, node: NodeId) -> Outcome {
        loop {
            let Some(host) = self.hosts.get_mut(&node) else { return Ok(()) };
            let durable = host.disk.durable();
            let appended = Receipt::up_to(host.disk.appended());
            let Some(live) = &mut host.live else { return Ok(()) };
            let early = mutant!(EffectsBeforeRecords)
                || (mutant!(WordsBeforeRecords) && live.waiting.front().is_some_and(only_words));
            let receipt = if early { appended } else { host.disk.receipt() };
            let ready = live.waiting.front().is_some_and(|(step, _)| step.last() <= receipt.position());
            if !ready && live.waiting.is_empty() && live.stopping.is_some() {
                return self.stop(node);
            }
            if !ready {
                self.schedule_wake(node);
                return Ok(());
            }
            let Some((step, crash)) = live.waiting.pop_front() else { return Ok(()) };
            if let Some(crash) = crash
                && matches!(crash.when, CrashPoint::AfterAppend | CrashPoint::AfterBurn)
            {
                return self.crash(node, Death::of(crash));
            }
            let needs = step.last();
            let mut effects = live
                .node
                .commit(step, receipt)
                .map_err(|refused| defect(format!("{node} refused a good receipt: {refused}")))?;
            self.observe(&Observed::Released { node, needs, durable })?;
            if crash.is_some() {
                let some = self.random.below(u64::try_from(effects.len()).unwrap_or(0));
                effects.truncate(usize::try_from(some).unwrap_or(0));
            }
            for effect in effects {
                self.act(node, effect)?;
            }
            if let Some(crash) = crash {
                return self.crash(node, Death::of(crash));
            }
        }
    }

    fn schedule_wake(&mut self, node: NodeId) {
        let now = self.queue.now();
        let Some(host) = self.hosts.get_mut(&node) else { return };
        let Some(deadline) = host.deadline(now) else { return };
        let most = host.clock.late();
        let late = if most > 0 && self.phase == Phase::Trouble { self.random.below(most + 1) } else { 0 };
        let at = deadline.saturating_add(late);
        let Some(live) = &mut host.live else { return };
        if live.wake_at.is_none_or(|planned| at < planned) {
            live.wake_at = Some(at);
            let boot = live.boot;
            self.queue.at(at, Event::Wake { node, boot });
        }
    }

    pub(super) fn wake(&mut self, node: NodeId, boot: u64) -> Outcome {
        let now = self.queue.now();
        let Some(host) = self.hosts.get_mut(&node) else { return Ok(()) };
        let due = host.deadline(now).is_some_and(|deadline| deadline <= now);
        let Some(live) = &mut host.live else { return Ok(()) };
        // An earlier wake took this one's place, or the node is another boot.
        if live.boot != boot || live.wake_at != Some(now) {
            return Ok(());
        }
        live.wake_at = None;
        if due {
            self.input(node, Input::Tick)
        } else {
            self.schedule_wake(node);
            Ok(())
        }
    }

    pub(super) fn deliver(&mut self, from: NodeId, to: NodeId, parcel: &Parcel) -> Outcome {
        let up = self.hosts.get(&to).and_then(Host::boot_number).is_some();
        if !up || !self.carries(from, to) {
            return Ok(());
        }
        self.tally.delivered += 1;
        let (message, hash) = parcel.open();
        let message = match message {
            Ok(message) => message,
            Err(e) if self.honest.contains(&from) => {
                return Err(defect(format!("{from} sent {to} what does not decode: {e}")));
            }
            Err(e) => return self.puzzle(from, to, e),
        };
        self.note(to, format_args!("got {} {} from {from}", name(message), hash));
        self.overhear(from, to, message)?;
        self.input(to, Input::Message { from, message: message.clone() })
    }

    fn act(&mut self, node: NodeId, effect: Effect) -> Outcome {
        match effect {
            Effect::Send { to, message } if to == node => {
                Err(defect(format!("{node} sends itself a {}", name(&message))))
            }
            Effect::Send { to, message } => self.send(node, &[to], &message),
            Effect::Broadcast(message) => {
                let peers: Vec<NodeId> = self.nodes().into_iter().filter(|peer| *peer != node).collect();
                self.send(node, &peers, &message)
            }
            Effect::Reply { request, outcome } => self.reply(node, request, &outcome),
            Effect::Chain { query, question } => {
                if let ChainQuery::Broadcast { transaction, .. } = &question {
                    self.note(node, format_args!("broadcasts {}", transaction.compute_txid()));
                    self.observe(&Observed::Broadcast { node, transaction })?;
                }
                let Span { least, most } = self.plan.chain.answer;
                let delay = self.random.between(least, most) / 2;
                if let Some(boot) = self.hosts.get(&node).and_then(Host::boot_number) {
                    self.queue.after(delay, Event::Ask { node, boot, query, question });
                }
                Ok(())
            }
            Effect::Compute { job, work, .. } => {
                if let Some(host) = self.hosts.get_mut(&node)
                    && let Some(boot) = host.boot_number()
                {
                    let (delay, result) = host.workers.run(work);
                    if self.phase == Phase::Trouble
                        && self.plan.lost_jobs > 0
                        && self.random.chance(self.plan.lost_jobs)
                    {
                        sometimes!(JobLost);
                        self.note(node, format_args!("a worker dies with job {}", job.0));
                    } else {
                        self.queue.after(delay, Event::Computed { node, boot, job, result });
                    }
                }
                Ok(())
            }
            Effect::SealKeyShare { ceremony, key, share } => {
                let secret = share
                    .to_secret_bytes()
                    .map_err(|e| defect(format!("the share of {key} cannot be sealed: {e:?}")))?;
                if let Some(host) = self.hosts.get_mut(&node)
                    && let Some(boot) = host.boot_number()
                {
                    let delay = host.disk.seal_delay();
                    let secret = secret.to_vec();
                    self.queue.after(delay, Event::Sealed { node, boot, ceremony, key, secret });
                }
                Ok(())
            }
            Effect::Ban { node: accused, .. } => {
                self.shut_out(node, accused);
                self.observe(&Observed::Accused { by: node, node: accused, violation: None })
            }
            Effect::Alert(Alert::Misbehaviour { node: accused, violation, detail }) => {
                self.note(node, format_args!("alert {accused} {violation}: {detail}"));
                self.observe(&Observed::Accused { by: node, node: accused, violation: Some(violation) })
            }
            Effect::Alert(Alert::Payment { txid, detail }) => {
                self.note(node, format_args!("alert {txid}: {detail}"));
                Ok(())
            }
            Effect::Alert(Alert::Coin { coin, detail }) => {
                self.note(node, format_args!("alert {coin}: {detail}"));
                Ok(())
            }
            Effect::Alert(Alert::Presigning { signers, detail }) => {
                self.note(node, format_args!("alert on {signers:?}: {detail}"));
                self.tally.alarms += 1;
                Ok(())
            }
            Effect::Alert(Alert::Freeze { node: author, detail }) => {
                self.note(node, format_args!("alert {author}: {detail}"));
                Ok(())
            }
            Effect::Alert(Alert::Configuration { node: peer, detail }) => {
                self.note(node, format_args!("alert {peer}: {detail}"));
                self.tally.alarms += 1;
                Ok(())
            }
        }
    }

    fn send(&mut self, from: NodeId, peers: &[NodeId], message: &Message) -> Outcome {
        if self.has_turned(from)? {
            return self.betray(from, peers, message);
        }
        let now = self.queue.now();
        let bytes = message
            .encode()
            .map_err(|e| defect(format!("{from} made a {} that does not encode: {e}", name(message))))?;
        let parcel = Rc::new(Parcel::new(message.channel(), bytes));
        self.tally.sent += 1;
        let second = now / 1_000;
        let talk = self.talking.entry(from).or_default();
        *talk = if talk.0 == second { (second, talk.1 + 1) } else { (second, 1) };
        if talk.1 > MAX_SENT_PER_SECOND {
            let sent = talk.1;
            return Err(defect(format!(
                "{from} sent {sent} messages within a second, the last a {}: nodes answer each other's answers",
                name(message)
            )));
        }
        self.observe(&Observed::Sent { from, message, bytes: parcel.bytes() })?;
        for &to in peers {
            if !self.is_filtered(from, to, message) {
                self.post(from, to, &parcel);
            }
        }
        Ok(())
    }

    /// Gives a parcel to the network.
    pub(super) fn post(&mut self, from: NodeId, to: NodeId, parcel: &Rc<Parcel>) {
        if !self.carries(from, to) {
            return;
        }
        for Arrival { at, tie } in self.network.route(self.queue.now(), (from, to, parcel.channel())) {
            let parcel = Rc::clone(parcel);
            self.queue.ranked(at, tie, Event::Deliver { from, to, parcel });
        }
    }
}

/// Whether a step writes nothing that a share depends on: such steps [`Mutant::WordsBeforeRecords`] lets out early.
///
/// [`Mutant::WordsBeforeRecords`]: mpc_wallet_core::mutant::Mutant::WordsBeforeRecords
fn only_words((step, _): &(Step, Option<Crash>)) -> bool {
    use mpc_wallet_core::record::Fact;
    !step.records().iter().any(|record| matches!(record.fact, Fact::ShareReleased { .. }))
}

/// First word of a value's debug form: the variant's name. Formatting stops there, so the rest costs nothing.
struct FirstWord(String);

impl Write for FirstWord {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for letter in text.chars() {
            if !letter.is_alphanumeric() {
                return Err(std::fmt::Error);
            }
            self.0.push(letter);
        }
        Ok(())
    }
}

pub(crate) fn name(value: &impl std::fmt::Debug) -> String {
    let mut word = FirstWord(String::new());
    // The error is how it stops.
    let _ = write!(word, "{value:?}");
    word.0
}

pub(crate) fn describe(fact: &mpc_wallet_core::record::Fact, line: &mut String) {
    use mpc_wallet_core::record::Fact;
    // Writing into a string cannot fail.
    let _ = if let Fact::Transition { txid, from, to, sub_status, cause } = fact {
        write!(line, "Transition {txid} {from} → {to} ({sub_status}; {cause})")
    } else if let Fact::SubStatusChanged { txid, sub_status } = fact {
        write!(line, "SubStatus {txid} {sub_status}")
    } else if let Fact::Voted(vote) = fact {
        write!(line, "Voted {} {:?} on {}", vote.body.voter, vote.body.decision, vote.body.txid)
    } else if let Fact::Struck { node, violation, detail, .. } = fact {
        write!(line, "Struck {node} {violation}: {detail}")
    } else if let Fact::ShareReleased { txid, session } = fact {
        write!(line, "ShareReleased {txid} in {session}")
    } else if let Fact::Frozen(freeze) = fact {
        write!(line, "Frozen by {} at {}", freeze.body.node, freeze.body.at.0)
    } else if let Fact::Lifted(lift) = fact {
        write!(line, "Lifted by {}, of {} up to {}", lift.body.node, lift.body.frozen_by, lift.body.up_to.0)
    } else if let Fact::CoinSeen { coin, value, .. } = fact {
        write!(line, "CoinSeen {coin} of {} sat", value.to_sat())
    } else if let Fact::CoinLost { coin, value, by, .. } = fact {
        write!(line, "CoinLost {coin} of {} sat to {by:?}", value.to_sat())
    } else {
        let bytes = mpc_wallet_core::codec::encode(fact).unwrap_or_default();
        write!(line, "{} {}", name(fact), short_hash(&bytes))
    };
}
