//! What a run holds in memory, looked at every so often: the kernel's figures beside the library's own.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow};
use load_tests::process::Resident;
use serde_json::{Value, json};
use state_stores::{StateDir, StateMemory};

/// Between two looks, each of which costs some tens of microseconds.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until it is told to end.
pub(crate) struct Watch {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Seen>,
}

/// The moment with the most memory, and the most of each kind.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    resident: Resident,
    state: StateMemory,
    most: StateMemory,
}

impl Watch {
    pub(crate) fn start(state: &Arc<StateDir>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let state = Arc::clone(state);
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                seen.look(&state);
            }
            seen.look(&state);
            seen
        });
        Self { stop, thread }
    }

    /// As a field of the report, with the memory that was to be kept to.
    pub(crate) fn end(self, budget_mib: usize) -> Result<Value> {
        drop(self.stop);
        let Seen { resident, state, most } =
            self.thread.join().map_err(|_| anyhow!("the thread that looks has failed"))?;
        Ok(json!({
            "budget_mib": budget_mib,
            "anonymous_mib": tenths(resident.anonymous),
            "file_mib": tenths(resident.file),
            "state_then_mib": parts(&state),
            "state_most_mib": parts(&most),
        }))
    }
}

impl Seen {
    fn look(&mut self, dir: &StateDir) {
        let (resident, state) = (Resident::of(std::process::id()), dir.memory());
        if resident.anonymous > self.resident.anonymous {
            (self.resident, self.state) = (resident, state);
        }
        let most = &mut self.most;
        for (most, now) in [
            (&mut most.live, state.live),
            (&mut most.settled, state.settled),
            (&mut most.clean, state.clean),
            (&mut most.engine.write_buffers, state.engine.write_buffers),
            (&mut most.engine.cache, state.engine.cache),
            (&mut most.engine.tables, state.engine.tables),
        ] {
            *most = now.max(*most);
        }
    }
}

fn parts(state: &StateMemory) -> Value {
    let mib = |bytes: usize| tenths(bytes as f64 / f64::from(1 << 20));
    json!({
        "live": mib(state.live),
        "settled": mib(state.settled),
        "clean": mib(state.clean),
        "write_buffers": mib(state.engine.write_buffers),
        "cache": mib(state.engine.cache),
        "tables": mib(state.engine.tables),
    })
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
