//! Windows: how time is cut, and keys that say which cut they belong to.

use std::borrow::Borrow;
use std::sync::Arc;

use state_stores::{Codec, CodecError, Decoder, Encoder, Serde};

/// Windows of one size that begin at multiples of `advance`. All times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindows {
    size_ms: i64,
    advance_ms: i64,
    grace_ms: i64,
}

impl TimeWindows {
    /// Tumbling windows of `size_ms` (> 0), closed as soon as stream time reaches their end.
    ///
    /// # Panics
    /// When the size isn't positive.
    pub fn of_size(size_ms: i64) -> Self {
        assert!(size_ms > 0, "a window's size must be positive");
        Self { size_ms, advance_ms: size_ms, grace_ms: 0 }
    }

    /// Hopping windows: one begins every `advance_ms` (> 0, ≤ size).
    ///
    /// # Panics
    /// When the advance isn't in that range.
    pub fn advance_by(self, advance_ms: i64) -> Self {
        assert!(
            advance_ms > 0 && advance_ms <= self.size_ms,
            "a window's advance must be in 1..=size"
        );
        Self { advance_ms, ..self }
    }

    /// Late records are taken until stream time reaches the window's end plus `grace_ms` (≥ 0).
    ///
    /// # Panics
    /// When the grace is negative.
    pub fn grace(self, grace_ms: i64) -> Self {
        assert!(grace_ms >= 0, "a window's grace can't be negative");
        Self { grace_ms, ..self }
    }

    pub(crate) fn size_ms(&self) -> i64 {
        self.size_ms
    }

    pub(crate) fn retention_ms(&self) -> i64 {
        self.size_ms.saturating_add(self.grace_ms)
    }

    /// Whether the window that begins at `start` takes no more records.
    pub(crate) fn is_closed(&self, start: i64, stream_time: i64) -> bool {
        start.saturating_add(self.size_ms) <= stream_time.saturating_sub(self.grace_ms)
    }

    /// Starts of the windows that contain `timestamp` (≥ 0), ascending.
    pub(crate) fn starts(&self, timestamp: i64) -> impl Iterator<Item = i64> + use<> {
        let first =
            (timestamp - self.size_ms + self.advance_ms).max(0) / self.advance_ms * self.advance_ms;
        (first..=timestamp).step_by(self.advance_ms as usize)
    }
}

/// Sessions: records of a key belong together while none is further than the gap from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWindows {
    pub(crate) gap_ms: i64,
    pub(crate) grace_ms: i64,
}

impl SessionWindows {
    /// Sessions that end after `gap_ms` (> 0) without a record.
    ///
    /// # Panics
    /// When the gap isn't positive.
    pub fn of_gap(gap_ms: i64) -> Self {
        assert!(gap_ms > 0, "a session's gap must be positive");
        Self { gap_ms, grace_ms: 0 }
    }

    /// Late records are taken for `grace_ms` (≥ 0) of stream time more.
    ///
    /// # Panics
    /// When the grace is negative.
    pub fn grace(self, grace_ms: i64) -> Self {
        assert!(grace_ms >= 0, "a session's grace can't be negative");
        Self { grace_ms, ..self }
    }

    pub(crate) fn retention_ms(&self) -> i64 {
        self.gap_ms.saturating_add(self.grace_ms)
    }
}

/// A stretch of time. `end` is exclusive for time windows and inclusive for sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// First millisecond.
    pub start: i64,
    /// See above.
    pub end: i64,
}

/// A key and the window its value belongs to.
pub struct Windowed<K: ?Sized + ToOwned> {
    pub(crate) key: K::Owned,
    /// The window.
    pub window: Window,
}

impl<K: ?Sized + ToOwned> Windowed<K> {
    /// A key with its window.
    pub fn new(key: &K, window: Window) -> Self {
        Self { key: key.to_owned(), window }
    }

    /// The key by itself.
    pub fn key(&self) -> &K {
        self.key.borrow()
    }

    /// Becomes another in the memory it has.
    pub(crate) fn set(&mut self, key: &K, window: Window) {
        key.clone_into(&mut self.key);
        self.window = window;
    }
}

impl<K: ?Sized + ToOwned> Clone for Windowed<K> {
    fn clone(&self) -> Self {
        Self::new(self.key(), self.window)
    }
}

impl<K: ?Sized + ToOwned + PartialEq> PartialEq for Windowed<K> {
    fn eq(&self, other: &Self) -> bool {
        self.window == other.window && self.key() == other.key()
    }
}

impl<K: ?Sized + ToOwned + std::fmt::Debug> std::fmt::Debug for Windowed<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}@{}..{}", self.key(), self.window.start, self.window.end)
    }
}

/// What the window part of a key holds, after the key's own bytes.
#[derive(Clone, Copy)]
enum Layout {
    /// Start (8 bytes); the end follows from the size.
    Time { size_ms: i64 },
    /// End and start (8 bytes each).
    Session,
}

impl Layout {
    fn len(self) -> usize {
        match self {
            Self::Time { .. } => 8,
            Self::Session => 16,
        }
    }
}

struct WindowedCodec<K: ?Sized> {
    key: Serde<K>,
    layout: Layout,
    format: String,
}

/// Windowed keys as Kafka Streams writes them for time windows: key, start (8 bytes, big-endian).
pub(crate) fn time_serde<K>(key: &Serde<K>, size_ms: i64) -> Serde<Windowed<K>>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
{
    let format = format!("windowed({size_ms})-{}", key.format());
    Arc::new(WindowedCodec { key: Arc::clone(key), layout: Layout::Time { size_ms }, format })
}

/// Windowed keys as Kafka Streams writes them for sessions: key, end, start (8 bytes each, big-endian).
pub(crate) fn session_serde<K>(key: &Serde<K>) -> Serde<Windowed<K>>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
{
    let format = format!("session-{}", key.format());
    Arc::new(WindowedCodec { key: Arc::clone(key), layout: Layout::Session, format })
}

impl<K> Codec<Windowed<K>> for WindowedCodec<K>
where
    K: ?Sized + ToOwned + 'static,
    K::Owned: Send,
{
    fn decoder(&self) -> Box<dyn Decoder<Windowed<K>>> {
        Box::new(WindowedDecoder { key: self.key.decoder(), layout: self.layout, scratch: None })
    }

    fn encoder(&self) -> Box<dyn Encoder<Windowed<K>>> {
        Box::new(WindowedEncoder { key: self.key.encoder(), layout: self.layout })
    }

    fn format(&self) -> &str {
        &self.format
    }
}

struct WindowedDecoder<K: ?Sized + ToOwned> {
    key: Box<dyn Decoder<K>>,
    layout: Layout,
    scratch: Option<Windowed<K>>,
}

impl<K: ?Sized + ToOwned> Decoder<Windowed<K>> for WindowedDecoder<K>
where
    K::Owned: Send,
{
    fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> Result<&'a Windowed<K>, CodecError> {
        let Some(middle) = bytes.len().checked_sub(self.layout.len()) else {
            return Err(CodecError::new(
                "windowed key",
                format!("{} bytes are too few", bytes.len()),
            ));
        };
        let (key, times) = bytes.split_at(middle);
        let time =
            |at: usize| i64::from_be_bytes(times[at..at + 8].try_into().expect("eight bytes"));
        let window = match self.layout {
            Layout::Time { size_ms } => {
                Window { start: time(0), end: time(0).saturating_add(size_ms) }
            }
            Layout::Session => Window { start: time(8), end: time(0) },
        };
        let key = self.key.decode(key)?;
        match &mut self.scratch {
            Some(scratch) => scratch.set(key, window),
            empty => *empty = Some(Windowed::new(key, window)),
        }
        Ok(self.scratch.as_ref().expect("just set"))
    }
}

struct WindowedEncoder<K: ?Sized> {
    key: Box<dyn Encoder<K>>,
    layout: Layout,
}

impl<K: ?Sized + ToOwned> Encoder<Windowed<K>> for WindowedEncoder<K> {
    fn encode(&mut self, value: &Windowed<K>, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.key.encode(value.key(), out)?;
        if matches!(self.layout, Layout::Session) {
            out.extend_from_slice(&value.window.end.to_be_bytes());
        }
        out.extend_from_slice(&value.window.start.to_be_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use state_stores::Utf8;

    use super::*;

    fn round_trip(serde: &Serde<Windowed<str>>, window: Window, bytes: &[u8]) {
        let key = Windowed::<str>::new("k", window);
        let mut out = Vec::new();
        serde.encoder().encode(&key, &mut out).unwrap();
        assert_eq!(out, bytes);
        assert_eq!(serde.decoder().decode(&out).unwrap(), &key);
        assert!(serde.decoder().decode(b"short").is_err());
    }

    #[test]
    fn keys_are_written_as_kafka_streams_does() {
        let text: Serde<str> = Arc::new(Utf8);
        round_trip(&time_serde(&text, 100), Window { start: 1, end: 101 }, b"k\0\0\0\0\0\0\0\x01");
        let bytes = b"k\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x01";
        round_trip(&session_serde(&text), Window { start: 1, end: 5 }, bytes);
    }

    #[test]
    fn windows_that_contain_a_time_ascend() {
        let starts = |windows: TimeWindows, time| windows.starts(time).collect::<Vec<_>>();
        assert_eq!(starts(TimeWindows::of_size(100), 250), [200]);
        assert_eq!(starts(TimeWindows::of_size(100).advance_by(30), 100), [30, 60, 90]);
        assert_eq!(starts(TimeWindows::of_size(100).advance_by(30), 5), [0]);
    }
}
