//! What waits in a worker's tasks, as status and as metrics (`docs/metrics.md`).

use std::collections::BTreeMap;
use std::sync::Arc;

use operators::{CallError, WaitingCalls, WaitingKeys};

use crate::worker::{Worker, WorkerStatus};

/// Pending calls of one node in a task.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct CallsStatus {
    /// Name of the call.
    pub node: String,
    /// Without an answer.
    pub pending: usize,
    /// Attempts under way.
    pub in_flight: usize,
    /// When the oldest was accepted (ms since 1970).
    pub oldest_ms: Option<i64>,
}

/// Parked keys of one parking in a task.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ParkingStatus {
    /// Name of the parking.
    pub parking: String,
    /// Keys that wait.
    pub keys: usize,
    /// Records that wait.
    pub records: usize,
    /// Since when the first of them waits (ms since 1970).
    pub oldest_ms: Option<i64>,
}

impl From<WaitingCalls> for CallsStatus {
    fn from(calls: WaitingCalls) -> Self {
        let WaitingCalls { node, pending, in_flight, oldest_ms } = calls;
        Self { node: node.to_string(), pending, in_flight, oldest_ms }
    }
}

impl From<WaitingKeys> for ParkingStatus {
    fn from(waiting: WaitingKeys) -> Self {
        let WaitingKeys { parking, keys, records, oldest_ms } = waiting;
        Self { parking: parking.to_string(), keys, records, oldest_ms }
    }
}

/// Sums over tasks: two counts, and the oldest time.
#[derive(Clone, Copy, Default)]
struct Sum(usize, usize, Option<i64>);

impl Sum {
    fn add(&mut self, first: usize, second: usize, oldest_ms: Option<i64>) {
        self.0 += first;
        self.1 += second;
        self.2 = self.2.into_iter().chain(oldest_ms).min();
    }

    /// Seconds at `now_ms`.
    fn age(&self, now_ms: i64) -> f64 {
        self.2.map_or(0.0, |oldest| (now_ms - oldest).max(0) as f64 / 1_000.0)
    }
}

impl Worker {
    /// Sets the gauges of what waits in the tasks of `status`. What has no task here is 0.
    pub fn report_waiting(&self, status: &WorkerStatus, now_ms: i64) {
        let none = |name: Arc<str>| (name.to_string(), Sum::default());
        let mut calls: BTreeMap<String, Sum> =
            self.topology.calls().iter().cloned().map(none).collect();
        let mut parkings: BTreeMap<String, Sum> =
            self.topology.parkings().into_iter().map(|parking| none(parking.name)).collect();
        for task in &status.tasks {
            for it in &task.calls {
                let sum = calls.entry(it.node.clone()).or_default();
                sum.add(it.pending, it.in_flight, it.oldest_ms);
            }
            for it in &task.parked {
                let sum = parkings.entry(it.parking.clone()).or_default();
                sum.add(it.keys, it.records, it.oldest_ms);
            }
        }
        let thread = self.settings.thread.to_string();
        for (node, sum) in calls {
            let labels = [
                ("application", status.application.clone()),
                ("operator", node),
                ("thread", thread.clone()),
            ];
            metrics::gauge!("stream_calls_pending", &labels).set(sum.0 as f64);
            metrics::gauge!("stream_calls_in_flight", &labels).set(sum.1 as f64);
            metrics::gauge!("stream_calls_oldest_seconds", &labels).set(sum.age(now_ms));
        }
        for (parking, sum) in parkings {
            let labels = [
                ("application", status.application.clone()),
                ("operator", parking),
                ("thread", thread.clone()),
            ];
            metrics::gauge!("stream_parked_keys", &labels).set(sum.0 as f64);
            metrics::gauge!("stream_parked_records", &labels).set(sum.1 as f64);
            metrics::gauge!("stream_parked_oldest_seconds", &labels).set(sum.age(now_ms));
        }
    }
}

/// Counts an attempt that begins.
pub(crate) fn count_start(application: &str, node: &str, attempt: u32) {
    if attempt > 1 {
        let labels = [("application", application.to_owned()), ("operator", node.to_owned())];
        metrics::counter!("stream_call_retries_total", &labels).increment(1);
    }
}

/// Counts an attempt that has ended.
pub(crate) fn count_end(application: &str, node: &str, result: &Result<Vec<u8>, CallError>) {
    let outcome = match result {
        Ok(_) => "replied",
        Err(CallError::Failed(_)) => "failed",
        Err(CallError::Rejected(_)) => "rejected",
    };
    let labels = [
        ("application", application.to_owned()),
        ("operator", node.to_owned()),
        ("outcome", outcome.to_owned()),
    ];
    metrics::counter!("stream_call_attempts_total", &labels).increment(1);
}
