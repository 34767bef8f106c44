//! Bad input: the right status, a stable code, a sentence, and nothing else.

use mpc_wallet_e2e::cluster::{Cluster, Kind, Reply};
use mpc_wallet_e2e::suite::{options, payee};
use serde_json::{Value, json};

struct Case {
    desc: &'static str,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
}

fn case(desc: &'static str, body: &Value, status: u16, code: &'static str) -> Case {
    Case { desc, body: body.to_string().into_bytes(), status, code }
}

fn assert_problem(desc: &str, reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code()), (status, code), "{desc}: {}", reply.text);
    assert_eq!(reply.media_type, "application/problem+json", "{desc}");
    assert_eq!(reply.body["status"], status, "{desc}");
    assert!(reply.detail().split(' ').count() >= 4, "{desc}: no sentence: {}", reply.text);
}

#[test]
fn bad_input_is_refused_with_status_code_and_sentence_and_changes_nothing() {
    let cluster = Cluster::start(&options()).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(100_000, 2).unwrap();
    let good = payee("refusals", 0).unwrap().to_string();
    let mainnet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    let pay = |amount: Value| json!({ "recipient": good, "amount_sats": amount });
    let with = |field: &str, value: Value| {
        let mut body = pay(json!(10_000));
        body[field] = value;
        body
    };
    let big = with("metadata", json!("x".repeat(10 << 20)));
    let cases = [
        Case {
            desc: "malformed JSON",
            body: b"{\"recipient\":".to_vec(),
            status: 400,
            code: "malformed_json",
        },
        Case { desc: "no object", body: b"[]".to_vec(), status: 400, code: "malformed_json" },
        case("unknown field", &with("amonut_sats", json!(1)), 422, "validation_failed"),
        case("no recipient", &json!({ "amount_sats": 10_000 }), 422, "validation_failed"),
        case("not an address", &with("recipient", json!("bcrt1nonsense")), 422, "invalid_address"),
        case("wrong network", &with("recipient", json!(mainnet)), 422, "wrong_network"),
        case("dust", &pay(json!(100)), 422, "amount_below_dust"),
        case("zero", &pay(json!(0)), 422, "validation_failed"),
        case("negative", &pay(json!(-5)), 422, "validation_failed"),
        case("a fraction", &pay(json!(0.5)), 422, "validation_failed"),
        case("a string", &pay(json!("10000")), 422, "validation_failed"),
        case("more than the balance", &pay(json!(1_000_000)), 422, "insufficient_funds"),
        case("fee above the ceiling", &with("fee_rate", json!(5_000)), 422, "fee_too_high"),
        case("a body of 10 MB", &big, 413, "body_too_large"),
    ];
    let unknown = format!("/api/v1/transactions/{}", "ab".repeat(32));
    for node in cluster.nodes() {
        for Case { desc, body, status, code } in &cases {
            let reply = node.api().post_raw("/api/v1/transactions", body, &[]).unwrap();
            assert_problem(desc, &reply, *status, code);
        }
        assert_problem("unknown txid", &node.api().get(&unknown).unwrap(), 404, "not_found");
        let garbled = node.api().get("/api/v1/transactions/xyz").unwrap();
        assert_problem("no txid", &garbled, 400, "invalid_txid");
    }
    for node in cluster.nodes() {
        assert!(node.api().transactions().unwrap().is_empty(), "node {}", node.id());
    }
    cluster.wait_for_balance(Kind::Taproot, 200_000).unwrap();
}
