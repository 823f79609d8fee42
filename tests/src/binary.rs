//! The `orders` binary that the tests start.
//!
//! Invariant: it is what the sources of this checkout say. `cargo test` doesn't
//! build another package's binary, so an old one would pass unnoticed; cargo's
//! own list of its sources (`orders.d`) tells.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, ensure};

const REMEDY: &str =
    "`cargo build --workspace --all-features --bin orders` first (`make test` does)";

/// The binary beside the running test's own.
///
/// # Errors
/// It is missing, of another checkout, or older than one of its sources.
pub fn binary() -> Result<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| current().map_err(|error| format!("{error:#}")));
    found.clone().map_err(|error| anyhow!(error))
}

fn current() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder =
        own.parent().and_then(Path::parent).context("a test runs in target/<profile>/deps")?;
    let path = folder.join("orders");
    let built = modified(&path).with_context(|| REMEDY)?;
    let list = std::fs::read_to_string(path.with_extension("d")).with_context(|| REMEDY)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("tests/ has a parent")?;
    let sources = sources(&list);
    ensure!(
        sources.iter().any(|source| source.starts_with(root)),
        "{} is another checkout's: {REMEDY}",
        path.display()
    );
    for source in sources {
        // A file that is gone is in nothing any more; what named it has changed too.
        let newer = modified(&source).is_ok_and(|changed| changed > built);
        ensure!(!newer, "{} is older than {}: {REMEDY}", path.display(), source.display());
    }
    Ok(path)
}

fn modified(path: &Path) -> Result<SystemTime> {
    path.metadata().and_then(|found| found.modified()).with_context(|| path.display().to_string())
}

/// The right side of `<target>: <source> <source>…`, blanks in names escaped.
fn sources(list: &str) -> Vec<PathBuf> {
    let names = list.lines().next().and_then(|line| line.split_once(": ")).map_or("", |at| at.1);
    names
        .replace("\\ ", "\u{0}")
        .split(' ')
        .filter(|name| !name.is_empty())
        .map(|name| PathBuf::from(name.replace('\u{0}', " ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_blanks_are_one_source() {
        let list = "/t/orders: /a/one.rs /b\\ c/two.rs\n";
        assert_eq!(sources(list), [PathBuf::from("/a/one.rs"), PathBuf::from("/b c/two.rs")]);
    }
}
