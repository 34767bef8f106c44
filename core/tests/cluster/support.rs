//! Five cores, four of which sign, and a host for them in its shortest form: one queue of inputs, disks that never fail, a
//! chain that confirms at once. Nodes may be down, and what they send may be changed on its way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bitcoin::{
    Amount, BlockHash, Network, OutPoint, ScriptBuf, Transaction, TxIn, TxOut, Txid, absolute::LockTime,
    hashes::Hash, transaction::Version,
};
use mpc_wallet_core::{
    Cluster, Config, KeyId, Limits, Millis, Node, NodeId, RequestId, Scheme, SessionId, Timestamp, Timing,
    VoteKey,
    chain::{
        BroadcastOutcome, ChainAnswer, ChainObservation, ChainQuery, ChainView, Coin, CoinStatus, TxPresence,
    },
    message::Message,
    mpc::{KeyShare, Slot, Suite, Suites, ecdsa::Primes},
    node::SealedShare,
    policy::Policy,
    pool::KeptPresignatures,
    record::{BlockRef, Record},
    step::{Alert, Command, Effect, Input, Outcome, PaymentRequest, Receipt},
    tx::State,
    wallet::Wallet,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// A chain that accepts everything and confirms it at once, or keeps it waiting.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) transactions: BTreeMap<Txid, Transaction>,
    height: u32,
    /// Whether what is sent waits for [`Ledger::mine`].
    pub(crate) waits: bool,
    mempool: BTreeSet<Txid>,
    /// What lost its place in the mempool, or never got one.
    losers: BTreeMap<Txid, Transaction>,
}

impl Ledger {
    pub(crate) fn fund(&mut self, script: &ScriptBuf, value: Amount) -> OutPoint {
        self.height += 1;
        let coin = Transaction {
            version: Version::TWO,
            lock_time: LockTime::from_consensus(self.height),
            input: vec![TxIn { previous_output: OutPoint::new(Txid::all_zeros(), 0), ..TxIn::default() }],
            output: vec![TxOut { value, script_pubkey: script.clone() }],
        };
        let txid = coin.compute_txid();
        self.transactions.insert(txid, coin);
        OutPoint { txid, vout: 0 }
    }

    pub(crate) fn tip(&self) -> BlockRef {
        BlockRef { height: self.height, hash: BlockHash::all_zeros() }
    }

    /// Puts a transaction into a block, whoever is in the mempool in its place.
    pub(crate) fn mine(&mut self, txid: Txid) {
        if let Some(loser) = self.losers.remove(&txid) {
            self.evict_rivals(&loser);
            self.transactions.insert(txid, loser);
        }
        self.mempool.remove(&txid);
        self.height += 1;
    }

    /// Puts a transaction into a block that was never sent here.
    pub(crate) fn place(&mut self, transaction: Transaction) {
        self.evict_rivals(&transaction);
        self.transactions.insert(transaction.compute_txid(), transaction);
        self.height += 1;
    }

    /// Spends a coin past the wallet, in a block.
    pub(crate) fn steal(&mut self, coin: OutPoint) -> Txid {
        let theft = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn { previous_output: coin, ..TxIn::default() }],
            output: vec![TxOut { value: Amount::from_sat(1_000), script_pubkey: ScriptBuf::new() }],
        };
        let txid = theft.compute_txid();
        self.place(theft);
        txid
    }

    /// Takes whatever spends a coin of this transaction out of the mempool.
    fn evict_rivals(&mut self, transaction: &Transaction) {
        for input in &transaction.input {
            let Some(rival) = self.spender(&input.previous_output) else { continue };
            assert!(self.mempool.remove(&rival), "double spend of {input:?}");
            let evicted = self.transactions.remove(&rival);
            self.losers.extend(evicted.map(|evicted| (rival, evicted)));
        }
    }

    /// What the outputs of a transaction are worth: of two with the same coins the one that leaves less pays more.
    fn paid_out(transaction: &Transaction) -> Amount {
        transaction.output.iter().map(|output| output.value).sum()
    }

    fn height_of(&self, txid: &Txid) -> Option<u32> {
        (!self.mempool.contains(txid)).then_some(1)
    }

    fn presence(&self, txid: &Txid) -> TxPresence {
        if self.mempool.contains(txid) {
            return TxPresence::Mempool;
        }
        if self.transactions.contains_key(txid) {
            return TxPresence::Confirmed(self.tip());
        }
        let coins = self.losers.get(txid).into_iter().flat_map(|loser| &loser.input);
        let rival = coins.into_iter().find_map(|input| self.spender(&input.previous_output));
        rival.map_or(TxPresence::Absent, |by| TxPresence::Conflicted {
            by,
            block: self.height_of(&by).map(|_| self.tip()),
        })
    }

    /// Takes a transaction into the mempool in the place of its rivals, if it pays more than they do.
    fn queue(&mut self, txid: Txid, transaction: Transaction) -> BroadcastOutcome {
        let rivals: BTreeSet<Txid> =
            transaction.input.iter().filter_map(|input| self.spender(&input.previous_output)).collect();
        let yields = |rival: &Txid| {
            self.mempool.contains(rival)
                && Self::paid_out(&self.transactions[rival]) > Self::paid_out(&transaction)
        };
        if !rivals.iter().all(yields) {
            self.losers.insert(txid, transaction);
            return BroadcastOutcome::FeeTooLow;
        }
        self.evict_rivals(&transaction);
        self.mempool.insert(txid);
        self.transactions.insert(txid, transaction);
        BroadcastOutcome::Accepted
    }

    pub(crate) fn spender(&self, coin: &OutPoint) -> Option<Txid> {
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
                                height: self.height_of(txid),
                                coinbase: false,
                            });
                        }
                    }
                }
                ChainObservation::Poll(ChainView {
                    tip: self.tip(),
                    tip_time: 0,
                    fee_estimates: vec![],
                    coins,
                    watched: watch.into_iter().map(|txid| (txid, self.presence(&txid))).collect(),
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
                                    height: self.height_of(&coin.txid),
                                    spent_by: self.spender(&coin),
                                }
                            });
                        (coin, status)
                    })
                    .collect(),
            ),
            ChainQuery::Broadcast { transaction, .. } => {
                let txid = transaction.compute_txid();
                if self.waits && !self.transactions.contains_key(&txid) {
                    let outcome = self.queue(txid, transaction);
                    return ChainObservation::Broadcast { txid, outcome };
                }
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

/// What becomes of a message from one node to another: usually itself, once.
pub(crate) type Tamper = Box<dyn FnMut(NodeId, NodeId, Message) -> Vec<Message>>;

/// The host of five nodes.
pub(crate) struct World {
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) disks: BTreeMap<NodeId, Vec<Record>>,
    /// Key shares, sealed apart from the journals.
    pub(crate) sealed: BTreeMap<(NodeId, SessionId), (KeyId, Arc<KeyShare>)>,
    pub(crate) queue: VecDeque<(NodeId, Input)>,
    pub(crate) replies: Vec<Outcome>,
    /// Who shut out whom.
    pub(crate) bans: BTreeSet<(NodeId, NodeId)>,
    pub(crate) alerts: Vec<(NodeId, Alert)>,
    /// Nodes that hear, say and do nothing.
    pub(crate) down: BTreeSet<NodeId>,
    pub(crate) tamper: Option<Tamper>,
    pub(crate) ledger: Ledger,
    pub(crate) entropy: ChaCha20Rng,
    pub(crate) now: Timestamp,
}

impl World {
    /// A cluster whose wallets, of either kind, are served by one suite.
    pub(crate) fn new(suite: Suite) -> Self {
        Self::of(Suites { taproot: suite, segwit: suite }, Limits::default())
    }

    pub(crate) fn of(suites: Suites, limits: Limits) -> Self {
        let members = (1..=5).map(|i| (NodeId::new(i), key(i).public())).collect();
        let cluster = Cluster::new(Network::Regtest, 4, members).unwrap();
        let nodes = (1..=5)
            .map(|i| {
                let config = Config {
                    me: NodeId::new(i),
                    cluster: cluster.clone(),
                    policy: Policy::default(),
                    timing: Timing { chain_poll: Millis(1_000), ..Timing::default() },
                    limits: limits.clone(),
                    confirmations_required: 1,
                    suites,
                };
                (NodeId::new(i), Node::replay(config, key(i), [], vec![]).unwrap())
            })
            .collect();
        Self {
            nodes,
            disks: BTreeMap::new(),
            sealed: BTreeMap::new(),
            queue: (1..=5).map(|i| (NodeId::new(i), Input::Tick)).collect(),
            replies: vec![],
            bans: BTreeSet::new(),
            alerts: vec![],
            down: BTreeSet::new(),
            tamper: None,
            ledger: Ledger::default(),
            entropy: ChaCha20Rng::seed_from_u64(7),
            now: Timestamp(1_000_000),
        }
    }

    /// The same with another configuration of every node. To be called before anything has happened.
    pub(crate) fn configured(mut self, change: impl Fn(&mut Config)) -> Self {
        for (id, node) in &mut self.nodes {
            let mut config = node.config().clone();
            change(&mut config);
            *node = Node::replay(config, key(id.get()), [], vec![]).unwrap();
        }
        self
    }

    /// Gives every member primes without security, ready made.
    pub(crate) fn give_toy_primes(&mut self) {
        self.nodes = std::mem::take(&mut self.nodes)
            .into_iter()
            .map(|(id, node)| (id, node.with_primes(Primes::toy(Slot(id.get() - 1)).unwrap())))
            .collect();
    }

    /// Starts a node anew on the first `keep` records of its journal; what was on its way to it is lost.
    pub(crate) fn restart(&mut self, node: u16, keep: usize) {
        self.restart_with(node, keep, None);
    }

    /// Stops a node in order as far as its presignatures go.
    pub(crate) fn keep_presignatures(&mut self, node: u16) -> Option<KeptPresignatures> {
        self.nodes.get_mut(&NodeId::new(node)).unwrap().keep_presignatures()
    }

    /// The same with what the last orderly stop kept.
    pub(crate) fn restart_with(&mut self, node: u16, keep: usize, kept: Option<KeptPresignatures>) {
        let id = NodeId::new(node);
        let config = self.nodes[&id].config().clone();
        let records = self.disks.entry(id).or_default();
        records.truncate(keep);
        let shares = self
            .sealed
            .iter()
            .filter(|((holder, _), _)| *holder == id)
            .map(|((_, ceremony), (key, share))| SealedShare {
                ceremony: *ceremony,
                key: *key,
                share: Arc::clone(share),
            })
            .collect();
        let mut replayed = Node::replay(config, key(node), records.clone(), shares).unwrap();
        if let Some(kept) = kept {
            replayed = replayed.with_presignatures(kept);
        }
        self.nodes.insert(id, replayed);
        self.queue.retain(|(to, _)| *to != id);
        self.down.remove(&id);
        self.queue.push_back((id, Input::Tick));
        for peer in self.nodes.keys().copied().filter(|peer| *peer != id && !self.down.contains(peer)) {
            self.queue.push_back((id, Input::PeerUp(peer)));
            self.queue.push_back((peer, Input::PeerUp(id)));
        }
    }

    pub(crate) fn node(&self, node: u16) -> &Node {
        &self.nodes[&NodeId::new(node)]
    }

    pub(crate) fn ask(&mut self, node: u16, command: Command) {
        self.queue.push_back((NodeId::new(node), Input::Client { request: RequestId(1), command }));
    }

    /// Runs until `done`, jumping from deadline to deadline; a bound catches livelock.
    pub(crate) fn run_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..200_000 {
            if done(self) {
                return;
            }
            let (node, input) = self.queue.pop_front().unwrap_or_else(|| {
                let (at, node) = self
                    .nodes
                    .iter()
                    .filter(|(id, _)| !self.down.contains(id))
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

    /// Lets this many milliseconds pass.
    pub(crate) fn pass(&mut self, span: u64) {
        let end = self.now.plus(Millis(span));
        self.run_until("time passes", |world| world.now >= end);
    }

    pub(crate) fn step(&mut self, id: NodeId, input: Input) {
        if self.down.contains(&id) {
            return;
        }
        let node = self.nodes.get_mut(&id).unwrap();
        let step = node.step(self.now, &mut self.entropy, input);
        self.disks.entry(id).or_default().extend_from_slice(step.records());
        let receipt = Receipt::up_to(step.last());
        let effects = node.commit(step, receipt).unwrap();
        let banned = node.state().banned(self.now);
        let peers: Vec<NodeId> =
            self.nodes.keys().copied().filter(|peer| *peer != id && !banned.contains(peer)).collect();
        for effect in effects {
            match effect {
                Effect::Send { to, message } => self.deliver(id, to, message),
                Effect::Broadcast(message) => {
                    for peer in &peers {
                        self.deliver(id, *peer, message.clone());
                    }
                }
                Effect::Reply { outcome, .. } => self.replies.push(outcome),
                Effect::Chain { query, question } => {
                    let observation = self.ledger.answer(question);
                    self.queue.push_back((id, Input::Chain(ChainAnswer { query, observation })));
                }
                Effect::Compute { job, work, .. } => {
                    self.queue.push_back((id, Input::Computed { job, result: work.run() }));
                }
                Effect::SealKeyShare { ceremony, key, share } => {
                    self.sealed.insert((id, ceremony), (key, share));
                    self.queue.push_back((id, Input::KeyShareSealed { ceremony }));
                }
                Effect::Ban { node, .. } => {
                    self.bans.insert((id, node));
                }
                Effect::Alert(alert) => self.alerts.push((id, alert)),
            }
        }
    }

    fn deliver(&mut self, from: NodeId, to: NodeId, message: Message) {
        let arriving = match &mut self.tamper {
            Some(tamper) => tamper(from, to, message),
            None => vec![message],
        };
        for message in arriving {
            self.queue.push_back((to, Input::Message { from, message }));
        }
    }

    /// Nobody was blamed for anything.
    pub(crate) fn assert_peace(&self) {
        assert_eq!((&self.bans, &self.alerts), (&BTreeSet::new(), &vec![]));
    }

    /// Whether these nodes have exactly `count` transactions in this state.
    pub(crate) fn have(&self, nodes: &[u16], count: usize, state: State) -> bool {
        nodes.iter().all(|node| {
            let transactions = self.nodes[&NodeId::new(*node)].state().transactions();
            transactions.filter(|(_, tx)| tx.state == state).count() == count
        })
    }

    pub(crate) fn wallet(&self) -> Option<Wallet> {
        self.wallet_of(Scheme::Taproot)
    }

    pub(crate) fn wallet_of(&self, scheme: Scheme) -> Option<Wallet> {
        let proof = self.nodes[&NodeId::new(1)].state().current_key(scheme)?;
        Some(Wallet::new(proof.request.key, proof.public_key, Network::Regtest))
    }

    pub(crate) fn all_have(&self, count: usize, state: State) -> bool {
        self.have(&[1, 2, 3, 4, 5], count, state)
    }
}

pub(crate) fn key(node: u16) -> VoteKey {
    VoteKey::from_bytes(&[u8::try_from(node).unwrap(); 32]).unwrap()
}

pub(crate) fn payment(amount: u64) -> Command {
    Command::Pay(PaymentRequest {
        scheme: Scheme::Taproot,
        recipient: ScriptBuf::from_hex("0014751e76e8199196d454941c45d1b3a323f1433bd6").unwrap(),
        amount: Amount::from_sat(amount),
        fee_rate: None,
        metadata: None,
        external_id: None,
        idempotency_key: None,
        initiator: None,
    })
}

pub(crate) fn cluster_with_key(suite: Suite) -> World {
    with_key(World::new(suite))
}

/// Has the members make a Taproot key, and funds its wallet.
pub(crate) fn with_key(mut world: World) -> World {
    world.run_until("everybody online", |world| world.nodes.values().all(|node| node.overview().online == 5));
    make_wallet(&mut world, Scheme::Taproot);
    world
}

/// Makes a key of that kind and funds its wallet.
pub(crate) fn make_wallet(world: &mut World, scheme: Scheme) {
    world.ask(2, Command::GenerateKey(scheme));
    world.run_until("an active key at every node", |world| {
        world.nodes.values().all(|node| node.state().current_key(scheme).is_some())
    });
    let script = world.wallet_of(scheme).unwrap().script();
    world.ledger.fund(&script, Amount::from_sat(10_000_000));
    world.run_until("money everywhere", |world| {
        world.nodes.values().all(|node| spendable(node, scheme) > Amount::ZERO)
    });
}

/// What a node would spend of the wallet of that kind.
pub(crate) fn spendable(node: &Node, scheme: Scheme) -> Amount {
    let overview = node.overview();
    let wallet = overview.wallets.iter().find(|wallet| wallet.scheme() == scheme);
    wallet.map_or(Amount::ZERO, |wallet| wallet.balance.spendable)
}
