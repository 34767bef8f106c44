//! Nodes, PostgreSQL and members of etcd are killed at work, again and again; in the end all accounts agree.

use std::time::Duration;

use mpc_wallet_e2e::cluster::{Cluster, Kind};
use mpc_wallet_e2e::record::wait_until_agreed;
use mpc_wallet_e2e::suite::{Expected, check_books, pay_at_once};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};

use super::{SOON, World};

/// Payments, unless this variable says how many.
const PAYMENTS: u16 = 24;
const PAYMENTS_VARIABLE: &str = "MPC_WALLET_KILLED_PAYMENTS";
/// Who is killed when, unless this variable says otherwise.
const SEED: u64 = 1;
const SEED_VARIABLE: &str = "MPC_WALLET_KILL_SEED";
/// Clients that pay at once while somebody is killed.
const CLIENTS: u16 = 4;
/// From the posting of payments to a kill, and from there to the return, at most this many milliseconds: payments under
/// way have come to different places.
const STEP_MS: u64 = 400;

fn asked<T: std::str::FromStr>(variable: &str, otherwise: T) -> T {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// What dies together in one turn.
#[derive(Debug)]
struct Blow {
    node: u16,
    postgres: bool,
    members: Vec<u16>,
    before: Duration,
    away: Duration,
}

impl Blow {
    /// A node each time; PostgreSQL, one member or two (the quorum) each in about half of the turns.
    fn draw(dice: &mut ChaCha8Rng) -> Self {
        let mut below = |bound: u64| dice.next_u64() % bound;
        let node = u16::try_from(below(5)).unwrap() + 1;
        let first = u16::try_from(below(3)).unwrap();
        let count = below(3);
        let members = (0..count).map(|more| (first + u16::try_from(more).unwrap()) % 3 + 1).collect();
        let [before, away] = [(); 2].map(|()| Duration::from_millis(below(STEP_MS)));
        Self { node, postgres: below(2) == 0, members, before, away }
    }

    fn strike(&self, world: &World) -> anyhow::Result<()> {
        std::thread::sleep(self.before);
        world.cluster.node(self.node)?.kill9()?;
        if self.postgres {
            world.postgres.kill()?;
        }
        for member in &self.members {
            world.etcd.kill(*member)?;
        }
        std::thread::sleep(self.away);
        for member in &self.members {
            world.etcd.start_member(*member)?;
        }
        if self.postgres {
            world.postgres.resume()?;
        }
        world.cluster.start_all()
    }
}

/// While etcd comes and goes, two nodes may coordinate for a moment and give one coin to two payments; the later one is then
/// refused, for good and at every node, and its client posts it again. Returns how many were.
fn pay_the_refused_again(cluster: &Cluster, payments: &mut [Expected]) -> usize {
    let mut refused = 0;
    for payment in payments {
        let ends = |payment: &Expected| {
            let seen = cluster.nodes().iter().map(|node| cluster.wait_final(node.id(), &payment.txid, SOON));
            let seen: Vec<_> = seen.map(Result::unwrap).collect();
            assert!(seen.iter().all(|other| other.state == seen[0].state), "{seen:?}");
            seen[0].clone()
        };
        let end = ends(payment);
        if end.state == "rejected" {
            assert_eq!(end.sub_status, "votes:coin_committed");
            let address = payment.payee.to_string();
            payment.txid =
                cluster.node(1).unwrap().api().pay(Kind::Taproot, &address, payment.sats).unwrap().txid;
            assert_eq!(ends(payment).state, "confirmed");
            refused += 1;
        }
    }
    refused
}

#[test]
fn all_accounts_agree_after_nodes_postgresql_and_etcd_were_killed_at_work() {
    let turns = asked(PAYMENTS_VARIABLE, PAYMENTS).div_ceil(CLIENTS);
    let mut dice = ChaCha8Rng::seed_from_u64(asked(SEED_VARIABLE, SEED));
    let coins = u32::from((turns * CLIENTS).min(40));
    let world = World::funded(coins);
    let mut payments = Vec::new();
    for turn in 0..turns {
        let blow = Blow::draw(&mut dice);
        let orders: Vec<(u16, u64)> =
            (0..CLIENTS).map(|client| ((turn + client) % 5 + 1, 3_000 + u64::from(client))).collect();
        let tag = format!("killed {turn}");
        std::thread::scope(|scope| {
            let killer = scope.spawn(|| blow.strike(&world));
            payments.extend(pay_at_once(&world.cluster, &tag, &orders, SOON).unwrap());
            killer.join().unwrap().unwrap_or_else(|error| panic!("{blow:?}: {error:#}"));
        });
    }
    world.etcd.wait_until_serving().unwrap();
    let refused = pay_the_refused_again(&world.cluster, &mut payments);
    let found = wait_until_agreed(&world.cluster, &world.postgres, Some(&world.etcd), SOON).unwrap();
    // Posted again at another node, a payment may have been proposed twice, by transactions of which one at most is made.
    assert!(found.transactions >= payments.len() + refused, "{found:?}");
    let all = world.cluster.node(1).unwrap().api().transactions().unwrap();
    assert_eq!(all.iter().filter(|payment| payment.state == "confirmed").count(), payments.len());
    // A state of each, and the votes that certificates need.
    assert!(found.mirrors >= 5 * payments.len(), "{found:?}");
    assert!(refused <= payments.len().div_ceil(10), "{refused} of {} were refused", payments.len());
    check_books(&world.cluster, u64::from(coins) * 50_000, &payments).unwrap();
    world.cluster.stop().unwrap();
}
