//! Asking etcd: one member at a time, each for a bounded time, the next one if it does not answer.
//!
//! A connection to a single member is simpler to reason about than a balanced one: which member failed is known, and the
//! next question goes to another. Nothing depends on which member answers, because etcd's reads are linearizable.

use std::future::Future;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, TlsOptions};

use crate::config::{EtcdSettings, KeyFileError, read_password};

/// Why etcd gave no answer. The text goes to the log and to health.
#[derive(Debug, thiserror::Error)]
pub(super) enum EtcdError {
    /// No member gave one.
    #[error("{endpoint}: {reason}")]
    NoAnswer { endpoint: String, reason: String },
    /// The lease named is over.
    #[error("the lease is over")]
    LeaseLost,
    /// A file that is needed to connect is of no use any more.
    #[error("{0}")]
    File(String),
    /// The node's own record cannot be read.
    #[error(transparent)]
    Record(#[from] crate::read::ReadError),
}

impl From<KeyFileError> for EtcdError {
    fn from(error: KeyFileError) -> Self {
        Self::File(error.to_string())
    }
}

/// gRPC's number for "not found", which etcd gives for a lease that is over.
const NOT_FOUND: i32 = 5;

/// A way to etcd that survives the loss of members.
pub(super) struct Link {
    settings: EtcdSettings,
    /// Index of the member that is asked.
    member: usize,
    client: Option<Client>,
    turns: u64,
}

impl Link {
    pub(super) const fn new(settings: EtcdSettings) -> Self {
        Self { settings, member: 0, client: None, turns: 0 }
    }

    pub(super) const fn settings(&self) -> &EtcdSettings {
        &self.settings
    }

    /// Asks until a member answers, each member once. Takes at most the request timeout for each.
    ///
    /// # Errors
    /// [`EtcdError`]: the last member's.
    pub(super) async fn ask<T, F>(&mut self, question: impl Fn(Client) -> F) -> Result<T, EtcdError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut last = EtcdError::File("no endpoint is configured".to_owned());
        for _ in 0..self.settings.endpoints.len() {
            let answer = tokio::time::timeout(self.settings.request_timeout, async {
                let client = self.client().await?;
                question(client).await.map_err(AskError::Etcd)
            });
            let reason = match answer.await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(AskError::Etcd(error))) if is_lease_lost(&error) => return Err(EtcdError::LeaseLost),
                Ok(Err(AskError::Etcd(error))) => error.to_string(),
                Ok(Err(AskError::Own(error))) => return Err(error),
                Err(_) => format!("no answer within {} ms", self.settings.request_timeout.as_millis()),
            };
            last = EtcdError::NoAnswer { endpoint: self.endpoint().to_owned(), reason };
            self.turn_to_next();
        }
        Err(last)
    }

    /// Grows whenever a connection is given up: what was opened over an earlier one may be dead without knowing it.
    pub(super) const fn turns(&self) -> u64 {
        self.turns
    }

    fn endpoint(&self) -> &str {
        self.settings.endpoints.get(self.member).map_or("", String::as_str)
    }

    /// Gives up the present connection; the next question goes to another member.
    pub(super) fn turn_to_next(&mut self) {
        self.client = None;
        self.turns = self.turns.saturating_add(1);
        self.member = self.member.saturating_add(1);
        if self.member >= self.settings.endpoints.len() {
            self.member = 0;
        }
    }

    async fn client(&mut self) -> Result<Client, AskError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let options = options(&self.settings).await.map_err(AskError::Own)?;
        let client = Client::connect([self.endpoint()], Some(options)).await.map_err(AskError::Etcd)?;
        self.client = Some(client.clone());
        Ok(client)
    }
}

enum AskError {
    Etcd(Error),
    Own(EtcdError),
}

/// How to connect. Files are read anew each time: certificates and passwords change while a node runs.
pub(super) async fn options(settings: &EtcdSettings) -> Result<ConnectOptions, EtcdError> {
    let mut options = ConnectOptions::new()
        .with_connect_timeout(settings.request_timeout)
        .with_auto_token_refresh(true)
        .with_require_leader(true);
    if let Some(ca) = &settings.ca {
        let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca).await?));
        if let Some((cert, key)) = &settings.client {
            tls = tls.identity(Identity::from_pem(read(cert).await?, read(key).await?));
        }
        options = options.with_tls(tls);
    }
    if let Some((user, file)) = &settings.user {
        options = options.with_user(user.as_str(), read_password(file)?.as_str());
    }
    Ok(options)
}

async fn read(path: &std::path::Path) -> Result<Vec<u8>, EtcdError> {
    tokio::fs::read(path).await.map_err(|error| EtcdError::File(format!("{}: {error}", path.display())))
}

fn is_lease_lost(error: &Error) -> bool {
    match error {
        Error::LeaseKeepAliveError(_) => true,
        Error::GRpcStatus(status) => status.code() as i32 == NOT_FOUND,
        Error::InvalidArgs(_)
        | Error::InvalidUri(_)
        | Error::IoError(_)
        | Error::TransportError(_)
        | Error::WatchError(_)
        | Error::Utf8Error(_)
        | Error::ElectError(_)
        | Error::InvalidMetadataValue(_)
        | Error::EndpointError(_)
        | Error::EndpointsNotManaged
        | Error::Internal(_) => false,
    }
}
