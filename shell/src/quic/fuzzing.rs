//! The door's question about certificates, for fuzz targets: without a handshake, at a moment of their choice.

use std::{path::Path, sync::Arc};

use rustls::pki_types::{CertificateDer, UnixTime};

use super::{
    NodeId,
    tls::{Authority, TlsError},
    verify::{self, Refusal},
};

/// A cluster's authority.
pub struct Door(Authority);

impl Door {
    /// Trusts the certificates of a PEM file.
    ///
    /// # Errors
    /// If it holds none.
    pub fn open(ca: &Path) -> Result<Self, TlsError> {
        Authority::load(ca, &Arc::new(rustls::crypto::ring::default_provider())).map(Self)
    }

    /// Whether `chain`, leaf first, may answer for `expected` at `now`.
    ///
    /// # Errors
    /// The refusal that the handshake would end with.
    pub fn dialled(
        &self,
        chain: &[CertificateDer<'_>],
        expected: NodeId,
        now: UnixTime,
    ) -> Result<NodeId, Refusal> {
        let (leaf, intermediates) = chain.split_first().ok_or(Refusal::Malformed)?;
        verify::check_server(&self.0, leaf, intermediates, expected, now)
    }

    /// Whose `chain`, leaf first, is at `now`.
    ///
    /// # Errors
    /// The refusal that the handshake would end with.
    pub fn accepted(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<NodeId, Refusal> {
        let (leaf, intermediates) = chain.split_first().ok_or(Refusal::Malformed)?;
        verify::check_client(&self.0, leaf, intermediates, now)
    }

    /// End of a certificate's validity in unix seconds.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn not_after(leaf: &CertificateDer<'_>) -> Result<i64, Refusal> {
        verify::not_after(leaf)
    }
}
