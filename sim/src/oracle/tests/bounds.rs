//! Promises, limits and confirmations: runs that keep them, and the same runs with one thing wrong.

use super::*;

fn promise(number: u16, proposal: &Proposal) -> Signed<Promise> {
    let (txid, digest) = (proposal.txid(), proposal.digest());
    Signed::new(Promise { cluster: cluster().id(), txid, digest, node: node(number) }, &key(number))
}

fn ends(proposal: &Proposal, to: State, sub_status: SubStatus) -> Fact {
    Fact::Transition {
        txid: proposal.txid(),
        from: State::Voting,
        to,
        sub_status,
        cause: String::from("enough members are bound"),
    }
}

#[test]
fn dead_stays_dead_objects_to_a_share_of_whoever_refused_or_promised() {
    let proposal = proposal(1, 1).body;
    let fresh = || Exam(DeadStaysDead::new(&cluster()));
    let mut exam = fresh();
    exam.durable(2, Fact::Promised(promise(2, &proposal))).unwrap();
    exam.share(3, &proposal).unwrap();
    refuses(exam.share(2, &proposal), "which it is bound never to sign");

    let mut exam = fresh();
    exam.sent(2, &Message::Vote(rejection(2, &proposal))).unwrap();
    refuses(exam.share(2, &proposal), "which it is bound never to sign");

    // The share need not be in the journal: the raw traffic shows it.
    let mut exam = fresh();
    let session = session(&proposal);
    let id = session.id();
    exam.sent(1, &Message::SignRequest(Box::new(SignRequest { session, certificate: None }))).unwrap();
    exam.sent(2, &Message::Promise(promise(2, &proposal))).unwrap();
    exam.sent(2, &mpc(2, id, 0, b"commitment")).unwrap();
    refuses(exam.sent(2, &mpc(2, id, 1, b"share")), "which it is bound never to sign");
}

#[test]
fn dead_stays_dead_objects_to_a_promise_after_the_share_and_not_to_one_that_nobody_signed() {
    let proposal = proposal(1, 1).body;
    let mut exam = Exam(DeadStaysDead::new(&cluster()));
    exam.share(2, &proposal).unwrap();
    let mut forged = promise(2, &proposal);
    forged.signature = promise(3, &proposal).signature;
    exam.sent(2, &Message::Promise(forged)).unwrap();
    refuses(exam.sent(2, &Message::Promise(promise(2, &proposal))), "of which it has given a share");
}

#[test]
fn dead_stays_dead_objects_to_an_end_with_one_member_too_few_bound() {
    let proposal = proposal(1, 1).body;
    // n − t + 1 + f of four of five are three.
    let bound_by = |promises: u16| {
        let mut exam = Exam(DeadStaysDead::new(&cluster()));
        exam.durable(5, Fact::Voted(rejection(1, &proposal))).unwrap();
        for number in 2..2 + promises {
            exam.durable(5, Fact::Promised(promise(number, &proposal))).unwrap();
        }
        // Said twice, it binds one member.
        exam.durable(5, Fact::Promised(promise(1, &proposal))).unwrap();
        exam
    };
    for (to, sub_status) in [
        (State::Rejected, SubStatus::Expired),
        (State::AbortedByzantine, SubStatus::Expired),
        (State::Failed, SubStatus::Abandoned),
    ] {
        let end = || ends(&proposal, to, sub_status.clone());
        refuses(bound_by(1).durable(5, end()), "with 2 of 3 members bound");
        bound_by(2).durable(5, end()).unwrap();
    }
    let spent = ends(&proposal, State::Failed, SubStatus::InputSpent);
    bound_by(0).durable(5, spent).unwrap();
}

/// What this oracle says when node-2 approves the proposal at this moment.
fn approved_at(at: u64, proposal: SignedProposal) -> Result<(), String> {
    let mut oracle = WithinLimits::default();
    let ballot = approval(2, &proposal.body);
    for fact in [Fact::Proposed(Box::new(proposal)), Fact::Voted(ballot)] {
        let record = Record { at: Timestamp(at), fact };
        oracle.observe(&Observed::Durable { node: node(2), record: &record })?;
    }
    Ok(())
}

#[test]
fn within_limits_objects_to_a_vote_at_the_moment_of_expiry() {
    approved_at(1, proposal(1, 1)).unwrap();
    refuses(approved_at(2, proposal(1, 1)), "which expired at 2");
    // Another's late vote is only passed on.
    let mut exam = Exam(WithinLimits::default());
    let record = Record { at: Timestamp(9), fact: Fact::Voted(approval(3, &proposal(1, 1).body)) };
    exam.0.observe(&Observed::Durable { node: node(2), record: &record }).unwrap();
}

#[test]
fn within_limits_objects_to_an_approval_beyond_the_policy_and_not_to_a_refusal() {
    let edited = |edit: fn(&mut Proposal)| {
        let mut body = proposal(1, 1).body;
        edit(&mut body);
        Signed::new(body, &key(1))
    };
    let dear = edited(|body| body.prevouts[0].value = Amount::from_sat(1_001_001));
    refuses(approved_at(1, dear.clone()), "the fee is beyond the limit");
    approved_at(1, edited(|body| body.prevouts[0].value = Amount::from_sat(1_001_000))).unwrap();
    let dust = edited(|body| body.unsigned_tx.output[0].value = Amount::from_sat(545));
    refuses(approved_at(1, dust), "the least output is beyond the limit");
    let inputs = |body: &mut Proposal, count: u8| {
        body.unsigned_tx.input = (0..count).flat_map(|coin| transaction(coin, 1).input).collect();
    };
    let mut body = proposal(1, 1).body;
    inputs(&mut body, 25);
    approved_at(1, Signed::new(body.clone(), &key(1))).unwrap();
    inputs(&mut body, 26);
    refuses(approved_at(1, Signed::new(body, &key(1))), "the number of inputs is beyond the limit");

    let mut exam = Exam(WithinLimits::default());
    exam.durable(2, Fact::Proposed(Box::new(dear.clone()))).unwrap();
    exam.durable(2, Fact::Voted(rejection(2, &dear.body))).unwrap();
}

#[test]
fn within_limits_objects_to_the_twenty_sixth_of_a_line_unless_its_head_has_confirmed() {
    let mut line = vec![transaction(1, 1)];
    while line.len() < 26 {
        let mut child = transaction(1, 1);
        child.input[0].previous_output.txid = line[line.len() - 1].compute_txid();
        line.push(child);
    }
    let broadcast = |oracle: &mut WithinLimits, transaction: &Transaction| {
        oracle.observe(&Observed::Broadcast { node: node(1), transaction })
    };
    let mut oracle = WithinLimits::default();
    for transaction in &line[..25] {
        broadcast(&mut oracle, transaction).unwrap();
    }
    refuses(broadcast(&mut oracle, &line[25]), "the last of 26 unconfirmed");
    oracle.observe(&Observed::Confirmed { transaction: &line[0] }).unwrap();
    broadcast(&mut oracle, &line[25]).unwrap();
}

#[test]
fn what_a_node_calls_confirmed_must_be_in_the_chain() {
    let (known, other) = (transaction(1, 1).compute_txid(), transaction(2, 2).compute_txid());
    let end = |state| NodeEnd {
        transactions: BTreeMap::from([(
            known,
            TransactionEnd { state, sub_status: String::from("why"), spends: BTreeSet::new() },
        )]),
    };
    let ends = |state| BTreeMap::from([(node(1), end("failed")), (node(2), end(state))]);
    let chain = |txid| BTreeSet::from([txid]);
    confirmed_is_true(&ends("confirmed"), &chain(known)).unwrap();
    confirmed_is_true(&ends("failed"), &chain(other)).unwrap();
    let objection = confirmed_is_true(&ends("confirmed"), &chain(other)).unwrap_err().to_string();
    assert!(objection.contains("node-2 calls"), "{objection}");
    assert!(!objection.contains("node-1"), "{objection}");
}

/// What this oracle says when node-2 approves, in the place of a transaction of 79 vB for 200 sat, one with so many outputs
/// for `fee` sat.
fn replaces_for(fee: u64, outputs: usize, known: bool) -> Result<(), String> {
    let original = proposal(1, 1);
    let mut body = original.body.clone();
    body.replaces = Some(original.body.txid());
    body.unsigned_tx.output[0].value = Amount::from_sat(10_000);
    body.unsigned_tx.output = vec![body.unsigned_tx.output[0].clone(); outputs];
    let paid = 10_000 * u64::try_from(outputs).unwrap();
    body.prevouts[0].value = Amount::from_sat(paid + fee);
    let ballot = approval(2, &body);
    let mut exam = Exam(WithinLimits::default());
    if known {
        exam.durable(2, Fact::Proposed(Box::new(original)))?;
    }
    exam.durable(2, Fact::Proposed(Box::new(Signed::new(body, &key(1)))))?;
    exam.durable(2, Fact::Voted(ballot))
}

#[test]
fn within_limits_objects_to_a_replacement_that_the_network_would_not_take() {
    // 62 bytes without the witness: 4 × 62 + 2 + 66 weight units.
    replaces_for(200 + 79, 1, true).unwrap();
    refuses(replaces_for(200 + 78, 1, true), "in the place of");
    refuses(replaces_for(10_000, 1, false), "which it has not got");
    // 51 outputs are 629 vB: enough more, and at less than 200 sat for 79 vB.
    refuses(replaces_for(1_000, 51, true), "for 1000 sat in the place of");
}
