//! `Suppressed`, `BufferConfig`: what `suppress` holds back, how long, and how much of it.

use std::marker::PhantomData;

use crate::windowed::Windowed;

/// A buffer that never emits before time: it grows, or ends the task when it is full.
#[derive(Clone, Copy, Debug)]
pub enum Strict {}

/// A buffer that may emit before time when it is full.
#[derive(Clone, Copy, Debug)]
pub enum Eager {}

/// How much `suppress` may hold, and what happens when that is too little.
///
/// ```
/// use operators::BufferConfig;
///
/// let strict = BufferConfig::unbounded();
/// let eager = BufferConfig::max_records(10_000).with_max_bytes(1 << 20); // emits its oldest when full
/// let strict_too = eager.shut_down_when_full();
/// # let _ = (strict, strict_too);
/// ```
#[derive(Debug)]
pub struct BufferConfig<F> {
    pub(crate) limits: Limits,
    when_full: PhantomData<fn() -> F>,
}

/// A buffer's bounds: `None` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) records: Option<u64>,
    pub(crate) bytes: Option<u64>,
    /// When full: emit the oldest. Otherwise the task fails.
    pub(crate) emits_early: bool,
}

impl<F> Clone for BufferConfig<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for BufferConfig<F> {}

impl BufferConfig<Strict> {
    /// No bound. The buffer is a store, so its size is limited by the disk, not by memory.
    pub fn unbounded() -> Self {
        Self::of(Limits::default())
    }
}

impl BufferConfig<Eager> {
    /// At most this many keys; emits the oldest early when there are more.
    pub fn max_records(records: u64) -> Self {
        Self::of(Limits { records: Some(records), bytes: None, emits_early: true })
    }

    /// At most this many bytes of keys, values and headers; emits the oldest early when there are more.
    pub fn max_bytes(bytes: u64) -> Self {
        Self::of(Limits { records: None, bytes: Some(bytes), emits_early: true })
    }
}

impl<F> BufferConfig<F> {
    fn of(limits: Limits) -> Self {
        Self { limits, when_full: PhantomData }
    }

    /// At most this many keys, too.
    pub fn with_max_records(self, records: u64) -> Self {
        Self::of(Limits { records: Some(records), ..self.limits })
    }

    /// At most this many bytes, too.
    pub fn with_max_bytes(self, bytes: u64) -> Self {
        Self::of(Limits { bytes: Some(bytes), ..self.limits })
    }

    /// No bound, after all.
    pub fn with_no_bound(self) -> BufferConfig<Strict> {
        BufferConfig::unbounded()
    }

    /// When the buffer is full, its oldest results go out before time.
    pub fn emit_early_when_full(self) -> BufferConfig<Eager> {
        BufferConfig::of(Limits { emits_early: true, ..self.limits })
    }

    /// When the buffer is full, the record fails by the node's error policy, which ends the task unless set otherwise.
    pub fn shut_down_when_full(self) -> BufferConfig<Strict> {
        BufferConfig::of(Limits { emits_early: false, ..self.limits })
    }
}

/// Which results of a table [`KTable::suppress`](crate::KTable::suppress) holds back.
#[derive(Debug)]
pub struct Suppressed<K: ?Sized> {
    pub(crate) until: Until<K>,
    pub(crate) limits: Limits,
}

/// When a buffered result goes out.
pub(crate) enum Until<K: ?Sized> {
    /// This long after the first result of its key.
    TimeLimit(i64),
    /// The window's end, by the key; the time to wait after it is the windows' grace.
    WindowCloses(fn(&K) -> i64),
}

impl<K: ?Sized> Clone for Until<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized> Copy for Until<K> {}

impl<K: ?Sized> std::fmt::Debug for Until<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TimeLimit(ms) => f.debug_tuple("TimeLimit").field(ms).finish(),
            Self::WindowCloses(_) => f.write_str("WindowCloses"),
        }
    }
}

impl<K: ?Sized> Clone for Suppressed<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized> Copy for Suppressed<K> {}

impl<K: ?Sized + ToOwned> Suppressed<Windowed<K>> {
    /// Holds each window's result until the window closes, and then emits the last one, once. Windows without a
    /// result by then (merged sessions) are not emitted.
    pub fn until_window_closes(buffer: BufferConfig<Strict>) -> Self {
        let until = Until::WindowCloses(|key: &Windowed<K>| key.window.end);
        Self { until, limits: buffer.limits }
    }
}

impl<K: ?Sized> Suppressed<K> {
    /// Holds results until stream time is `limit_ms` (≥ 0) beyond the first one held of that key, and then emits the
    /// last one.
    ///
    /// # Panics
    /// When the limit is negative.
    pub fn until_time_limit<F>(limit_ms: i64, buffer: BufferConfig<F>) -> Self {
        assert!(limit_ms >= 0, "a time limit can't be negative");
        Self { until: Until::TimeLimit(limit_ms), limits: buffer.limits }
    }
}
