//! Commands that do one thing and end.

pub(crate) mod dlq;
pub(crate) mod listen;
pub(crate) mod log;
pub(crate) mod order;
pub(crate) mod token;
pub(crate) mod topology;

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Result, bail};

/// Says what is about to happen and asks whether it should.
///
/// # Errors
/// It should not, or nobody is there to say so.
pub(crate) fn confirm(what: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!("{what}; nobody is here to agree: add --yes");
    }
    eprint!("{what}. Go on? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("nothing was changed");
    }
    Ok(())
}
