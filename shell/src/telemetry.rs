//! Logs: one line an event on standard error, structured for machines, readable on a terminal.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::ParseError, util::TryInitError};

use crate::config::{LogFormat, LogSettings};

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` or the configured directives are malformed.
    #[error("log directives `{directives}`: {source}")]
    Directives {
        /// As given.
        directives: String,
        /// What is wrong with them.
        source: ParseError,
    },
    /// Something else in this process logs already.
    #[error("logging was set up already")]
    Twice(#[from] TryInitError),
}

/// Sets up logging for the whole process. `RUST_LOG` wins over the configured directives. JSON lines carry
/// timestamp, level, target, the fields of the event and those of the spans around it.
///
/// # Errors
/// [`TelemetryError`] for malformed directives and for a second call.
pub fn init(settings: &LogSettings) -> Result<(), TelemetryError> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let directives = std::env::var(EnvFilter::DEFAULT_ENV)
        .ok()
        .filter(|directives| !directives.is_empty())
        .unwrap_or_else(|| settings.filter.clone());
    let filter = EnvFilter::try_new(&directives)
        .map_err(|source| TelemetryError::Directives { directives, source })?;
    let terminal = std::io::stderr().is_terminal();
    let text = match settings.format {
        LogFormat::Json => false,
        LogFormat::Text => true,
        LogFormat::Auto => terminal,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if text {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        builder.with_ansi(colour).finish().try_init()?;
    } else {
        builder
            .json()
            .flatten_event(false)
            .with_current_span(false)
            .with_span_list(true)
            .finish()
            .try_init()?;
    }
    Ok(())
}
