//! The dashboard's files as browsers get them, and what the node draws for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{
    Past,
    client::{accepting, ask, assert_problem, get, refusing},
    scripted, with_segwit,
};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use mpc_wallet_core::{Scheme, refusal::Refusal};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dashboard");

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// (address, content) of every file.
fn sources() -> Vec<(String, String)> {
    let address = |path: &Path| format!("/dashboard/{}", path.strip_prefix(SOURCES).unwrap().display());
    files(Path::new(SOURCES)).iter().map(|path| (address(path), fs::read_to_string(path).unwrap())).collect()
}

#[tokio::test]
async fn every_file_of_the_dashboard_is_served_as_it_is() {
    let node = accepting();
    let sources = sources();
    assert!(sources.len() > 20);
    for (address, content) in sources {
        let answer = get(&node, &address).await;
        assert_eq!(answer.status, StatusCode::OK, "{address}");
        assert_eq!(answer.text, content, "{address}");
        let media_type = answer.headers["content-type"].to_str().unwrap();
        let expected = match address.rsplit('.').next().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            "html" => "text/html; charset=utf-8",
            other => panic!("{other} files have no type"),
        };
        assert_eq!(media_type, expected, "{address}");
    }
}

#[tokio::test]
async fn the_page_may_run_and_load_only_what_the_node_serves() {
    let answer = get(&accepting(), "/").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    for rule in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    // What the policy would stop must not be there in the first place.
    for (address, content) in sources() {
        let content = content.replace("http://www.w3.org/2000/svg", "");
        for word in ["http://", "https://", " style=", "<style", "javascript:", "innerHTML", "eval("] {
            assert!(!content.contains(word), "{address} has {word}");
        }
    }
}

#[tokio::test]
async fn a_browser_keeps_a_file_until_it_changes() {
    let node = accepting();
    let first = get(&node, "/").await;
    assert_eq!(first.headers["cache-control"], "no-cache");
    let tag = first.headers["etag"].to_str().unwrap();
    for (known, status) in [
        (tag.to_owned(), StatusCode::NOT_MODIFIED),
        (format!("\"other\", W/{tag}"), StatusCode::NOT_MODIFIED),
        ("*".to_owned(), StatusCode::NOT_MODIFIED),
        ("\"other\"".to_owned(), StatusCode::OK),
    ] {
        let request = Request::get("/").header("if-none-match", &known).body(Body::empty()).unwrap();
        let answer = ask(&node, request).await;
        assert_eq!(answer.status, status, "{known}");
        assert_eq!(answer.text.is_empty(), status == StatusCode::NOT_MODIFIED);
        assert_eq!(answer.headers["etag"], tag);
    }
    // Money, on the other hand, is never kept.
    assert_eq!(get(&node, "/health").await.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_a_problem_like_any_other() {
    for path in
        ["/dashboard/", "/dashboard/nothing.js", "/dashboard/../Cargo.toml", "/dashboard/%2e%2e/Cargo.toml"]
    {
        assert_problem(&get(&accepting(), path).await, 404, "not_found");
    }
}

#[tokio::test]
async fn a_payment_may_be_asked_for_with_amount_and_label() {
    let node = scripted(with_segwit(), Past::default(), Box::new(|_| None));
    let plain = get(&node, "/api/v1/wallet/address?type=segwit").await;
    let address = plain.json["address"].as_str().unwrap();
    for (query, uri) in [
        ("", String::new()),
        ("&amount_sats=50000", "?amount=0.0005".to_owned()),
        ("&amount_sats=2100000000000000", "?amount=21000000".to_owned()),
        ("&label=rent%20%26%20more", "?label=rent%20%26%20more".to_owned()),
        ("&amount_sats=1&label=%C3%BC", "?amount=0.00000001&label=%C3%BC".to_owned()),
    ] {
        let answer = get(&node, &format!("/api/v1/wallet/address?type=segwit{query}")).await;
        assert_eq!(answer.json["uri"], format!("bitcoin:{address}{uri}"), "{query}");
        let image = get(&node, &format!("/api/v1/wallet/address/qr?type=segwit{query}")).await;
        assert_eq!(image.status, StatusCode::OK);
        assert_eq!(image.headers["content-type"], "image/svg+xml");
        assert!(image.text.contains("<svg"), "{}", image.text);
    }
    let plain = get(&node, "/api/v1/wallet/address/qr?type=segwit").await;
    let other = get(&node, "/api/v1/wallet/address/qr?type=segwit&amount_sats=1").await;
    assert_ne!(plain.text, other.text);
}

#[tokio::test]
async fn a_request_for_money_that_makes_no_sense_is_refused() {
    let node = accepting();
    let long = "x".repeat(121);
    for query in [
        "amount_sats=0",
        "amount_sats=-1",
        "amount_sats=0.5",
        "amount_sats=2100000000000001",
        "label=",
        &format!("label={long}"),
        "lable=rent",
    ] {
        for path in ["/api/v1/wallet/address", "/api/v1/wallet/address/qr"] {
            assert_problem(&get(&node, &format!("{path}?{query}")).await, 400, "validation_failed");
        }
    }
    let keyless = refusing(Refusal::NoKey(Scheme::Segwit));
    assert_problem(&get(&keyless, "/api/v1/wallet/address/qr?type=segwit").await, 409, "no_key");
}
