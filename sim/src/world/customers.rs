//! The clients in front of the cluster: careful ones, nervous ones, and those that make mistakes.

use mpc_wallet_core::{
    NodeId, RequestId,
    step::{Command, Input, Outcome as Reply},
};

use super::{Event, Host, Outcome, World};
use crate::{
    oracle::Observed,
    parts::client::{Client, ClientState, PATIENCE, PAUSE},
};

impl World {
    pub(super) fn submit(&mut self, index: usize) -> Outcome {
        let Some(client) = self.clients.get_mut(index) else { return Ok(()) };
        let ClientState::Idle { .. } = client.state else { return Ok(()) };
        let elsewhere = client.asked > 0 && self.random.chance(500_000);
        let number = if elsewhere {
            u16::try_from(self.random.between(1, u64::from(self.plan.nodes))).unwrap_or(1)
        } else {
            client.payment.node
        };
        client.asked += 1;
        let node = NodeId::new(number);
        let asked = [Some(number), client.payment.also_at].into_iter().flatten().map(NodeId::new);
        if asked.into_iter().any(|node| !self.honest.contains(&node)) {
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
        // Without a key two requests are two payments, and rightly so.
        let repeats = client.asked == 1 && wanted.idempotency_key.is_some();
        let also_at = client.payment.also_at.filter(|_| repeats).map(NodeId::new);
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
        let waiting = matches!(client.state, ClientState::Asked { request: asked, .. } if asked == request);
        if waiting && client.lose_answer() {
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

    /// Requests on their way to a node that died.
    pub(super) fn hang_up(&mut self, node: NodeId) {
        let asked_there =
            |client: &Client| matches!(client.state, ClientState::Asked { node: at, .. } if at == node);
        for (client, state) in self.clients.iter_mut().enumerate() {
            if asked_there(state) && state.lose_answer() {
                self.queue.after(PAUSE, Event::Submit { client });
            }
        }
    }

    pub(super) fn reply(&mut self, node: NodeId, request: RequestId, outcome: &Reply) -> Outcome {
        self.note(node, format_args!("replies {outcome:?}"));
        if let Reply::Proposed { txid, .. } = outcome {
            self.observe(&Observed::Promised { node, txid: *txid })?;
        }
        let Some(index) = self.requests.remove(&request) else { return Ok(()) };
        let Some(client) = self.clients.get_mut(index) else { return Ok(()) };
        let waiting = matches!(client.state, ClientState::Asked { request: asked, .. } if asked == request);
        if !waiting {
            return Ok(());
        }
        if client.hear(outcome) {
            self.queue.after(PAUSE, Event::Submit { client: index });
        } else if client.altered_request().is_some() {
            self.queue.after(PAUSE, Event::Alter { client: index, node });
        }
        Ok(())
    }
}
