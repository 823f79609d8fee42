//! All partitions of some topics, in asynchronous code: a reader on a thread of
//! its own feeds a bounded channel.
//!
//! Invariants: the thread reads no more than `capacity` batches ahead of whoever
//! takes them; dropping the [`Tail`] ends the thread; positions are taken before
//! [`Tail::start`] returns, so nothing written afterwards is missed.
//!
//! ```
//! use operators_log::embedded::EmbeddedLog;
//! use operators_log::{AppendExt, Cleanup, Log, NewRecord, Tail, TailFrom, TailOptions, TopicSpec};
//!
//! # fn main() -> Result<(), operators_log::LogError> {
//! let log = EmbeddedLog::in_memory()?;
//! let spec = TopicSpec { name: "orders".into(), partitions: 3, replication: 1, cleanup: Cleanup::Keep };
//! log.admin()?.ensure_topics(&[spec])?;
//! let mut tail = Tail::start(&log, &TailOptions::new("example", &["orders"], TailFrom::End))?;
//! let record = NewRecord { key: Some(b"order-1"), value: Some(b"pending"), timestamp: 0, headers: &[] };
//! # futures::executor::block_on(async {
//! log.appender("example")?.appended("orders", None, record).await?;
//! let found = loop {
//!     let batch = tail.next().await.expect("the log runs")?;
//!     if let Some(record) = batch.records.first() {
//!         break record.clone();
//!     }
//! };
//! assert_eq!(found.value.as_deref(), Some(&b"pending"[..]));
//! tail.stop().await;
//! # Ok(())
//! # })
//! # }
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{ConsumedRecord, Isolation, Log, LogError, Reader, TopicPartition, Visibility, Waker};

/// A poll waits this long at most; a waker ends it earlier.
const POLL: Duration = Duration::from_secs(30);
/// Pause after the first retriable error; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where a tail begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailFrom {
    /// At the first record there is.
    Start,
    /// Behind everything that is committed now.
    End,
    /// At these offsets (next to read); partitions not named begin at the start.
    Positions(Vec<(TopicPartition, i64)>),
}

/// What a tail reads and how far ahead.
#[derive(Debug, Clone)]
pub struct TailOptions {
    /// Names the reader to the log.
    pub client_id: String,
    /// All must exist.
    pub topics: Vec<String>,
    /// Where to begin.
    pub from: TailFrom,
    /// `Durable` for whatever leaves the system.
    pub visibility: Visibility,
    /// Records in one batch, at most.
    pub batch_records: usize,
    /// Batches that wait in the channel, at most.
    pub capacity: usize,
}

impl TailOptions {
    /// Durable, 500 records a batch, 4 batches ahead.
    pub fn new(client_id: &str, topics: &[&str], from: TailFrom) -> Self {
        Self {
            client_id: client_id.to_owned(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            from,
            visibility: Visibility::Durable,
            batch_records: 500,
            capacity: 4,
        }
    }
}

/// A record that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailRecord {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: u32,
    /// Offset.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Key.
    pub key: Option<Bytes>,
    /// None is a tombstone.
    pub value: Option<Bytes>,
    /// In their order.
    pub headers: Vec<(Box<str>, Bytes)>,
}

impl TailRecord {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(found, _)| &**found == name).map(|(_, value)| value.as_ref())
    }
}

/// What a tail found in one go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TailBatch {
    /// Per partition in order. May be empty in the batch that first says
    /// `caught_up`.
    pub records: Vec<TailRecord>,
    /// Next offset to read of every partition that moved with this batch:
    /// what to store in order to go on here.
    pub positions: Vec<(TopicPartition, i64)>,
    /// Everything that was committed when the tail began has been handed out.
    /// True from one batch on, which comes even if there are no records.
    pub caught_up: bool,
}

/// Reads until it is stopped or dropped. See the module's example.
#[derive(Debug)]
pub struct Tail {
    batches: mpsc::Receiver<Result<TailBatch, LogError>>,
    stop: Stop,
}

struct Stop {
    asked: Arc<AtomicBool>,
    waker: Waker,
    thread: Thread,
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stop").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Stop {
    fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        (self.waker)();
        self.thread.unpark();
    }
}

impl Tail {
    /// Finds the positions and starts the thread. Asks the log, so it blocks
    /// for as long as that takes. The log must run in the background (an
    /// embedded log without a background thread never waits in a poll).
    pub fn start(log: &dyn Log, options: &TailOptions) -> Result<Self, LogError> {
        let (positions, ends) = positions(log, options)?;
        let mut reader =
            log.reader(&options.client_id, Isolation::ReadCommitted, options.visibility)?;
        reader.assign(&positions)?;
        let (sender, batches) = mpsc::channel(options.capacity.max(1));
        let asked = Arc::new(AtomicBool::new(false));
        let waker = reader.waker();
        let mut source = Source {
            reader,
            sender,
            stopped: Arc::clone(&asked),
            handed_out: positions,
            ends,
            caught_up: false,
            batch_records: options.batch_records.max(1),
        };
        let thread = std::thread::Builder::new()
            .name(format!("tail-{}", options.client_id))
            .spawn(move || source.run())
            .map_err(|error| {
                LogError::Fatal(format!("a tail's thread could not be started: {error}"))
            })?;
        let stop = Stop { asked, waker, thread: thread.thread().clone() };
        Ok(Self { batches, stop })
    }

    /// The next batch. An error is the last item: the log needs a person (or a
    /// new tail); retriable errors are retried inside. None after that.
    pub async fn next(&mut self) -> Option<Result<TailBatch, LogError>> {
        self.batches.recv().await
    }

    /// Ends the thread and waits for it; what is in the channel is dropped.
    pub async fn stop(mut self) {
        self.stop.ask();
        self.batches.close();
        while self.batches.recv().await.is_some() {}
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.stop.ask();
        self.batches.close();
    }
}

type Positions = Vec<(TopicPartition, i64)>;

/// Where to begin, and where the log ends now.
fn positions(log: &dyn Log, options: &TailOptions) -> Result<(Positions, Positions), LogError> {
    let admin = log.admin()?;
    let topics: Vec<&str> = options.topics.iter().map(String::as_str).collect();
    let mut partitions = Vec::new();
    for (topic, description) in topics.iter().zip(admin.describe(&topics)?) {
        let count = description.map(|description| description.partitions);
        let count = count.ok_or_else(|| {
            LogError::Fatal(format!("topic `{topic}` does not exist; create it first"))
        })?;
        let topic: Arc<str> = Arc::from(*topic);
        partitions.extend((0..count).map(|index| TopicPartition::new(Arc::clone(&topic), index)));
    }
    let ends = admin.end_offsets(&partitions, Isolation::ReadCommitted)?;
    let ends: Positions = partitions.iter().cloned().zip(ends).collect();
    let positions = match &options.from {
        TailFrom::End => ends.clone(),
        from => {
            let mut begin: Positions =
                partitions.iter().cloned().zip(admin.start_offsets(&partitions)?).collect();
            if let TailFrom::Positions(given) = from {
                for (at, position) in &mut begin {
                    let given = given.iter().find(|(given, _)| given == at);
                    *position = given.map_or(*position, |(_, given)| *given);
                }
            }
            begin
        }
    };
    Ok((positions, ends))
}

/// What runs on the thread.
struct Source {
    reader: Box<dyn Reader>,
    sender: mpsc::Sender<Result<TailBatch, LogError>>,
    stopped: Arc<AtomicBool>,
    /// Positions of the last batch.
    handed_out: Positions,
    ends: Positions,
    caught_up: bool,
    batch_records: usize,
}

impl Source {
    fn run(&mut self) {
        let mut pause = FIRST_PAUSE;
        while !self.stopped.load(Ordering::Acquire) {
            match self.batch() {
                Ok(None) => pause = FIRST_PAUSE,
                Ok(Some(batch)) => {
                    pause = FIRST_PAUSE;
                    if self.sender.blocking_send(Ok(batch)).is_err() {
                        return;
                    }
                }
                Err(LogError::Retriable(why)) => {
                    tracing::warn!(why, "reading the log failed; trying again");
                    std::thread::park_timeout(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    drop(self.sender.blocking_send(Err(error)));
                    return;
                }
            }
        }
    }

    /// One poll; a batch if there is news.
    fn batch(&mut self) -> Result<Option<TailBatch>, LogError> {
        let mut records = Vec::new();
        let names = &self.handed_out;
        // Before the end is reached, a poll must come back to say so.
        let timeout = if self.caught_up { POLL } else { FIRST_PAUSE };
        self.reader
            .poll(timeout, self.batch_records, &mut |record| records.push(own(names, record)))?;
        let was = self.caught_up;
        self.caught_up = was || self.ends.iter().all(|(at, end)| self.reader.reached(at, *end));
        if records.is_empty() && was == self.caught_up {
            return Ok(None);
        }
        Ok(Some(TailBatch { records, positions: self.moved(), caught_up: self.caught_up }))
    }

    fn moved(&mut self) -> Positions {
        let mut moved = Vec::new();
        for (at, position) in &mut self.handed_out {
            let now = self.reader.position(at).unwrap_or(*position);
            if now != *position {
                *position = now;
                moved.push((at.clone(), now));
            }
        }
        moved
    }
}

/// Copies a record; its topic's name is shared with the positions.
fn own(names: &Positions, record: ConsumedRecord<'_>) -> TailRecord {
    let named = names.iter().find(|(at, _)| &*at.topic == record.topic);
    TailRecord {
        topic: named.map_or_else(|| Arc::from(record.topic), |(at, _)| Arc::clone(&at.topic)),
        partition: record.partition,
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.map(Bytes::copy_from_slice),
        value: record.value.map(Bytes::copy_from_slice),
        headers: record
            .headers
            .iter()
            .map(|(name, value)| ((*name).into(), Bytes::copy_from_slice(value)))
            .collect(),
    }
}
