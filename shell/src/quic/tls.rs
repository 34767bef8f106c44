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

/// The three files as they were at one moment, not believed yet.
pub(super) struct Material {
    ca: Zeroizing<Vec<u8>>,
    cert: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
}

impl Material {
    /// Reads the files. A private key that others may read is refused with them.
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        check_permissions(&files.key)?;
        Ok(Self { ca: read(&files.ca)?, cert: read(&files.cert)?, key: read(&files.key)? })
    }

    /// The same for the same contents, and for no others.
    pub(super) fn digest(&self) -> ContentDigest {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for content in [&self.ca, &self.cert, &self.key] {
            context.update(&content.len().to_be_bytes());
            context.update(content);
        }
        ContentDigest(context.finish().as_ref().to_vec())
    }
}

/// What tells one set of files from another.
#[derive(PartialEq, Eq)]
pub(super) struct ContentDigest(Vec<u8>);

/// Certificate, key and trusted CAs, checked against each other.
pub(super) struct Identity {
    pub(super) authority: Arc<Authority>,
    resolver: Arc<SingleCertAndKey>,
    provider: Arc<CryptoProvider>,
    /// Unix seconds.
    pub(super) not_after: i64,
    /// The files that it was made of.
    pub(super) digest: ContentDigest,
    /// Secret of this node alone, for [`Identity::derive`].
    secret: ring::hkdf::Prk,
}

impl Identity {
    /// Loads and checks everything that a peer would check, so that a bad file fails at start and not at the first dial.
    pub(super) fn load(files: &TlsFiles, me: NodeId) -> Result<Self, TlsError> {
        Self::check(&Material::read(files)?, files, me)
    }

    /// As [`Identity::load`], of files that have been read; `files` names them in errors.
    pub(super) fn check(material: &Material, files: &TlsFiles, me: NodeId) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authority = Arc::new(Authority::of(&material.ca, &files.ca, &provider)?);
        let chain = certificates(&material.cert, &files.cert)?;
        let key = private_key(&material.key, &files.key)?;
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
        let (resolver, digest) = (Arc::new(certified.into()), material.digest());
        Ok(Self { authority, resolver, provider, not_after, digest, secret })
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
    /// When the first of the CAs ends, in unix seconds.
    pub(super) not_after: i64,
}

impl Authority {
    #[cfg(feature = "fuzzing")]
    pub(super) fn load(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        Self::of(&read(path)?, path, provider)
    }

    /// Trusts every certificate of a PEM text; `path` names it in errors.
    fn of(pem: &[u8], path: &Path, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let mut not_after = i64::MAX;
        for ca in certificates(pem, path)? {
            let end = verify::not_after(&ca)
                .map_err(|error| unusable(format!("CA certificate in {}", path.display()), error))?;
            not_after = not_after.min(end);
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
        Ok(Self { servers, clients, not_after })
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

/// The certificates of a PEM text, at least one; `path` names it in errors.
pub(super) fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |reason: String| TlsError::Pem { path: path.to_owned(), expected: "certificate", reason };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| bad(error.to_string()))?;
    if found.is_empty() {
        return Err(bad("no CERTIFICATE section".into()));
    }
    Ok(found)
}

fn check_permissions(key: &Path) -> Result<(), TlsError> {
    let metadata = fs::metadata(key).map_err(|source| TlsError::Read { path: key.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(TlsError::KeyPermissions { path: key.to_owned(), mode });
    }
    Ok(())
}

fn private_key(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| TlsError::Pem {
        path: path.to_owned(),
        expected: "private key",
        reason: error.to_string(),
    })
}

pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    fs::read(path).map(Zeroizing::new).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn unusable(what: impl Into<String>, error: impl ToString) -> TlsError {
    TlsError::Unusable { what: what.into(), reason: error.to_string() }
}
