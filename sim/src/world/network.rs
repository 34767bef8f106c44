//! The network: for each message a list of arrivals. An empty list is a lost message, two are a duplicate.
//!
//! A link is a directional pair and a channel, as a stream of a connection is: a message queues behind the earlier
//! ones of its link unless it is reordered, and channels race each other. Two nodes reach each other if they are on
//! the same side of every cut; a cut may stop one direction only.

use std::collections::{BTreeMap, BTreeSet};

use mpc_wallet_core::{Channel, NodeId};
use rand_core::RngCore;

use crate::{
    plan::{Direction, NetworkProfile},
    rng::Stream,
};

/// Most doublings of a delay in the heavy tail.
const MAX_DOUBLINGS: u32 = 10;

/// A directional pair of nodes and a channel.
pub(crate) type Link = (NodeId, NodeId, Channel);

/// When a copy of a message arrives. Arrivals of one link at one moment share a tie-break, so that they keep their
/// order among what else happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrival {
    /// When, in virtual milliseconds.
    pub(crate) at: u64,
    /// Rank among what happens at that moment.
    pub(crate) tie: u32,
}

/// Links between all nodes.
pub(crate) struct Network {
    profile: NetworkProfile,
    cuts: BTreeMap<usize, (BTreeSet<NodeId>, Direction)>,
    /// The last arrival in order, by link.
    last: BTreeMap<Link, Arrival>,
    random: Stream,
}

impl Network {
    /// A network without cuts.
    #[must_use]
    pub(crate) const fn new(profile: NetworkProfile, random: Stream) -> Self {
        Self { profile, cuts: BTreeMap::new(), last: BTreeMap::new(), random }
    }

    /// Changes how links behave from now on; messages on their way keep their delay.
    pub(crate) const fn set_profile(&mut self, profile: NetworkProfile) {
        self.profile = profile;
    }

    /// Separates a group from the rest until [`Network::mend`] with the same number.
    pub(crate) fn cut(&mut self, number: usize, group: BTreeSet<NodeId>, direction: Direction) {
        self.cuts.insert(number, (group, direction));
    }

    /// Ends one cut.
    pub(crate) fn mend(&mut self, number: usize) {
        self.cuts.remove(&number);
    }

    /// Ends all cuts.
    pub(crate) fn mend_all(&mut self) {
        self.cuts.clear();
    }

    /// Whether no cut lies between two nodes, in either direction: a connection needs both.
    #[must_use]
    pub(crate) fn connects(&self, a: NodeId, b: NodeId) -> bool {
        self.carries(a, b) && self.carries(b, a)
    }

    /// Whether what one node says can reach another.
    #[must_use]
    pub(crate) fn carries(&self, from: NodeId, to: NodeId) -> bool {
        self.cuts.values().all(|(group, direction)| match (group.contains(&from), group.contains(&to)) {
            (true, false) => *direction == Direction::Inward,
            (false, true) => *direction == Direction::Outward,
            (true, true) | (false, false) => true,
        })
    }

    /// When copies of a message that is sent now arrive.
    pub(crate) fn route(&mut self, now: u64, link: Link) -> Vec<Arrival> {
        if !self.carries(link.0, link.1) || self.random.chance(self.profile.loss) {
            return vec![];
        }
        let copies = if self.random.chance(self.profile.duplicate) { 2 } else { 1 };
        (0..copies).map(|_| self.arrival(now, link)).collect()
    }

    fn arrival(&mut self, now: u64, link: Link) -> Arrival {
        let mut delay = self.random.between(self.profile.delay.least, self.profile.delay.most);
        for _ in 0..MAX_DOUBLINGS {
            if !self.random.chance(self.profile.tail) {
                break;
            }
            delay = delay.saturating_mul(2);
        }
        let arrival = Arrival { at: now.saturating_add(delay), tie: self.random.next_u32() };
        if self.random.chance(self.profile.reorder) {
            return arrival;
        }
        let last = self.last.entry(link).or_insert(arrival);
        if arrival.at > last.at {
            *last = arrival;
        }
        *last
    }

    /// The stream's next value, for the trace.
    #[must_use]
    pub(crate) fn unseed(&self) -> u64 {
        self.random.clone().last_word()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plan::Span, profile::CALM_NETWORK, rng::MILLION};

    const A: NodeId = NodeId::new(1);
    const B: NodeId = NodeId::new(2);
    const LINK: Link = (A, B, Channel::Events);

    fn network(profile: NetworkProfile) -> Network {
        Network::new(profile, Stream::new(1, "network"))
    }

    #[test]
    fn a_calm_link_delivers_each_message_once_and_in_order() {
        let mut network = network(CALM_NETWORK);
        let mut last = None;
        for now in 0..500 {
            let arrivals = network.route(now, LINK);
            assert_eq!(arrivals.len(), 1);
            let arrival = arrivals.first().copied();
            assert!(arrival.map(|arrival| arrival.at) >= last.map(|last: Arrival| last.at));
            if arrival.map(|arrival| arrival.at) == last.map(|last| last.at) {
                assert_eq!(
                    arrival, last,
                    "same moment, same rank: the queue then keeps the order of sending"
                );
            }
            last = arrival;
        }
    }

    #[test]
    fn channels_race_each_other() {
        let mut network = network(CALM_NETWORK);
        let overtaken = (0..200).any(|now| {
            let first = network.route(now, LINK);
            network.route(now, (A, B, Channel::StateSync)) < first
        });
        assert!(overtaken);
    }

    #[test]
    fn loss_and_duplication_happen_as_often_as_asked() {
        let lossy = NetworkProfile { loss: MILLION / 4, duplicate: MILLION / 2, ..CALM_NETWORK };
        let mut network = network(lossy);
        let copies: Vec<usize> = (0..4_000).map(|_| network.route(0, LINK).len()).collect();
        let share = |count| copies.iter().filter(|copies| **copies == count).count();
        assert!((850..1_150).contains(&share(0)), "{}", share(0));
        assert!((1_300..1_700).contains(&share(2)), "{}", share(2));
    }

    #[test]
    fn a_reordered_message_overtakes_a_slow_one() {
        let profile =
            NetworkProfile { delay: Span { least: 1, most: 100 }, reorder: MILLION / 2, ..CALM_NETWORK };
        let mut network = network(profile);
        let arrivals: Vec<u64> =
            (0..200).flat_map(|now| network.route(now, LINK)).map(|arrival| arrival.at).collect();
        assert!(!arrivals.is_sorted());
    }

    #[test]
    fn a_cut_separates_both_ways_until_it_is_mended() {
        let mut network = network(CALM_NETWORK);
        let c = NodeId::new(3);
        network.cut(0, BTreeSet::from([A]), Direction::Both);
        let back = (B, A, Channel::Events);
        assert!(network.route(0, LINK).is_empty() && network.route(0, back).is_empty());
        assert!(network.connects(B, c));
        network.cut(1, BTreeSet::from([A, B]), Direction::Both);
        assert!(!network.connects(B, c));
        network.mend(0);
        assert!(network.connects(A, B) && !network.connects(A, c));
        network.mend_all();
        assert!(network.connects(A, c));
    }

    #[test]
    fn a_one_way_cut_stops_one_direction() {
        let mut network = network(CALM_NETWORK);
        network.cut(0, BTreeSet::from([A]), Direction::Outward);
        assert!(!network.carries(A, B) && network.carries(B, A) && !network.connects(A, B));
        network.cut(0, BTreeSet::from([A]), Direction::Inward);
        assert!(network.carries(A, B) && !network.carries(B, A) && !network.connects(B, A));
    }
}
