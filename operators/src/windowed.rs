//! Keys that say which window a value belongs to, and how they are written.
//!
//! ```text
//! time window  key | start           (8 bytes, big-endian; the end follows from the size)
//! session      key | end | start     (8 bytes each, big-endian)
//! ```

use std::borrow::Borrow;
use std::sync::Arc;

use state_stores::{Codec, CodecError, Decoder, Encoder, Serde};

use crate::windows::Window;

/// A key and the window its value belongs to (W11). To write it to a topic take the codec from the table it came from:
/// [`KTable::key_serde`](crate::KTable::key_serde).
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

    fn unpartitioned_bytes(&self) -> usize {
        self.layout.len()
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
}
