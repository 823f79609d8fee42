//! Punctuation: a processor called at a regular interval of stream time or of the wall clock (P04, P05).
//!
//! ```text
//! <processor>-time        "stream-time" → time (8 bytes, big-endian): the task's stream time
//!                         interval of a schedule (8 bytes) → its next call (8 bytes)
//! <processor>-wall-clock  durable timers, the schedule's interval as key
//! ```
//!
//! Invariant: what is called when depends only on the records and on the clock, not on restarts: stream time and next
//! calls are state. Of one processor and kind the interval says which schedule it is, to the processor as in the state:
//! schedules may change places. Missed calls are not made up: however far time went, it is one call.

use state_stores::{Direction, StoreError, StoreIndex, StoreKind};

use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::StoreDecl;
use crate::process::TimerHandler;

const STREAM_TIME: &[u8] = b"stream-time";

/// Which time a schedule follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PunctuationType {
    /// The highest timestamp of all records of the task. Without records there are no calls.
    StreamTime,
    /// The task's clock.
    WallClockTime,
}

/// A schedule that a processor declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Punctuation {
    /// Which time.
    pub kind: PunctuationType,
    /// How often (ms, > 0). Calls for stream time lie on multiples of it.
    pub interval_ms: i64,
}

/// What is called.
pub(crate) trait PunctuationHandler: Send {
    fn on_punctuate(
        &mut self,
        punctuation: Punctuation,
        timestamp: i64,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure>;
}

/// `<processor>-time`
pub(crate) fn time_store(processor: &str) -> StoreDecl {
    let formats = ("bytes".to_owned(), "i64-be".to_owned());
    StoreDecl::internal(format!("{processor}-time"), StoreKind::KeyValue, formats)
}

/// `<processor>-wall-clock`
pub(crate) fn wall_clock_store(processor: &str) -> StoreDecl {
    let formats = ("timer".to_owned(), "bytes".to_owned());
    StoreDecl::internal(format!("{processor}-wall-clock"), StoreKind::KeyValue, formats)
}

struct StreamTimeSchedule {
    store: StoreIndex,
    punctuation: Punctuation,
    next: i64,
    handler: Box<dyn PunctuationHandler>,
}

impl StreamTimeSchedule {
    fn row_key(&self) -> [u8; 8] {
        self.punctuation.interval_ms.to_be_bytes()
    }
}

/// The schedules of one task.
#[derive(Default)]
pub(crate) struct Punctuators {
    started: bool,
    /// Stores that keep the task's stream time.
    times: Vec<StoreIndex>,
    schedules: Vec<StreamTimeSchedule>,
    /// Stores of the wall clock's timers, with the intervals.
    wall_clock: Vec<(StoreIndex, Vec<i64>)>,
}

impl Punctuators {
    /// A node wants the task's stream time to be kept.
    pub(crate) fn keep_time(&mut self, store: StoreIndex) {
        self.times.push(store);
    }

    /// Adds a schedule for stream time.
    pub(crate) fn stream_time(
        &mut self,
        store: StoreIndex,
        punctuation: Punctuation,
        handler: Box<dyn PunctuationHandler>,
    ) {
        let next = 0;
        self.schedules.push(StreamTimeSchedule { store, punctuation, next, handler });
    }

    /// Adds schedules for the wall clock, which [`WallClock`] handles.
    pub(crate) fn wall_clock(&mut self, store: StoreIndex, intervals: Vec<i64>) {
        self.wall_clock.push((store, intervals));
    }

    /// The first time: reads what is kept, and schedules what never was. True when that changed something.
    pub(crate) fn start(&mut self, ctx: &mut TaskContext) -> Result<bool, StoreError> {
        if std::mem::replace(&mut self.started, true) {
            return Ok(false);
        }
        let read = |ctx: &TaskContext, store, key: &[u8]| {
            let time = |row: Option<&[u8]>| row?.try_into().ok().map(i64::from_be_bytes);
            ctx.state.get_with(store, key, time)
        };
        for store in &self.times {
            ctx.stream_time = ctx.stream_time.max(read(ctx, *store, STREAM_TIME)?);
        }
        for schedule in &mut self.schedules {
            let kept = read(ctx, schedule.store, &schedule.row_key())?;
            schedule.next = kept.unwrap_or(0);
        }
        let mut scheduled = false;
        for (store, intervals) in &self.wall_clock {
            let mut known = Vec::new();
            let mut visit = |row: &[u8], _: &[u8]| {
                // Due, then the timer's key.
                let interval = row.get(8..).and_then(|key| key.try_into().ok());
                known.extend(interval.map(i64::from_be_bytes));
                std::ops::ControlFlow::Continue(())
            };
            ctx.state.scan(*store, &[], None, Direction::Forward, &mut visit)?;
            let queue = ctx.timers.queue_of(*store);
            for interval in intervals.iter().filter(|interval| !known.contains(interval)) {
                let due = ctx.now_ms.saturating_add(*interval);
                ctx.set_timer(queue, due, &interval.to_be_bytes());
                scheduled = true;
            }
        }
        Ok(scheduled)
    }

    /// The task takes a record of this timestamp.
    pub(crate) fn observe(&self, timestamp: i64, ctx: &mut TaskContext) {
        if ctx.stream_time.is_none_or(|time| time < timestamp) {
            ctx.stream_time = Some(timestamp);
            for store in &self.times {
                ctx.state.put(*store, STREAM_TIME, Some(&timestamp.to_be_bytes()));
            }
        }
    }

    /// The first schedule whose time has come.
    pub(crate) fn due(&self, stream_time: Option<i64>) -> Option<usize> {
        let now = stream_time?;
        self.schedules.iter().position(|schedule| schedule.next <= now)
    }

    /// Sets the next call of a schedule that is due; gives the time of this one.
    pub(crate) fn advance(&mut self, schedule: usize, ctx: &mut TaskContext) -> i64 {
        let now = ctx.stream_time.unwrap_or_default();
        let schedule = &mut self.schedules[schedule];
        let interval = schedule.punctuation.interval_ms;
        schedule.next = (now.div_euclid(interval) + 1).saturating_mul(interval);
        ctx.state.put(schedule.store, &schedule.row_key(), Some(&schedule.next.to_be_bytes()));
        now
    }

    pub(crate) fn call(
        &mut self,
        schedule: usize,
        timestamp: i64,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let schedule = &mut self.schedules[schedule];
        schedule.handler.on_punctuate(schedule.punctuation, timestamp, ctx)
    }
}

/// What the wall clock's timers of one node wake.
pub(crate) struct WallClock<H> {
    pub(crate) store: StoreIndex,
    pub(crate) intervals: Vec<i64>,
    pub(crate) handler: H,
}

impl<H> WallClock<H> {
    /// Sets the next timer on the grid after the clock; `None`: the schedule isn't declared any more.
    fn reschedule(&self, key: &[u8], due: i64, ctx: &mut TaskContext) -> Option<i64> {
        let interval = i64::from_be_bytes(key.try_into().ok()?);
        let interval = self.intervals.contains(&interval).then_some(interval)?;
        let missed = ctx.now_ms.saturating_sub(due) / interval;
        let queue = ctx.timers.queue_of(self.store);
        ctx.set_timer(queue, due.saturating_add((missed + 1).saturating_mul(interval)), key);
        Some(interval)
    }
}

impl<H: PunctuationHandler> TimerHandler for WallClock<H> {
    fn on_timer(&mut self, key: &[u8], due: i64, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some(interval_ms) = self.reschedule(key, due, ctx) else { return Ok(()) };
        let punctuation = Punctuation { kind: PunctuationType::WallClockTime, interval_ms };
        self.handler.on_punctuate(punctuation, ctx.now_ms, ctx)
    }

    fn on_lost_timer(
        &mut self,
        key: &[u8],
        due: i64,
        ctx: &mut TaskContext,
    ) -> Result<(), StoreError> {
        self.reschedule(key, due, ctx);
        Ok(())
    }
}
