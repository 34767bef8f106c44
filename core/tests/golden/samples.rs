//! One fixed value of everything that is encoded, in the order in which its type declares it.

use std::collections::BTreeMap;

use bitcoin::{
    Amount, BlockHash, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    absolute::LockTime, hashes::Hash, hex::FromHex, transaction::Version,
};
use mpc_wallet_core::{
    BootId, Cluster, ClusterId, FencingEpoch, KeyId, LogIndex, Millis, NodeId, PaymentId, PolicyVersion,
    PresignatureId, ProposalDigest, Scheme, SessionId, Timestamp, VoteKey, WalletKey,
    freeze::{Freeze, FreezeNotice, Lift, SignedFreeze, SignedLift, WordsError},
    identity::Signed,
    message::{
        Bundle, CoinGrant, CoinRequest, FinalTransaction, FreezeNotices, GrantedCoin, Heartbeat, KeyProof,
        KeygenConfirm, KeygenRequest, Mark, Message, MpcMessage, Place, SignRequest, SigningSession,
        Standing, Stock, Subject, SyncPage,
    },
    policy::PolicyBreach,
    record::{BlockRef, Fact, UsedPresignature},
    refusal::Refusal,
    tx::{Prevout, Proposal, SignedProposal, State, SubStatus},
    vote::{
        Ballot, Certificate, Decision, Evidence, FIRST_ROUND, OperatorDecision, Promise, RejectReason,
        SignedDecision, SignedPromise, UnfitDecision, Violation, Vote,
    },
};

const CLUSTER: ClusterId = ClusterId::from_bytes([0xc1; 32]);
const KEY: KeyId = KeyId { scheme: Scheme::Taproot, epoch: 1 };
const POLICY: PolicyVersion = PolicyVersion::from_bytes([0x90; 32]);
const PAYMENT: PaymentId = PaymentId::from_bytes([0x9a; 32]);
const SESSION: SessionId = SessionId::from_bytes([0x5e; 32]);
const PRESIGNATURE: PresignatureId = PresignatureId::from_bytes([0x9e; 32]);

fn key(node: u16) -> VoteKey {
    VoteKey::from_bytes(&[u8::try_from(node).unwrap(); 32]).unwrap()
}

/// The generator of the curve.
pub(crate) fn public_key() -> WalletKey {
    let bytes = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    WalletKey::from_bytes(&<[u8; 33]>::from_hex(bytes).unwrap()).unwrap()
}

/// Four of five on regtest.
pub(crate) fn cluster() -> Cluster {
    let members: BTreeMap<_, _> = (1..=5).map(|i| (NodeId::new(i), key(i).public())).collect();
    Cluster::new(Network::Regtest, 4, members).unwrap()
}

fn recipient() -> ScriptBuf {
    ScriptBuf::from_hex("0014751e76e8199196d454941c45d1b3a323f1433bd6").unwrap()
}

fn wallet_script() -> ScriptBuf {
    ScriptBuf::from_hex(&format!("5120{}", "79".repeat(32))).unwrap()
}

fn coin() -> OutPoint {
    OutPoint { txid: Txid::from_byte_array([0x11; 32]), vout: 3 }
}

fn prevout() -> Prevout {
    Prevout { value: Amount::from_sat(150_000), script: wallet_script() }
}

fn transaction(witness: Witness) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::from_consensus(812),
        input: vec![TxIn {
            previous_output: coin(),
            script_sig: ScriptBuf::new(),
            sequence: Sequence(0xffff_fffd),
            witness,
        }],
        output: vec![
            TxOut { value: Amount::from_sat(100_000), script_pubkey: recipient() },
            TxOut { value: Amount::from_sat(49_000), script_pubkey: wallet_script() },
        ],
    }
}

pub(crate) fn proposal() -> Proposal {
    Proposal {
        cluster: CLUSTER,
        key: KEY,
        payment: PAYMENT,
        origin: NodeId::new(1),
        recipient: recipient(),
        amount: Amount::from_sat(100_000),
        fee: Amount::from_sat(1_000),
        unsigned_tx: transaction(Witness::new()),
        prevouts: vec![prevout()],
        metadata: Some("invoice 17".to_owned()),
        external_id: Some("order-17".to_owned()),
        created_at: Timestamp(1_700_000_000_000),
        expires_at: Timestamp(1_700_086_400_000),
        replaces: Some(Txid::from_byte_array([0x12; 32])),
    }
}

fn signed_proposal() -> SignedProposal {
    Signed::new(proposal(), &key(1))
}

fn vote(voter: u16, decision: Decision) -> Vote {
    let ballot = Ballot {
        cluster: CLUSTER,
        key: KEY,
        txid: proposal().txid(),
        digest: ProposalDigest::from_bytes([0xd1; 32]),
        round: FIRST_ROUND,
        voter: NodeId::new(voter),
        decision,
        policy: POLICY,
        expires_at: Timestamp(1_700_086_400_000),
    };
    Signed::new(ballot, &key(voter))
}

fn promise() -> SignedPromise {
    let body = Promise {
        cluster: CLUSTER,
        txid: proposal().txid(),
        digest: ProposalDigest::from_bytes([0xd1; 32]),
        node: NodeId::new(3),
    };
    Signed::new(body, &key(3))
}

fn operator_decision() -> SignedDecision {
    let body = OperatorDecision {
        cluster: CLUSTER,
        txid: proposal().txid(),
        digest: ProposalDigest::from_bytes([0xd1; 32]),
        node: NodeId::new(4),
        operator: Some("ann".to_owned()),
        approve: true,
        comment: Some("invoice checked".to_owned()),
        at: Timestamp(1_700_000_000_500),
    };
    Signed::new(body, &key(4))
}

pub(crate) fn signed_freeze() -> SignedFreeze {
    let body = Freeze {
        cluster: CLUSTER,
        node: NodeId::new(3),
        operator: "ops-3".to_owned(),
        reason: "a laptop is lost".to_owned(),
        at: Timestamp(1_700_000_000_000),
    };
    Signed::new(body, &key(3))
}

fn signed_lift() -> SignedLift {
    let body = Lift {
        cluster: CLUSTER,
        frozen_by: NodeId::new(3),
        up_to: Timestamp(1_700_000_000_000),
        node: NodeId::new(2),
        operator: "ops-2".to_owned(),
    };
    Signed::new(body, &key(2))
}

fn mpc(payload: &[u8]) -> Signed<MpcMessage> {
    let body = MpcMessage {
        session: SESSION,
        from: NodeId::new(2),
        boot: BootId(2),
        to: Some(NodeId::new(4)),
        sequence: 1,
        payload: payload.to_vec(),
    };
    Signed::new(body, &key(2))
}

pub(crate) fn evidence() -> [Evidence; 2] {
    [
        Evidence::DoubleVote {
            first: Box::new(vote(5, Decision::Approve)),
            second: Box::new(vote(5, Decision::Reject(RejectReason::Expired))),
        },
        Evidence::Equivocation { first: Box::new(mpc(b"one")), second: Box::new(mpc(b"two")) },
    ]
}

fn finished() -> FinalTransaction {
    FinalTransaction(transaction(Witness::from_slice(&[[0x51; 64]])))
}

pub(crate) fn keygen_request() -> KeygenRequest {
    KeygenRequest {
        cluster: CLUSTER,
        key: KEY,
        initiator: NodeId::new(1),
        boot: BootId(2),
        attempt: 3,
        boots: [2, 1, 1, 4, 1].map(BootId).to_vec(),
    }
}

fn key_proof() -> KeyProof {
    KeyProof { request: keygen_request(), public_key: public_key(), signature: [0x51; 64] }
}

pub(crate) fn session() -> SigningSession {
    SigningSession {
        cluster: CLUSTER,
        key: KEY,
        subject: subjects()[0],
        leader: NodeId::new(1),
        leader_boot: BootId(2),
        attempt: 7,
        signers: [1, 2, 4, 5].map(NodeId::new).to_vec(),
        boots: [2, 1, 1, 4].map(BootId).to_vec(),
        presignatures: vec![PRESIGNATURE],
    }
}

fn mark() -> Signed<Mark> {
    let place = Place { boot: BootId(2), deeds: 40 };
    Signed::new(Mark { cluster: CLUSTER, node: NodeId::new(2), place }, &key(2))
}

fn bundle() -> Bundle {
    Bundle {
        proposal: signed_proposal(),
        votes: vec![vote(1, Decision::Approve)],
        promises: vec![promise()],
        finished: Some(finished()),
        decisions: vec![operator_decision()],
    }
}

pub(crate) fn subjects() -> Vec<Subject> {
    vec![
        Subject::Payment { txid: proposal().txid(), digest: ProposalDigest::from_bytes([0xd1; 32]) },
        Subject::KeyProof { ceremony: SESSION },
        Subject::Presigning,
    ]
}

pub(crate) fn messages() -> Vec<Message> {
    let approvals = [1, 2, 4, 5].map(|voter| vote(voter, Decision::Approve)).to_vec();
    let confirm = KeygenConfirm {
        ceremony: SESSION,
        node: NodeId::new(4),
        public_key: public_key(),
        public_digest: [0xdd; 32],
    };
    vec![
        Message::Heartbeat(Heartbeat {
            cluster: CLUSTER,
            boot: BootId(2),
            position: LogIndex(300),
            standing: Standing::Sound(mark()),
            at: Timestamp(1_700_000_000_000),
            tip_height: 812,
            policy: POLICY,
            version: "0.1.0".to_owned(),
        }),
        Message::CoinRequest(CoinRequest {
            payment: PAYMENT,
            scheme: Scheme::Taproot,
            recipient: recipient(),
            amount: Amount::from_sat(100_000),
            fee_rate: Some(1_500),
        }),
        Message::CoinGrant(CoinGrant {
            payment: PAYMENT,
            inputs: vec![GrantedCoin { outpoint: coin(), output: prevout() }],
            fee: Amount::from_sat(1_000),
            change: Amount::from_sat(49_000),
            lock_time: 812,
            epoch: FencingEpoch(300),
        }),
        Message::CoinRefusal { payment: PAYMENT, refusal: Refusal::NoFeeEstimate, epoch: FencingEpoch(300) },
        Message::VoteRequest(Box::new(signed_proposal())),
        Message::Vote(vote(2, Decision::Approve)),
        Message::Promise(promise()),
        Message::Accusation(Box::new(evidence()[0].clone())),
        Message::Finished(finished()),
        Message::SignRequest(Box::new(SignRequest {
            session: session(),
            certificate: Some(Certificate { approvals }),
        })),
        Message::Mpc(mpc(b"payload")),
        Message::SessionAbort { session: SESSION, reason: "a signer is silent".to_owned() },
        Message::KeygenRequest(Signed::new(keygen_request(), &key(1))),
        Message::KeygenConfirm(Signed::new(confirm, &key(4))),
        Message::KeyActive(key_proof()),
        Message::Bundle(Box::new(bundle())),
        Message::SyncRequest { since: LogIndex(300), challenge: 0x0123_4567_89ab_cdef },
        Message::SyncPage(SyncPage {
            bundles: vec![bundle()],
            evidence: evidence().to_vec(),
            keys: vec![key_proof()],
            next: LogIndex(301),
            more: true,
            challenge: 0x0123_4567_89ab_cdef,
            shown: Some(mark()),
        }),
        Message::Stock(Stock { primes: true, presignatures: vec![PRESIGNATURE] }),
        Message::PresignOrder { count: 10 },
        Message::OperatorDecision(operator_decision()),
        Message::Freezes(FreezeNotices {
            answers: Some(0x0123_4567_89ab_cdef),
            notices: vec![FreezeNotice { freeze: signed_freeze(), lifts: vec![signed_lift()] }],
        }),
    ]
}

pub(crate) fn facts() -> Vec<Fact> {
    let txid = proposal().txid();
    vec![
        Fact::Booted { boot: BootId(2) },
        Fact::Proposed(Box::new(signed_proposal())),
        Fact::Voted(vote(2, Decision::Approve)),
        Fact::Promised(promise()),
        Fact::Transition {
            txid,
            from: State::Voting,
            to: State::ThresholdReached,
            sub_status: SubStatus::AwaitingVotes,
            cause: "4 approvals".to_owned(),
        },
        Fact::SubStatusChanged { txid, sub_status: SubStatus::SigningAttempt(2) },
        Fact::ShareReleased { txid, session: SESSION },
        Fact::Signed(finished()),
        Fact::Seen {
            txid,
            block: Some(BlockRef { height: 813, hash: BlockHash::from_byte_array([0xb1; 32]) }),
            confirmations: 1,
        },
        Fact::KeyShareSealed { request: keygen_request(), public_key: public_key() },
        Fact::KeygenFailed { key: KEY, reason: "node-3 is silent".to_owned() },
        Fact::KeyActivated(key_proof()),
        Fact::Proven(Box::new(evidence()[1].clone())),
        Fact::Struck {
            node: NodeId::new(3),
            violation: Violation::Timeout,
            txid: Some(txid),
            detail: "silent in a signing session while reachable".to_owned(),
        },
        Fact::Banned {
            node: NodeId::new(5),
            until: Timestamp(1_700_086_400_000),
            violation: Violation::DoubleVote,
        },
        Fact::Synced { peer: NodeId::new(2), position: LogIndex(300) },
        Fact::Confirmed,
        Fact::Quarantined { shown: BootId(6) },
        Fact::Rejoined { boot: BootId(1 << 32) },
        Fact::Shown(mark()),
        Fact::PresignaturesUsed {
            txid: proposal().txid(),
            session: SESSION,
            presignatures: vec![UsedPresignature {
                id: PRESIGNATURE,
                made_at: Timestamp(1_700_000_000_000),
                took: Millis(2_900),
            }],
        },
        Fact::PresigningFailed {
            key: KEY,
            signers: [1, 2, 3, 4].map(NodeId::new).to_vec(),
            reason: "a proof does not hold".to_owned(),
        },
        Fact::OperatorDecided(operator_decision()),
        Fact::Initiated { txid, initiator: "bob".to_owned() },
        Fact::Frozen(Box::new(signed_freeze())),
        Fact::Lifted(signed_lift()),
        Fact::CoinSeen { coin: coin(), key: KEY, value: Amount::from_sat(70_000) },
        Fact::CoinLost { coin: coin(), key: KEY, value: Amount::from_sat(70_000), by: Some(txid) },
    ]
}

pub(crate) fn decisions() -> Vec<Decision> {
    vec![Decision::Approve, Decision::Reject(RejectReason::Expired)]
}

pub(crate) fn reject_reasons() -> Vec<RejectReason> {
    vec![
        RejectReason::Malformed("two outputs expected".to_owned()),
        RejectReason::CoinCommitted { coin: coin().to_string(), holder: proposal().txid() },
        RejectReason::PaymentServed(proposal().txid()),
        RejectReason::Input { coin: coin().to_string(), problem: "it is spent".to_owned() },
        RejectReason::Policy(PolicyBreach::NotWhitelisted),
        RejectReason::Expired,
        RejectReason::Key(KEY),
        RejectReason::OperatorRejected(NodeId::new(4)),
        RejectReason::Replacement("it spends other coins".to_owned()),
    ]
}

pub(crate) fn policy_breaches() -> Vec<PolicyBreach> {
    vec![
        PolicyBreach::Amount { amount: 2_000, limit: 1_000 },
        PolicyBreach::NotWhitelisted,
        PolicyBreach::FeeRateTooLow { rate: 900, floor: 1_000 },
        PolicyBreach::FeeRateTooHigh { rate: 2_000_000, ceiling: 1_000_000 },
        PolicyBreach::FeeTooHigh { fee: 2_000_000, limit: 1_000_000 },
        PolicyBreach::Dust { amount: 293, limit: 294 },
    ]
}

pub(crate) fn refusals() -> Vec<Refusal> {
    vec![
        Refusal::NoKey(Scheme::Taproot),
        Refusal::UnsupportedScheme(Scheme::Segwit),
        Refusal::InsufficientFunds { needed: 4, spendable: 3, locked: 2, unconfirmed: 1 },
        Refusal::TooManyInputs { limit: 25 },
        Refusal::Policy(PolicyBreach::NotWhitelisted),
        Refusal::ChainStale { age_s: 130 },
        Refusal::NoFeeEstimate,
        Refusal::NoQuorum { online: 2, total: 5, needed: 4 },
        Refusal::NoCoordinator,
        Refusal::Busy { limit: 1_000 },
        Refusal::KeyReused { txid: proposal().txid() },
        Refusal::InProgress,
        Refusal::MetadataTooLong { size: 1_025, limit: 1_024 },
        Refusal::KeygenRunning(KEY),
        Refusal::KeyExists(KEY),
        Refusal::NotEveryoneOnline { online: 4, total: 5 },
        Refusal::Confirming { told: 2, needed: 3 },
        Refusal::Quarantined,
        Refusal::Internal("nobody asked".to_owned()),
        Refusal::QueueFull { limit: 40 },
        Refusal::UnknownTransaction(proposal().txid()),
        Refusal::ApprovalNotRequired { state: State::Voting },
        Refusal::NotVoting { state: State::Approved },
        Refusal::AlreadyDecided { operator: Some("ann".to_owned()), approve: true },
        Refusal::OwnPayment { operator: "bob".to_owned() },
        Refusal::MayHaveDecided,
        Refusal::UnfitDecision(UnfitDecision::Comment(257)),
        Refusal::ExternalIdTooLong { size: 65, limit: 64 },
        Refusal::Frozen {
            node: NodeId::new(3),
            operator: "ops-3".to_owned(),
            reason: "a laptop is lost".to_owned(),
            at: Timestamp(1_700_000_000_000),
            needed: 4,
        },
        Refusal::AlreadyFrozen(signed_freeze().body.id()),
        Refusal::NotFrozen,
        Refusal::Words(WordsError::ReasonUnprintable),
        Refusal::NotReplaceable { txid: proposal().txid(), state: State::Confirmed },
        Refusal::InBlock { txid: proposal().txid(), height: 812_000 },
        Refusal::ReplacedBefore { by: proposal().txid() },
        Refusal::ChangeSpent { by: proposal().txid() },
        Refusal::ReplacementTooCheap { rate: 1_000, fee: 200, least: 400, least_rate: 2_000 },
        Refusal::ChangeTooSmall { fee: 400, available: 300 },
    ]
}

pub(crate) fn sub_statuses() -> Vec<SubStatus> {
    vec![
        SubStatus::AwaitingVotes,
        SubStatus::WaitingForQuorum,
        SubStatus::Abandoning,
        SubStatus::ChoosingSigners,
        SubStatus::SigningAttempt(2),
        SubStatus::RetryingOtherSubset,
        SubStatus::NotYetSent,
        SubStatus::OutcomeUnknown,
        SubStatus::InMempool,
        SubStatus::FeeTooLow,
        SubStatus::DroppedRebroadcasting,
        SubStatus::Confirming,
        SubStatus::ReorgedOut,
        SubStatus::ConflictSeen,
        SubStatus::Settled,
        SubStatus::Votes("policy".to_owned()),
        SubStatus::Expired,
        SubStatus::InputSpent,
        SubStatus::BroadcastRejected("bad-txns".to_owned()),
        SubStatus::Abandoned,
        SubStatus::Misbehaviour("node-5 is banned".to_owned()),
        SubStatus::PresigningAttempt(2),
        SubStatus::WaitingForPresignatures,
        SubStatus::AwaitingApproval,
        SubStatus::Frozen,
        SubStatus::BeingReplaced,
        SubStatus::Replaced,
    ]
}

pub(crate) fn words_errors() -> Vec<WordsError> {
    vec![WordsError::Reason { size: 257 }, WordsError::ReasonUnprintable, WordsError::Operator { size: 65 }]
}

pub(crate) fn violations() -> Vec<Violation> {
    vec![Violation::DoubleVote, Violation::InvalidSignature, Violation::Timeout, Violation::ProtocolViolation]
}
