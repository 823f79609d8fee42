//! Logs of the process: text for people, JSON for machines; `RUST_LOG` filters.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Sets up logging once. Lines go to standard error, so that commands can print
/// their results.
pub(crate) fn start(json: bool, default_level: &str) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start (tests in one process) keeps the first.
    let _already_set =
        if json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
}
