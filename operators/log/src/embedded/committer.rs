//! What happens by itself: syncs, ends of sessions, maintenance. In a thread of
//! its own, or, in simulation, when `tick` is called.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::alarm::Due;
use super::consumer::count_of;
use super::shared::Shared;
use crate::LogError;

/// How often groups are looked at; ends of sessions come at most this late.
const LOOK: Duration = Duration::from_millis(250);
/// How often an idle log is looked at.
const IDLE_LOOK: Duration = Duration::from_secs(5);
/// Between two steps of maintenance, so that it never takes the machine.
const MAINTENANCE_PAUSE: Duration = Duration::from_millis(20);

/// Does everything that is due. True: more is due at once.
pub(super) fn tick(shared: &Arc<Shared>) -> Result<bool, LogError> {
    shared.alive()?;
    if shared.alarm.is_dirty() {
        shared.sync()?;
    }
    look(shared)
}

/// Groups and one step of maintenance.
fn look(shared: &Arc<Shared>) -> Result<bool, LogError> {
    let now = shared.now();
    shared.end_transactions(now)?;
    shared.core.lock().groups.expire(now, &count_of(shared));
    shared.maintenance.lock().step(shared, now)
}

pub(super) fn start(shared: Arc<Shared>) -> Result<JoinHandle<()>, LogError> {
    std::thread::Builder::new()
        .name("log-committer".to_owned())
        .spawn(move || run(&shared))
        .map_err(|error| LogError::Fatal(format!("the log's thread could not be started: {error}")))
}

fn run(shared: &Arc<Shared>) {
    let (urgent, idle) = (shared.options.sync_interval, shared.options.idle_sync_interval);
    let mut look_at = Instant::now();
    loop {
        match shared.alarm.wait(urgent, idle, look_at) {
            Due::Stop => break,
            Due::Sync => report(shared.sync()),
            Due::Look => {
                let more = look(shared).unwrap_or_else(|error| {
                    tracing::error!(%error, "maintenance of the log failed");
                    false
                });
                look_at = Instant::now() + pause(shared, more);
            }
        }
    }
    shared.refuse_waiting();
}

fn pause(shared: &Shared, more: bool) -> Duration {
    if more {
        return MAINTENANCE_PAUSE;
    }
    let looked = if shared.core.lock().groups.has_members() { LOOK } else { IDLE_LOOK };
    looked.min(shared.options.maintenance_interval)
}

fn report(synced: Result<(), LogError>) {
    if let Err(error) = synced {
        tracing::error!(%error, "sync of the log failed");
    }
}
