//! Certificates that change while connections live.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use mpc_wallet_shell::quic::{Channel, Limits};
use time::OffsetDateTime;

use super::support::{Ca, Leaf, Node, Setup, eventually, id, limits, pair};

/// Looks at its certificates all the time, or tests of it would be slow.
fn attentive() -> Limits {
    Limits { certificate_check: Duration::from_millis(50), ..limits() }
}

/// Writes a bundle of CAs.
fn trust(node: &Node, authorities: &[&Ca]) {
    let bundle: String = authorities.iter().map(|ca| ca.pem.as_str()).collect();
    std::fs::write(&node.config.tls.ca, bundle).unwrap();
}

/// Gives a node a fresh certificate; the CAs that it trusts stay.
fn renew(node: &Node, ca: &Ca, number: u16) {
    let pair = ca.issue(&Leaf::of(number));
    std::fs::write(&node.config.tls.cert, pair.cert).unwrap();
    std::fs::write(&node.config.tls.key, pair.key).unwrap();
}

fn notes(node: &Node) -> Vec<String> {
    node.quic.certificates().report().notes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_rotate_without_a_dropped_connection() {
    let ca = Ca::new();
    let (one, mut two) = pair(&ca).await;
    let expiry = || two.quic.certificates().report().own;
    let before = expiry();
    let later = Leaf { not_after: OffsetDateTime::now_utc() + time::Duration::days(60), ..Leaf::of(2) };
    ca.write(&ca.issue(&later), two.dir.path());
    assert!(two.quic.certificates().look().unwrap());
    assert_eq!(expiry(), later.not_after.unix_timestamp());
    assert!(expiry() > before);
    std::fs::write(two.dir.path().join("node.crt"), "nonsense").unwrap();
    assert!(two.quic.certificates().look().is_err());
    assert_eq!(expiry(), later.not_after.unix_timestamp(), "a bad file changes nothing");
    one.quic.send(id(2), Channel::Events, b"same connection".to_vec());
    assert_eq!(two.payload().await, b"same connection");
    assert_eq!(two.quic.stats()[&id(1)].connections, 1);
}

#[tokio::test]
async fn refused_files_are_told_until_they_are_good_and_counted_once() {
    let ca = Ca::new();
    let (one, _two) = pair(&ca).await;
    assert!(!one.quic.certificates().look().unwrap(), "nothing has changed");
    let good = std::fs::read(&one.config.tls.key).unwrap();
    std::fs::write(&one.config.tls.key, ca.issue(&Leaf::of(1)).key).unwrap();
    for _look in 0..3 {
        let refusal = one.quic.certificates().look().unwrap_err().to_string();
        assert!(refusal.contains("does not belong to certificate"), "{refusal}");
        assert_eq!(
            notes(&one),
            [format!("new certificates are refused, the old ones stay in use: {refusal}")]
        );
    }
    std::fs::write(&one.config.tls.key, good).unwrap();
    std::fs::set_permissions(&one.config.tls.key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(one.quic.certificates().look().unwrap_err().to_string().contains("mode 0644"));
    std::fs::set_permissions(&one.config.tls.key, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(!one.quic.certificates().look().unwrap(), "what is in use is back");
    let report = one.quic.certificates().report();
    assert_eq!((report.taken, report.refused, report.notes), (0, 2, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_ends_with_its_peers_certificate_and_is_made_anew_with_the_next_one() {
    let ca = Ca::new();
    let end = OffsetDateTime::now_utc() + time::Duration::seconds(4);
    let leaf = Leaf { not_after: end, ..Leaf::of(2) };
    let mut two = Setup { leaf, limits: attentive(), ..Setup::of(&ca, 2) }.start(2, &[(1, None)]);
    let address = two.quic.local_addr();
    let mut one = Setup { limits: attentive(), ..Setup::of(&ca, 1) }.start(1, &[(2, Some(address))]);
    one.up(2).await;
    two.up(1).await;
    assert_eq!(one.quic.certificates().report().peers[&id(2)], end.unix_timestamp());
    assert!(notes(&two)[0].contains("this node's certificate expires on"), "{:?}", notes(&two));

    let reason = one.down(2).await;
    assert!(OffsetDateTime::now_utc() >= end && reason.contains("has expired"), "{reason}");
    assert!(notes(&two)[0].contains("this node's certificate has expired on"), "{:?}", notes(&two));
    assert_eq!(one.quic.certificates().report().peers.get(&id(2)), None, "it is not connected");

    renew(&two, &ca, 2);
    one.up(2).await;
    assert_eq!(notes(&two), [""; 0]);
    assert!(one.quic.certificates().report().peers[&id(2)] > end.unix_timestamp());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_a_ca_that_is_taken_out_end_and_others_stay() {
    let (old, new) = (Ca::new(), Ca::new());
    let mut three = Setup::of(&new, 3).start(3, &[(1, None)]);
    let mut two = Setup::of(&old, 2).start(2, &[(1, None)]);
    let mut one =
        Setup::of(&new, 1).start(1, &[(2, Some(two.quic.local_addr())), (3, Some(three.quic.local_addr()))]);
    for node in [&one, &two, &three] {
        trust(node, &[&new, &old]);
        assert!(node.quic.certificates().look().unwrap());
    }
    one.up(2).await;
    two.up(1).await;
    three.up(1).await;

    trust(&one, &[&new]);
    assert!(one.quic.certificates().look().unwrap());
    let reason = one.down(2).await;
    assert!(reason.contains("not signed by this cluster's CA"), "{reason}");
    trust(&two, &[&new]);
    let refusal = two.quic.certificates().look().unwrap_err().to_string();
    assert!(refusal.contains("not signed by this cluster's CA"), "its own is of the old CA: {refusal}");

    renew(&two, &new, 2);
    assert!(two.quic.certificates().look().unwrap());
    one.up(2).await;
    eventually("node 3 stays connected", || one.quic.stats()[&id(3)].connected).await;
    assert_eq!(one.quic.stats()[&id(3)].connections, 1);
}
