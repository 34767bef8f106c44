//! Logs: one line an event on standard error, structured for machines, readable on a terminal. Built with the feature `otel`, spans
//! go to an OpenTelemetry collector as well, where the environment names one.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::ParseError,
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::{SubscriberInitExt as _, TryInitError},
};

use crate::config::{LogFormat, LogSettings};

#[cfg(feature = "otel")]
mod export;

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
    /// The collector's address is unusable.
    #[cfg(feature = "otel")]
    #[error("OpenTelemetry export: {0}; correct OTEL_EXPORTER_OTLP_ENDPOINT, as in http://127.0.0.1:4318")]
    Export(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Keeps what is logged and traced flowing; dropping it at the end sends the last spans.
#[must_use = "spans are exported as long as this lives"]
pub struct Telemetry {
    #[cfg(feature = "otel")]
    _export: Option<export::Export>,
}

/// Sets up logging for the whole process. `RUST_LOG` wins over the configured directives. JSON lines carry
/// timestamp, level, target, the fields of the event and those of the spans around it.
///
/// # Errors
/// [`TelemetryError`] for malformed directives, for a second call, and for a collector that cannot be addressed.
pub fn init(settings: &LogSettings) -> Result<Telemetry, TelemetryError> {
    let directives = std::env::var(EnvFilter::DEFAULT_ENV)
        .ok()
        .filter(|directives| !directives.is_empty())
        .unwrap_or_else(|| settings.filter.clone());
    let filter = EnvFilter::try_new(&directives)
        .map_err(|source| TelemetryError::Directives { directives, source })?;
    let subscriber = tracing_subscriber::registry().with(filter).with(lines(settings.format));
    #[cfg(feature = "otel")]
    let (spans, export) = export::start()?.unzip();
    #[cfg(feature = "otel")]
    let subscriber = subscriber.with(spans);
    subscriber.try_init()?;
    Ok(Telemetry {
        #[cfg(feature = "otel")]
        _export: export,
    })
}

/// What writes lines in the form asked for.
fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let terminal = std::io::stderr().is_terminal();
    let text = match format {
        LogFormat::Json => false,
        LogFormat::Text => true,
        LogFormat::Auto => terminal,
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if text {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        layer.with_ansi(colour).boxed()
    } else {
        layer.json().flatten_event(false).with_current_span(false).with_span_list(true).boxed()
    }
}
