//! Workers on threads of this process, and an end to them.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use anyhow::{Result, bail};
use log::traits::Log;
use operators::Topology;
use runtime::{StatusView, Worker, WorkerHandle, WorkerSettings, spawn};
use state_stores::StateDir;

/// Running workers.
pub(crate) struct Stages {
    handles: Vec<WorkerHandle>,
    views: Vec<StatusView>,
}

impl Stages {
    pub(crate) fn none() -> Self {
        Self { handles: Vec::new(), views: Vec::new() }
    }

    /// Starts a worker on a thread of its own.
    pub(crate) fn start(
        &mut self,
        topology: Topology,
        log: &Arc<dyn Log>,
        state: Arc<StateDir>,
        settings: WorkerSettings,
    ) -> Result<()> {
        let worker = Worker::new(topology, Arc::clone(log), state, settings, 1);
        let now = || UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64);
        let handle = spawn(worker, Arc::new(now), |ended| {
            if let Err(error) = ended {
                eprintln!("worker ended: {error}");
            }
        })?;
        self.views.push(handle.view());
        self.handles.push(handle);
        Ok(())
    }

    /// True when all have taken up this many tasks together.
    ///
    /// # Errors
    /// One stands still.
    pub(crate) fn ready(&self, tasks: usize) -> Result<bool> {
        let mut own = 0;
        for status in self.views.iter().filter_map(StatusView::status) {
            if let Some(reason) = status.tasks.iter().find_map(|task| task.stopped.as_ref()) {
                bail!("{}: {reason}", status.application);
            }
            own += if status.ready { status.tasks.len() } else { 0 };
        }
        Ok(own == tasks)
    }

    /// Rows read from changelogs so far.
    pub(crate) fn restored_rows(&self) -> u64 {
        let all = self.views.iter().filter_map(StatusView::status);
        all.map(|status| status.restored_rows).sum()
    }

    /// Commits, leaves the groups, waits for the threads.
    pub(crate) fn close(self) -> Result<()> {
        self.handles.iter().for_each(WorkerHandle::close);
        for handle in self.handles {
            handle.join()?;
        }
        Ok(())
    }
}
