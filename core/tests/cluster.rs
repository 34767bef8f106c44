//! Five cores in a world without faults: what a host has to do, in its shortest form.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, VecDeque};

use bitcoin::{
    Amount, BlockHash, Network, OutPoint, ScriptBuf, Transaction, TxIn, TxOut, Txid, absolute::LockTime,
    hashes::Hash, transaction::Version,
};
use mpc_wallet_core::{
    Cluster, Config, Limits, Millis, Node, NodeId, RequestId, Scheme, Timestamp, Timing, VoteKey,
    chain::{
        BroadcastOutcome, ChainAnswer, ChainObservation, ChainQuery, ChainView, Coin, CoinStatus, TxPresence,
    },
    mpc::Suite,
    policy::Policy,
    record::{BlockRef, Record},
    step::{Command, Effect, Input, Outcome, PaymentRequest, Receipt},
    tx::State,
    wallet::Wallet,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// A chain that accepts everything and confirms it at once.
#[derive(Default)]
struct Ledger {
    transactions: BTreeMap<Txid, Transaction>,
    height: u32,
}

impl Ledger {
    fn fund(&mut self, script: &ScriptBuf, value: Amount) {
        self.height += 1;
        let coin = Transaction {
            version: Version::TWO,
            lock_time: LockTime::from_consensus(self.height),
            input: vec![TxIn { previous_output: OutPoint::new(Txid::all_zeros(), 0), ..TxIn::default() }],
            output: vec![TxOut { value, script_pubkey: script.clone() }],
        };
        self.transactions.insert(coin.compute_txid(), coin);
    }

    fn tip(&self) -> BlockRef {
        BlockRef { height: self.height, hash: BlockHash::all_zeros() }
    }

    fn spender(&self, coin: &OutPoint) -> Option<Txid> {
        let spends = |tx: &&Transaction| tx.input.iter().any(|input| input.previous_output == *coin);
        self.transactions.values().find(spends).map(Transaction::compute_txid)
    }

    fn answer(&mut self, question: ChainQuery) -> ChainObservation {
        match question {
            ChainQuery::Poll { scripts, watch } => {
                let mut coins = Vec::new();
                for (txid, tx) in &self.transactions {
                    for (vout, output) in (0..).zip(&tx.output) {
                        let outpoint = OutPoint { txid: *txid, vout };
                        if scripts.contains(&output.script_pubkey) && self.spender(&outpoint).is_none() {
                            coins.push(Coin {
                                outpoint,
                                output: output.clone(),
                                height: Some(1),
                                coinbase: false,
                            });
                        }
                    }
                }
                let presence = |txid: Txid| match self.transactions.contains_key(&txid) {
                    true => TxPresence::Confirmed(self.tip()),
                    false => TxPresence::Absent,
                };
                ChainObservation::Poll(ChainView {
                    tip: self.tip(),
                    tip_time: 0,
                    fee_estimates: vec![],
                    coins,
                    watched: watch.into_iter().map(|txid| (txid, presence(txid))).collect(),
                })
            }
            ChainQuery::Coins { outpoints } => ChainObservation::Coins(
                outpoints
                    .into_iter()
                    .map(|coin| {
                        let status =
                            self.transactions.get(&coin.txid).map_or(CoinStatus::Unknown, |parent| {
                                CoinStatus::Known {
                                    parent: parent.clone(),
                                    height: Some(1),
                                    spent_by: self.spender(&coin),
                                }
                            });
                        (coin, status)
                    })
                    .collect(),
            ),
            ChainQuery::Broadcast { transaction, .. } => {
                let txid = transaction.compute_txid();
                for input in &transaction.input {
                    let spender = self.spender(&input.previous_output);
                    assert!(spender.is_none_or(|spender| spender == txid), "double spend of {input:?}");
                }
                self.transactions.insert(txid, transaction);
                ChainObservation::Broadcast { txid, outcome: BroadcastOutcome::Accepted }
            }
        }
    }
}

/// The host of five nodes: one queue of inputs, a disk that never fails.
struct World {
    nodes: BTreeMap<NodeId, Node>,
    disks: BTreeMap<NodeId, Vec<Record>>,
    queue: VecDeque<(NodeId, Input)>,
    replies: Vec<Outcome>,
    ledger: Ledger,
    entropy: ChaCha20Rng,
    now: Timestamp,
}

impl World {
    fn new(suite: Suite) -> Self {
        let key = |i: u16| VoteKey::from_bytes(&[u8::try_from(i).unwrap(); 32]).unwrap();
        let members = (1..=5).map(|i| (NodeId::new(i), key(i).public())).collect();
        let cluster = Cluster::new(Network::Regtest, 4, members).unwrap();
        let nodes = (1..=5)
            .map(|i| {
                let config = Config {
                    me: NodeId::new(i),
                    cluster: cluster.clone(),
                    policy: Policy::default(),
                    timing: Timing { chain_poll: Millis(1_000), ..Timing::default() },
                    limits: Limits::default(),
                    confirmations_required: 1,
                    suite,
                };
                (NodeId::new(i), Node::replay(config, key(i), [], vec![]).unwrap())
            })
            .collect();
        Self {
            nodes,
            disks: BTreeMap::new(),
            queue: (1..=5).map(|i| (NodeId::new(i), Input::Tick)).collect(),
            replies: vec![],
            ledger: Ledger::default(),
            entropy: ChaCha20Rng::seed_from_u64(7),
            now: Timestamp(1_000_000),
        }
    }

    fn ask(&mut self, node: u16, command: Command) {
        self.queue.push_back((NodeId::new(node), Input::Client { request: RequestId(1), command }));
    }

    /// Runs until `done`, jumping from deadline to deadline; a bound catches livelock.
    fn run_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..200_000 {
            if done(self) {
                return;
            }
            let (node, input) = self.queue.pop_front().unwrap_or_else(|| {
                let (at, node) = self
                    .nodes
                    .iter()
                    .filter_map(|(id, node)| node.deadline().map(|(at, _)| (at, *id)))
                    .min()
                    .expect("a node always has a next heartbeat");
                self.now = self.now.max(at);
                (node, Input::Tick)
            });
            self.step(node, input);
        }
        let states: Vec<_> = self.nodes[&NodeId::new(1)]
            .state()
            .transactions()
            .map(|(_, tx)| (tx.state, tx.sub_status.clone()))
            .collect();
        panic!("{what} did not happen; node-1 has {states:?}");
    }

    fn step(&mut self, id: NodeId, input: Input) {
        let peers: Vec<NodeId> = self.nodes.keys().copied().filter(|node| *node != id).collect();
        let node = self.nodes.get_mut(&id).unwrap();
        let step = node.step(self.now, &mut self.entropy, input);
        self.disks.entry(id).or_default().extend_from_slice(step.records());
        let receipt = Receipt::up_to(step.last());
        for effect in node.commit(step, receipt).unwrap() {
            match effect {
                Effect::Send { to, message } => {
                    self.queue.push_back((to, Input::Message { from: id, message }))
                }
                Effect::Broadcast(message) => {
                    for peer in &peers {
                        self.queue.push_back((*peer, Input::Message { from: id, message: message.clone() }));
                    }
                }
                Effect::Reply { outcome, .. } => self.replies.push(outcome),
                Effect::Chain { query, question } => {
                    let observation = self.ledger.answer(question);
                    self.queue.push_back((id, Input::Chain(ChainAnswer { query, observation })));
                }
                Effect::Compute { job, work } => {
                    self.queue.push_back((id, Input::Computed { job, result: work.run() }));
                }
                Effect::SealKeyShare { ceremony, .. } => {
                    self.queue.push_back((id, Input::KeyShareSealed { ceremony }))
                }
                Effect::Ban { node, .. } => panic!("{id} bans {node}"),
                Effect::Alert(alert) => panic!("{id} raises {alert:?}"),
            }
        }
    }

    fn wallet(&self) -> Option<Wallet> {
        let proof = self.nodes[&NodeId::new(1)].state().current_key(Scheme::Taproot)?;
        Wallet::new(proof.request.key, &proof.public_key, Network::Regtest)
    }

    fn all_have(&self, count: usize, state: State) -> bool {
        self.nodes
            .values()
            .all(|node| node.state().transactions().filter(|(_, tx)| tx.state == state).count() == count)
    }
}

fn payment(amount: u64) -> Command {
    Command::Pay(PaymentRequest {
        scheme: Scheme::Taproot,
        recipient: ScriptBuf::from_hex("0014751e76e8199196d454941c45d1b3a323f1433bd6").unwrap(),
        amount: Amount::from_sat(amount),
        fee_rate: None,
        metadata: None,
        idempotency_key: None,
    })
}

fn cluster_with_key(suite: Suite) -> World {
    let mut world = World::new(suite);
    world.run_until("everybody online", |world| world.nodes.values().all(|node| node.overview().online == 5));
    world.ask(2, Command::GenerateKey(Scheme::Taproot));
    world.run_until("an active key at every node", |world| {
        world.nodes.values().all(|node| node.state().current_key(Scheme::Taproot).is_some())
    });
    let script = world.wallet().unwrap().script();
    world.ledger.fund(&script, Amount::from_sat(10_000_000));
    world.run_until("money everywhere", |world| {
        world
            .nodes
            .values()
            .all(|node| node.overview().wallets.iter().any(|wallet| wallet.balance.spendable > Amount::ZERO))
    });
    world
}

#[test]
fn five_nodes_make_a_key_and_pay_with_real_signatures() {
    let mut world = cluster_with_key(Suite::Givre);
    world.ask(4, payment(100_000));
    world.run_until("a confirmed payment at every node", |world| world.all_have(1, State::Confirmed));
    assert!(matches!(world.replies.last(), Some(Outcome::Proposed { replayed: false, .. })));
    for (id, node) in &world.nodes {
        let (_, tx) = node.state().transactions().next().unwrap();
        assert!(tx.tally.approvals().count() >= 4, "{id}");
    }
}

#[test]
fn payments_chain_on_the_change_of_one_coin() {
    let mut world = cluster_with_key(Suite::Mock);
    for node in 1..=5 {
        world.queue.push_back((
            NodeId::new(node),
            Input::Client { request: RequestId(u64::from(node)), command: payment(50_000) },
        ));
    }
    world.run_until("five confirmed payments at every node", |world| world.all_have(5, State::Confirmed));
}

#[test]
fn replay_of_the_journal_is_the_live_state() {
    let mut world = cluster_with_key(Suite::Mock);
    world.ask(3, payment(70_000));
    world.run_until("a confirmed payment at every node", |world| world.all_have(1, State::Confirmed));
    for (id, node) in &world.nodes {
        let key = VoteKey::from_bytes(&[u8::try_from(id.get()).unwrap(); 32]).unwrap();
        let again = Node::replay(node.config().clone(), key, world.disks[id].clone(), vec![]).unwrap();
        assert_eq!(again.state().digest(), node.state().digest(), "{id}");
    }
}

#[test]
fn more_than_there_is_is_refused_at_once_with_the_numbers() {
    let mut world = cluster_with_key(Suite::Mock);
    world.ask(5, payment(20_000_000));
    let before = world.replies.len();
    world.run_until("a reply", |world| world.replies.len() > before);
    let Some(Outcome::Refused(refusal)) = world.replies.last() else { panic!("{:?}", world.replies) };
    assert_eq!(refusal.code(), "insufficient_funds");
    assert!(world.all_have(0, State::Voting));
}
