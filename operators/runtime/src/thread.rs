//! The thread that owns a worker's only wait.
//!
//! Shutdown order: `close` → commit what is processed → leave the group →
//! answer the last revoke → drop the clients.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use log::traits::Waker;

use crate::clock::{Clock, Onward};
use crate::error::WorkerError;
use crate::worker::{Progress, Worker, WorkerStatus};

/// A status is at most this old while the worker is busy.
const SHOWN_EVERY_MS: i64 = 100;

/// A running worker thread.
#[derive(Debug)]
pub struct WorkerHandle {
    closing: Arc<AtomicBool>,
    status: Arc<std::sync::Mutex<WorkerStatus>>,
    waker: mpsc::Receiver<WakerSlot>,
    thread: Option<JoinHandle<Result<(), WorkerError>>>,
}

/// A look at a worker that somebody else owns.
#[derive(Clone, Debug)]
pub struct StatusView(Arc<std::sync::Mutex<WorkerStatus>>);

impl StatusView {
    /// What the worker is doing, or was a tenth of a second ago.
    #[must_use]
    pub fn status(&self) -> Option<WorkerStatus> {
        self.0.lock().ok().map(|status| status.clone())
    }
}

struct WakerSlot(Waker);

impl std::fmt::Debug for WakerSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waker")
    }
}

/// Starts the worker on a thread of its own. Its time is that of `clock`; where that is set back, time goes on from where it
/// was. `ended` is called once with the
/// result, from that thread.
///
/// # Errors
/// When the operating system refuses a thread.
pub fn spawn(
    worker: Worker,
    clock: Clock,
    ended: impl FnOnce(&Result<(), WorkerError>) + Send + 'static,
) -> std::io::Result<WorkerHandle> {
    let closing = Arc::new(AtomicBool::new(false));
    let status = Arc::new(std::sync::Mutex::new(worker.status()));
    let (send_waker, waker) = mpsc::channel();
    let (asked, shown) = (closing.clone(), status.clone());
    let application = worker.status().application;
    let name: String = application.chars().take(15).collect();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        let driven = AssertUnwindSafe(|| drive(worker, &clock, &asked, &shown, &send_waker));
        let result = std::panic::catch_unwind(driven).unwrap_or_else(|panic| {
            Err(WorkerError::Panicked { application, message: text_of(panic.as_ref()) })
        });
        ended(&result);
        result
    })?;
    Ok(WorkerHandle { closing, status, waker, thread: Some(thread) })
}

/// What a panic said.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    literal.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Shows a worker's status: at every change of phase, and now and then between.
struct Shown<'s> {
    status: &'s std::sync::Mutex<WorkerStatus>,
    phase: &'static str,
    at: i64,
}

impl Shown<'_> {
    fn update(&mut self, worker: &mut Worker, now: i64) {
        let phase = worker.phase_name();
        if phase == self.phase && now - self.at < SHOWN_EVERY_MS {
            return;
        }
        (self.phase, self.at) = (phase, now);
        worker.refresh(now);
        let status = worker.status();
        worker.report_waiting(&status, now);
        worker.report_standbys(&status);
        worker.report_restoring(&status);
        if let Ok(mut shown) = self.status.lock() {
            *shown = status;
        }
    }
}

fn drive(
    mut worker: Worker,
    clock: &Clock,
    closing: &AtomicBool,
    status: &std::sync::Mutex<WorkerStatus>,
    send_waker: &mpsc::Sender<WakerSlot>,
) -> Result<(), WorkerError> {
    let mut waker_sent = false;
    let mut shown = Shown { status, phase: "", at: i64::MIN / 2 };
    let mut time = Onward::default();
    loop {
        if closing.load(Ordering::Acquire) {
            worker.close();
        }
        if !waker_sent && let Some(waker) = worker.waker() {
            // A dropped handle needs no waker.
            waker_sent = send_waker.send(WakerSlot(waker)).is_ok() || !waker_sent;
        }
        let now = time.now(clock);
        let progress = worker.step(now)?;
        shown.update(&mut worker, now);
        match progress {
            Progress::Busy => {}
            Progress::IdleUntil(at) => {
                let ms = u64::try_from(at.saturating_sub(time.now(clock))).unwrap_or(0);
                if ms > 0 {
                    worker.wait(Duration::from_millis(ms))?;
                }
            }
            Progress::Stopped => return Ok(()),
        }
    }
}

impl WorkerHandle {
    /// A look at the worker.
    #[must_use]
    pub fn view(&self) -> StatusView {
        StatusView(self.status.clone())
    }

    /// Asks it to stop; returns at once.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        if let Ok(WakerSlot(wake)) = self.waker.try_recv() {
            wake();
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Why the worker stopped, if not because it was asked to; a panic of its
    /// thread too.
    ///
    /// # Panics
    /// If what was called at its end panicked.
    pub fn join(mut self) -> Result<(), WorkerError> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_in_its_own_words() {
        let said = |call: fn()| text_of(std::panic::catch_unwind(call).unwrap_err().as_ref());
        assert_eq!(said(|| panic!("plain")), "plain");
        assert_eq!(said(|| panic!("{} words", 2)), "2 words");
    }
}
