//! What can be wrong with PostgreSQL: it is away, or it is there and will not do.

use deadpool_postgres::PoolError;
use tokio_postgres::{Error, error::SqlState};

use crate::read::ReadError;

/// Why nothing can be told just now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It will be back by itself: stopped, restarting, unreachable, overloaded.
    #[error("{0}")]
    Away(String),
    /// Somebody must do something about it.
    #[error("{0}")]
    Refused(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let Some(told) = error.as_db_error() else {
            let text = reasons(&error);
            return if is_about_certificates(&error) { Self::Refused(text) } else { Self::Away(text) };
        };
        // The message names values and rules; SQL and positions stay out of the log.
        let text = format!("{} (SQLSTATE {})", told.message(), told.code().code());
        if passes(told.code()) { Self::Away(text) } else { Self::Refused(text) }
    }
}

/// Classes of PostgreSQL's Appendix A that end by themselves: connections, conflicts between transactions, resources, locks,
/// time limits and operators who stop the server.
fn passes(code: &SqlState) -> bool {
    ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.code().starts_with(class))
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::from(error),
            PoolError::Timeout(_) => Self::Away("it does not answer".to_owned()),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Self::Refused(error.to_string())
            }
        }
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        Self::Refused(format!("the journal cannot be read: {error}"))
    }
}

/// Whether TLS failed for what the other side showed: it will show the same next time.
fn is_about_certificates(error: &dyn std::error::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let wrapped = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if wrapped.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// An error and its causes in one line.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
