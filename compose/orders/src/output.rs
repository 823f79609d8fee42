//! What commands print. A reader that goes away (`orders … | head`) ends the command quietly.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

use anyhow::Result;

/// Nobody reads standard output any more.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub(crate) struct ReaderGone;

/// Writes a line to standard output.
///
/// # Errors
/// [`ReaderGone`], or what else writing it failed with.
pub(crate) fn line(text: Arguments<'_>) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        written => Ok(written?),
    }
}

/// As `println!`, but returns the error.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*))? };
}
pub(crate) use say;
