//! The clients in front of the cluster: careful ones, nervous ones, and those that make mistakes.

use mpc_wallet_core::{
    NodeId, RequestId,
    step::{Command, Input, Outcome as Reply},
};

use super::{Event, Host, Outcome, World};
use crate::{
    oracle::Observed,
    parts::{
        client::{ClientState, PATIENCE, PAUSE, Reaction, lose_answers_of},
        people::decisions,
    },
    plan::Visit,
};

impl World {
    pub(super) fn submit(&mut self, index: usize) -> Outcome {
        let Some(client) = self.clients.get_mut(index) else { return Ok(()) };
        let ClientState::Idle { .. } = client.state else { return Ok(()) };
        let node = client.choose(self.plan.nodes, &mut self.random);
        let also = client.payment.also_at.map(NodeId::new);
        if [Some(node), also].into_iter().flatten().any(|node| !self.honest.contains(&node)) {
            self.betrayed.insert(index);
        }
        if self.hosts.get(&node).and_then(Host::boot_number).is_none() {
            client.state = ClientState::Idle { last: Some(format!("{node} is down")) };
            self.queue.after(PAUSE, Event::Submit { client: index });
            return Ok(());
        }
        self.last_request += 1;
        let request = RequestId(self.last_request);
        client.state = ClientState::Asked { request, node };
        let wanted = client.request();
        let also_at = client.asks_also_at();
        let what = format!("asked for {} of {} sat", client.label, client.payment.amount);
        self.requests.insert(request, index);
        self.queue.after(PATIENCE, Event::Impatient { client: index, request });
        self.note(node, format_args!("{what}"));
        self.input(node, Input::Client { request, command: Command::Pay(wanted.clone()) })?;
        let Some(other) = also_at else { return Ok(()) };
        // Nobody waits for this answer: the proxy has hung up.
        self.last_request += 1;
        let request = RequestId(self.last_request);
        self.note(other, format_args!("{what}, as well"));
        self.input(other, Input::Client { request, command: Command::Pay(wanted) })
    }

    pub(super) fn impatient(&mut self, index: usize, request: RequestId) {
        let Some(client) = self.clients.get_mut(index) else { return };
        if client.give_up(request) {
            self.queue.after(PAUSE, Event::Submit { client: index });
        }
    }

    /// Another amount under the key of a payment that was accepted: it must be refused.
    pub(super) fn alter(&mut self, index: usize, node: NodeId) -> Outcome {
        let Some(client) = self.clients.get(index) else { return Ok(()) };
        let Some(wanted) = client.altered_request() else { return Ok(()) };
        let what = format!("asked for {} of {} sat instead", client.label, wanted.amount.to_sat());
        self.last_request += 1;
        let request = RequestId(self.last_request);
        self.note(node, format_args!("{what}"));
        self.input(node, Input::Client { request, command: Command::Pay(wanted) })
    }

    /// Somebody looks at a node, and decides what is to be decided there.
    pub(super) fn visit(&mut self, visit: Visit) -> Outcome {
        let node = NodeId::new(visit.node);
        let live = self.hosts.get(&node).and_then(|host| host.live.as_ref());
        let Some(commands) = live.map(|live| decisions(visit, live.node.state())) else { return Ok(()) };
        for command in commands {
            self.last_request += 1;
            let request = RequestId(self.last_request);
            self.note(node, format_args!("hears {command:?}"));
            self.input(node, Input::Client { request, command })?;
        }
        Ok(())
    }

    /// Requests on their way to a node that died.
    pub(super) fn hang_up(&mut self, node: NodeId) {
        for client in lose_answers_of(&mut self.clients, node) {
            self.queue.after(PAUSE, Event::Submit { client });
        }
    }

    pub(super) fn reply(&mut self, node: NodeId, request: RequestId, outcome: &Reply) -> Outcome {
        self.note(node, format_args!("replies {outcome:?}"));
        if let Reply::Proposed { txid, .. } = outcome {
            self.observe(&Observed::Promised { node, txid: *txid })?;
        }
        let Some(index) = self.requests.remove(&request) else { return Ok(()) };
        let Some(client) = self.clients.get_mut(index) else { return Ok(()) };
        match client.hear(request, outcome) {
            Reaction::None => {}
            Reaction::AskAgain => self.queue.after(PAUSE, Event::Submit { client: index }),
            Reaction::Alter => self.queue.after(PAUSE, Event::Alter { client: index, node }),
        }
        Ok(())
    }
}
