//! Certificates, nodes, attackers and a readable log for the transport's tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, unreachable_pub, missing_docs)]

use std::{
    collections::BTreeMap,
    io::Write,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex, Once, OnceLock},
    time::Duration,
};

use mpc_wallet_core::NodeId;
use mpc_wallet_shell::quic::{ALPN, Event, Limits, Quic, QuicConfig, TlsFiles};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::sync::mpsc::{Receiver, channel};

/// Longer than anything may take on a busy machine; only a failing test waits for it.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub fn id(number: u16) -> NodeId {
    NodeId::new(number)
}

/// What a certificate says; each test spoils one field.
pub struct Leaf {
    pub common_name: String,
    pub dns: String,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
}

impl Leaf {
    pub fn of(number: u16) -> Self {
        let now = OffsetDateTime::now_utc();
        Self {
            common_name: format!("node-{number}"),
            dns: format!("node-{number}"),
            not_before: now - time::Duration::days(1),
            not_after: now + time::Duration::days(30),
        }
    }
}

pub struct Ca {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

pub struct Pair {
    pub cert: String,
    pub key: String,
}

impl Ca {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = name("test CA");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    pub fn issue(&self, leaf: &Leaf) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![leaf.dns.clone()]).unwrap();
        params.distinguished_name = name(&leaf.common_name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (leaf.not_before, leaf.not_after);
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { cert, key: key.serialize_pem() }
    }

    /// Writes `ca.crt`, `node.crt` and `node.key` as an operator would.
    pub fn write(&self, pair: &Pair, dir: &Path) -> TlsFiles {
        let files =
            TlsFiles { ca: dir.join("ca.crt"), cert: dir.join("node.crt"), key: dir.join("node.key") };
        std::fs::write(&files.ca, &self.pem).unwrap();
        std::fs::write(&files.cert, &pair.cert).unwrap();
        std::fs::write(&files.key, &pair.key).unwrap();
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).unwrap();
        files
    }
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Fast to notice, or tests of silence would be slow.
pub fn limits() -> Limits {
    Limits { backoff_max: Duration::from_millis(400), ..Limits::default() }
}

/// A node and everything that it keeps on disk.
pub struct Node {
    pub quic: Quic,
    pub events: Receiver<Event>,
    pub dir: TempDir,
    pub config: QuicConfig,
}

pub struct Setup<'a> {
    pub ca: &'a Ca,
    pub leaf: Leaf,
    pub limits: Limits,
    pub inbox: usize,
}

impl<'a> Setup<'a> {
    pub fn of(ca: &'a Ca, number: u16) -> Self {
        Self { ca, leaf: Leaf::of(number), limits: limits(), inbox: 64 }
    }

    /// Starts a node on a port of the system's choice. Peers without an address dial this node.
    pub fn start(self, number: u16, peers: &[(u16, Option<SocketAddr>)]) -> Node {
        capture_logs();
        let dir = TempDir::new().unwrap();
        let tls = self.ca.write(&self.ca.issue(&self.leaf), dir.path());
        let peers = peers
            .iter()
            .map(|(peer, address)| (id(*peer), address.map_or("127.0.0.1:9".into(), |at| at.to_string())))
            .collect::<BTreeMap<_, _>>();
        let config = QuicConfig {
            me: id(number),
            listen: "127.0.0.1:0".parse().unwrap(),
            peers,
            tls,
            limits: self.limits,
        };
        let (sender, events) = channel(self.inbox);
        let quic = Quic::start(config.clone(), sender).unwrap();
        Node { quic, events, dir, config }
    }
}

pub fn start(ca: &Ca, number: u16, peers: &[(u16, Option<SocketAddr>)]) -> Node {
    Setup::of(ca, number).start(number, peers)
}

/// Node 1 and node 2, connected.
pub async fn pair(ca: &Ca) -> (Node, Node) {
    let mut two = start(ca, 2, &[(1, None)]);
    let mut one = start(ca, 1, &[(2, Some(two.quic.local_addr()))]);
    one.up(2).await;
    two.up(1).await;
    (one, two)
}

impl Node {
    pub async fn next(&mut self) -> Event {
        within(self.events.recv()).await.expect("the transport keeps its sender")
    }

    /// The next event that is wanted, past all others.
    pub async fn until<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.next().await) {
                return found;
            }
        }
    }

    pub async fn up(&mut self, number: u16) {
        self.until(|event| (event == Event::Up { peer: id(number) }).then_some(())).await;
    }

    pub async fn down(&mut self, number: u16) -> String {
        self.until(|event| {
            if let Event::Down { peer, reason } = event
                && peer == id(number)
            {
                Some(reason)
            } else {
                None
            }
        })
        .await
    }

    pub async fn payload(&mut self) -> Vec<u8> {
        self.until(|event| if let Event::Frame { payload, .. } = event { Some(payload) } else { None }).await
    }

    pub async fn misbehaved(&mut self, number: u16) -> String {
        self.until(|event| {
            if let Event::Misbehaved { peer, what } = event
                && peer == id(number)
            {
                Some(what)
            } else {
                None
            }
        })
        .await
    }
}

pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("nothing happened within the deadline")
}

/// Waits for a condition that no event announces.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        while !holds() {
            look.tick().await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "never happened: {what}");
}

/// A bare quinn client: trusts everybody, shows what it is given, follows no rule of ours.
pub struct Attacker {
    pub endpoint: quinn::Endpoint,
}

impl Attacker {
    pub fn new(pair: Option<&Pair>) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustsEverybody(provider)));
        let mut config = match pair {
            None => config.with_no_client_auth(),
            Some(pair) => config
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
        let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        Self { endpoint }
    }

    /// Connects and waits until admitted or thrown out.
    pub async fn connect(
        &self,
        to: SocketAddr,
    ) -> Result<(quinn::Connection, quinn::RecvStream), quinn::ConnectionError> {
        let connection = within(self.endpoint.connect(to, "anybody").unwrap()).await?;
        let admission = within(connection.accept_uni()).await?;
        Ok((connection, admission))
    }

    pub fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap()
    }
}

#[derive(Debug)]
struct TrustsEverybody(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for TrustsEverybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Everything that this test process has logged.
fn log() -> &'static Mutex<Vec<u8>> {
    static LOG: OnceLock<Mutex<Vec<u8>>> = OnceLock::new();
    LOG.get_or_init(Mutex::default)
}

struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        log().lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn capture_logs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::WARN)
            .with_writer(|| LogWriter)
            .init();
    });
}

/// How many log lines hold all these words. Addresses in them keep tests apart that run at once.
pub fn logged(words: &[&str]) -> usize {
    let log = log().lock().unwrap();
    String::from_utf8_lossy(&log).lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
}
