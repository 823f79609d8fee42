//! Reading a topic from its start or its end for as long as the process runs.
//!
//! Invariants: each record is handed over once, in partition order; after trouble
//! with the log reading goes on from where it stood, so nothing is skipped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use log::{Log, LogError, Tail, TailBatch, TailFrom, TailOptions, TopicPartition};
use tokio::task::JoinHandle;

/// A running follower; dropping it ends it.
#[derive(Debug)]
pub struct Follower {
    health: Arc<Health>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Health {
    reading: AtomicBool,
    caught_up: AtomicBool,
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Follower {
    /// Starts reading `topic`. Returns once the positions are fixed, so that
    /// with [`TailFrom::End`] everything appended afterwards is seen. Blocks for
    /// as long as the log takes to answer; call it within a runtime.
    ///
    /// # Errors
    /// The topic doesn't exist or the log can't be reached.
    pub fn start(
        log: Arc<dyn Log>,
        client_id: &str,
        topic: &'static str,
        from: TailFrom,
        mut visit: impl FnMut(&TailBatch) + Send + 'static,
    ) -> Result<Self, LogError> {
        let mut options = TailOptions::new(client_id, &[topic], from);
        let mut tail = Tail::start(log.as_ref(), &options)?;
        let health =
            Arc::new(Health { reading: AtomicBool::new(true), caught_up: AtomicBool::new(false) });
        let told = Arc::clone(&health);
        let task = tokio::spawn(async move {
            let mut positions: Vec<(TopicPartition, i64)> = Vec::new();
            loop {
                read(&mut tail, &told, &mut positions, &mut visit).await;
                told.reading.store(false, Ordering::Relaxed);
                if !positions.is_empty() {
                    options.from = TailFrom::Positions(positions.clone());
                }
                tail = again(&log, &options, topic).await;
                told.reading.store(true, Ordering::Relaxed);
            }
        });
        Ok(Self { health, task })
    }

    /// False while the log can't be read.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.health.reading.load(Ordering::Relaxed)
    }

    /// True once everything has been handed over that was there at the start.
    #[must_use]
    pub fn caught_up(&self) -> bool {
        self.health.caught_up.load(Ordering::Relaxed)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Hands batches over until the tail ends.
async fn read(
    tail: &mut Tail,
    health: &Health,
    positions: &mut Vec<(TopicPartition, i64)>,
    visit: &mut (impl FnMut(&TailBatch) + Send),
) {
    while let Some(batch) = tail.next().await {
        match batch {
            Ok(batch) => {
                visit(&batch);
                for (at, next) in &batch.positions {
                    match positions.iter_mut().find(|(known, _)| known == at) {
                        Some((_, position)) => *position = *next,
                        None => positions.push((at.clone(), *next)),
                    }
                }
                if batch.caught_up {
                    health.caught_up.store(true, Ordering::Relaxed);
                }
            }
            Err(error) => tracing::error!(%error, "reading a topic ended; beginning again"),
        }
    }
}

/// A new tail, however long that takes.
async fn again(log: &Arc<dyn Log>, options: &TailOptions, topic: &str) -> Tail {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        let (log, options) = (Arc::clone(log), options.clone());
        let started =
            tokio::task::spawn_blocking(move || Tail::start(log.as_ref(), &options)).await;
        match started {
            Ok(Ok(tail)) => return tail,
            Ok(Err(error)) => tracing::warn!(%error, topic, "cannot read; trying again"),
            Err(error) => tracing::error!(%error, topic, "cannot start reading; trying again"),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
