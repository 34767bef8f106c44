//! Who gets in where: every route with every role, with no key and with wrong ones.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use crate::support::{
    Past, ScriptedNode,
    client::{Answer, ask, assert_problem, txid},
    guarded, row, txid_of, with_pool,
};
use axum::{body::Body, http::Request};
use mpc_wallet_core::step::Outcome;
use mpc_wallet_shell::access::{KeyFile, Keyring, Role, Token};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

/// More than any test sends.
const MANY: NonZeroU32 = NonZeroU32::new(60_000).unwrap();

/// Every route and the least role that it asks for.
fn routes() -> Vec<(&'static str, String, Option<Role>)> {
    let read = Some(Role::Viewer);
    let of = |rest: &str| format!("/api/v1/transactions/{}{rest}", txid_of(1));
    let path = str::to_owned;
    vec![
        ("GET", path("/"), None),
        ("GET", path("/dashboard/js/api.js"), None),
        ("GET", path("/health"), None),
        ("GET", path("/health/ready"), None),
        ("GET", path("/metrics"), read),
        ("GET", path("/api/v1/cluster/status"), read),
        ("GET", path("/api/v1/cluster/nodes"), read),
        ("GET", path("/api/v1/wallet/balance"), read),
        ("GET", path("/api/v1/wallet/address"), read),
        ("GET", path("/api/v1/wallet/address/qr"), read),
        ("GET", path("/api/v1/transactions"), read),
        ("GET", of(""), read),
        ("GET", path("/api/v1/dkg"), read),
        ("GET", path("/api/v1/presignatures"), read),
        ("GET", path("/api/v1/violations"), read),
        ("GET", path("/api/v1/audit"), read),
        ("GET", path("/api/v1/openapi.json"), read),
        ("GET", path("/api/v1/events"), read),
        ("POST", path("/api/v1/transactions"), Some(Role::Initiator)),
        ("POST", of("/approve"), Some(Role::Approver)),
        ("POST", of("/reject"), Some(Role::Approver)),
        ("POST", of("/bump"), Some(Role::Initiator)),
        ("POST", path("/api/v1/cluster/freeze"), Some(Role::Approver)),
        ("POST", path("/api/v1/cluster/lift"), Some(Role::Admin)),
        ("POST", path("/api/v1/dkg"), Some(Role::Admin)),
        ("POST", path("/api/v1/presignatures"), Some(Role::Admin)),
        // What is no route, and what no route takes.
        ("GET", path("/api/v1/nothing"), read),
        ("GET", path("/nothing"), read),
        ("DELETE", path("/api/v1/violations"), Some(Role::Admin)),
        ("PUT", path("/health"), Some(Role::Admin)),
    ]
}

/// The routes that describe themselves are all in [`routes`], and say the role that it names.
#[tokio::test]
async fn the_description_names_the_same_roles() {
    let world = world();
    let bearer = format!("Bearer {}", world.tokens[0].1.reveal());
    let described = send(&world.node, "GET", "/api/v1/openapi.json", Some(&bearer)).await.json;
    for (path, item) in described["paths"].as_object().unwrap() {
        let path = path.replace("{txid}", &txid_of(1));
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            let known = routes().into_iter().find(|(known, route, _)| *known == method && *route == path);
            let (_, _, role) = known.unwrap_or_else(|| panic!("{method} {path} is tried with no role"));
            let says = operation["description"].as_str().unwrap_or_default();
            let asks = role.map(|role| format!("Asks for the role {}.", role.name())).unwrap_or_default();
            assert!(says.ends_with(&asks), "{method} {path}: {says}");
        }
    }
}

struct World {
    node: ScriptedNode,
    keyring: Arc<Keyring>,
    file: PathBuf,
    tokens: Vec<(Role, Token)>,
    _dir: TempDir,
}

/// A node with one key of each role.
fn world() -> World {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("api-keys.toml");
    let mut keys = KeyFile::default();
    let tokens =
        Role::ALL.map(|role| (role, keys.create(role.name(), role, OffsetDateTime::UNIX_EPOCH).unwrap()));
    keys.write(&file).unwrap();
    let keyring = Arc::new(Keyring::load(&file, MANY).unwrap());
    let past = Past { rows: vec![row(1, mpc_wallet_core::tx::State::Voting)], ..Past::default() };
    let script = Box::new(|_| Some(Outcome::Proposed { txid: txid(1), replayed: false }));
    let node = guarded(with_pool(), past, script, Some(Arc::clone(&keyring)));
    World { node, keyring, file, tokens: tokens.into(), _dir: dir }
}

async fn send(node: &ScriptedNode, method: &str, path: &str, authorization: Option<&str>) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    ask(node, request.body(Body::from("{}")).unwrap()).await
}

#[tokio::test]
async fn every_route_takes_exactly_the_roles_it_is_for() {
    let world = world();
    for (method, path, least) in routes() {
        for (role, token) in &world.tokens {
            let bearer = format!("Bearer {}", token.reveal());
            let answer = send(&world.node, method, &path, Some(&bearer)).await;
            let said = format!("{method} {path} as {}: {} {}", role.name(), answer.status, answer.text);
            if least.is_none_or(|least| role.includes(least)) {
                assert!(answer.status != 401 && answer.status != 403, "{said}");
            } else {
                assert_problem(&answer, 403, "forbidden");
                assert_eq!(answer.json["required_role"], least.unwrap().name(), "{said}");
            }
            assert!(!answer.text.contains(token.reveal()), "{said}");
        }
    }
}

#[tokio::test]
async fn without_a_key_of_this_node_only_the_probes_answer_and_nothing_reaches_the_node() {
    let world = world();
    let stranger = format!("Bearer {}", Token::generate().unwrap().reveal());
    let admin = world.tokens.last().unwrap().1.reveal().to_owned();
    let basic = format!("Basic {admin}");
    let half = format!("Bearer {}", &admin[..admin.len() - 1]);
    for (method, path, least) in routes() {
        for shown in
            [None, Some(""), Some("Bearer "), Some(&*stranger), Some(&*basic), Some(&*half), Some(&*admin)]
        {
            let answer = send(&world.node, method, &path, shown).await;
            if least.is_none() {
                assert_ne!(answer.status, 401, "{path}");
            } else {
                assert_problem(&answer, 401, "unauthenticated");
                assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
            }
        }
    }
    assert!(world.node.commands.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_revoked_key_is_refused_within_seconds_and_a_broken_file_changes_nothing() {
    let world = world();
    let stop = CancellationToken::new();
    tokio::spawn(Arc::clone(&world.keyring).follow(stop.clone()));
    let bearer = format!("Bearer {}", world.tokens[0].1.reveal());
    let status = async || send(&world.node, "GET", "/api/v1/dkg", Some(&bearer)).await.status.as_u16();
    assert_eq!(status().await, 200);

    std::fs::write(&world.file, "[[keys").unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(status().await, 200);

    let mut keys = KeyFile::default();
    keys.create("new", Role::Viewer, OffsetDateTime::UNIX_EPOCH).unwrap();
    keys.write(&world.file).unwrap();
    until_refused(&world.node, &bearer).await;
    stop.cancel();
}

#[tokio::test]
async fn a_key_revoked_between_loading_and_the_first_look_is_refused_too() {
    let world = world();
    let bearer = format!("Bearer {}", world.tokens[0].1.reveal());
    KeyFile::default().write(&world.file).unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(Arc::clone(&world.keyring).follow(stop.clone()));
    until_refused(&world.node, &bearer).await;
    stop.cancel();
}

async fn until_refused(node: &ScriptedNode, bearer: &str) {
    let status = async || send(node, "GET", "/api/v1/dkg", Some(bearer)).await.status.as_u16();
    let refused = async {
        while status().await == 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), refused).await.unwrap();
    assert_eq!(status().await, 401);
}

#[tokio::test]
async fn who_sends_too_much_is_put_off_and_others_are_not() {
    let world = world();
    let keyring = Arc::new(Keyring::load(&world.file, NonZeroU32::new(12).unwrap()).unwrap());
    let node = guarded(with_pool(), Past::default(), Box::new(|_| None), Some(keyring));
    let [busy, idle] = [0, 3].map(|key| format!("Bearer {}", world.tokens[key].1.reveal()));
    // A sixth of the minute's twelve at once.
    for _ in 0..2 {
        assert_eq!(send(&node, "GET", "/api/v1/dkg", Some(&busy)).await.status, 200);
    }
    let refused = send(&node, "GET", "/api/v1/dkg", Some(&busy)).await;
    assert_problem(&refused, 429, "rate_limited");
    let seconds: u32 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=6).contains(&seconds), "{seconds}");
    assert_eq!(send(&node, "GET", "/api/v1/dkg", Some(&idle)).await.status, 200);
    assert_eq!(send(&node, "GET", "/health", Some(&busy)).await.status, 200);
}
