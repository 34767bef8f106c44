//! From cold machines to a cluster that can pay, in calm unless the plan wants otherwise; then the plan's events are put
//! on the queue.

use mpc_wallet_core::{
    RequestId, Scheme,
    step::{Command, Input},
};

use super::{Event, Outcome, Phase, World, defect};
use crate::parts::{
    calm::{BETWEEN_LOOKS, PATIENCE, SWITCH_ON, one_key},
    members,
    purse::Purse,
};

impl World {
    pub(super) fn begin(&mut self) {
        for node in self.nodes() {
            let delay = self.random.below(SWITCH_ON);
            self.queue.after(delay, Event::Restart(node));
        }
        self.queue.after(BETWEEN_LOOKS, Event::Prepare);
        self.queue.after(self.plan.chain.block_interval.least, Event::Mine);
        if self.plan.ceremony_in_trouble {
            self.start_trouble();
        }
    }

    /// Asks for a key until there is one, funds its wallet, goes on with the next, and begins when all nodes see the money.
    /// In trouble one node with a key is enough, and what the others lack is judged at the end.
    pub(super) fn prepare(&mut self) -> Outcome {
        let early = self.plan.ceremony_in_trouble;
        if !early && self.queue.now() > PATIENCE {
            return Err(defect(format!("the cluster did not get ready in calm: {}", self.missing)));
        }
        let without_key = self.plan.schemes().find(|scheme| !self.wallets.contains_key(scheme));
        if let Some(scheme) = without_key {
            self.make_key(scheme, if early { 1 } else { self.hosts.len() })?;
            if early && self.wallets.len() == self.plan.schemes().count() {
                return Ok(());
            }
        } else if self.sees_funds() {
            self.start_trouble();
            return Ok(());
        }
        self.queue.after(BETWEEN_LOOKS, Event::Prepare);
        Ok(())
    }

    /// Asks for a key while nobody has one; funds its wallet when so many have.
    fn make_key(&mut self, scheme: Scheme, holders: usize) -> Outcome {
        let keys: Vec<_> = self
            .hosts
            .values()
            .filter_map(|host| host.live.as_ref()?.node.state().current_key(scheme))
            .map(|proof| proof.public_key)
            .collect();
        if keys.len() < holders {
            let phases: Vec<String> = self
                .hosts
                .iter()
                .filter_map(|(node, host)| Some((node, host.live.as_ref()?)))
                .map(|(node, live)| {
                    let view = live.node.overview();
                    format!("{node} {:?}", view.keygen.map(|keygen| (keygen.phase, keygen.waiting_for)))
                })
                .collect();
            self.missing = format!("{scheme} keys at {} nodes, {}", keys.len(), phases.join(", "));
            if keys.is_empty() {
                self.last_request += 1;
                let request = RequestId(self.last_request);
                let command = Command::GenerateKey(scheme);
                let up = self.hosts.iter().find(|(_, host)| host.live.is_some());
                let Some((node, _)) = up else { return Ok(()) };
                return self.input(*node, Input::Client { request, command });
            }
            return Ok(());
        }
        let wallet = Purse::new(scheme, one_key(&keys)?, members::suites(&self.plan).of(scheme));
        let funds = self.plan.chain.funds_of(scheme);
        self.trace.event(self.queue.now(), None, format_args!("funds {} coins", funds.len()));
        self.wallets.insert(scheme, wallet.script().clone());
        self.backend.chain.fund(wallet, funds);
        Ok(())
    }

    fn sees_funds(&mut self) -> bool {
        let Self { plan, hosts, missing, .. } = self;
        plan.schemes().all(|scheme| {
            let funds: u64 = plan.chain.funds_of(scheme).iter().sum();
            let seen: Vec<u64> = hosts.values().filter_map(|host| host.balance(scheme)).collect();
            *missing = format!("of {funds} sat of the {scheme} wallet the nodes see {seen:?}");
            seen.len() == hosts.len() && seen.iter().all(|sat| *sat == funds)
        })
    }

    fn start_trouble(&mut self) {
        self.note_world(format_args!("ready"));
        self.phase = Phase::Trouble;
        self.origin = self.queue.now();
        self.network.set_profile(self.plan.network);
        let at = |moment: u64| self.origin.saturating_add(moment);
        for (client, payment) in self.plan.payments.iter().enumerate() {
            self.queue.at(at(payment.at), Event::Submit { client });
        }
        for (number, partition) in self.plan.partitions.iter().enumerate() {
            self.queue.at(at(partition.from), Event::Cut(number));
            self.queue.at(at(partition.to), Event::Mend(number));
        }
        for crash in &self.plan.crashes {
            self.queue.at(at(crash.at), Event::Crash(*crash));
        }
        for stop in &self.plan.stops {
            self.queue.at(at(stop.at), Event::Stop(*stop));
        }
        for fault in &self.plan.disks {
            self.queue.at(at(fault.at), Event::Disk(*fault));
        }
        for lease in &self.plan.leases {
            self.queue.at(at(lease.at), Event::Tell(*lease));
        }
        for visit in self.plan.visits() {
            self.queue.at(at(visit.at), Event::Visit(*visit));
        }
        for bump in &self.plan.bumps {
            self.queue.at(at(bump.at), Event::Bump(*bump));
        }
        for freeze in &self.plan.freezes {
            self.queue.at(at(freeze.at), Event::Freeze(*freeze));
        }
        for lift in &self.plan.lifts {
            self.queue.at(at(lift.at), Event::Lift(*lift));
        }
        for (node, host) in &mut self.hosts {
            host.clock.begin(self.origin);
            if host.clock.spurious() > 0 {
                self.queue.after(host.clock.spurious(), Event::Tick(*node));
            }
        }
        self.queue.at(at(self.plan.heal_at), Event::Heal);
        self.plan_upsets();
    }
}
