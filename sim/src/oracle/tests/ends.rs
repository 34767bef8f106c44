//! The end of a run: all has finished, and the books balance.

use super::*;

#[test]
fn convergence_objects_to_the_unfinished_the_unknown_the_split_and_the_unpaid() {
    let txid = transaction(1, 1).compute_txid();
    let end = |states: [Option<&'static str>; 2]| -> BTreeMap<NodeId, NodeEnd> {
        let view = |state: Option<&'static str>| NodeEnd {
            transactions: state
                .map(|state| {
                    (txid, TransactionEnd { state, sub_status: String::from("why"), spends: BTreeSet::new() })
                })
                .into_iter()
                .collect(),
        };
        states.into_iter().zip(1..).map(|(state, number)| (node(number), view(state))).collect()
    };
    let client = |answer, must_confirm, paid| {
        [Expected { label: String::from("payment-0"), answer, may_be_lost: false, must_confirm, paid }]
    };
    let settled = end([Some("confirmed"), Some("confirmed")]);
    convergence(&settled, &client(Ok(txid), true, true)).unwrap();
    convergence(&end([Some("failed"), Some("rejected")]), &client(Ok(txid), false, false)).unwrap();
    let objects = |nodes: &BTreeMap<NodeId, NodeEnd>, clients: &[Expected], words: &str| {
        let objection = convergence(nodes, clients).unwrap_err().to_string();
        assert!(objection.contains(words), "{objection}");
    };
    objects(&end([Some("confirmed"), Some("signing")]), &[], "node-2 signing/why");
    objects(&end([Some("confirmed"), None]), &[], "node-2 unknown");
    objects(&end([Some("confirmed"), Some("failed")]), &[], "node-2 failed/why");
    objects(&settled, &client(Ok(txid), true, false), "is not paid");
    objects(&settled, &client(Err(String::from("busy")), false, false), "never accepted: busy");
    objects(&end([None, None]), &client(Ok(txid), false, false), "nobody knows");
}

#[test]
fn convergence_objects_to_a_family_of_which_none_or_two_confirm() {
    let (one, other) = (transaction(1, 1), transaction(1, 2));
    let end = |state, sub_status: &str, of: &Transaction| TransactionEnd {
        state,
        sub_status: sub_status.to_owned(),
        spends: of.input.iter().map(|input| input.previous_output).collect(),
    };
    let view = |first, second| NodeEnd {
        transactions: BTreeMap::from([(one.compute_txid(), first), (other.compute_txid(), second)]),
    };
    let judge = |view: NodeEnd| convergence(&BTreeMap::from([(node(1), view)]), &[]);
    let confirmed = |of| end("confirmed", "settled", of);
    let replaced = |of| end("failed", "replaced", of);
    judge(view(confirmed(&one), replaced(&other))).unwrap();
    judge(view(replaced(&one), confirmed(&other))).unwrap();
    // Its coins went to a thief, and nothing took its place.
    judge(view(end("failed", "input_spent", &one), end("rejected", "expired", &other))).unwrap();
    for (case, words) in [
        (view(confirmed(&one), confirmed(&other)), "and its rival"),
        (view(replaced(&one), replaced(&other)), "nothing with its coins is confirmed"),
        (view(end("failed", "input_spent", &one), confirmed(&other)), "went to its own rival"),
        (view(replaced(&one), confirmed(&transaction(2, 2))), "nothing with its coins is confirmed"),
    ] {
        let objection = judge(case).unwrap_err().to_string();
        assert!(objection.contains(words), "{objection}");
    }
}

#[test]
fn conservation_objects_to_lost_invented_and_misdirected_money() {
    let good = Books {
        stolen: 0,
        funds: 1_000,
        paid: 300,
        fees: 20,
        on_chain: 680,
        by_node: BTreeMap::from([(node(1), 680)]),
        strangers: vec![],
    };
    conservation(&good).unwrap();
    refuses(conservation(&Books { on_chain: 679, ..good.clone() }), "are not the 679");
    refuses(conservation(&Books { fees: 21, ..good.clone() }), "less 21 fees");
    refuses(conservation(&Books { paid: 2_000, ..good.clone() }), "2000 paid");
    refuses(
        conservation(&Books { by_node: BTreeMap::from([(node(2), 1)]), ..good.clone() }),
        "node-2 sees 1",
    );
    refuses(conservation(&Books { strangers: vec![recipient(9)], ..good }), "nobody asked for");
}
