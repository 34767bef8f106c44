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
    for (width, theme) in [(DESK, "light"), (DESK, "dark"), (PHONE, "light"), (PHONE, "dark")] {
        browser.look(width, theme).unwrap();
        for page in [
            "#/",
            "#/receive",
            "#/send",
            &transaction,
            "#/history",
            "#/approvals",
            "#/cluster",
            "#/violations",
        ] {
            let desc = format!("{page} at {width} px, {theme}");
            browser.open(node.url(), page).unwrap();
            browser.wait("#connection[data-state=live]").unwrap();
            browser.wait("main .sheet").unwrap();
            assert_eq!(overhang(&browser), 0, "{desc} scrolls sideways");
            let measured =
                browser.ask("return [innerWidth, document.documentElement.dataset.theme];").unwrap();
            assert_eq!(measured[0], width, "{desc}");
            assert_eq!(measured[1], theme, "{desc}");
        }
    }
    assert_eq!(browser.complaints().unwrap(), Vec::<String>::new());
    let requests = browser.requests().unwrap();
    assert_eq!(foreign(&requests, node.url()), Vec::<&String>::new());
    assert!(requests.iter().any(|address| address.ends_with("/dashboard/js/main.js")), "{requests:?}");
}

/// CSS pixels that a page is wider than its window.
fn overhang(browser: &Browser) -> i64 {
    let script = "return document.documentElement.scrollWidth - innerWidth;";
    browser.ask(script).unwrap().as_i64().unwrap().max(0)
}

/// Requests to anybody but the node.
fn foreign<'a>(requests: &'a [String], node: &str) -> Vec<&'a String> {
    requests.iter().filter(|address| !address.starts_with(&format!("{node}/"))).collect()
}

#[test]
fn a_wide_page_a_complaint_and_a_foreign_request_would_be_seen() {
    let browser = Browser::start().unwrap();
    browser.look(PHONE, "light").unwrap();
    browser.open("data:text/html,<!doctype html><p>planted</p>", "").unwrap();
    browser.wait("p").unwrap();
    assert_eq!(overhang(&browser), 0);
    let planted = "document.querySelector('p').style.width = '400px'; console.error('planted');
        return fetch('http://127.0.0.1:9/planted').catch(() => null);";
    browser.ask(planted).unwrap();
    assert!(overhang(&browser) > 20);
    assert!(browser.complaints().unwrap().iter().any(|message| message.contains("planted")));
    assert_eq!(
        foreign(&browser.requests().unwrap(), "http://127.0.0.1:8081"),
        ["http://127.0.0.1:9/planted"]
    );
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
