//! This node's identity: files on disk, checked before the first packet, and the TLS settings made from them.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    RootCertStore,
    client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};
use zeroize::Zeroizing;

use super::{
    NodeId,
    verify::{self, PeerVerifier, Refusal},
};

/// The only application protocol that is spoken; the number changes with the wire format.
pub const ALPN: &[u8] = b"mpc-wallet/1";

/// Where certificates and key lie, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The cluster's CA. Several certificates are several trusted CAs: that is how a CA is replaced without a pause.
    pub ca: PathBuf,
    /// This node's certificate, intermediates after it.
    pub cert: PathBuf,
    /// The private key of that certificate; readable by its owner alone.
    pub key: PathBuf,
}

/// Why the identity on disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no usable PEM of the expected kind.
    #[error("{} holds no usable {expected} in PEM: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Others than the owner could read the private key.
    #[error("private key {} has mode {mode:04o}: group or others may use it; run `chmod 600 {}` and consider the key exposed", path.display(), path.display())]
    KeyPermissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Certificate and key are not a pair.
    #[error("private key {} does not belong to certificate {}; install the pair that was issued together", key.display(), cert.display())]
    KeyMismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// Peers would refuse this certificate, for this reason.
    #[error("certificate {} cannot serve {me}: {reason}", path.display())]
    Certificate {
        /// The certificate file.
        path: PathBuf,
        /// The node that it should name.
        me: NodeId,
        /// What a peer would say.
        reason: Refusal,
    },
    /// The TLS library refuses the material.
    #[error("TLS refuses {what}: {reason}")]
    Unusable {
        /// Which part.
        what: String,
        /// The library's words.
        reason: String,
    },
}

/// Certificate, key and trusted CAs, checked against each other.
pub(super) struct Identity {
    pub(super) authority: Arc<Authority>,
    resolver: Arc<SingleCertAndKey>,
    provider: Arc<CryptoProvider>,
    /// Unix seconds.
    pub(super) not_after: i64,
    /// Secret of this node alone, for [`Identity::derive`].
    secret: ring::hkdf::Prk,
}

impl Identity {
    /// Loads and checks everything that a peer would check, so that a bad file fails at start and not at the first dial.
    pub(super) fn load(files: &TlsFiles, me: NodeId) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authority = Arc::new(Authority::load(&files.ca, &provider)?);
        let chain = certificates(&files.cert)?;
        let key = private_key(&files.key)?;
        let secret =
            ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, b"mpc-wallet/1 quic").extract(key.secret_der());

        let certified = CertifiedKey::from_der(chain.clone(), key, &provider).map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                TlsError::KeyMismatch { cert: files.cert.clone(), key: files.key.clone() }
            } else {
                unusable(format!("{} with {}", files.cert.display(), files.key.display()), error)
            }
        })?;
        let not_after = check_own(&authority, &chain, me).map_err(|reason| TlsError::Certificate {
            path: files.cert.clone(),
            me,
            reason,
        })?;
        Ok(Self { authority, resolver: Arc::new(certified.into()), provider, not_after, secret })
    }

    /// A value that only this node can compute and that a restart does not change.
    pub(super) fn derive<L: ring::hkdf::KeyType, T: for<'a> From<ring::hkdf::Okm<'a, L>>>(
        &self,
        purpose: &'static [u8],
        kind: L,
    ) -> Result<T, TlsError> {
        let info = [purpose];
        let okm = self.secret.expand(&info, kind).map_err(|error| unusable("key derivation", error))?;
        Ok(okm.into())
    }

    /// Settings for one dial.
    pub(super) fn client(&self, verifier: PeerVerifier) -> Result<QuicClientConfig, TlsError> {
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| unusable("TLS 1.3", error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(self.resolver.clone());
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would skip the look at certificate, expiry and ban.
        config.resumption = Resumption::disabled();
        QuicClientConfig::try_from(config).map_err(|error| unusable("client settings", error))
    }

    /// Settings for one accepted handshake.
    pub(super) fn server(&self, verifier: PeerVerifier) -> Result<QuicServerConfig, TlsError> {
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| unusable("TLS 1.3", error))?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(self.resolver.clone());
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        QuicServerConfig::try_from(config).map_err(|error| unusable("server settings", error))
    }
}

/// The trusted CAs and webpki's verifiers over them.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) servers: Arc<dyn ServerCertVerifier>,
    pub(super) clients: Arc<dyn ClientCertVerifier>,
}

impl Authority {
    pub(super) fn load(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for ca in certificates(path)? {
            roots
                .add(ca)
                .map_err(|error| unusable(format!("CA certificate in {}", path.display()), error))?;
        }
        let roots = Arc::new(roots);
        let servers = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
            .build()
            .map_err(|error| unusable(path.display().to_string(), error))?;
        let clients = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|error| unusable(path.display().to_string(), error))?;
        Ok(Self { servers, clients })
    }
}

/// Looks at our certificate as both kinds of peers will, and returns its end in unix seconds.
fn check_own(authority: &Authority, chain: &[CertificateDer<'_>], me: NodeId) -> Result<i64, Refusal> {
    let (leaf, intermediates) = chain.split_first().ok_or(Refusal::Malformed)?;
    let now = UnixTime::now();
    verify::check_server(authority, leaf, intermediates, me, now)?;
    verify::check_client(authority, leaf, intermediates, now)?;
    verify::not_after(leaf)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let bad = |reason: String| TlsError::Pem { path: path.to_owned(), expected: "certificate", reason };
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| bad(error.to_string()))?;
    if found.is_empty() {
        return Err(bad("no CERTIFICATE section".into()));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let metadata = fs::metadata(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(TlsError::KeyPermissions { path: path.to_owned(), mode });
    }
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| TlsError::Pem {
        path: path.to_owned(),
        expected: "private key",
        reason: error.to_string(),
    })
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    fs::read(path).map(Zeroizing::new).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn unusable(what: impl Into<String>, error: impl ToString) -> TlsError {
    TlsError::Unusable { what: what.into(), reason: error.to_string() }
}
