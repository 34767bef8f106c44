//! A scripted node behind a [`NodeHandle`]: it answers every command as told, and its past is a list in memory.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing)]

pub mod client;
pub mod events;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use bitcoin::{
    Amount, BlockHash, Network, OutPoint, Txid, XOnlyPublicKey,
    hashes::Hash as _,
    secp256k1::{Parity, PublicKey},
};
use mpc_wallet_core::{
    BootId, KeyId, LogIndex, Millis, NodeId, PolicyVersion, Scheme, Timestamp,
    message::GrantedCoin,
    overview::{
        Balance, ChainTip, CoinView, GroupView, KeygenPhase, KeygenView, LostCoinView, MemberStatus,
        MemberView, Overview, PoolView, StandingView, WalletView,
    },
    record::BlockRef,
    step::{Command, Outcome, Quote},
    tx::{Prevout, State},
};
use mpc_wallet_shell::{
    access::Keyring,
    handle::{NodeHandle, Request},
    metrics::{RequestMetrics, Sources},
    read::{
        AuditRow, DecisionRow, Encodings, Filter, PresignatureRow, Queries, ReadError, TransactionDetail,
        TransactionRow, TransitionRow, ViolationRow, VoteRow,
    },
    rest::{ApiOptions, ApiState},
};
use tokio::sync::{mpsc, watch};

/// The P2WPKH address of BIP-173's examples, as regtest writes it.
pub const REGTEST: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
/// The internal key of BIP-341's first key-path vector.
pub const INTERNAL_KEY: &str = "d6889cb081036e0faefa3a35157ad71086b123b2b144b649798b494c300a961d";

pub fn now() -> Timestamp {
    Timestamp(u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap())
}

/// The public key of BIP-84's first receiving address.
pub const SEGWIT_KEY: &str = "0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c";

/// [`healthy`] with a second wallet, of P2WPKH.
pub fn with_segwit() -> Overview {
    let mut overview = healthy();
    overview.wallets.push(WalletView {
        key: KeyId { scheme: Scheme::Segwit, epoch: 1 },
        public_key: SEGWIT_KEY.parse::<PublicKey>().unwrap().into(),
        balance: Balance {
            confirmed: Amount::from_sat(7_000),
            spendable: Amount::from_sat(7_000),
            ..Balance::default()
        },
        coins: Vec::new(),
        lost: Vec::new(),
    });
    overview
}

/// [`with_segwit`] with presignatures in stock: of the group in use, of one that stands by, and of one that is not here.
pub fn with_pool() -> Overview {
    let group = |signers: [u16; 4], ready, held| GroupView {
        signers: signers.map(NodeId::new).to_vec(),
        ready,
        held,
        alive: true,
        in_use: false,
        faults: 0,
    };
    let mut overview = with_segwit();
    overview.presignatures = Some(PoolView {
        key: KeyId { scheme: Scheme::Segwit, epoch: 1 },
        low: 4,
        high: 16,
        most: 256,
        ordered: 3,
        making: true,
        used: 21,
        groups: vec![
            GroupView { in_use: true, ..group([1, 2, 3, 4], 7, 8) },
            GroupView { faults: 1, ..group([1, 2, 3, 5], 2, 2) },
            GroupView { alive: false, ..group([2, 3, 4, 5], 4, 4) },
        ],
    });
    overview
}

/// Five nodes, all online, a key, a fresh chain, some money.
pub fn healthy() -> Overview {
    let key = KeyId { scheme: Scheme::Taproot, epoch: 1 };
    let member = |id| MemberView {
        node: NodeId::new(id),
        status: MemberStatus::Online,
        last_heartbeat: (id != 1).then(now),
        version: (id != 1).then(|| env!("CARGO_PKG_VERSION").to_owned()),
        tip_height: Some(101),
        policy: Some(PolicyVersion::from_bytes([7; 32])),
        total_votes: 3,
        total_violations: 0,
        banned_until: None,
        clock: (id != 1).then(now),
    };
    Overview {
        me: NodeId::new(1),
        now: now(),
        total: 5,
        threshold: 4,
        faults_tolerated: 1,
        online: 5,
        coordinator: Some(NodeId::new(1)),
        lease: None,
        policy: PolicyVersion::from_bytes([7; 32]),
        approval: None,
        boot: BootId(1),
        position: LogIndex(42),
        standing: StandingView::Sound,
        members: (1..=5).map(member).collect(),
        wallets: vec![WalletView {
            key,
            public_key: INTERNAL_KEY.parse::<XOnlyPublicKey>().unwrap().public_key(Parity::Even).into(),
            balance: Balance {
                confirmed: Amount::from_sat(100_000),
                trusted_pending: Amount::from_sat(20_000),
                untrusted_pending: Amount::from_sat(3_000),
                immature: Amount::ZERO,
                locked: Amount::from_sat(40_000),
                spendable: Amount::from_sat(80_000),
            },
            coins: vec![CoinView {
                outpoint: OutPoint::null(),
                value: Amount::from_sat(100_000),
                confirmations: 1,
                locked_by: None,
            }],
            lost: vec![LostCoinView {
                outpoint: OutPoint { vout: 7, ..OutPoint::null() },
                value: Amount::from_sat(5_000),
                by: Some(Txid::all_zeros()),
                at: Timestamp(1_000),
            }],
        }],
        keygen: Some(KeygenView {
            key,
            phase: KeygenPhase::Active,
            waiting_for: Vec::new(),
            started: Timestamp(1_000),
            stage: None,
        }),
        presignatures: None,
        chain: Some(ChainTip {
            tip: BlockRef { height: 101, hash: BlockHash::all_zeros() },
            tip_time: now().0 / 1_000 - 60,
            as_of: now(),
            stale_after: Millis(120_000),
            fee_estimates: BTreeMap::from([(1, 12_500), (6, 2_000)]),
        }),
        open_transactions: 1,
        sessions: 0,
        freezes: Vec::new(),
    }
}

pub fn txid_of(number: u8) -> String {
    format!("{number:02x}").repeat(32)
}

/// A transaction in the past of the node.
pub fn row(number: u8, state: State) -> TransactionRow {
    TransactionRow {
        sequence: i64::from(number),
        txid: txid_of(number),
        state,
        sub_status: "awaiting_votes".to_owned(),
        scheme: "taproot".to_owned(),
        recipient_script: REGTEST
            .parse::<bitcoin::Address<_>>()
            .unwrap()
            .require_network(Network::Regtest)
            .unwrap()
            .script_pubkey()
            .into_bytes(),
        amount_sats: 50_000,
        fee_sats: 154,
        metadata: Some("invoice 7".to_owned()),
        external_id: None,
        origin: NodeId::new(1),
        digest: "00".repeat(32),
        confirmations: 0,
        block_height: None,
        block_hash: None,
        created_at: Timestamp(1_700_000_000_000),
        updated_at: Timestamp(1_700_000_000_500),
        expires_at: Timestamp(1_700_086_400_000),
        initiator: None,
        replaces: None,
        replaced_by: None,
    }
}

/// The past, newest last.
#[derive(Default)]
pub struct Past {
    pub rows: Vec<TransactionRow>,
    pub violations: Vec<ViolationRow>,
    /// Of every transaction.
    pub encodings: Encodings,
    /// Of every transaction.
    pub presignatures: Vec<PresignatureRow>,
    /// On every transaction.
    pub decisions: Vec<DecisionRow>,
    pub broken: bool,
}

pub struct Memory(pub Mutex<Past>);

impl Memory {
    fn past(&self) -> Result<std::sync::MutexGuard<'_, Past>, ReadError> {
        let past = self.0.lock().unwrap();
        if past.broken { Err(ReadError("SELECT secret FROM t".to_owned())) } else { Ok(past) }
    }
}

impl Queries for Memory {
    fn transaction(&self, txid: &str) -> Result<Option<TransactionDetail>, ReadError> {
        let past = self.past()?;
        let row = past.rows.iter().find(|row| row.txid == txid).cloned();
        Ok(row.map(|row| TransactionDetail {
            votes: vec![VoteRow {
                node: NodeId::new(2),
                round: 1,
                approve: true,
                reason: None,
                signature: "ab".repeat(64),
                received_at: row.created_at,
            }],
            timeline: vec![TransitionRow {
                from: None,
                to: State::Pending,
                sub_status: row.sub_status.clone(),
                cause: "client".to_owned(),
                at: row.created_at,
            }],
            presignatures: past.presignatures.clone(),
            decisions: past.decisions.clone(),
            encodings: past.encodings.clone(),
            row,
        }))
    }

    fn transactions(&self, filter: &Filter) -> Result<Vec<TransactionRow>, ReadError> {
        let past = self.past()?;
        let wanted = past.rows.iter().rev().filter(|row| {
            (filter.states.is_empty() || filter.states.contains(&row.state))
                && (!filter.awaiting_approval || row.sub_status == "awaiting_approval")
                && filter.scheme.is_none_or(|scheme| row.scheme == scheme.name())
                && filter.external_id.as_ref().is_none_or(|id| row.external_id.as_ref() == Some(id))
                && filter.before.is_none_or(|before| row.sequence < before)
        });
        Ok(wanted.take(filter.limit).cloned().collect())
    }

    fn counts(&self) -> Result<Vec<(State, u64)>, ReadError> {
        let past = self.past()?;
        Ok(State::ALL
            .map(|state| (state, past.rows.iter().filter(|row| row.state == state).count() as u64))
            .to_vec())
    }

    fn violations(&self, before: Option<i64>, limit: usize) -> Result<Vec<ViolationRow>, ReadError> {
        let past = self.past()?;
        let wanted =
            past.violations.iter().rev().filter(|row| before.is_none_or(|before| row.sequence < before));
        Ok(wanted.take(limit).cloned().collect())
    }

    fn audit(&self, me: NodeId, before: Option<i64>, limit: usize) -> Result<Vec<AuditRow>, ReadError> {
        let past = self.past()?;
        let event = |sequence| AuditRow {
            sequence,
            event: "node_started",
            node: me,
            txid: None,
            details: serde_json::Map::new(),
            at: Timestamp(1_700_000_000_000),
        };
        let newest = i64::try_from(past.rows.len()).unwrap();
        let wanted = (1..=newest).rev().filter(|sequence| before.is_none_or(|before| *sequence < before));
        Ok(wanted.take(limit).map(event).collect())
    }
}

/// A coin of 100,000 sat for a payment of 50,000 sat.
pub fn quoted() -> Outcome {
    Outcome::Quoted(Quote {
        key: KeyId { scheme: Scheme::Taproot, epoch: 1 },
        inputs: vec![GrantedCoin {
            outpoint: OutPoint::null(),
            output: Prevout {
                value: Amount::from_sat(100_000),
                script: REGTEST.parse::<bitcoin::Address<_>>().unwrap().assume_checked().script_pubkey(),
            },
        }],
        fee: Amount::from_sat(213),
        vsize: 142,
        change: Amount::from_sat(49_787),
    })
}

/// What the node does with a command.
pub type Script = Box<dyn FnMut(Command) -> Option<Outcome> + Send>;

/// A node that follows a script; a command the script has no answer for is never answered.
pub struct ScriptedNode {
    pub state: ApiState,
    pub overview: watch::Sender<Arc<Overview>>,
    pub memory: Arc<Memory>,
    pub commands: Arc<Mutex<Vec<Command>>>,
}

pub fn scripted(overview: Overview, past: Past, script: Script) -> ScriptedNode {
    guarded(overview, past, script, None)
}

/// As [`scripted`], for holders of these keys.
pub fn guarded(
    overview: Overview,
    past: Past,
    script: Script,
    keyring: Option<Arc<Keyring>>,
) -> ScriptedNode {
    with_options(overview, past, script, |options| options.keyring = keyring)
}

/// As [`scripted`], with other options.
pub fn with_options(
    overview: Overview,
    past: Past,
    mut script: Script,
    change: impl FnOnce(&mut ApiOptions),
) -> ScriptedNode {
    let (requests, mut inbox) = mpsc::channel::<Request>(8);
    let (overview, view) = watch::channel(Arc::new(overview));
    let memory = Arc::new(Memory(Mutex::new(past)));
    let commands = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&commands);
    tokio::spawn(async move {
        let mut unanswered = Vec::new();
        while let Some(request) = inbox.recv().await {
            seen.lock().unwrap().push(request.command.clone());
            match script(request.command) {
                Some(outcome) => drop(request.reply.send(outcome)),
                None => unanswered.push(request.reply),
            }
        }
    });
    let queries: Arc<dyn Queries> = Arc::<Memory>::clone(&memory);
    let mut options = options(None);
    change(&mut options);
    let state = ApiState::new(NodeHandle::new(requests, view, queries), options);
    ScriptedNode { state, overview, memory, commands }
}

/// What an API on a private chain is told, for holders of these keys.
pub fn options(keyring: Option<Arc<Keyring>>) -> ApiOptions {
    let registry = prometheus::Registry::new();
    ApiOptions {
        network: Network::Regtest,
        confirmations_required: 1,
        body_limit: 64 * 1024,
        request_timeout: Duration::from_millis(500),
        keyring,
        requests: RequestMetrics::register(&registry).unwrap(),
        registry,
        etcd: None,
        postgres: None,
        certificates: None,
        sources: Sources::default(),
        operations: false,
        events: None,
    }
}
