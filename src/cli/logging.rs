//! The log: one line an event on stderr, from the rooms that call `tracing`.

use tracing_subscriber::EnvFilter;

use super::{Exit, Failure};
use crate::config::environment;

/// Starts logging at `level`, unless `SEALANE_LOG` says otherwise.
///
/// Field values are escaped by the formatter: a name from a peer cannot forge a line.
pub(super) fn start(level: &str) -> Result<(), Failure> {
    let wrong = |error: String| Failure::new(Exit::Usage, error);
    let filter = environment::log_filter().map_err(|error| wrong(error.to_string()))?;
    let filter = EnvFilter::try_new(filter.as_deref().unwrap_or(level))
        .map_err(|error| wrong(format!("SEALANE_LOG: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .try_init()
        .map_err(|error| wrong(format!("cannot start the log: {error}")))
}
