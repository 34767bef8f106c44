//! Who is at the other end: webpki says whether the CA vouches for the certificate, the manifest says whether we want its owner.
//!
//! Both questions are answered inside the TLS handshake, so a peer that is refused never holds a connection. The verdict is kept beside
//! the handshake, because a failed one no longer tells what name was presented.

use std::{
    fmt,
    sync::{Arc, Mutex, Weak},
};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{NodeId, locked, peers::Peers, tls::Authority};

/// Longest presented name that is repeated in a log line.
const NAME_SHOWN: usize = 64;

/// Why a certificate's owner is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are not an X.509 certificate.
    #[error("the certificate cannot be parsed")]
    Malformed,
    /// Another authority signed it.
    #[error("the certificate is not signed by this cluster's CA")]
    ForeignCa,
    /// It was valid once.
    #[error("the certificate has expired; issue a new one and check the clocks")]
    Expired,
    /// It will be valid.
    #[error("the certificate is not valid yet; check the clocks")]
    NotYetValid,
    /// It is the certificate of somebody else than was dialled.
    #[error("the certificate does not name {expected} in common name and subject alternative name")]
    WrongName {
        /// Who should have answered.
        expected: NodeId,
    },
    /// The common name is not of the form `node-N`.
    #[error("the common name is not of the form node-N")]
    NotANode,
    /// No such node in the cluster.
    #[error("{0} is not in the manifest")]
    NotInManifest(NodeId),
    /// Somebody else uses our name.
    #[error("{0} is this node's own name; its key is in use elsewhere or a peer address points back here")]
    OwnName(NodeId),
    /// The pair's lower id dials.
    #[error(
        "{peer} dialled {me}, but the lower id dials; its configuration names another node id or other peers"
    )]
    WrongDirection {
        /// Who dialled.
        peer: NodeId,
        /// This node.
        me: NodeId,
    },
    /// Misbehaved before.
    #[error("{0} is banned")]
    Banned(NodeId),
    /// Too late.
    #[error("this node is shutting down")]
    Leaving,
    /// Anything else that webpki objects to.
    #[error("the certificate is unacceptable: {0}")]
    Other(String),
}

/// What one handshake learned about the other end.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    /// Common name as presented, shortened and escaped for a log line.
    pub(super) presented: String,
    pub(super) outcome: Result<NodeId, Refusal>,
}

/// Where a handshake leaves its [`Verdict`].
pub(super) type VerdictSlot = Arc<Mutex<Option<Verdict>>>;

/// Our side of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// We dialled this node and accept nobody else.
    Dialling(NodeId),
    /// Somebody dialled us.
    Accepting,
}

/// Verifier of one handshake.
pub(super) struct PeerVerifier {
    pub(super) authority: Arc<Authority>,
    /// Weak, because peers hold connections, which hold their TLS session, which holds its verifier.
    pub(super) peers: Weak<Peers>,
    pub(super) role: Role,
    pub(super) verdict: VerdictSlot,
}

impl PeerVerifier {
    fn admit(&self, peer: NodeId) -> Result<(), Refusal> {
        self.peers.upgrade().ok_or(Refusal::Leaving)?.admit(peer, self.role)
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let checked = check(&self.authority, self.role, leaf, intermediates, now);
        let outcome = checked.and_then(|peer| self.admit(peer).map(|()| peer));
        let presented = match common_name(leaf) {
            Ok(name) => name.chars().take(NAME_SHOWN).collect::<String>().escape_debug().to_string(),
            Err(_) => "(no readable name)".into(),
        };
        *locked(&self.verdict) = Some(Verdict { presented, outcome: outcome.clone() });
        outcome.map(drop).map_err(|refusal| {
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
        })
    }
}

/// Checks the other end's certificate in a handshake of this role, whoever its owner is.
pub(super) fn check(
    authority: &Authority,
    role: Role,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<NodeId, Refusal> {
    match role {
        Role::Dialling(expected) => check_server(authority, leaf, intermediates, expected, now),
        Role::Accepting => check_client(authority, leaf, intermediates, now),
    }
}

/// Checks a certificate that should belong to `expected` and serve.
pub(super) fn check_server(
    authority: &Authority,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    expected: NodeId,
    now: UnixTime,
) -> Result<NodeId, Refusal> {
    let name = server_name(expected)?;
    authority
        .servers
        .verify_server_cert(leaf, intermediates, &name, &[], now)
        .map_err(|error| explain(&error, Some(expected)))?;
    if common_name(leaf)? != expected.to_string() {
        return Err(Refusal::WrongName { expected });
    }
    Ok(expected)
}

/// Checks a certificate that may belong to any node, and says to which.
pub(super) fn check_client(
    authority: &Authority,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<NodeId, Refusal> {
    // Before the chain, so that the chain's error can name it; harmless, because nothing rests on it yet.
    let claimed = node_id(&common_name(leaf)?);
    authority
        .clients
        .verify_client_cert(leaf, intermediates, now)
        .map_err(|error| explain(&error, claimed))?;
    let node = claimed.ok_or(Refusal::NotANode)?;
    let parsed = ParsedCertificate::try_from(leaf).map_err(|_| Refusal::Malformed)?;
    rustls::client::verify_server_name(&parsed, &server_name(node)?)
        .map_err(|error| explain(&error, claimed))?;
    Ok(node)
}

/// End of validity in unix seconds.
pub(super) fn not_after(leaf: &CertificateDer<'_>) -> Result<i64, Refusal> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|_| Refusal::Malformed)?;
    Ok(parsed.validity().not_after.timestamp())
}

/// The one common name; a certificate with several names nobody.
fn common_name(leaf: &CertificateDer<'_>) -> Result<String, Refusal> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|_| Refusal::Malformed)?;
    let mut names = parsed.subject().iter_common_name();
    match (names.next().map(|name| name.as_str()), names.next()) {
        (Some(Ok(name)), None) => Ok(name.to_owned()),
        _ => Err(Refusal::NotANode),
    }
}

/// Reads `node-N` in its one canonical spelling.
fn node_id(name: &str) -> Option<NodeId> {
    let id = NodeId::new(name.strip_prefix("node-")?.parse().ok()?);
    (id.to_string() == name).then_some(id)
}

fn server_name(node: NodeId) -> Result<ServerName<'static>, Refusal> {
    ServerName::try_from(node.to_string()).map_err(|_| Refusal::NotANode)
}

/// Webpki's objection in an operator's words.
fn explain(error: &Error, expected: Option<NodeId>) -> Refusal {
    let Error::InvalidCertificate(reason) = error else {
        return Refusal::Other(error.to_string());
    };
    if matches!(reason, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
        Refusal::Expired
    } else if matches!(reason, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) {
        Refusal::NotYetValid
    } else if matches!(
        reason,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    ) {
        expected.map_or(Refusal::NotANode, |expected| Refusal::WrongName { expected })
    } else if matches!(reason, CertificateError::UnknownIssuer | CertificateError::BadSignature) {
        // A CA of the same name but another key shows as a bad signature.
        Refusal::ForeignCa
    } else if matches!(reason, CertificateError::BadEncoding) {
        Refusal::Malformed
    } else {
        Refusal::Other(reason.to_string())
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.servers.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.servers.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authority.servers.supported_verify_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authority.clients.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.clients.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.clients.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authority.clients.supported_verify_schemes()
    }
}

impl fmt::Debug for PeerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerVerifier").field("role", &self.role).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_have_one_spelling() {
        assert_eq!(node_id("node-7"), Some(NodeId::new(7)));
        for name in ["node-07", "node-+7", "node-70000", "node-", "Node-7", "node-7.evil", "node--7", ""] {
            assert_eq!(node_id(name), None, "{name:?}");
        }
    }
}
