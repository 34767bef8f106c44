//! What stands between an honest loop and the network.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mpc_wallet_byzantine::{Deviant, Deviation, Speech, Words};
use mpc_wallet_core::message::Message;
use mpc_wallet_core::{Channel, NodeId, Timestamp};
use mpc_wallet_shell::host::SystemClock;
use mpc_wallet_shell::ports::{Clock as _, Transport, TransportEvent};
use mpc_wallet_shell::quic::Quic;
use tokio::sync::mpsc;

/// Frames that may wait for the loop, as in production.
const HEARD: usize = 1_024;

/// A traitor and its connections.
pub(crate) struct Betrayal {
    deviation: Deviation,
    deviant: Mutex<Box<dyn Deviant>>,
    tries: u32,
    quic: Arc<Quic>,
    clock: SystemClock,
}

impl Betrayal {
    pub(crate) fn new(deviation: Deviation, deviant: Box<dyn Deviant>, tries: u32, quic: Arc<Quic>) -> Self {
        let clock = SystemClock::start(Timestamp::default());
        Self { deviation, deviant: Mutex::new(deviant), tries, quic, clock }
    }

    /// Lets the traitor hear what arrives, before its honest self does.
    pub(crate) fn overhear(
        self: &Arc<Self>,
        mut heard: mpsc::Receiver<TransportEvent>,
    ) -> mpsc::Receiver<TransportEvent> {
        let (on, hears) = mpsc::channel(HEARD);
        let traitor = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    event = heard.recv() => event,
                    () = on.closed() => None,
                };
                let Some(event) = event else { return };
                traitor.hear(&event);
                if on.send(event).await.is_err() {
                    return;
                }
            }
        });
        hears
    }

    fn hear(&self, event: &TransportEvent) {
        let TransportEvent::Frame { from, channel, payload } = event else { return };
        if let Ok(message) = Message::decode(*channel, payload) {
            let speech = self.deviant().hear(self.clock.now(), *from, &message);
            self.utter(speech);
        }
    }

    /// What is said to `to` instead of a message: the first of `tries` answers that is not the message itself.
    fn edited(&self, to: NodeId, message: &Message) -> Speech {
        let honest = vec![(to, Words::Message(message.clone()))];
        let mut deviant = self.deviant();
        for _ in 0..self.tries {
            let speech = deviant.edit(self.clock.now(), to, message.clone());
            if speech != honest {
                tracing::warn!(deviation = ?self.deviation, %to, "deviates");
                return speech;
            }
        }
        honest
    }

    fn utter(&self, speech: Speech) {
        for (to, words) in speech {
            match words.frame() {
                Ok((channel, bytes, _)) => self.quic.send(to, channel, bytes),
                Err(error) => tracing::warn!(%error, "a lie that is too large to be sent"),
            }
        }
    }

    fn deviant(&self) -> MutexGuard<'_, Box<dyn Deviant>> {
        self.deviant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Betrayal {
    fn send(&self, to: NodeId, channel: Channel, payload: Vec<u8>) {
        match Message::decode(channel, &payload) {
            Ok(message) => self.utter(self.edited(to, &message)),
            Err(error) => tracing::error!(%error, "the honest self said what is no message"),
        }
    }

    fn ban(&self, peer: NodeId, until: Timestamp) {
        Transport::ban(&*self.quic, peer, until);
    }
}
