//! Members that do not follow the protocol.
//!
//! A traitor is an honest node whose words are edited on their way out, so that it stays plausible: it knows what an
//! honest member knows, says most of what one would say, and deviates in one way. Each way is a file of its own. No
//! product code knows of any of this; whoever carries a node's messages asks its [`Deviant`] what leaves instead, and
//! shows it what arrives.
//!
//! | deviation | what others see of it |
//! |---|---|
//! | equivocator | contrary votes, two proposals of one payment, two commitments in one place |
//! | forgetter | after a restart the contrary of each earlier vote |
//! | withholder | commitments without shares |
//! | bad share | a share that fails its check, at one signer or at all |
//! | replayer | old words of its own and of others |
//! | stale epoch | earlier boots, positions and policies |
//! | mutator | flipped bits |
//! | impersonator | statements in others' names |
//! | twin | one identity, two memories |
//! | lying coordinator | the same coins for everybody, sessions without consent |
//! | flooder | more than anybody asked for |
//! | diverter | replacements of signed payments that pay itself |
//!
//! A traitor has its own key and nobody else's: it cannot forge, only lie.

mod bad_share;
mod deviation;
mod diverter;
mod equivocator;
mod flooder;
mod forgetter;
mod impersonator;
mod lying_coordinator;
mod mutator;
mod replayer;
pub mod rng;
mod stale_epoch;
mod twin;
mod withholder;

use mpc_wallet_core::{
    Channel, Cluster, Config, NodeId, Timestamp, VoteKey,
    chain::ChainObservation,
    codec::CodecError,
    identity::{KeyError, Signed, Statement},
    message::{Bundle, Message},
    node::{ReplayError, SealedShare},
    record::Record,
    vote::{Ballot, Decision, RejectReason, Vote},
};

pub use deviation::Deviation;

use rng::Stream;

/// What a traitor puts on a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "most words are messages, and none is kept")]
pub enum Words {
    /// A message.
    Message(Message),
    /// Bytes that may be none.
    Bytes(Channel, Vec<u8>),
}

impl Words {
    /// What stands on the wire, and the message in it if there is one.
    ///
    /// # Errors
    /// A message that is too large to be sent.
    pub fn frame(self) -> Result<(Channel, Vec<u8>, Option<Message>), CodecError> {
        Ok(match self {
            Self::Message(message) => (message.channel(), message.encode()?, Some(message)),
            Self::Bytes(channel, bytes) => {
                let message = Message::decode(channel, &bytes).ok();
                (channel, bytes, message)
            }
        })
    }
}

/// Words and to whom they go.
pub type Speech = Vec<(NodeId, Words)>;

/// One way of deviating. It is asked once for each recipient of each message.
pub trait Deviant: Send {
    /// Something has reached the traitor; its honest self hears it too. What is returned is said at once.
    fn hear(&mut self, now: Timestamp, from: NodeId, message: &Message) -> Speech {
        let _ = (now, from, message);
        vec![]
    }

    /// The honest self's chain backend has answered.
    fn shown(&mut self, observation: &ChainObservation) {
        let _ = observation;
    }

    /// The honest self says this to `to`: what is said instead, to whomever.
    fn edit(&mut self, now: Timestamp, to: NodeId, message: Message) -> Speech;
}

/// Everything a traitor has.
pub struct Setup {
    /// Who it is, and in which cluster.
    pub config: Config,
    /// Secret bytes of its vote key.
    pub identity: [u8; 32],
    /// The plan's seed; its draws come from the stream `byzantine/<node>`.
    pub seed: u64,
    /// Its journal at the moment it turns: what a copy of its machine would start from.
    pub journal: Vec<Record>,
    /// Its key shares.
    pub shares: Vec<SealedShare>,
}

/// Why a member cannot turn.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Its identity is no key.
    #[error("identity: {0}")]
    Identity(#[from] KeyError),
    /// A twin cannot start from its journal.
    #[error("twin: {0}")]
    Replay(#[from] ReplayError),
}

/// The member that deviates this way.
///
/// # Errors
/// A setup that is not this member's.
pub fn deviant(deviation: Deviation, setup: Setup) -> Result<Box<dyn Deviant>, SetupError> {
    let me = Actor::new(&setup)?;
    Ok(match deviation {
        Deviation::Equivocator => Box::new(equivocator::Equivocator::new(me)),
        Deviation::Forgetter => Box::new(forgetter::Forgetter::new(me)),
        Deviation::Withholder => Box::new(withholder::Withholder),
        Deviation::BadShare => Box::new(bad_share::BadShare::new(me)),
        Deviation::Replayer => Box::new(replayer::Replayer::new(me)),
        Deviation::StaleEpoch => Box::new(stale_epoch::StaleEpoch::new(me)),
        Deviation::Mutator => Box::new(mutator::Mutator::new(me)),
        Deviation::Impersonator => Box::new(impersonator::Impersonator::new(me)),
        Deviation::Twin => Box::new(twin::Twin::new(me, setup)?),
        Deviation::LyingCoordinator => Box::new(lying_coordinator::LyingCoordinator::new(me)),
        Deviation::Flooder => Box::new(flooder::Flooder::new(me)),
        Deviation::Diverter => Box::new(diverter::Diverter::new(me)),
    })
}

/// What every traitor has at hand.
struct Actor {
    me: NodeId,
    cluster: Cluster,
    key: VoteKey,
    random: Stream,
    /// Which half of the members is told the other story.
    parity: u16,
}

impl Actor {
    fn new(setup: &Setup) -> Result<Self, KeyError> {
        let me = setup.config.me;
        let mut random = Stream::new(setup.seed, &format!("byzantine/{me}"));
        let parity = u16::from(random.chance(500_000));
        let key = VoteKey::from_bytes(&setup.identity)?;
        Ok(Self { me, cluster: setup.config.cluster.clone(), key, random, parity })
    }

    fn peers(&self) -> Vec<NodeId> {
        self.cluster.members().filter(|node| *node != self.me).collect()
    }

    /// One other member.
    fn any_peer(&mut self) -> NodeId {
        self.random.pick(&self.peers()).copied().unwrap_or(self.me)
    }

    /// Whether a member belongs to the half that is told the other story.
    fn other_half(&self, node: NodeId) -> bool {
        let rank = self.peers().iter().position(|peer| *peer == node).unwrap_or_default();
        u16::try_from(rank % 2) == Ok(self.parity)
    }

    fn sign<T: Statement>(&self, body: T) -> Signed<T> {
        Signed::new(body, &self.key)
    }

    /// The vote that contradicts an own one.
    fn contrary(&self, vote: &Vote) -> Vote {
        let decision = match vote.body.decision {
            Decision::Approve => Decision::Reject(RejectReason::Malformed(String::from("on second thought"))),
            Decision::Reject(_) => Decision::Approve,
        };
        self.sign(Ballot { decision, ..vote.body.clone() })
    }
}

/// A message as it is.
fn plain(to: NodeId, message: Message) -> Speech {
    vec![(to, Words::Message(message))]
}

/// The bundles in a message.
fn bundles(message: &Message) -> &[Bundle] {
    if let Message::Bundle(bundle) = message {
        std::slice::from_ref(bundle.as_ref())
    } else if let Message::SyncPage(page) = message {
        &page.bundles
    } else {
        &[]
    }
}

/// The bundles in a message, to be edited.
fn bundles_mut(message: &mut Message) -> &mut [Bundle] {
    if let Message::Bundle(bundle) = message {
        std::slice::from_mut(bundle.as_mut())
    } else if let Message::SyncPage(page) = message {
        &mut page.bundles
    } else {
        &mut []
    }
}

/// All votes in a message that may be edited.
fn votes_mut(message: &mut Message) -> Vec<&mut Vote> {
    if let Message::Vote(vote) = message {
        vec![vote]
    } else {
        bundles_mut(message).iter_mut().flat_map(|bundle| &mut bundle.votes).collect()
    }
}

/// Flips the last bit of a payload: of a commitment or a share, which stand last.
fn spoil(payload: &mut [u8]) {
    if let Some(last) = payload.last_mut() {
        *last ^= 1;
    }
}
