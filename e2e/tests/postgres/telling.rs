//! Journals made by hand, told to a real database by the product's own feed: what nodes in a healthy cluster seldom say.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, Network, OutPoint, ScriptBuf, Transaction, TxIn, TxOut, Txid};
use mpc_wallet_core::freeze::{Freeze, Lift};
use mpc_wallet_core::identity::Signed;
use mpc_wallet_core::ids::PresignatureId;
use mpc_wallet_core::overview::{Overview, StandingView};
use mpc_wallet_core::record::{Fact, Record, UsedPresignature};
use mpc_wallet_core::tx::{Prevout, Proposal, State, SubStatus};
use mpc_wallet_core::vote::{
    Ballot, Decision, Evidence, FIRST_ROUND, OperatorDecision, RejectReason, Violation, Vote,
};
use mpc_wallet_core::{
    BootId, Cluster, KeyId, LogIndex, Millis, NodeId, PaymentId, PolicyVersion, Scheme, SessionId, Timestamp,
    VoteKey,
};
use mpc_wallet_e2e::cluster::wait_for;
use mpc_wallet_e2e::servers::Postgres;
use mpc_wallet_shell::config::PostgresSettings;
use mpc_wallet_shell::journal::Store;
use mpc_wallet_shell::ports::Journal as _;
use mpc_wallet_shell::postgres::{Condition, Feeder, Report};
use tempfile::TempDir;
use tokio::sync::watch;

use super::SOON;

/// Whose votes contradict each other.
const LIAR: NodeId = NodeId::new(3);
/// Whom others complain of.
const SUSPECT: NodeId = NodeId::new(5);

fn key(node: u16) -> VoteKey {
    VoteKey::from_bytes(&[u8::try_from(node).unwrap(); 32]).unwrap()
}

fn cluster() -> Cluster {
    let members = (1..=5).map(|node| (NodeId::new(node), key(node).public())).collect();
    Cluster::new(Network::Regtest, 4, members).unwrap()
}

fn proposal(number: u8) -> Proposal {
    let recipient = ScriptBuf::from_hex("0014751e76e8199196d454941c45d1b3a323f1433bd6").unwrap();
    let amount = Amount::from_sat(10_000 + u64::from(number));
    let coin = OutPoint { txid: Txid::from_byte_array([number; 32]), vout: 0 };
    Proposal {
        cluster: cluster().id(),
        key: KeyId { scheme: Scheme::Taproot, epoch: 1 },
        payment: PaymentId::from_bytes([number; 32]),
        origin: NodeId::new(1),
        recipient: recipient.clone(),
        amount,
        fee: Amount::from_sat(100),
        unsigned_tx: Transaction {
            version: bitcoin::transaction::Version::TWO,
            lock_time: bitcoin::absolute::LockTime::ZERO,
            input: vec![TxIn { previous_output: coin, ..TxIn::default() }],
            output: vec![TxOut { value: amount, script_pubkey: recipient }],
        },
        prevouts: vec![Prevout { value: amount + Amount::from_sat(100), script: ScriptBuf::new() }],
        metadata: Some("with a \0 that PostgreSQL cannot hold".to_owned()),
        external_id: Some("invoice 7\0".to_owned()),
        created_at: Timestamp(1_000),
        expires_at: Timestamp(253_402_300_799_000),
        replaces: None,
    }
}

fn vote(number: u8, voter: NodeId, decision: Decision) -> Vote {
    let proposal = proposal(number);
    let ballot = Ballot {
        cluster: cluster().id(),
        key: proposal.key,
        txid: proposal.txid(),
        digest: proposal.digest(),
        round: FIRST_ROUND,
        voter,
        decision,
        policy: PolicyVersion::from_bytes([6; 32]),
        expires_at: proposal.expires_at,
    };
    Signed::new(ballot, &key(voter.get()))
}

/// One node's journal, a record a millisecond.
struct Story(Vec<Record>);

impl Story {
    fn new(start: u64) -> Self {
        Self(vec![Record { at: Timestamp(start), fact: Fact::Booted { boot: BootId(1) } }])
    }

    fn tell(mut self, fact: Fact) -> Self {
        let at = self.0.last().unwrap().at.plus(Millis(1));
        self.0.push(Record { at, fact });
        self
    }

    /// A transaction from its proposal through these states.
    fn through(self, number: u8, states: &[(State, SubStatus)]) -> Self {
        let proposal = proposal(number);
        let txid = proposal.txid();
        let mut story = self.tell(Fact::Proposed(Box::new(Signed::new(proposal, &key(1)))));
        let mut from = State::Pending;
        for (to, sub_status) in states {
            let cause = format!("because of\0{to}");
            story =
                story.tell(Fact::Transition { txid, from, to: *to, sub_status: sub_status.clone(), cause });
            from = *to;
        }
        story
    }

    fn strike(self, violation: Violation, times: usize) -> Self {
        (0..times).fold(self, |story, _| {
            story.tell(Fact::Struck { node: SUSPECT, violation, txid: None, detail: "seen\0".to_owned() })
        })
    }
}

/// What four nodes went through: the first saw everything; the second slept through the vote; the third's backend claims
/// that the input is lost; the fourth saw the second payment rejected, which the first saw certified and given up.
fn stories() -> Vec<(NodeId, Vec<Record>)> {
    use State::*;
    let plain = |states: &[State]| -> Vec<(State, SubStatus)> {
        states.iter().map(|state| (*state, SubStatus::Settled)).collect()
    };
    let abandoned = |states: &[State]| -> Vec<(State, SubStatus)> {
        states.iter().map(|state| (*state, SubStatus::Abandoned)).collect()
    };
    let evidence = Evidence::DoubleVote {
        first: Box::new(vote(1, LIAR, Decision::Approve)),
        second: Box::new(vote(1, LIAR, Decision::Reject(RejectReason::Expired))),
    };
    let proven = || Fact::Proven(Box::new(evidence.clone()));
    let used = |story: Story| {
        story.tell(Fact::PresignaturesUsed {
            txid: proposal(1).txid(),
            session: SessionId::from_bytes([4; 32]),
            presignatures: vec![UsedPresignature {
                id: PresignatureId::from_bytes([0xab; 32]),
                made_at: Timestamp(500),
                took: Millis(70),
            }],
        })
    };
    let whole = [Voting, ThresholdReached, Approved, Signing, Signed, Broadcasting, Confirmed];
    let reorganised = [&whole[..], &[Broadcasting, Confirmed]].concat();
    let mut lost = plain(&[Voting, Signed, Broadcasting]);
    lost.push((Failed, SubStatus::InputSpent));
    let first = Story::new(10_000)
        .through(1, &plain(&reorganised))
        .through(2, &abandoned(&[Voting, ThresholdReached, Approved, Failed]))
        .tell(Fact::Voted(vote(1, NodeId::new(1), Decision::Approve)))
        .tell(proven())
        .strike(Violation::InvalidSignature, 4)
        .strike(Violation::Timeout, 6);
    let second = Story::new(10_003)
        .through(1, &plain(&[Voting, Signed, Broadcasting, Confirmed]))
        .tell(Fact::Voted(vote(1, NodeId::new(1), Decision::Approve)))
        .tell(proven())
        .strike(Violation::InvalidSignature, 1);
    let third = Story::new(10_002).through(1, &lost);
    let fourth = Story::new(10_001).through(2, &abandoned(&[Voting, Rejected]));
    let stories = [used(first).0, used(second).0, third.0, fourth.0];
    (1..).map(NodeId::new).zip(stories).collect()
}

fn overview(me: NodeId) -> Overview {
    Overview {
        me,
        now: Timestamp(1),
        total: 5,
        threshold: 4,
        faults_tolerated: 1,
        online: 5,
        coordinator: None,
        lease: None,
        policy: PolicyVersion::from_bytes([6; 32]),
        approval: None,
        boot: BootId(1),
        position: LogIndex(0),
        standing: StandingView::Sound,
        members: Vec::new(),
        wallets: Vec::new(),
        keygen: None,
        presignatures: None,
        chain: None,
        open_transactions: 0,
        sessions: 0,
        freezes: Vec::new(),
    }
}

/// Tells one node's whole journal, in batches of three records.
fn tell(postgres: &Postgres, me: NodeId, records: &[Record]) {
    tell_over(postgres, None, me, records, |report| {
        anyhow::ensure!((report.condition, report.waiting) == (Condition::Up, 0), "{report:?}");
        Ok(())
    });
}

/// As [`tell`], over TLS with this authority if there is one, until the report is as it should be.
fn tell_over(
    postgres: &Postgres,
    ca: Option<PathBuf>,
    me: NodeId,
    records: &[Record],
    check: impl Fn(Report) -> anyhow::Result<()> + Send + 'static,
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let dir = TempDir::new().unwrap();
        let (mut store, _) = Store::open(dir.path(), cluster().id(), me).unwrap();
        store.append(records.to_vec()).await.unwrap();
        let settings = PostgresSettings {
            url: postgres.url_with_password(),
            password: None,
            ca,
            pool_size: 2,
            batch_size: 3,
        };
        let (_keep, line) = watch::channel(Arc::new(overview(me)));
        let teller = (me, cluster(), Millis(30_000));
        let feeder = Feeder::start(settings, teller, store.outbox().unwrap(), line).unwrap();
        let (status, last) = (feeder.status(), store.outbox().unwrap().last().unwrap());
        tokio::task::spawn_blocking(move || {
            wait_for("the record to be as it should", SOON, || check(status.report(last)))
        })
        .await
        .unwrap()
        .unwrap();
        tokio::time::timeout(Duration::from_secs(10), feeder.stop()).await.unwrap();
    });
}

/// Everything but who came first: times of writing, numbers and the chain that has them.
fn content(postgres: &Postgres) -> String {
    postgres
        .psql(
            "SELECT txid, state, sub_status, metadata, external_id, confirmations FROM transactions ORDER BY txid;
             SELECT txid, node_id, seen.state, seen.sub_status, told_at
               FROM transaction_views seen JOIN transactions tx ON tx.id = tx_id ORDER BY txid, node_id;
             SELECT votes_received, approved, completed FROM voting_rounds ORDER BY tx_id;
             SELECT node_id, approve FROM votes ORDER BY node_id;
             SELECT node_id, violation_type, evidence ->> 'kind', count(*)
               FROM byzantine_violations GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
             SELECT presig_id, protocol, generation_time_ms FROM presignature_usage;
             SELECT node_id, total_votes, total_violations, banned_until FROM node_status ORDER BY node_id",
        )
        .unwrap()
}

fn audit_rows(postgres: &Postgres) -> String {
    postgres.psql("SELECT count(*), max(encode(hash, 'hex')) FROM audit_log").unwrap()
}

#[test]
fn stories_that_differ_become_one_row_in_any_order_and_telling_again_changes_nothing() {
    let stories = stories();
    let (forth, back) = (Postgres::start().unwrap(), Postgres::start().unwrap());
    for (node, story) in &stories {
        tell(&forth, *node, story);
    }
    for (node, story) in stories.iter().rev() {
        tell(&back, *node, story);
    }
    for (postgres, given_up) in [(&forth, "failed"), (&back, "rejected")] {
        let state = |number: u8| {
            let txid = proposal(number).txid();
            postgres.psql(&format!("SELECT state FROM transactions WHERE txid = '{txid}'")).unwrap()
        };
        // One node's backend ends nothing, once two others tell of a confirmation.
        assert_eq!(state(1).trim(), "confirmed");
        assert_eq!(state(2).trim(), given_up);
        let told = postgres.psql("SELECT count(*) FROM transaction_disagreements").unwrap();
        assert_eq!(told.trim(), "2", "the lost input, and the other word for giving up");
        let content = content(postgres);
        assert!(content.contains("abababab-abab-abab-abab-abababababab|cggmp24|70"), "{content}");
        assert!(content.contains("3|double_vote|double_vote|1"), "one lie, one row: {content}");
        assert!(
            content.contains("5|0|11|\n"),
            "four and one are not five, and silence is no fault: {content}"
        );
        assert!(content.contains("with a \u{fffd} that"), "{content}");

        let before = (content, audit_rows(postgres));
        postgres.psql("DELETE FROM feed_cursors").unwrap();
        for (node, story) in &stories {
            tell(postgres, *node, story);
        }
        assert_eq!((self::content(postgres), audit_rows(postgres)), before);
    }
}

#[test]
fn every_transaction_of_a_payment_is_found_by_the_payers_name_of_it() {
    use State::{Rejected, Voting};
    let ends = [(Voting, SubStatus::AwaitingVotes), (Rejected, SubStatus::Abandoned)];
    let story = Story::new(10_000).through(1, &ends).through(2, &[(Voting, SubStatus::AwaitingVotes)]);
    let postgres = Postgres::start().unwrap();
    tell(&postgres, NodeId::new(1), &story.0);
    let named = "SELECT txid, state FROM transactions WHERE external_id = U&'invoice 7\\FFFD' ORDER BY id";
    let expected = format!("{}|rejected\n{}|voting", proposal(1).txid(), proposal(2).txid());
    assert_eq!(postgres.psql(named).unwrap().trim(), expected);
    for other in ["'invoice 8'", "NULL"] {
        let refused = postgres.psql(&format!("UPDATE transactions SET external_id = {other}")).unwrap_err();
        assert!(refused.to_string().contains("does not change"), "{other}: {refused}");
    }
}

#[test]
fn a_payment_is_recorded_as_replaced_when_more_nodes_than_may_lie_tell_so() {
    let replaced = [
        (State::Voting, SubStatus::AwaitingVotes),
        (State::Signed, SubStatus::NotYetSent),
        (State::Broadcasting, SubStatus::InMempool),
        (State::Failed, SubStatus::Replaced),
    ];
    let original = proposal(1).txid();
    let replacement = Proposal { replaces: Some(original), fee: Amount::from_sat(200), ..proposal(2) };
    let txid = replacement.txid();
    let story = |start| {
        let signed = Signed::new(replacement.clone(), &key(1));
        Story::new(start).through(1, &replaced).tell(Fact::Proposed(Box::new(signed))).0
    };
    let postgres = Postgres::start().unwrap();
    let standing = || {
        let row = format!("SELECT state, sub_status FROM transactions WHERE txid = '{original}'");
        postgres.psql(&row).unwrap().trim().to_owned()
    };
    // One that knows nothing of it yet, so that one word is not everybody's.
    tell(&postgres, NodeId::new(3), &Story::new(10_000).0);
    for node in [1, 2] {
        tell(&postgres, NodeId::new(node), &story(10_000 + u64::from(node)));
        let expected = if node == 1 { "broadcasting|in_mempool" } else { "failed|replaced" };
        assert_eq!(standing(), expected, "told by {node}");
    }
    let linked = format!("SELECT replaces FROM transactions WHERE txid = '{txid}'");
    assert_eq!(postgres.psql(&linked).unwrap().trim(), original.to_string());
    let altered = format!("UPDATE transactions SET replaces = NULL WHERE txid = '{txid}'");
    let refused = postgres.psql(&altered).unwrap_err().to_string();
    assert!(refused.contains("does not change"), "{refused}");
}

#[test]
fn a_journal_that_was_put_back_is_told_again_and_the_fifth_fault_bans() {
    let postgres = Postgres::start().unwrap();
    let (node, story) = stories().remove(0);
    tell(&postgres, node, &story);
    let ban = "SELECT banned_until IS NOT NULL FROM node_status WHERE node_id = 5";
    assert_eq!(postgres.psql(ban).unwrap().trim(), "f");

    // Back to half of it, and on from there differently, to beyond where the cursor is.
    let half = Story(story[..story.len() / 2].to_vec())
        .strike(Violation::InvalidSignature, 5)
        .strike(Violation::Timeout, story.len());
    tell(&postgres, node, &half.0);
    let expected = half.0.len().to_string();
    assert_eq!(postgres.psql("SELECT position FROM feed_cursors").unwrap().trim(), expected);
    assert_eq!(postgres.psql(ban).unwrap().trim(), "t");
    assert_eq!(
        postgres.psql("SELECT count(*) FROM audit_log WHERE event_type = 'node_started'").unwrap().trim(),
        "1"
    );
}

#[test]
fn a_decision_of_a_person_is_one_row_of_the_audit_log_whoever_tells_it() {
    let txid = proposal(1).txid();
    let decided = |node: u16, approve| {
        let body = OperatorDecision {
            cluster: cluster().id(),
            txid,
            digest: proposal(1).digest(),
            node: NodeId::new(node),
            operator: Some("ann".to_owned()),
            approve,
            comment: Some("by telephone".to_owned()),
            at: Timestamp(9_000),
        };
        Fact::OperatorDecided(Signed::new(body, &key(node)))
    };
    let story = |start| {
        Story::new(start)
            .through(1, &[(State::Voting, SubStatus::AwaitingVotes)])
            .tell(Fact::SubStatusChanged { txid, sub_status: SubStatus::AwaitingApproval })
            .tell(decided(2, true))
            .tell(decided(4, false))
    };
    let postgres = Postgres::start().unwrap();
    for node in [1, 2] {
        tell(&postgres, NodeId::new(node), &story(10_000 + u64::from(node)).0);
    }
    let rows = "SELECT node_id, txid, details ->> 'operator', details ->> 'approve', details ->> 'comment'
                  FROM audit_log WHERE event_type = 'operator_decision' ORDER BY id";
    let expected = format!("2|{txid}|ann|true|by telephone\n4|{txid}|ann|false|by telephone");
    assert_eq!(postgres.psql(rows).unwrap().trim(), expected);
    let round = "SELECT timeout_at = expires_at FROM voting_rounds JOIN transactions tx ON tx.id = tx_id";
    assert_eq!(postgres.psql(round).unwrap().trim(), "t", "it may last as long as its proposal");
}

#[test]
fn a_freeze_and_each_lift_of_it_are_one_audit_row_whoever_tells_them() {
    let postgres = Postgres::start().unwrap();
    let (cluster, author, at) = (cluster().id(), NodeId::new(3), Timestamp(1_700_000_000_000));
    let (operator, reason) = ("alice".to_owned(), "a laptop is lost".to_owned());
    let freeze = Freeze { cluster, node: author, operator, reason, at };
    let lift = |node: u16| {
        let (node_id, operator) = (NodeId::new(node), format!("ops-{node}"));
        let body = Lift { cluster, frozen_by: author, up_to: at, node: node_id, operator };
        Fact::Lifted(Signed::new(body, &key(node)))
    };
    for node in [1, 2] {
        let story = Story::new(10_000)
            .tell(Fact::Frozen(Box::new(Signed::new(freeze.clone(), &key(3)))))
            .tell(lift(1))
            .tell(lift(4));
        tell(&postgres, NodeId::new(node), &story.0);
    }
    let rows = "SELECT event_type, node_id, details ->> 'operator', details ->> 'reason', details ->> 'at'
                  FROM audit_log WHERE event_type IN ('freeze', 'lift') ORDER BY event_type, node_id";
    assert_eq!(
        postgres.psql(rows).unwrap().trim(),
        "freeze|3|alice|a laptop is lost|2023-11-14T22:13:20Z\nlift|1|ops-1||\nlift|4|ops-4||"
    );
}

#[test]
fn over_tls_only_a_server_whose_authority_is_known_is_told_anything() {
    let (postgres, authority) = Postgres::start_with_tls().unwrap();
    let (_other, foreign) = Postgres::start_with_tls().unwrap();
    let dir = TempDir::new().unwrap();
    let (ours, theirs) = (dir.path().join("ours.pem"), dir.path().join("theirs.pem"));
    std::fs::write(&ours, authority).unwrap();
    std::fs::write(&theirs, foreign).unwrap();
    let story = Story::new(10_000).0;

    tell_over(&postgres, Some(theirs), NodeId::new(1), &story, |report| {
        anyhow::ensure!(report.condition == Condition::Down, "{report:?}");
        anyhow::ensure!(report.detail.contains("certificate") && report.waiting == 1, "{report:?}");
        Ok(())
    });
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(postgres.psql(tables).unwrap().trim(), "0");

    let encrypted = postgres.url_with_password();
    tell_over(&postgres, Some(ours), NodeId::new(1), &story, move |report| {
        anyhow::ensure!((report.condition, report.waiting) == (Condition::Up, 0), "{report:?}");
        let mut client = postgres::Client::connect(&encrypted, postgres::NoTls)?;
        let row = client.query_one(
            "SELECT count(*), bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
              WHERE application_name = 'mpc-wallet node-1'",
            &[],
        )?;
        anyhow::ensure!(row.get::<_, i64>(0) > 0 && row.get::<_, bool>(1), "a connection is not encrypted");
        Ok(())
    });
    assert_eq!(postgres.psql("SELECT position FROM feed_cursors").unwrap().trim(), "1");
}
