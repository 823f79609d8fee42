//! The base: committed rows in the engine, and the marks that say which changelog offset they stand for.
//!
//! ```text
//! 00 "format"                                   u32: version of these layouts
//! 00 "log"                                      the log's identity
//! 00 "incarnation"                              which life of the application the rows are of, if anybody said so
//! 00 "manifest"                                 what the rows depend on, in the words of whoever keeps them
//! 00 "store:" name                              u32: the store's number
//! 01 | store u32 | partition u32 | key          a row
//! 02 | store u32 | partition u32                a mark (see [`Mark`])
//! ```
//!
//! Format 1 also had a row for the time of each row that expires, tagged 03; opening such a base removes them.
//!
//! Invariant: a mark is written after the rows it stands for, so rows may be newer than their mark but never older.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::{Direction, Durability, Engine, StoreError, WriteBatch, keys};

/// Version of the layouts above.
const FORMAT: u32 = 2;

const META: u8 = 0;
const ROWS: u8 = 1;
const MARKS: u8 = 2;
/// Its rows of times, which nothing needs any more.
const FORMAT_WITH_TIMES: u32 = 1;
const TIMES: u8 = 3;
/// Tag and two numbers.
pub(crate) const PREFIX_LEN: usize = 9;

/// Full keys up to this long are put together on the stack.
const STACK_KEY: usize = 256;

/// Of a row: everything up to the end mark of its key, if it has one ([`keys::with_mark`]).
#[cfg(any(feature = "rocksdb", test))]
pub(crate) fn row_key(row: &[u8]) -> Option<&[u8]> {
    let (tag, _) = row.split_first()?;
    let rest = row.get(PREFIX_LEN..).filter(|_| *tag == ROWS)?;
    row.get(..PREFIX_LEN + keys::with_mark(rest)?.len())
}

/// Where the rows of one store and partition lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) store: u32,
    pub(crate) partition: u32,
}

impl Place {
    fn prefix(self, tag: u8) -> [u8; PREFIX_LEN] {
        let mut prefix = [tag; PREFIX_LEN];
        prefix[1..5].copy_from_slice(&self.store.to_be_bytes());
        prefix[5..].copy_from_slice(&self.partition.to_be_bytes());
        prefix
    }

    pub(crate) fn rows(self) -> [u8; PREFIX_LEN] {
        self.prefix(ROWS)
    }

    pub(crate) fn mark(self) -> [u8; PREFIX_LEN] {
        self.prefix(MARKS)
    }

    /// Place and store key of a row's full key.
    pub(crate) fn of_row(full: &[u8]) -> Option<(Self, &[u8])> {
        let (&[tag, ref numbers @ ..], row) = full.split_first_chunk::<PREFIX_LEN>()?;
        let (&[store, partition], []) = numbers.as_chunks::<4>() else { return None };
        let [store, partition] = [store, partition].map(u32::from_be_bytes);
        (tag == ROWS).then_some((Self { store, partition }, row))
    }

    /// The place of a mark's full key.
    fn of_mark(full: &[u8]) -> Option<Self> {
        let (&tag, numbers) = full.split_first()?;
        let (&[store, partition], []) = numbers.as_chunks::<4>() else { return None };
        let [store, partition] = [store, partition].map(u32::from_be_bytes);
        (tag == MARKS).then_some(Self { store, partition })
    }

    /// The smallest key above all that begin with this place's prefix of `tag`.
    fn end(prefix: [u8; PREFIX_LEN]) -> [u8; PREFIX_LEN] {
        let mut end = prefix;
        for byte in end.iter_mut().rev() {
            let (next, overflowed) = byte.overflowing_add(1);
            *byte = next;
            if !overflowed {
                break;
            }
        }
        end
    }

    pub(crate) fn rows_end(self) -> [u8; PREFIX_LEN] {
        Self::end(self.rows())
    }

    /// Adds the removal of everything kept here to `batch`, the mark first.
    pub(crate) fn clear(self, batch: &mut WriteBatch) {
        batch.delete(&self.mark());
        batch.delete_range(&self.rows(), &self.rows_end());
    }
}

/// What the base's rows of one store and partition stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The next changelog offset to read.
    pub(crate) next_offset: Option<i64>,
    /// When the rows were known to be the changelog's at that offset (ms since 1970).
    pub(crate) as_of_ms: i64,
    /// Highest row time seen; decides what has expired.
    pub(crate) stream_time: Option<i64>,
    /// The changelog the offset belongs to.
    pub(crate) topic: String,
    /// Its id, if the log tells topics of one name apart. Behind the name and a zero, which no name has: who doesn't know of
    /// ids finds another changelog's mark.
    pub(crate) topic_id: Option<Arc<str>>,
}

impl Mark {
    /// `i64::MIN` stands for "none".
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for number in [
            self.next_offset.unwrap_or(i64::MIN),
            self.as_of_ms,
            self.stream_time.unwrap_or(i64::MIN),
        ] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(self.topic.as_bytes());
        if let Some(id) = &self.topic_id {
            out.push(0);
            out.extend_from_slice(id.as_bytes());
        }
    }

    fn decode(bytes: &[u8], place: Place) -> Result<Self, StoreError> {
        let damaged = |detail: &str| StoreError::Corrupt {
            what: format!("the offset row of store {} partition {}", place.store, place.partition),
            detail: detail.to_owned(),
        };
        let (numbers, topic) = bytes.split_at_checked(24).ok_or_else(|| damaged("too short"))?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let number = |index: usize| i64::from_be_bytes(numbers[index]);
        let some = |number: i64| (number != i64::MIN).then_some(number);
        let topic = std::str::from_utf8(topic).map_err(|_| damaged("topic is not UTF-8"))?;
        let (topic, topic_id) = match topic.split_once('\0') {
            Some((topic, id)) => (topic, Some(id.into())),
            None => (topic, None),
        };
        Ok(Self {
            next_offset: some(number(0)),
            as_of_ms: number(1),
            stream_time: some(number(2)),
            topic: topic.to_owned(),
            topic_id,
        })
    }
}

/// A number of the bookkeeping rows.
fn number(what: &str, bytes: &[u8]) -> Result<u32, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::Corrupt {
        what: what.to_owned(),
        detail: format!("{} bytes instead of 4", bytes.len()),
    })?;
    Ok(u32::from_be_bytes(bytes))
}

fn meta(name: &str) -> Vec<u8> {
    [&[META], name.as_bytes()].concat()
}

pub(crate) fn manifest_row() -> Vec<u8> {
    meta("manifest")
}

/// Whose rows were found and removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// Of the log with this identity.
    Log(String),
    /// Of this log, from before the application was reset.
    Incarnation,
}

/// Checks the format, the log's identity and the application's incarnation. State of others is removed.
pub(crate) fn open(
    engine: &dyn Engine,
    log_id: &str,
    incarnation: Option<&str>,
) -> Result<Option<Replaced>, StoreError> {
    let mut batch = WriteBatch::new();
    if let Some(bytes) = engine.get(&meta("format"))? {
        match number("the format row", &bytes)? {
            FORMAT => {}
            FORMAT_WITH_TIMES => {
                batch.delete_range(&[TIMES], &[TIMES + 1]);
                batch.put(&meta("format"), &FORMAT.to_be_bytes());
            }
            found => return Err(StoreError::Format { found, expected: FORMAT }),
        }
    }
    let text = |name: &str| {
        let bytes = engine.get(&meta(name))?;
        Ok::<_, StoreError>(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    let (was, lived) = (text("log")?, text("incarnation")?);
    let same_log = was.as_deref() == Some(log_id);
    // State from before anybody told is taken for this life's.
    let same_life = incarnation.is_none() || lived.is_none() || lived.as_deref() == incarnation;
    if !same_log || !same_life {
        // Everything but the numbers of stores, in one batch with the new identity.
        batch.delete_range(&[ROWS], &[MARKS + 1]);
        batch.delete(&manifest_row());
        batch.put(&meta("format"), &FORMAT.to_be_bytes());
        batch.put(&meta("log"), log_id.as_bytes());
    }
    if let Some(incarnation) = incarnation.filter(|own| lived.as_deref() != Some(*own)) {
        batch.put(&meta("incarnation"), incarnation.as_bytes());
    }
    if !batch.is_empty() {
        engine.write(&batch, Durability::None)?;
    }
    Ok(match was {
        Some(was) if !same_log => Some(Replaced::Log(was)),
        _ if !same_life => Some(Replaced::Incarnation),
        _ => None,
    })
}

/// The number of the store `name`; gives it the next free one when it is new.
///
/// Callers hold the lock of the state folder. A number that a crash loses was in no surviving row.
pub(crate) fn store_number(engine: &dyn Engine, name: &str) -> Result<u32, StoreError> {
    let own = meta(&format!("store:{name}"));
    if let Some(bytes) = engine.get(&own)? {
        return number("a store's number", &bytes);
    }
    let first = meta("store:");
    let end = keys::after_prefix(&first);
    let (mut highest, mut failure) = (None, None);
    engine.scan(&first, end.as_deref(), Direction::Forward, &mut |_, bytes| {
        match number("a store's number", bytes) {
            Ok(found) => highest = highest.max(Some(found)),
            Err(error) => failure = Some(error),
        }
        ControlFlow::Continue(())
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    let next = highest.map_or(0, |highest| highest + 1);
    let mut batch = WriteBatch::new();
    batch.put(&own, &next.to_be_bytes());
    engine.write(&batch, Durability::None)?;
    Ok(next)
}

/// What a place holds: its mark, and whether there is any row.
///
/// Rows without a mark were left by a write-back that never finished. They are removed: the changelog is about to be
/// read from its start, where the tombstone of such a row may be gone already.
pub(crate) fn load(engine: &dyn Engine, place: Place) -> Result<(Option<Mark>, bool), StoreError> {
    let mark = engine.get(&place.mark())?.map(|bytes| Mark::decode(&bytes, place)).transpose()?;
    let mut any = false;
    engine.scan(&place.rows(), Some(&place.rows_end()), Direction::Forward, &mut |_, _| {
        any = true;
        ControlFlow::Break(())
    })?;
    if any && mark.is_none() {
        let mut batch = WriteBatch::new();
        place.clear(&mut batch);
        engine.write(&batch, Durability::None)?;
        any = false;
    }
    Ok((mark, any))
}

/// All marks. One that is damaged is left out: who opens its store is told.
pub(crate) fn marks(engine: &dyn Engine) -> Result<Vec<(Place, Mark)>, StoreError> {
    let mut marks = Vec::new();
    engine.scan(&[MARKS], Some(&[MARKS + 1]), Direction::Forward, &mut |full, bytes| {
        let mark = Place::of_mark(full).and_then(|at| Some((at, Mark::decode(bytes, at).ok()?)));
        marks.extend(mark);
        ControlFlow::Continue(())
    })?;
    Ok(marks)
}

/// Calls `f` with `prefix` and `key` joined, without allocating for keys of usual length.
pub(crate) fn with_joined<R>(
    prefix: &[u8; PREFIX_LEN],
    key: &[u8],
    f: impl FnOnce(&[u8]) -> R,
) -> R {
    let length = PREFIX_LEN + key.len();
    if length > STACK_KEY {
        return f(&[prefix, key].concat());
    }
    let mut buffer = [0; STACK_KEY];
    buffer[..PREFIX_LEN].copy_from_slice(prefix);
    buffer[PREFIX_LEN..length].copy_from_slice(key);
    f(&buffer[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(store: u32, key: &[u8], start: i64) -> Vec<u8> {
        let mut full = Place { store, partition: 1 }.rows().to_vec();
        keys::window(key, start, None, &mut full);
        full
    }

    #[test]
    fn rows_share_their_key_and_nothing_else_does() {
        let first = row(7, b"a\0", 0);
        let key = row_key(&first).unwrap();
        assert_eq!(row_key(&row(7, b"a\0", i64::MAX)), Some(key));
        assert_eq!(row_key(key), Some(key), "the key of a key is itself");
        for other in [row(7, b"a", 0), row(7, b"a\0\x01", 0), row(8, b"a\0", 0)] {
            assert_ne!(row_key(&other), Some(key));
            assert!(!other.starts_with(key));
        }
        let place = Place { store: 7, partition: 1 };
        assert_eq!(row_key(&place.mark()), None);
        assert_eq!(row_key(&[&place.mark()[..], b"\0\x01"].concat()), None);
        assert_eq!(row_key(b""), None);
    }
}
