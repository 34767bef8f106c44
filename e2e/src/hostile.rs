//! A peer that follows no rule: it shows whatever certificate it likes and sends whatever bytes it likes.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mpc_wallet_shell::quic::ALPN;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};
use rustls::DigitallySignedStruct;
use rustls::SignatureScheme;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use time::OffsetDateTime;

/// Seconds of a day.
const DAY: u64 = 24 * 60 * 60;
/// Longer than any refusal takes; only a node that refuses nothing makes a test wait so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A certificate and its key, both PEM.
pub struct Papers {
    certificate: String,
    key: String,
}

impl Papers {
    /// What the cluster's own CA would never sign: the right name from a CA of the intruder's.
    pub fn of_foreign_ca(name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = common_name("somebody else's CA");
        Self::issue(&Issuer::new(params, key), name, Validity::until(Duration::from_secs(30 * DAY))?)
    }

    /// Signed by the cluster's CA, under any name; valid until so many days from now. `certs` holds the CA's key.
    pub fn of_cluster_ca(certs: &Path, name: &str, days: i64) -> anyhow::Result<Self> {
        let end =
            OffsetDateTime::now_utc().checked_add(time::Duration::days(days)).context("too far away")?;
        let begin = end.checked_sub(time::Duration::days(60)).context("too long ago")?;
        Self::of_cluster_ca_within(certs, name, Validity { begin, end })
    }

    /// As [`Papers::of_cluster_ca`], with both ends of its validity.
    pub fn of_cluster_ca_within(certs: &Path, name: &str, validity: Validity) -> anyhow::Result<Self> {
        let key = KeyPair::from_pem(&std::fs::read_to_string(certs.join("ca.key"))?)?;
        let ca = std::fs::read_to_string(certs.join("ca.crt"))?;
        Self::issue(&Issuer::from_ca_cert_pem(&ca, key)?, name, validity)
    }

    /// A member's own, as whoever broke into its machine has them.
    pub fn stolen(certs: &Path, node: u16) -> anyhow::Result<Self> {
        Ok(Self {
            certificate: std::fs::read_to_string(certs.join(format!("node{node}.crt")))?,
            key: std::fs::read_to_string(certs.join(format!("node{node}.key")))?,
        })
    }

    /// The same certificate beside the key of others.
    #[must_use]
    pub fn with_key_of(self, others: &Self) -> Self {
        Self { key: others.key.clone(), ..self }
    }

    /// Installs them as a node's own: `certs/nodeN.crt` and `certs/nodeN.key`.
    pub fn install(&self, certs: &Path, node: u16) -> anyhow::Result<()> {
        let key = certs.join(format!("node{node}.key"));
        std::fs::write(certs.join(format!("node{node}.crt")), &self.certificate)?;
        std::fs::write(&key, &self.key)?;
        Ok(std::fs::set_permissions(&key, Permissions::from_mode(0o600))?)
    }

    /// The certificate as it goes over the wire.
    pub fn leaf(&self) -> anyhow::Result<CertificateDer<'static>> {
        Ok(CertificateDer::from_pem_slice(self.certificate.as_bytes())?)
    }

    fn issue(issuer: &Issuer<'_, KeyPair>, name: &str, validity: Validity) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name = common_name(name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (validity.begin, validity.end);
        Ok(Self { certificate: params.signed_by(&key, issuer)?.pem(), key: key.serialize_pem() })
    }
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub begin: OffsetDateTime,
    /// Its last.
    pub end: OffsetDateTime,
}

impl Validity {
    /// From a minute ago for so long.
    pub fn until(left: Duration) -> anyhow::Result<Self> {
        let now = OffsetDateTime::now_utc();
        let begin = now.checked_sub(time::Duration::minutes(1)).context("too long ago")?;
        Ok(Self { begin, end: now.checked_add(left.try_into()?).context("too far away")? })
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// How a node answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encounter {
    /// Whether it took the intruder for a peer.
    pub admitted: bool,
    /// How the connection ended, in the words of QUIC.
    pub end: String,
}

/// Dials a node with these papers and, once admitted, sends bytes on a stream; then waits until the node ends the
/// connection. Errors when it does not within ten seconds.
pub fn intrude(target: SocketAddr, papers: &Papers, bytes: &[u8]) -> anyhow::Result<Encounter> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(settings(papers)?)));
        let meeting = meet(&endpoint, target, bytes);
        tokio::time::timeout(PATIENCE, meeting).await.context("the node neither admits nor refuses")?
    })
}

/// The certificate that a node shows to whoever dials it, admitted or not.
pub fn shown_by(target: SocketAddr) -> anyhow::Result<CertificateDer<'static>> {
    let papers = Papers::of_foreign_ca("somebody")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(settings(&papers)?)));
        // In TLS 1.3 the node has shown its papers before it looks at ours.
        let connecting = endpoint.connect(target, "anybody")?;
        let connection = tokio::time::timeout(PATIENCE, connecting).await.context("nobody answers")??;
        let shown = connection.peer_identity().and_then(|shown| shown.downcast::<Vec<_>>().ok());
        shown.and_then(|chain| chain.into_iter().next()).context("it shows no certificate")
    })
}

async fn meet(endpoint: &Endpoint, target: SocketAddr, bytes: &[u8]) -> anyhow::Result<Encounter> {
    let refused = |error: quinn::ConnectionError| Encounter { admitted: false, end: error.to_string() };
    let connection: Connection = match endpoint.connect(target, "anybody")?.await {
        Ok(connection) => connection,
        Err(error) => return Ok(refused(error)),
    };
    // A node opens a stream to whom it admits; in TLS 1.3 the end of the handshake says nothing of that.
    let _admission = match connection.accept_uni().await {
        Ok(stream) => stream,
        Err(error) => return Ok(refused(error)),
    };
    let mut stream = connection.open_uni().await?;
    // The node may hang up in the middle; how, the connection tells.
    let _ = stream.write_all(bytes).await;
    Ok(Encounter { admitted: true, end: connection.closed().await.to_string() })
}

fn settings(papers: &Papers) -> anyhow::Result<QuicClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustsEverybody(provider)))
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(papers.certificate.as_bytes())?],
            PrivateKeyDer::from_pem_slice(papers.key.as_bytes())?,
        )?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(QuicClientConfig::try_from(config)?)
}

#[derive(Debug)]
struct TrustsEverybody(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustsEverybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
