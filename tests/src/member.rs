//! A worker in a process of its own: the running test's program once more, told to be the member.
//!
//! Invariant: a member that ends by itself ends its process, so nobody waits for what it would have done.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use runtime::{Worker, WorkerError};

/// Set in the child: what it was told.
const MEMBER: &str = "MEMBER_OF_A_TEST";

/// The process, as its parent sees it; killed when dropped.
#[derive(Debug)]
pub struct Member(Child);

impl Member {
    /// Starts the test `the_member` of this program, which learns `told` by [`told()`]. What it logs goes to
    /// `log`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn spawn(told: &str, log: Stdio) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--exact", "the_member", "--nocapture"]).env(MEMBER, told);
        command.stdin(Stdio::piped()).stderr(log);
        Ok(Self(command.spawn().context("a member can't be started")?))
    }

    /// kill -9.
    ///
    /// # Errors
    /// The operating system's.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Sends a signal by its short name.
    ///
    /// # Errors
    /// It isn't taken.
    pub fn signal(&self, name: &str) -> Result<()> {
        let kill = format!("kill -{name} {}", self.0.id());
        ensure!(Command::new("sh").args(["-c", &kill]).status()?.success(), "{kill} failed");
        Ok(())
    }

    /// True once the process is gone.
    ///
    /// # Errors
    /// The operating system's.
    pub fn is_gone(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// Asks it to close and waits for its end.
    ///
    /// # Errors
    /// It failed.
    pub fn leave(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        let ended = self.0.wait()?;
        ensure!(ended.success(), "the member ended with {ended}");
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Gone already, if it has left.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// What this process was told, if it is a member.
#[must_use]
pub fn told() -> Option<String> {
    std::env::var(MEMBER).ok()
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The member's part: runs the worker, and `meanwhile`, until the parent asks it to leave.
///
/// # Errors
/// How the worker ended, if not because it was asked to.
pub fn serve(worker: Worker, meanwhile: impl FnOnce()) -> Result<()> {
    let ended = |result: &Result<(), WorkerError>| {
        if let Err(error) = result {
            eprintln!("member {}: {error}", std::process::id());
            std::process::exit(1);
        }
    };
    let handle = runtime::spawn(worker, Arc::new(now_ms), ended)?;
    meanwhile();
    std::io::stdin().read_to_end(&mut Vec::new())?;
    handle.close();
    Ok(handle.join()?)
}
