//! Connections: few, bounded in every wait, encrypted where configured.

use std::{path::PathBuf, sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use mpc_wallet_core::NodeId;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_postgres::{NoTls, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::PostgresSettings;

/// Longest attempt to connect, and longest wait for a free connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Without an answer for so long a connection is dead: a peer that vanished sends no farewell.
const SILENCE: Duration = Duration::from_secs(15);
/// What the server keeps to in our sessions: time limits, in ms, on a statement, on a wait for a lock and on an open
/// transaction of a node that froze and holds up the others; and no notices.
const SESSION: &str = "-c statement_timeout=15000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=10000 \
                       -c client_min_messages=warning";

/// Why no pool could be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No usable certificate.
    #[error("{}: {reason}; [postgres] ca names the PEM file of the authority of PostgreSQL's certificate", path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS or the pool cannot be set up.
    #[error("connections to PostgreSQL cannot be set up: {0}")]
    Unusable(String),
}

/// A pool that connects when it is first asked.
pub(super) fn open(settings: &PostgresSettings, me: NodeId) -> Result<Pool, SetupError> {
    // The parser's own words may quote a part of it.
    let unreadable = |_| SetupError::Unusable("[postgres] url cannot be read".to_owned());
    let mut server: tokio_postgres::Config = settings.url.parse().map_err(unreadable)?;
    server
        .application_name(format!("mpc-wallet {me}"))
        .options(format!("{SESSION} -c mpc_wallet.node_id={}", me.get()))
        .connect_timeout(CONNECT)
        .tcp_user_timeout(SILENCE);
    if let Some(password) = &settings.password {
        server.password(password.as_bytes());
    }
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = match &settings.ca {
        None => Manager::from_config(server.ssl_mode(SslMode::Disable).clone(), NoTls, recycling),
        Some(ca) => {
            let tls = MakeRustlsConnect::new(trusting(ca)?);
            Manager::from_config(server.ssl_mode(SslMode::Require).clone(), tls, recycling)
        }
    };
    Pool::builder(manager)
        .max_size(settings.pool_size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(CONNECT))
        .create_timeout(Some(CONNECT))
        .build()
        .map_err(|error| SetupError::Unusable(error.to_string()))
}

/// TLS that takes the server's certificate from this authority alone, for the name that was dialled.
fn trusting(ca: &PathBuf) -> Result<ClientConfig, SetupError> {
    let bad = |reason: String| SetupError::Authority { path: ca.clone(), reason };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(ca).map_err(|error| bad(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("there is no certificate in it".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::Unusable(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
