//! A node that asks for API keys.

use std::time::Duration;

use mpc_wallet_e2e::cluster::Cluster;
use mpc_wallet_e2e::suite::{mining_options, payee};
use mpc_wallet_shell::access::{KeyFile, Role};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::browser::Browser;

#[test]
fn pages_ask_for_a_key_show_what_its_role_allows_and_forget_it_when_told() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("api-keys.toml");
    let mut keys = KeyFile::default();
    let mut key = |role: Role| keys.create(role.name(), role, OffsetDateTime::now_utc()).unwrap();
    let (viewer, initiator) = (key(Role::Viewer), key(Role::Initiator));
    keys.write(&file).unwrap();
    let cluster = Cluster::start(&mining_options()).unwrap();
    cluster.run_dkg().unwrap();
    cluster.fund(1_000_000, 2).unwrap();
    let closed = cluster.node(1).unwrap();
    closed.terminate(Duration::from_secs(10)).unwrap();
    let settings = std::fs::read_to_string(closed.config()).unwrap();
    let named = format!("[rest]\napi_keys = \"{}\"\n", file.display());
    std::fs::write(closed.config(), settings.replace("[rest]\n", &named)).unwrap();
    closed.start().unwrap();
    closed.wait_until_up(Duration::from_secs(30)).unwrap();

    let browser = Browser::start().unwrap();
    browser.open(closed.url(), "#/").unwrap();
    browser.wait("#door[open]").unwrap();
    browser.fill("#door input", "mpcw_nobody").unwrap();
    browser.click("#enter").unwrap();
    browser.wait_text("#door .wrong", |text| text.contains("not one of this node's")).unwrap();
    browser.fill("#door input", viewer.reveal()).unwrap();
    browser.click("#enter").unwrap();
    browser.wait_text("main", |text| text.contains("can sign") && text.contains("0.02")).unwrap();

    let pay = |number: u32| {
        browser.open(closed.url(), "#/send").unwrap();
        browser.fill("input.mono", &payee("dashboard keys", number).unwrap().to_string()).unwrap();
        browser.fill("input[inputmode=decimal]", "0.001").unwrap();
        browser.click("form .button.main").unwrap();
        browser.click(".button.main").unwrap();
    };
    pay(1);
    browser.wait_text("main", |text| text.contains("this needs initiator")).unwrap();

    browser.click("#lock").unwrap();
    browser.wait("#door[open]").unwrap();
    browser.fill("#door input", initiator.reveal()).unwrap();
    browser.click("#enter").unwrap();
    pay(2);
    browser.wait_text("main", |text| text.contains("Confirmed")).unwrap();
}
