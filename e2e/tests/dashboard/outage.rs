//! What the pages say when nodes are away.

use bitcoin::Amount;

use crate::{browser::Browser, funded};

#[test]
fn a_lost_node_is_noticed_and_found_again() {
    let cluster = funded();
    let node = cluster.node(2).unwrap();
    let browser = Browser::start().unwrap();
    browser.open(node.url(), "#/").unwrap();
    browser.wait("#connection[data-state=live]").unwrap();
    browser.wait_text(".headline", |text| text == "0.03000000 BTC").unwrap();

    node.kill9().unwrap();
    browser.wait_text("#connection", |text| text.contains("Reconnecting, last seen")).unwrap();
    browser.wait_text("#outage", |text| !text.is_empty()).unwrap();
    browser.wait_text("#connection", |text| text == "Node down").unwrap();
    // What was known stays to be read.
    browser.wait_text(".headline", |text| text == "0.03000000 BTC").unwrap();

    let address = cluster.address().unwrap();
    cluster.chain().fund_many(&address, Amount::from_sat(500_000), 1).unwrap();
    node.start().unwrap();
    browser.wait("#connection[data-state=live]").unwrap();
    browser.wait("#outage[hidden]").unwrap();
    browser.wait_text(".headline", |text| text == "0.03500000 BTC").unwrap();
}

#[test]
fn too_few_nodes_are_said_in_plain_words() {
    let cluster = funded();
    let browser = Browser::start().unwrap();
    browser.open(cluster.node(1).unwrap().url(), "#/cluster").unwrap();
    browser.wait_text("#health", |text| text == "5 of 5 nodes up, 4 needed: can sign.").unwrap();
    cluster.node(4).unwrap().kill9().unwrap();
    browser.wait_text("#health", |text| text.starts_with("4 of 5 nodes up, 4 needed: can sign")).unwrap();
    cluster.node(5).unwrap().kill9().unwrap();
    browser.wait_text("#health", |text| text.starts_with("3 of 5 nodes up, 4 needed: cannot sign")).unwrap();
    browser.wait(".map .node-offline").unwrap();
    cluster.start_all().unwrap();
    browser.wait_text("#health", |text| text == "5 of 5 nodes up, 4 needed: can sign.").unwrap();
    assert_eq!(browser.complaints().unwrap(), Vec::<String>::new());
}
