//! New certificates from the same CA.

use super::documented::{blocks, run, run_at_each};
use super::papers::{ended_connections, taken, wait_connected_anew, wait_healthy, wait_in_use};
use super::traffic::while_payments_flow;
use super::{SOON, funded};

#[test]
fn certificates_are_renewed_as_documented_while_payments_flow_and_no_connection_ends() {
    // An hour between two looks: what happens here is SIGHUP's doing.
    let cluster = funded(3_600);
    let before = ended_connections(&cluster);
    let [at_the_ca, at_a_node] = blocks("### Renewing certificates").try_into().expect("two blocks");
    while_payments_flow(&cluster, "renewal", |traffic| {
        traffic.wait_for_more(3);
        run(&cluster, &at_the_ca, None);
        run_at_each(&cluster, &at_a_node, |node| {
            wait_in_use(&cluster, cluster.node(node).unwrap());
            traffic.wait_for_more(1);
        });
        traffic.wait_for_more(3);
        assert_eq!(ended_connections(&cluster), before);
    });

    let three = cluster.node(3).unwrap();
    assert_eq!(taken(three).unwrap(), 1);
    three.terminate(SOON).unwrap();
    cluster.start_all().unwrap();
    wait_connected_anew(&cluster, three);
    cluster.nodes().iter().for_each(wait_healthy);
}
