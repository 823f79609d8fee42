//! Commands that do one thing and end.

pub(crate) mod app;
pub(crate) mod dlq;
pub(crate) mod listen;
pub(crate) mod log;
pub(crate) mod order;
pub(crate) mod parked;
pub(crate) mod query;
pub(crate) mod token;
pub(crate) mod topology;

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Result, bail};
use schemas::Micros;

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

/// Milliseconds since 1970, from that number or RFC 3339.
pub(crate) fn millis(text: &str) -> Result<i64> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    match Micros::parse_rfc3339(text) {
        Ok(time) => Ok(time.as_millis()),
        Err(_) => {
            bail!("time {text:?} can't be read: expected RFC 3339 or milliseconds since 1970")
        }
    }
}

/// Text as it is, other bytes as hexadecimal digits. Nothing in it can move a terminal's cursor.
pub(crate) fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("0x{}", hex::encode(bytes)),
    }
}

/// Text with what could move a terminal's cursor written as escapes.
pub(crate) fn harmless(text: &str) -> String {
    let shown =
        |c: char| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_readable_and_harmless() {
        assert_eq!(readable("größe".as_bytes()), "größe");
        assert_eq!(readable(b"\x1b[2J"), "0x1b5b324a");
        assert_eq!(readable(&[0, 255]), "0x00ff");
        assert_eq!(harmless("größe"), "größe");
        assert_eq!(harmless("\x1b[2J\u{9b}2J\x7f"), "\\u{1b}[2J\\u{9b}2J\\u{7f}");
    }
}
