//! The transport between real sockets on loopback: honest nodes, and attackers that speak bare QUIC.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod rotation;
mod support;

use std::{
    collections::BTreeMap,
    net::UdpSocket,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use mpc_wallet_core::Channel;
use mpc_wallet_shell::quic::{CloseCode, Event, Limits, Quic, QuicConfig, TlsFiles, frame};
use support::*;
use time::OffsetDateTime;
use tokio::sync::mpsc::channel;

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_exchange_frames_on_all_channels_both_ways() {
    let (mut one, mut two) = pair(&Ca::new()).await;
    for channel in Channel::ALL {
        one.quic.send(id(2), channel, format!("down {}", channel.name()).into_bytes());
        let expected =
            Event::Frame { from: id(1), channel, payload: format!("down {}", channel.name()).into_bytes() };
        assert_eq!(two.next().await, expected);
        two.quic.send(id(1), channel, format!("up {}", channel.name()).into_bytes());
        let expected =
            Event::Frame { from: id(2), channel, payload: format!("up {}", channel.name()).into_bytes() };
        assert_eq!(one.next().await, expected);
    }
    let stats = &one.quic.stats()[&id(2)];
    assert!(stats.connected && stats.rtt.is_some());
    assert_eq!(stats.dropped_frames, Default::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_overtake_megabyte_frames() {
    let (one, mut two) = pair(&Ca::new()).await;
    let frames = 7;
    for number in 0..frames {
        one.quic.send(id(2), Channel::MpcRounds, vec![number; MIB]);
    }
    one.quic.send(id(2), Channel::Heartbeats, b"alive".to_vec());
    let (mut bulk, mut bulk_before_heartbeat) = (0, None);
    while bulk < frames || bulk_before_heartbeat.is_none() {
        let Event::Frame { channel, payload, .. } = two.next().await else { panic!("the connection fell") };
        if channel == Channel::Heartbeats {
            bulk_before_heartbeat = Some(bulk);
        } else {
            assert_eq!(payload, vec![bulk; MIB], "whole and in order");
            bulk += 1;
        }
    }
    assert!(bulk_before_heartbeat.unwrap() < frames, "the heartbeat waited for {frames} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_driver_loses_no_frame() {
    let ca = Ca::new();
    let mut two = Setup { inbox: 1, ..Setup::of(&ca, 2) }.start(2, &[(1, None)]);
    let mut one = start(&ca, 1, &[(2, Some(two.quic.local_addr()))]);
    one.up(2).await;
    two.up(1).await;
    one.quic.send(id(2), Channel::Events, b"at once".to_vec());
    assert_eq!(two.payload().await, b"at once", "a frame sent on `Up` is not too early");
    // More than every buffer on the way holds together, with the queue emptied as it goes.
    for number in 0..8u8 {
        eventually("room in the queue", || one.quic.stats()[&id(2)].queue.mpc_rounds.frames < 4).await;
        one.quic.send(id(2), Channel::MpcRounds, vec![number; MIB]);
    }
    for number in 0..8u8 {
        assert_eq!(two.payload().await[0], number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused_with_a_reason_and_the_honest_peer_is_served() {
    let (ca, foreign) = (Ca::new(), Ca::new());
    let mut node = start(&ca, 3, &[(1, None), (2, None), (4, None)]);
    let now = OffsetDateTime::now_utc();
    let hour = time::Duration::hours(1);
    let cases = [
        ("foreign CA", foreign.issue(&Leaf::of(1)), "node-1", "not signed by this cluster's CA"),
        ("expired", ca.issue(&Leaf { not_after: now - hour, ..Leaf::of(1) }), "node-1", "has expired"),
        (
            "not yet valid",
            ca.issue(&Leaf { not_before: now + hour, ..Leaf::of(1) }),
            "node-1",
            "not valid yet",
        ),
        (
            "common name",
            ca.issue(&Leaf { common_name: "mallory".into(), ..Leaf::of(1) }),
            "mallory",
            "not of the form",
        ),
        (
            "two names",
            ca.issue(&Leaf { dns: "node-2".into(), ..Leaf::of(1) }),
            "node-1",
            "does not name node-1",
        ),
        (
            "log forgery",
            ca.issue(&Leaf { common_name: "x\nWARN".into(), ..Leaf::of(1) }),
            r"x\\nWARN",
            "not of the form",
        ),
        ("unknown node", ca.issue(&Leaf::of(9)), "node-9", "node-9 is not in the manifest"),
        ("own name", ca.issue(&Leaf::of(3)), "node-3", "this node's own name"),
        ("higher id dials", ca.issue(&Leaf::of(4)), "node-4", "the lower id dials"),
    ];
    for (desc, pair, presented, reason) in &cases {
        let attacker = Attacker::new(Some(pair));
        assert!(attacker.connect(node.quic.local_addr()).await.is_err(), "{desc} was let in");
        let from = format!("peer_address={}", attacker.address());
        eventually(desc, || logged(&[&from, presented, reason]) == 1).await;
        assert_eq!(logged(&[&from]), 1, "{desc}: exactly one line");
    }
    let nameless = Attacker::new(None);
    assert!(nameless.connect(node.quic.local_addr()).await.is_err());
    eventually("no certificate", || logged(&[&nameless.address().to_string(), "no certificates"]) == 1).await;

    let mut honest = start(&ca, 1, &[(3, Some(node.quic.local_addr()))]);
    honest.up(3).await;
    assert_eq!(node.next().await, Event::Up { peer: id(1) }, "no stranger was ever announced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dialler_refuses_a_node_that_answers_under_another_name() {
    let ca = Ca::new();
    let wrong = start(&ca, 3, &[(1, None)]);
    let address = wrong.quic.local_addr();
    let mut one = start(&ca, 1, &[(2, Some(address))]);
    eventually("refusal", || {
        logged(&[&format!("peer_address={address}"), "presented_name=\"node-3\"", "does not name node-2"])
            == 1
    })
    .await;
    assert!(one.events.try_recv().is_err(), "nobody came up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn banned_peer_is_cut_off_until_allowed_and_others_stay() {
    let ca = Ca::new();
    let mut three = start(&ca, 3, &[(1, None), (2, None)]);
    let address = three.quic.local_addr();
    let mut one = start(&ca, 1, &[(3, Some(address))]);
    let mut two = start(&ca, 2, &[(3, Some(address))]);
    one.up(3).await;
    two.up(3).await;
    three.quic.ban(id(1), SystemTime::now() + Duration::from_secs(3600));
    assert_eq!(three.down(1).await, "banned");
    assert!(one.down(3).await.contains("banned"));
    let from = format!("peer_address={}", one.quic.local_addr());
    eventually("refusal", || logged(&[&from, "presented_name=\"node-1\"", "node-1 is banned"]) >= 1).await;
    assert!(!three.quic.stats()[&id(1)].connected);
    two.quic.send(id(3), Channel::Events, b"still here".to_vec());
    assert_eq!(three.payload().await, b"still here");
    three.quic.allow(id(1));
    three.up(1).await;
    assert_eq!(two.quic.stats()[&id(3)].connections, 1, "the other peer noticed nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn banning_node_does_not_dial_until_the_ban_ends() {
    let (mut one, mut two) = pair(&Ca::new()).await;
    one.quic.ban(id(2), SystemTime::now() + Duration::from_millis(300));
    one.down(2).await;
    two.down(1).await;
    one.up(2).await;
    assert!(one.quic.stats()[&id(2)].banned_until.is_none(), "up only after the end of the ban");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_streams_close_the_connection_and_the_node_lives() {
    let ca = Ca::new();
    let mut node = start(&ca, 2, &[(1, None)]);
    let address = node.quic.local_addr();
    let garbage = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in [1, 20, 100, 1200, 1400] {
        for fill in [0x00, 0x40, 0xc0, 0xff] {
            garbage.send_to(&vec![fill; length], address).unwrap();
        }
    }
    let frame_of = |channel, length: u32| [&frame::header(channel)[..], &length.to_be_bytes()].concat();
    let cases = [
        ("foreign protocol", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "magic"),
        ("version", b"mpcw\x09\x01".to_vec(), "version 9"),
        ("channel", b"mpcw\x01\x07".to_vec(), "channel 7"),
        ("zero frame", frame_of(Channel::Events, 0), "empty frame on events"),
        ("heartbeat too long", frame_of(Channel::Heartbeats, 4097), "4097 bytes on heartbeats"),
        ("4 GiB", frame_of(Channel::MpcRounds, u32::MAX), "4294967295 bytes on mpc_rounds"),
    ];
    let pair = ca.issue(&Leaf::of(1));
    for (desc, bytes, reason) in cases {
        let attacker = Attacker::new(Some(&pair));
        let (connection, _admission) = attacker.connect(address).await.unwrap();
        let mut stream = connection.open_uni().await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let what = node.misbehaved(1).await;
        assert!(what.contains(reason), "{desc}: {what}");
        let closed = within(connection.closed()).await;
        let quinn::ConnectionError::ApplicationClosed(close) = closed else { panic!("{desc}: {closed}") };
        assert_eq!(close.error_code, CloseCode::Malformed.wire());
        node.down(1).await;
    }
    let attacker = Attacker::new(Some(&pair));
    let (connection, _admission) = attacker.connect(address).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = connection.open_uni().await.unwrap();
        stream.write_all(&frame::header(Channel::Events)).await.unwrap();
        streams.push(stream);
    }
    assert_eq!(node.misbehaved(1).await, "second stream for events");

    let mut honest = start(&ca, 1, &[(2, Some(address))]);
    honest.up(2).await;
    honest.quic.send(id(2), Channel::Events, b"hello".to_vec());
    assert_eq!(node.payload().await, b"hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborted_streams_are_no_misbehaviour() {
    let ca = Ca::new();
    let mut node = start(&ca, 2, &[(1, None)]);
    let attacker = Attacker::new(Some(&ca.issue(&Leaf::of(1))));
    let (connection, _admission) = attacker.connect(node.quic.local_addr()).await.unwrap();
    node.up(1).await;
    let mut stream = connection.open_uni().await.unwrap();
    stream.write_all(&frame::header(Channel::Events)).await.unwrap();
    stream.write_all(&[0, 0, 1, 0, 1, 2, 3]).await.unwrap();
    stream.finish().unwrap();
    let Event::Down { reason, .. } = node.next().await else { panic!("a crash may look like this") };
    assert_eq!(reason, "the peer ended a channel");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orderly_shutdown_tells_the_peer_at_once() {
    let (mut one, two) = pair(&Ca::new()).await;
    let began = Instant::now();
    two.quic.shutdown().await;
    assert!(one.down(2).await.contains("shutting down"));
    assert!(began.elapsed() < Limits::default().idle, "the goodbye came before the idle timeout");
}

/// Starts a node inside a runtime of its own, so that its end can be sudden.
fn start_in(
    runtime: &tokio::runtime::Runtime,
    config: &QuicConfig,
) -> (Quic, tokio::sync::mpsc::Receiver<Event>) {
    let _inside = runtime.enter();
    let (sender, events) = channel(64);
    let began = Instant::now();
    loop {
        match Quic::start(config.clone(), sender.clone()) {
            Ok(quic) => return (quic, events),
            // The dead process's socket may need a moment to go.
            Err(error) => assert!(began.elapsed() < DEADLINE, "{error}"),
        }
        std::thread::yield_now();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Crashes `victim` (no goodbye is sent), starts it again on its port and waits for both sides to agree. Returns how long that took.
async fn crash_and_restart(victim: u16) -> Duration {
    let ca = Ca::new();
    let (one, two) = pair(&ca).await;
    let (before, mut survivor) = if victim == 1 { (one, two) } else { (two, one) };
    let mut victim_config = before.config.clone();
    victim_config.listen = before.quic.local_addr();
    before.quic.shutdown().await;
    survivor.down(victim).await;
    // The keys' directory went with the node above; write the same identity anew.
    let dir = tempfile::TempDir::new().unwrap();
    victim_config.tls = ca.write(&ca.issue(&Leaf::of(victim)), dir.path());
    let life = runtime();
    let (quic, mut events) = start_in(&life, &victim_config);
    survivor.up(victim).await;
    assert!(matches!(within(events.recv()).await, Some(Event::Up { .. })));
    // Without its runtime the transport can send nothing any more: a crash.
    tokio::task::block_in_place(|| life.shutdown_timeout(DEADLINE));
    drop((quic, events));

    let (life, began) = (runtime(), Instant::now());
    let (quic, mut events) = start_in(&life, &victim_config);
    let why = survivor.down(victim).await;
    assert!(why == "the peer restarted" || why.contains("newer connection"), "not noticed by silence: {why}");
    survivor.up(victim).await;
    assert!(matches!(within(events.recv()).await, Some(Event::Up { .. })));
    let took = began.elapsed();
    survivor.quic.send(id(victim), Channel::Events, b"welcome back".to_vec());
    assert!(
        matches!(within(events.recv()).await, Some(Event::Frame { payload, .. }) if payload == b"welcome back")
    );
    drop(quic);
    life.shutdown_background();
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashed_acceptor_is_reconnected_within_two_seconds() {
    let took = crash_and_restart(2).await;
    assert!(took < Duration::from_secs(2), "took {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashed_dialler_is_reconnected_within_two_seconds() {
    let took = crash_and_restart(1).await;
    assert!(took < Duration::from_secs(2), "took {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_that_never_reads_holds_bounded_memory_and_others_are_served() {
    let ca = Ca::new();
    let mut node = start(&ca, 3, &[(1, None), (2, None)]);
    let mut honest = start(&ca, 2, &[(3, Some(node.quic.local_addr()))]);
    honest.up(3).await;
    let attacker = Attacker::new(Some(&ca.issue(&Leaf::of(1))));
    let (_connection, _unread) = attacker.connect(node.quic.local_addr()).await.unwrap();
    node.up(1).await;
    let bounds = Limits::default();
    let began = Instant::now();
    for number in 0..200u8 {
        for channel in [Channel::MpcRounds, Channel::StateSync] {
            node.quic.send(id(1), channel, vec![number; MIB]);
        }
        node.quic.send(id(1), Channel::Heartbeats, vec![number; 4096]);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "send never waits");
    eventually("drops are counted", || {
        let stats = &node.quic.stats()[&id(1)];
        stats.dropped_frames.mpc_rounds > 100 && stats.dropped_frames.state_sync > 100
    })
    .await;
    let stats = &node.quic.stats()[&id(1)];
    for channel in Channel::ALL {
        assert!(stats.queue.get(channel).bytes <= *bounds.queue_bytes.get(channel), "{}", channel.name());
        assert!(stats.queue.get(channel).frames <= *bounds.queue_frames.get(channel), "{}", channel.name());
    }
    node.quic.send(id(2), Channel::MpcRounds, b"not your fault".to_vec());
    assert_eq!(honest.payload().await, b"not your fault");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pair_keeps_one_connection_and_the_newer_replaces_the_older() {
    let ca = Ca::new();
    let mut three = start(&ca, 3, &[(1, None), (2, None)]);
    let mut two = start(&ca, 2, &[(1, None), (3, Some(three.quic.local_addr()))]);
    let mut one = start(&ca, 1, &[(2, Some(two.quic.local_addr())), (3, Some(three.quic.local_addr()))]);
    for (node, peers) in [(&mut one, [2, 3]), (&mut two, [1, 3]), (&mut three, [1, 2])] {
        let mut seen = [node.next().await, node.next().await].map(|event| match event {
            Event::Up { peer } => peer.get(),
            Event::Down { .. } | Event::Frame { .. } | Event::Misbehaved { .. } => panic!("{event:?}"),
        });
        seen.sort_unstable();
        assert_eq!(seen, peers);
    }
    for node in [&one, &two, &three] {
        assert!(node.quic.stats().values().all(|peer| peer.connections == 1), "one connection a pair");
    }
    one.quic.shutdown().await;
    three.down(1).await;
    let pair = ca.issue(&Leaf::of(1));
    let (first, second) = (Attacker::new(Some(&pair)), Attacker::new(Some(&pair)));
    let (older, _kept) = first.connect(three.quic.local_addr()).await.unwrap();
    three.up(1).await;
    let (newer, _kept) = second.connect(three.quic.local_addr()).await.unwrap();
    let closed = within(older.closed()).await;
    let quinn::ConnectionError::ApplicationClosed(close) = closed else { panic!("{closed}") };
    assert_eq!(close.error_code, CloseCode::Replaced.wire());
    assert!(three.down(1).await.contains("newer connection"));
    three.up(1).await;
    assert!(newer.close_reason().is_none());
}

#[tokio::test]
async fn certificates_of_the_script_are_accepted_by_the_node_and_by_the_checker() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    let run = |script: &str, arguments: &[&str]| {
        Command::new(scripts.join(script)).args(arguments).output().unwrap().status.success()
    };
    let dir = tempfile::TempDir::new().unwrap();
    let out = dir.path().to_str().unwrap();
    assert!(run("generate-certs.sh", &["--out", out, "--nodes", "2"]));
    assert!(run("verify-certs.sh", &[out]));
    assert!(!run("generate-certs.sh", &["--out", out, "--nodes", "2"]), "overwrites only when forced");
    let start_as = |number: u16, file: &str| {
        let tls = TlsFiles {
            ca: dir.path().join("ca.crt"),
            cert: dir.path().join(format!("{file}.crt")),
            key: dir.path().join(format!("{file}.key")),
        };
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = QuicConfig { me: id(number), listen, peers: BTreeMap::new(), tls, limits: limits() };
        Quic::start(config, channel(1).0)
    };
    assert!(start_as(1, "node1").is_ok() && start_as(2, "node2").is_ok());
    assert!(start_as(1, "node2").is_err());
    std::fs::copy(dir.path().join("node1.crt"), dir.path().join("node2.crt")).unwrap();
    assert!(!run("verify-certs.sh", &[out]), "the checker sees a swapped certificate");
}

#[tokio::test]
async fn unusable_identity_is_refused_at_start_with_the_remedy() {
    let ca = Ca::new();
    let good = start(&ca, 1, &[]);
    let start_with = |config: &QuicConfig| {
        let (sender, _events) = channel(1);
        Quic::start(config.clone(), sender).map(drop).unwrap_err().to_string()
    };
    let key = &good.config.tls.key;
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let text = start_with(&good.config);
    assert!(text.contains("mode 0640") && text.contains(&format!("chmod 600 {}", key.display())), "{text}");

    let now = OffsetDateTime::now_utc();
    let expired = Leaf { not_after: now - time::Duration::hours(1), ..Leaf::of(1) };
    let cases = [
        (ca.issue(&Leaf::of(2)), "does not name node-1"),
        (ca.issue(&expired), "has expired"),
        (Ca::new().issue(&Leaf::of(1)), "not signed by this cluster's CA"),
        (
            Pair { key: ca.issue(&Leaf::of(1)).key, ..ca.issue(&Leaf::of(1)) },
            "does not belong to certificate",
        ),
        (Pair { cert: "nothing".into(), ..ca.issue(&Leaf::of(1)) }, "no CERTIFICATE section"),
        (Pair { key: "nothing".into(), ..ca.issue(&Leaf::of(1)) }, "holds no usable private key"),
    ];
    for (pair, reason) in cases {
        ca.write(&pair, good.dir.path());
        let text = start_with(&good.config);
        assert!(text.contains(reason), "{reason}: {text}");
    }
    std::fs::remove_file(key).unwrap();
    assert!(start_with(&good.config).contains("cannot read"));
}
