//! From cold machines to a cluster that can pay, in calm unless the plan wants otherwise; then the plan's events are put
//! on the queue.

use mpc_wallet_core::{
    RequestId, Scheme,
    step::{Command, Input},
};

use super::{Event, Host, Outcome, Phase, World, defect};
use crate::parts::calm::{BETWEEN_LOOKS, PATIENCE, SWITCH_ON, wallet};

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

    /// Asks for a key until there is one, funds the wallet, and begins when all nodes see the money. In trouble one node
    /// with a key is enough, and what the others lack is judged at the end.
    pub(super) fn prepare(&mut self) -> Outcome {
        if self.plan.ceremony_in_trouble {
            self.make_key(1)?;
            if self.wallet.is_none() {
                self.queue.after(BETWEEN_LOOKS, Event::Prepare);
            }
            return Ok(());
        }
        if self.queue.now() > PATIENCE {
            return Err(defect(format!("the cluster did not get ready in calm: {}", self.missing)));
        }
        if self.wallet.is_none() {
            self.make_key(self.hosts.len())?;
        } else if self.sees_funds() {
            self.start_trouble();
            return Ok(());
        }
        self.queue.after(BETWEEN_LOOKS, Event::Prepare);
        Ok(())
    }

    /// Asks for a key while nobody has one; funds it when so many have.
    fn make_key(&mut self, holders: usize) -> Outcome {
        let keys: Vec<_> = self
            .hosts
            .values()
            .filter_map(|host| host.live.as_ref()?.node.state().current_key(Scheme::Taproot))
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
            self.missing = format!("keys at {} nodes, {}", keys.len(), phases.join(", "));
            if keys.is_empty() {
                self.last_request += 1;
                let request = RequestId(self.last_request);
                let command = Command::GenerateKey(Scheme::Taproot);
                let up = self.hosts.iter().find(|(_, host)| host.live.is_some());
                let Some((node, _)) = up else { return Ok(()) };
                return self.input(*node, Input::Client { request, command });
            }
            return Ok(());
        }
        let (script, key) = wallet(&keys)?;
        self.note_world(format_args!("funds {} coins", self.plan.chain.funds.len()));
        self.backend.chain.fund(script.clone(), key, &self.plan.chain.funds);
        self.wallet = Some(script);
        Ok(())
    }

    fn sees_funds(&mut self) -> bool {
        let funds: u64 = self.plan.chain.funds.iter().sum();
        let seen: Vec<u64> = self.hosts.values().filter_map(Host::balance).collect();
        self.missing = format!("of {funds} sat the nodes see {seen:?}");
        seen.len() == self.hosts.len() && seen.iter().all(|sat| *sat == funds)
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
        for fault in &self.plan.disks {
            self.queue.at(at(fault.at), Event::Disk(*fault));
        }
        for lease in &self.plan.leases {
            self.queue.at(at(lease.at), Event::Tell(*lease));
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
