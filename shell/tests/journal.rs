//! What the journal promises its node: nothing acknowledged is lost, nothing half-written is found, nobody else's
//! memory is taken for one's own, and the read model says what the journal says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{fs, path::Path};

use bitcoin::{
    Amount, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    absolute::LockTime, hashes::Hash, transaction::Version,
};
use mpc_wallet_core::{
    BootId, ClusterId, KeyId, LogIndex, Millis, NodeId, PaymentId, PolicyVersion, Scheme, SessionId,
    Timestamp, VoteKey, codec,
    identity::Signed,
    ids::PresignatureId,
    message::FinalTransaction,
    record::{BlockRef, Fact, Record, UsedPresignature},
    tx::{Prevout, Proposal, State, SubStatus},
    vote::{
        Ballot, Decision, Evidence, FIRST_ROUND, OperatorDecision, Promise, RejectReason, Violation, Vote,
    },
};
use mpc_wallet_shell::{
    journal::{DATABASE_FILE, OpenError, Store},
    ports::Journal,
    read::{AuditRow, Filter, PresignatureRow, Queries},
};
use rusqlite::Connection;
use tempfile::TempDir;

const CLUSTER: ClusterId = ClusterId::from_bytes([7; 32]);
const ME: NodeId = NodeId::new(1);
const KEY: KeyId = KeyId { scheme: Scheme::Taproot, epoch: 1 };

fn open(dir: &Path) -> (Store, Vec<Record>) {
    Store::open(dir, CLUSTER, ME).unwrap()
}

fn refusal(dir: &Path, cluster: ClusterId, me: NodeId) -> OpenError {
    Store::open(dir, cluster, me).err().expect("the directory must be refused")
}

fn key_of(node: u16) -> VoteKey {
    VoteKey::from_bytes(&[u8::try_from(node).unwrap(); 32]).unwrap()
}

fn at(time: u64, fact: Fact) -> Record {
    Record { at: Timestamp(time), fact }
}

fn booted(boot: u64) -> Record {
    at(boot, Fact::Booted { boot: BootId(boot) })
}

/// A payment of `amount` sat, which also makes its txid.
fn payment(amount: u64) -> Proposal {
    let recipient = ScriptBuf::from_bytes(vec![0x51; 34]);
    Proposal {
        cluster: CLUSTER,
        key: KEY,
        payment: PaymentId::from_bytes([5; 32]),
        origin: NodeId::new(4),
        recipient: recipient.clone(),
        amount: Amount::from_sat(amount),
        fee: Amount::from_sat(321),
        unsigned_tx: Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::new(Txid::from_byte_array([9; 32]), 1),
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            }],
            output: vec![TxOut { value: Amount::from_sat(amount), script_pubkey: recipient }],
        },
        prevouts: vec![Prevout { value: Amount::from_sat(amount + 321), script: ScriptBuf::new() }],
        metadata: Some(format!("invoice {amount}")),
        external_id: Some(format!("order-{amount}")),
        created_at: Timestamp(1_000),
        expires_at: Timestamp(90_000),
        replaces: None,
    }
}

fn proposed(amount: u64) -> Record {
    at(2_000, Fact::Proposed(Box::new(Signed::new(payment(amount), &key_of(4)))))
}

fn moved(txid: Txid, from: State, to: State, sub_status: SubStatus) -> Record {
    at(3_000, Fact::Transition { txid, from, to, sub_status, cause: format!("because of {to}") })
}

fn vote(proposal: &Proposal, node: u16, decision: Decision) -> Vote {
    let ballot = Ballot {
        cluster: CLUSTER,
        key: KEY,
        txid: proposal.txid(),
        digest: proposal.digest(),
        round: FIRST_ROUND,
        voter: NodeId::new(node),
        decision,
        policy: PolicyVersion::from_bytes([6; 32]),
        expires_at: proposal.expires_at,
    };
    Signed::new(ballot, &key_of(node))
}

fn double_vote(proposal: &Proposal) -> Evidence {
    Evidence::DoubleVote {
        first: Box::new(vote(proposal, 3, Decision::Approve)),
        second: Box::new(vote(proposal, 3, Decision::Reject(RejectReason::Expired))),
    }
}

fn block() -> BlockRef {
    BlockRef { height: 101, hash: BlockHash::from_byte_array([8; 32]) }
}

/// A payment from proposal to confirmation, with a refusal, a promise and a double vote on the way.
fn life(amount: u64) -> Vec<Record> {
    let proposal = payment(amount);
    let txid = proposal.txid();
    let mut finished = proposal.unsigned_tx.clone();
    finished.input[0].witness.push([1; 64]);
    let promise = Promise { cluster: CLUSTER, txid, digest: proposal.digest(), node: NodeId::new(5) };
    let session = SessionId::from_bytes(*txid.as_byte_array());
    vec![
        proposed(amount),
        moved(txid, State::Pending, State::Voting, SubStatus::AwaitingVotes),
        at(3_001, Fact::Voted(vote(&proposal, 1, Decision::Approve))),
        at(3_002, Fact::Voted(vote(&proposal, 2, Decision::Reject(RejectReason::Expired)))),
        at(3_003, Fact::Promised(Signed::new(promise, &key_of(5)))),
        at(3_004, Fact::Proven(Box::new(double_vote(&proposal)))),
        at(
            3_005,
            Fact::Struck {
                node: NodeId::new(5),
                violation: Violation::Timeout,
                txid: None,
                detail: "no vote in 30000 ms".to_owned(),
            },
        ),
        moved(txid, State::Voting, State::ThresholdReached, SubStatus::ChoosingSigners),
        moved(txid, State::ThresholdReached, State::Approved, SubStatus::ChoosingSigners),
        moved(txid, State::Approved, State::Signing, SubStatus::SigningAttempt(1)),
        at(3_006, Fact::SubStatusChanged { txid, sub_status: SubStatus::RetryingOtherSubset }),
        at(3_007, Fact::ShareReleased { txid, session }),
        at(3_008, Fact::Signed(FinalTransaction(finished))),
        moved(txid, State::Signing, State::Signed, SubStatus::NotYetSent),
        moved(txid, State::Signed, State::Broadcasting, SubStatus::InMempool),
        at(3_009, Fact::Seen { txid, block: Some(block()), confirmations: 6 }),
        moved(txid, State::Broadcasting, State::Confirmed, SubStatus::Settled),
    ]
}

/// Presignatures with these numbers, about to be used for the payment of `amount`.
fn used(amount: u64, numbers: &[u8]) -> Record {
    let presignature = |number: &u8| UsedPresignature {
        id: PresignatureId::from_bytes([*number; 32]),
        made_at: Timestamp(1_000 + u64::from(*number)),
        took: Millis(800),
    };
    at(
        3_500,
        Fact::PresignaturesUsed {
            txid: payment(amount).txid(),
            session: SessionId::from_bytes([4; 32]),
            presignatures: numbers.iter().map(presignature).collect(),
        },
    )
}

/// Every table of the read model, as text.
fn dump(dir: &Path) -> Vec<String> {
    let db = Connection::open(dir.join(DATABASE_FILE)).unwrap();
    let mut lines = Vec::new();
    for table in ["transactions", "votes", "transitions", "violations", "presignature_usage"] {
        let mut statement = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells: Vec<_> =
                (0..columns).map(|column| format!("{:?}", row.get_ref(column).unwrap())).collect();
            lines.push(format!("{table}: {}", cells.join(", ")));
        }
    }
    lines
}

#[tokio::test]
async fn a_reopened_journal_returns_the_same_records_in_order() {
    let dir = TempDir::new().unwrap();
    let (mut store, records) = open(dir.path());
    assert!(records.is_empty());
    let all = life(10_000);
    assert_eq!(store.append(all[..5].to_vec()).await.unwrap().position(), LogIndex(5));
    assert_eq!(store.append(all[5..].to_vec()).await.unwrap().position(), LogIndex(17));
    drop(store);
    let (mut store, records) = open(dir.path());
    assert_eq!(records, all);
    assert_eq!(store.append(vec![booted(2)]).await.unwrap().position(), LogIndex(18));
}

#[tokio::test]
async fn a_crash_at_any_byte_of_a_write_loses_exactly_the_batch_that_was_not_acknowledged() {
    let live = TempDir::new().unwrap();
    let (database, log) = (live.path().join(DATABASE_FILE), live.path().join("node.db-wal"));
    let (mut store, _) = open(live.path());
    let (first, second) = (life(10_000), life(20_000));
    store.append(first.clone()).await.unwrap();
    let acknowledged = fs::read(&log).unwrap().len();
    store.append(second.clone()).await.unwrap();
    let (database, log) = (fs::read(&database).unwrap(), fs::read(&log).unwrap());
    assert!(log.len() > acknowledged + 3 * 4_096, "the batch spans several pages of the log");

    let crashed = |log: &[u8]| {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join(DATABASE_FILE), &database).unwrap();
        fs::write(dir.path().join("node.db-wal"), log).unwrap();
        let (store, records) = open(dir.path());
        let listed = store.read_model().unwrap().transactions(&Filter { limit: 9, ..Filter::default() });
        (records, listed.unwrap().len())
    };
    for cut in (acknowledged..log.len()).step_by(509).chain([log.len() - 1]) {
        assert_eq!(crashed(&log[..cut]), (first.clone(), 1), "log cut to {cut} bytes");
    }
    let mut torn = log.clone();
    torn[acknowledged + 5_000] ^= 1;
    assert_eq!(crashed(&torn), (first.clone(), 1), "a sector that never reached the disk");
    assert_eq!(crashed(&log), ([first, second].concat(), 2));
}

#[tokio::test]
async fn a_batch_with_one_bad_record_leaves_no_trace_and_stops_the_journal() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = open(dir.path());
    store.append(vec![booted(1)]).await.unwrap();
    let stranger = payment(1).txid();
    let bad = moved(stranger, State::Pending, State::Voting, SubStatus::AwaitingVotes);
    let refused = store.append(vec![proposed(10_000), bad]).await.unwrap_err();
    assert!(
        refused.to_string().contains(&format!("record 3 cannot be projected: transaction {stranger}")),
        "{refused}"
    );
    let later = store.append(vec![booted(2)]).await.unwrap_err();
    assert!(later.to_string().contains("earlier failure"), "{later}");
    drop(store);
    assert_eq!(open(dir.path()).1, vec![booted(1)]);
    assert!(dump(dir.path()).is_empty());
}

#[tokio::test]
async fn the_database_refuses_moves_that_the_lifecycle_does_not_know() {
    let txid = payment(10_000).txid();
    for (desc, from, to) in [
        ("from another state than it is in", State::Voting, State::ThresholdReached),
        ("no such move", State::Pending, State::Signed),
    ] {
        let dir = TempDir::new().unwrap();
        let (mut store, _) = open(dir.path());
        store.append(vec![proposed(10_000)]).await.unwrap();
        let refused = store.append(vec![moved(txid, from, to, SubStatus::Settled)]).await;
        assert!(refused.unwrap_err().to_string().contains(&txid.to_string()), "{desc}");
    }
}

#[test]
fn a_second_process_cannot_open_the_directory_until_the_first_is_gone() {
    let dir = TempDir::new().unwrap();
    let first = open(dir.path());
    let refused = refusal(dir.path(), CLUSTER, ME);
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    assert!(refused.to_string().contains("node.lock is locked: another node runs"), "{refused}");
    drop(first);
    open(dir.path());
}

#[test]
fn the_directory_of_another_node_or_cluster_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()));
    let node = refusal(dir.path(), CLUSTER, NodeId::new(3)).to_string();
    assert!(node.contains("belongs to node-1, the configuration says node-3"), "{node}");
    let other = ClusterId::from_bytes([8; 32]);
    let cluster = refusal(dir.path(), other, ME).to_string();
    assert!(cluster.contains(&CLUSTER.to_string()) && cluster.contains(&other.to_string()), "{cluster}");
    open(dir.path());
}

#[test]
fn files_of_others_and_of_later_versions_are_refused_unchanged() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    let foreign = Connection::open(&path).unwrap();
    foreign.execute_batch("CREATE TABLE accounts (name TEXT)").unwrap();
    drop(foreign);
    let before = fs::read(&path).unwrap();
    assert!(matches!(refusal(dir.path(), CLUSTER, ME), OpenError::NotOurs { .. }));
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::remove_file(&path).unwrap();
    drop(open(dir.path()));
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let newer = refusal(dir.path(), CLUSTER, ME);
    assert!(matches!(newer, OpenError::TooNew { found: 99, .. }), "{newer}");
}

#[tokio::test]
async fn a_damaged_or_missing_record_is_named_by_its_position() {
    let damages = [
        ("UPDATE journal SET record = x'01ff' WHERE position = 3", "the record at position 3 is damaged"),
        ("UPDATE journal SET record = x'09' WHERE position = 2", "the record at position 2 is damaged"),
        ("DELETE FROM journal WHERE position = 4", "position 5 stands where 4 belongs"),
        ("UPDATE journal SET position = 0 WHERE position = 1", "position 0 stands where 1 belongs"),
    ];
    for (damage, says) in damages {
        let dir = TempDir::new().unwrap();
        let (mut store, _) = open(dir.path());
        store.append(life(10_000)).await.unwrap();
        drop(store);
        Connection::open(dir.path().join(DATABASE_FILE)).unwrap().execute(damage, []).unwrap();
        let refused = refusal(dir.path(), CLUSTER, ME).to_string();
        assert!(refused.contains(says), "{refused}");
    }
}

#[tokio::test]
async fn a_rebuilt_read_model_equals_the_one_kept_up_to_date() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = open(dir.path());
    // A repetition of a proposal and of a vote is no second one, as in the core.
    let again = at(4_000, Fact::Voted(vote(&payment(10_000), 1, Decision::Approve)));
    for batch in [
        life(10_000),
        life(20_000),
        vec![proposed(10_000), again, used(10_000, &[1, 2])],
        vec![proposed(30_000)],
    ] {
        store.append(batch).await.unwrap();
    }
    drop(store);
    let kept = dump(dir.path());
    assert_eq!(kept.iter().filter(|line| line.starts_with("transactions")).count(), 3);
    // Two presignatures, and the nonces of one session for each of two lives.
    assert_eq!(kept.iter().filter(|line| line.starts_with("presignature_usage")).count(), 4);
    let db = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
    db.execute_batch(
        "UPDATE projection SET version = 0; DROP TABLE votes; UPDATE transactions SET state = 'failed'",
    )
    .unwrap();
    drop(db);
    open(dir.path());
    assert_eq!(dump(dir.path()), kept);
}

#[tokio::test]
async fn a_transaction_shows_its_votes_and_the_states_it_passed() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = open(dir.path());
    store.append(life(10_000)).await.unwrap();
    let read = store.read_model().unwrap();
    let proposal = payment(10_000);
    let detail = read.transaction(&proposal.txid().to_string()).unwrap().unwrap();

    let row = &detail.row;
    assert_eq!((row.sequence, row.state, row.sub_status.as_str()), (1, State::Confirmed, "settled"));
    assert_eq!((row.amount_sats, row.fee_sats, row.origin), (10_000, 321, NodeId::new(4)));
    assert_eq!((row.created_at, row.expires_at), (Timestamp(1_000), Timestamp(90_000)));
    assert_eq!(row.updated_at, Timestamp(3_000));
    assert_eq!((row.scheme.as_str(), row.metadata.as_deref()), ("taproot", Some("invoice 10000")));
    assert_eq!(row.external_id.as_deref(), Some("order-10000"));
    assert_eq!(row.digest, proposal.digest().to_string());
    assert_eq!(row.recipient_script, proposal.recipient.as_bytes());
    assert_eq!(detail.encodings.unsigned_tx, bitcoin::consensus::serialize(&proposal.unsigned_tx));
    let signed = detail.encodings.signed_tx.as_ref().unwrap();
    let signed: Transaction = bitcoin::consensus::deserialize(signed).unwrap();
    assert_eq!((signed.compute_txid(), signed.input[0].witness.len()), (proposal.txid(), 1));
    assert_eq!((row.confirmations, row.block_height), (6, Some(101)));
    assert_eq!(row.block_hash, Some(block().hash.to_string()));

    let votes: Vec<_> =
        detail.votes.iter().map(|vote| (vote.node.get(), vote.approve, vote.reason.as_deref())).collect();
    assert_eq!(votes, [(1, true, None), (2, false, Some("the proposal has expired"))]);
    let approval = vote(&proposal, 1, Decision::Approve);
    assert_eq!(detail.votes[0].signature, format!("{:?}", approval.signature));
    assert_eq!(detail.votes[0].received_at, Timestamp(3_001));

    let timeline: Vec<_> = detail.timeline.iter().map(|step| (step.from, step.to)).collect();
    use State::*;
    assert_eq!(
        timeline,
        [
            (None, Pending),
            (Some(Pending), Voting),
            (Some(Voting), ThresholdReached),
            (Some(ThresholdReached), Approved),
            (Some(Approved), Signing),
            (Some(Signing), Signing),
            (Some(Signing), Signed),
            (Some(Signed), Broadcasting),
            (Some(Broadcasting), Confirmed),
        ]
    );
    assert_eq!(detail.timeline[0].cause, "proposed by node-4");
    assert_eq!(detail.timeline[0].at, Timestamp(2_000));
    assert_eq!(detail.timeline[1].cause, "because of voting");
    assert_eq!(detail.timeline[5].sub_status, "retrying_other_subset");
    assert_eq!(read.transaction(&payment(1).txid().to_string()).unwrap(), None);
}

#[tokio::test]
async fn a_transaction_shows_its_presignatures_as_they_were_used() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = open(dir.path());
    store.append(vec![proposed(10_000), used(10_000, &[2, 1]), proposed(20_000)]).await.unwrap();
    let read = store.read_model().unwrap();
    let of = |amount| read.transaction(&payment(amount).txid().to_string()).unwrap().unwrap();
    let shown = of(10_000);
    let row = |number: u8| PresignatureRow {
        id: PresignatureId::from_bytes([number; 32]).to_string(),
        protocol: "cggmp24".to_owned(),
        generation_time: Millis(800),
        generated_at: Timestamp(1_000 + u64::from(number)),
        used_at: Timestamp(3_500),
    };
    assert_eq!(shown.presignatures, [row(1), row(2)]);
    assert_eq!(shown.row.updated_at, Timestamp(3_500));
    assert_eq!(of(20_000).presignatures, []);
}

#[tokio::test]
async fn no_presignature_is_ever_recorded_as_used_twice() {
    let twice = PresignatureId::from_bytes([2; 32]);
    for (desc, again) in [
        ("for another payment", used(20_000, &[3, 2])),
        ("for the same payment", used(10_000, &[2])),
        ("within one record", used(10_000, &[5, 2, 2])),
    ] {
        let dir = TempDir::new().unwrap();
        let (mut store, _) = open(dir.path());
        let first = if desc == "within one record" { used(10_000, &[1]) } else { used(10_000, &[1, 2]) };
        store.append(vec![proposed(10_000), proposed(20_000), first]).await.unwrap();
        let before = dump(dir.path());
        let refused = store.append(vec![again]).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("presignature {twice} has been used before")), "{desc}: {refused}");
        assert_eq!(dump(dir.path()), before, "{desc}");
    }
}

#[tokio::test]
async fn violations_are_listed_newest_first_with_evidence_that_still_verifies() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = open(dir.path());
    store.append(life(10_000)).await.unwrap();
    let read = store.read_model().unwrap();
    let all = read.violations(None, 10).unwrap();
    let names: Vec<_> =
        all.iter().map(|row| (row.sequence, row.node.get(), row.violation.as_str())).collect();
    assert_eq!(names, [(7, 5, "timeout"), (6, 3, "double_vote")]);
    assert_eq!((all[0].txid.as_deref(), all[0].evidence.as_ref()), (None, None));
    assert_eq!(all[1].txid, Some(payment(10_000).txid().to_string()));
    let evidence: Evidence = codec::decode(all[1].evidence.as_ref().unwrap(), 10_000).unwrap();
    assert_eq!(evidence, double_vote(&payment(10_000)));
    assert_eq!(read.violations(Some(7), 10).unwrap(), all[1..]);
    assert_eq!(read.violations(None, 1).unwrap(), all[..1]);
}

#[tokio::test]
async fn lists_page_through_everything_once_newest_first_in_any_choice_of_states_and_wallets() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = open(dir.path());
    let scheme_of = |amount: u64| if amount % 5 < 2 { Scheme::Segwit } else { Scheme::Taproot };
    for amount in 1_000..1_025 {
        let txid = payment(amount).txid();
        let proposal = Proposal { key: KeyId { scheme: scheme_of(amount), epoch: 1 }, ..payment(amount) };
        let signed = Signed::new(proposal, &key_of(4));
        let mut batch = vec![at(2_000, Fact::Proposed(Box::new(signed)))];
        if amount % 3 > 0 {
            batch.push(moved(txid, State::Pending, State::Voting, SubStatus::AwaitingVotes));
        }
        if amount % 3 > 1 {
            batch.push(moved(txid, State::Voting, State::Rejected, SubStatus::Expired));
        }
        store.append(batch).await.unwrap();
    }
    let read = store.read_model().unwrap();
    assert_eq!(read.counts().unwrap(), [(State::Pending, 8), (State::Voting, 9), (State::Rejected, 8)]);

    let newest_first: Vec<u64> = (1_000..1_025).rev().collect();
    let state_of =
        |amount: u64| [State::Pending, State::Voting, State::Rejected][usize::try_from(amount % 3).unwrap()];
    let choices = [
        vec![],
        vec![State::Voting],
        vec![State::Rejected, State::Pending],
        vec![State::Pending, State::Pending],
        vec![State::Signed],
    ];
    let wallets = [None, Some(Scheme::Taproot), Some(Scheme::Segwit)];
    for (states, scheme) in choices.iter().flat_map(|states| wallets.map(|scheme| (states, scheme))) {
        let expected: Vec<u64> = newest_first
            .iter()
            .copied()
            .filter(|amount| states.is_empty() || states.contains(&state_of(*amount)))
            .filter(|amount| scheme.is_none_or(|scheme| scheme == scheme_of(*amount)))
            .collect();
        let mut seen = Vec::new();
        let mut before = None;
        loop {
            let states = states.clone();
            let filter = Filter { states, scheme, before, limit: 4, ..Filter::default() };
            let page = read.transactions(&filter).unwrap();
            assert!(page.len() <= 4);
            let Some(last) = page.last() else { break };
            before = Some(last.sequence);
            seen.extend(page.iter().map(|row| row.amount_sats));
        }
        assert_eq!(seen, expected, "{states:?} {scheme:?}");
    }
    assert!(read.transactions(&Filter::default()).unwrap().is_empty(), "a limit of nothing");
    let name =
        |amount: u64| Filter { external_id: Some(format!("order-{amount}")), limit: 4, ..Filter::default() };
    let named = read.transactions(&name(newest_first[1])).unwrap();
    assert_eq!(named.iter().map(|row| row.amount_sats).collect::<Vec<_>>(), [newest_first[1]]);
    assert!(read.transactions(&name(1)).unwrap().is_empty());
}

#[tokio::test]
async fn the_trail_tells_every_fact_but_bookkeeping_newest_first() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = open(dir.path());
    let records = life(10_000);
    let told = records.len();
    store.append(records).await.unwrap();
    let bookkeeping = Fact::Synced { peer: NodeId::new(2), position: LogIndex(7) };
    store.append(vec![at(9_000, bookkeeping), at(9_001, Fact::Booted { boot: BootId(2) })]).await.unwrap();

    let read = store.read_model().unwrap();
    let mut trail = Vec::new();
    let mut before = None;
    loop {
        let page = read.audit(NodeId::new(1), before, 3).unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.sequence);
        trail.extend(page);
    }
    assert_eq!(trail.len(), told + 1);
    assert!(trail.is_sorted_by(|newer, older| newer.sequence > older.sequence));
    assert_eq!(
        (trail[0].event, trail[0].node, trail[0].at),
        ("node_started", NodeId::new(1), Timestamp(9_001))
    );
    let proposed = trail.last().unwrap();
    assert_eq!((proposed.event, proposed.node), ("transaction_proposed", NodeId::new(4)));
    assert_eq!(proposed.txid, Some(payment(10_000).txid().to_string()));
    let refused =
        trail.iter().find(|row| row.event == "vote_received" && row.node == NodeId::new(2)).unwrap();
    assert_eq!(refused.details["approve"], false);
    let votes = read.transaction(proposed.txid.as_ref().unwrap()).unwrap().unwrap().votes;
    let told = format!("{trail:?}");
    assert!(votes.len() > 1 && votes.iter().all(|vote| !told.contains(&vote.signature)));
}

#[test]
fn readers_see_what_was_acknowledged_and_never_hold_up_the_writer() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = open(dir.path());
    let read = store.read_model().unwrap();
    // A reader that keeps its snapshot for the whole time.
    let slow = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
    let held = slow.unchecked_transaction().unwrap();
    let count = |db: &Connection| -> i64 {
        db.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&held), 0);

    std::thread::scope(|scope| {
        // More readers than connections.
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..200 {
                    read.transactions(&Filter { limit: 10, ..Filter::default() }).unwrap();
                }
            });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for amount in 1_000..1_100 {
            runtime.block_on(store.append(life(amount))).unwrap();
            let row = read.transaction(&payment(amount).txid().to_string()).unwrap().unwrap().row;
            assert_eq!(row.state, State::Confirmed);
        }
    });
    assert_eq!(count(&held), 0);
}

#[tokio::test]
async fn an_append_whose_caller_went_away_is_still_written_in_its_place() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = open(dir.path());
    {
        let mut abandoned = Box::pin(store.append(vec![booted(1), booted(2)]));
        let waker = std::task::Waker::noop();
        // One poll hands the batch over; the answer may or may not be there yet.
        let _ = abandoned.as_mut().poll(&mut std::task::Context::from_waker(waker));
    }
    assert_eq!(store.append(vec![booted(3)]).await.unwrap().position(), LogIndex(3));
    drop(store);
    assert_eq!(open(dir.path()).1, [booted(1), booted(2), booted(3)]);
}

#[tokio::test]
async fn the_outbox_tells_every_record_in_order_from_any_position_while_the_journal_grows() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = open(dir.path());
    let outbox = store.outbox().unwrap();
    assert_eq!(outbox.last().unwrap(), LogIndex(0));
    assert!(outbox.after(LogIndex(0), 10).unwrap().is_empty());
    assert_eq!(outbox.digest_at(LogIndex(1)).unwrap(), None);

    let records: Vec<_> = (1..=5).map(booted).collect();
    store.append(records.clone()).await.unwrap();
    assert_eq!(outbox.last().unwrap(), LogIndex(5));
    let (mut told, mut cursor) = (Vec::new(), LogIndex(0));
    loop {
        let batch = outbox.after(cursor, 2).unwrap();
        assert!(batch.len() <= 2);
        let Some(last) = batch.last() else { break };
        assert_eq!(outbox.digest_at(last.position).unwrap().as_ref(), Some(&last.digest));
        cursor = last.position;
        told.extend(batch.into_iter().map(|entry| entry.record));
    }
    assert_eq!(told, records);
    store.append(vec![booted(6)]).await.unwrap();
    let fresh = outbox.after(cursor, 10).unwrap();
    assert_eq!(fresh.iter().map(|entry| entry.position).collect::<Vec<_>>(), [LogIndex(6)]);
}

#[tokio::test]
async fn another_journal_has_another_digest_at_the_same_position() {
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut digests = Vec::new();
    for (dir, boot) in [(&one, 1), (&other, 2)] {
        let (mut store, _) = open(dir.path());
        store.append(vec![booted(boot)]).await.unwrap();
        digests.push(store.outbox().unwrap().digest_at(LogIndex(1)).unwrap().unwrap());
    }
    assert_ne!(digests[0], digests[1]);
}

#[tokio::test]
async fn what_waits_for_people_and_what_they_decided_is_read_back() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = open(dir.path());
    let (proposal, other) = (payment(10_000), payment(20_000));
    let txid = proposal.txid();
    let decided = |node, approve: bool| {
        let body = OperatorDecision {
            cluster: CLUSTER,
            txid,
            digest: proposal.digest(),
            node: NodeId::new(node),
            operator: approve.then(|| "ann".to_owned()),
            approve,
            comment: (!approve).then(|| "not ours".to_owned()),
            at: Timestamp(4_000),
        };
        at(4_500, Fact::OperatorDecided(Signed::new(body, &key_of(node))))
    };
    let waits = at(3_500, Fact::SubStatusChanged { txid, sub_status: SubStatus::AwaitingApproval });
    let records = vec![
        proposed(10_000),
        at(2_001, Fact::Initiated { txid, initiator: "bob".to_owned() }),
        moved(txid, State::Pending, State::Voting, SubStatus::AwaitingVotes),
        waits,
        proposed(20_000),
        moved(other.txid(), State::Pending, State::Voting, SubStatus::AwaitingVotes),
        decided(4, true),
        decided(2, false),
        // Of one member the first stays.
        decided(4, false),
    ];
    store.append(records).await.unwrap();
    drop(store);
    let (store, _) = open(dir.path());
    let read = store.read_model().unwrap();
    let detail = read.transaction(&txid.to_string()).unwrap().unwrap();
    let said: Vec<_> = detail
        .decisions
        .iter()
        .map(|row| (row.node.get(), row.operator.as_deref(), row.approve, row.comment.as_deref()))
        .collect();
    assert_eq!(said, [(2, None, false, Some("not ours")), (4, Some("ann"), true, None)]);
    assert_eq!(detail.decisions[0].decided_at, Timestamp(4_000));
    assert_eq!(detail.row.initiator.as_deref(), Some("bob"));
    let spent: Vec<TxOut> = bitcoin::consensus::deserialize(&detail.encodings.prevouts).unwrap();
    assert_eq!(spent, proposal.spent_outputs());
    let waiting = Filter { awaiting_approval: true, limit: 10, ..Filter::default() };
    let listed = |filter: &Filter| -> Vec<String> {
        read.transactions(filter).unwrap().into_iter().map(|row| row.txid).collect()
    };
    assert_eq!(listed(&waiting), [txid.to_string()]);
    let segwit = Filter { scheme: Some(Scheme::Segwit), ..waiting };
    assert!(listed(&segwit).is_empty());
}

/// Replaces the payment of 10,000 sat, with this fee.
fn replacement(fee: u64) -> Proposal {
    let mut body = payment(10_000);
    body.fee = Amount::from_sat(fee);
    body.unsigned_tx.lock_time = LockTime::from_consensus(u32::try_from(fee).unwrap());
    body.replaces = Some(payment(10_000).txid());
    body
}

#[tokio::test]
async fn a_payment_and_what_takes_its_place_name_each_other_until_the_other_is_given_up() {
    let dir = TempDir::new().unwrap();
    let (mut store, _) = open(dir.path());
    let (original, dear, dearer) = (payment(10_000).txid(), replacement(1_000), replacement(2_000));
    let read = store.read_model().unwrap();
    let row = |txid: Txid| read.transaction(&txid.to_string()).unwrap().unwrap().row;
    let replaced_by = || row(original).replaced_by;
    let put = |body: &Proposal| at(4_000, Fact::Proposed(Box::new(Signed::new(body.clone(), &key_of(2)))));
    let given_up = |txid| moved(txid, State::Pending, State::Rejected, SubStatus::Expired);

    store.append(vec![proposed(10_000)]).await.unwrap();
    assert_eq!((row(original).replaces, replaced_by()), (None, None));
    store.append(vec![put(&dear)]).await.unwrap();
    assert_eq!(row(dear.txid()).replaces, Some(original.to_string()));
    assert_eq!(replaced_by(), Some(dear.txid().to_string()));
    store.append(vec![put(&dearer)]).await.unwrap();
    assert_eq!(replaced_by(), Some(dearer.txid().to_string()), "the newest");
    store.append(vec![given_up(dearer.txid())]).await.unwrap();
    assert_eq!(replaced_by(), Some(dear.txid().to_string()), "the one that was not given up");
    store.append(vec![given_up(dear.txid())]).await.unwrap();
    assert_eq!(replaced_by(), None);
    let mut finished = dearer.unsigned_tx.clone();
    finished.input[0].witness.push([1; 64]);
    store.append(vec![at(5_000, Fact::Signed(FinalTransaction(finished)))]).await.unwrap();
    assert_eq!(replaced_by(), Some(dearer.txid().to_string()), "a signature gives nothing up");
    let listed = read.transactions(&Filter { limit: 10, ..Filter::default() }).unwrap();
    let links: Vec<_> =
        listed.iter().map(|row| (row.replaces.is_some(), row.replaced_by.is_some())).collect();
    assert_eq!(links, [(true, false), (true, false), (false, true)]);
    let audit = read.audit(NodeId::new(1), None, 10).unwrap();
    let about_dear = |event: &&AuditRow| event.txid == Some(dear.txid().to_string());
    let told = audit.iter().filter(about_dear).find(|event| event.event == "transaction_proposed").unwrap();
    assert_eq!(told.details["replaces"], original.to_string());
}
