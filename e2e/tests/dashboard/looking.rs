//! Every page, in both themes, on a desk and on a telephone.

use mpc_wallet_e2e::suite::payee;

use crate::{browser::Browser, funded};

const PHONE: u32 = 375;
const DESK: u32 = 1_280;

#[test]
fn every_page_fits_its_screen_in_both_themes_and_asks_only_its_node() {
    let cluster = funded();
    let node = cluster.node(1).unwrap();
    let payment = cluster.pay(1, &payee("dashboard look", 1).unwrap(), 20_000).unwrap();
    let transaction = format!("#/tx/{}", payment.txid);
    let browser = Browser::start().unwrap();
    // What the browser itself did at its start is not the dashboard's.
    browser.requests().unwrap();
    for (width, theme) in [(DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")] {
        browser.look(width, theme).unwrap();
        for page in ["#/", "#/receive", "#/send", &transaction, "#/history", "#/cluster", "#/violations"] {
            let desc = format!("{page} at {width} px, {theme}");
            browser.open(node.url(), page).unwrap();
            browser.wait("#connection[data-state=live]").unwrap();
            browser.wait("main .sheet").unwrap();
            let measured = browser.ask(
                "return [document.documentElement.scrollWidth, innerWidth, document.documentElement.dataset.theme];",
            );
            let measured = measured.unwrap();
            assert_eq!(measured[1], width, "{desc}");
            assert!(measured[0].as_u64() <= Some(u64::from(width)), "{desc} scrolls sideways: {measured}");
            assert_eq!(measured[2], theme, "{desc}");
        }
    }
    assert_eq!(browser.complaints().unwrap(), Vec::<String>::new());
    let requests = browser.requests().unwrap();
    let home = format!("{}/", node.url());
    let foreign: Vec<_> = requests
        .iter()
        .filter(|address| !address.starts_with(&home) && !address.starts_with("about:"))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(requests.iter().any(|address| address.ends_with("/dashboard/js/main.js")), "{requests:?}");
}

#[test]
fn a_chosen_theme_stays_chosen() {
    let cluster = funded();
    let node = cluster.node(1).unwrap();
    let browser = Browser::start().unwrap();
    browser.look(DESK, "light").unwrap();
    browser.open(node.url(), "#/").unwrap();
    for (name, theme) in [("Auto", "light"), ("Light", "light"), ("Dark", "dark")] {
        browser.wait_text("#theme", |text| text == name).unwrap();
        assert_eq!(browser.ask("return document.documentElement.dataset.theme;").unwrap(), theme);
        if name != "Dark" {
            browser.click("#theme").unwrap();
        }
    }
    browser.open(node.url(), "#/cluster").unwrap();
    browser.wait("html[data-theme=dark]").unwrap();
}
