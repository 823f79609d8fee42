//! `DATA_DIR`: what a machine keeps, and which live process may use it.
//!
//! Invariants: a file that is made once is made by one process; two live
//! processes never play the same role in one folder, so they never share an
//! instance id (transactional ids, webhook leases) or a database.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};

/// Locks of this process, by path. The operating system takes them back when
/// the process ends, however it ends.
static HELD: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());

/// A folder below `data`, made if it isn't there.
pub(crate) fn folder(data: &Path, name: &str) -> Result<PathBuf> {
    let path = data.join(name);
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

/// Takes a role in this folder until the process ends.
///
/// # Errors
/// Another process has it.
pub(crate) fn claim(data: &Path, role: &str) -> Result<()> {
    let path = folder(data, "locks")?.join(role);
    let file = lock_file(&path)?;
    match file.try_lock() {
        Ok(()) => {
            HELD.lock().unwrap_or_else(PoisonError::into_inner).insert(path, file);
            Ok(())
        }
        Err(TryLockError::WouldBlock) => bail!(
            "DATA_DIR={}: another process uses {role} in this folder; stop it, or give this one a \
             DATA_DIR (and, where it is set, an INSTANCE_ID) of its own",
            data.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// `INSTANCE_ID`, or a name made once for this folder.
pub(crate) fn instance(data: &Path, chosen: Option<&str>) -> Result<String> {
    match chosen {
        Some(id) => Ok(id.to_owned()),
        None => kept(&folder(data, "")?, "instance-id", 4),
    }
}

/// A random secret in a file that only the owner reads, made on first use.
pub(crate) fn secret(data: &Path, name: &str, bytes: usize) -> Result<String> {
    let secrets = folder(data, "")?.join("secrets");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&secrets)
        .with_context(|| format!("cannot make {}", secrets.display()))?;
    kept(&secrets, name, bytes)
}

/// The text of a file, random hexadecimal digits on first use. Processes that
/// start at the same time read the same.
fn kept(folder: &Path, name: &str, bytes: usize) -> Result<String> {
    let lock = folder.join(".lock");
    let held = lock_file(&lock)?;
    held.lock().with_context(|| format!("cannot lock {}", lock.display()))?;
    let path = folder.join(name);
    if let Ok(text) = fs::read_to_string(&path)
        && !text.trim().is_empty()
    {
        return Ok(text.trim().to_owned());
    }
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no random numbers: {error}"))?;
    let text = hex::encode(random);
    // Whole or not at all, whenever the process dies.
    let draft = folder.join(format!(".{name}.new"));
    let write = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(text)
}

fn lock_file(path: &Path) -> Result<File> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_played_once_in_a_folder() {
        let data = tempfile::tempdir().unwrap();
        claim(data.path(), "webhooks").unwrap();
        claim(data.path(), "order-feed").unwrap();
        let refused = claim(data.path(), "webhooks").unwrap_err().to_string();
        assert!(refused.starts_with("DATA_DIR=") && refused.contains("INSTANCE_ID"), "{refused}");
        claim(tempfile::tempdir().unwrap().path(), "webhooks").unwrap();
    }

    #[test]
    fn all_who_start_at_once_read_the_same() {
        let data = tempfile::tempdir().unwrap();
        let read =
            || (instance(data.path(), None).unwrap(), secret(data.path(), "jwt", 32).unwrap());
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(read)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        assert_eq!(instance(data.path(), Some("a")).unwrap(), "a");
    }
}
