//! Windows whose result is emitted when they close: an index of the open ones, by time.
//!
//! ```text
//! time windows  start (8 bytes, order-preserving) | key
//! sessions      end | start (8 bytes each, order-preserving) | key
//! ```
//!
//! Invariant: the index holds exactly the windows that have a row and weren't emitted. No closed window is lost to
//! expiry: it is emitted in the transaction that closes it, its row is read past the store's horizon, and rows are
//! removed only below the committed stream time.

use std::ops::ControlFlow;
use std::sync::Arc;

use state_stores::{
    CodecError, Decoder, Direction, Encoder, Serde, StoreError, StoreIndex, StoreKind, TaskState,
    keys,
};

use crate::change::{Change, Changes, TableEdge};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::StoreDecl;
use crate::headers::Headers;
use crate::materialized::Materialized;
use crate::record::Record;
use crate::stream_time::Advance;
use crate::view::{Rows, Show};
use crate::windowed::Windowed;
use crate::windows::Window;

/// How many windows are taken from the index at a time.
const CHUNK: usize = 512;

const PRESENT: &[u8] = &[1];

/// Which windows, and when they are closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Close {
    /// `Some(size)`: by start; `None`: sessions, by end.
    pub(super) size_ms: Option<i64>,
    /// A window is closed when stream time is this far beyond the time it is indexed by.
    pub(super) after_ms: i64,
    /// The times that windows are indexed by are multiples of this.
    pub(super) step_ms: i64,
}

/// Where windows are in the index.
struct Places<K: ?Sized> {
    by_end: bool,
    key: Box<dyn Encoder<K>>,
    full: Vec<u8>,
}

impl<K: ?Sized + 'static> Places<K> {
    fn new(close: Close, key: &Serde<K>) -> Self {
        Self { by_end: close.size_ms.is_none(), key: key.encoder(), full: Vec::new() }
    }

    fn of(&mut self, key: &K, window: Window) -> Result<&[u8], CodecError> {
        self.full.clear();
        if self.by_end {
            keys::time(window.end, &mut self.full);
        }
        keys::time(window.start, &mut self.full);
        self.key.encode(key, &mut self.full)?;
        Ok(&self.full)
    }
}

/// The rows of windows that were emitted: those that aren't in the index.
pub(super) struct ClosedRows<K: ?Sized + ToOwned, A> {
    index: StoreIndex,
    places: Places<K>,
    rows: Box<dyn Rows<Windowed<K>, A>>,
}

impl<K: ?Sized + ToOwned + 'static, A> ClosedRows<K, A> {
    pub(super) fn new(
        close: Close,
        index: StoreIndex,
        key: &Serde<K>,
        rows: Box<dyn Rows<Windowed<K>, A>>,
    ) -> Self {
        Self { index, places: Places::new(close, key), rows }
    }
}

impl<K: ?Sized + ToOwned + 'static, A> Rows<Windowed<K>, A> for ClosedRows<K, A> {
    fn read(
        &mut self,
        state: &TaskState,
        key: &Windowed<K>,
        read: &mut Show<'_, A>,
    ) -> Result<(), StoreError> {
        let place = self.places.of(key.key(), key.window);
        let place = place.map_err(|error| damaged(state, self.index, error))?;
        if state.get_with(self.index, place, |open| open.is_some())? {
            read(None);
            return Ok(());
        }
        self.rows.read(state, key, read)
    }
}

/// The index of one task.
pub(super) struct Closing<K: ?Sized, A> {
    close: Close,
    index: StoreIndex,
    rows: StoreIndex,
    places: Places<K>,
    key_decoder: Box<dyn Decoder<K>>,
    value_decoder: Box<dyn Decoder<A>>,
    closed: Vec<Box<[u8]>>,
    full: Vec<u8>,
    row: Vec<u8>,
}

/// `<name>-closing`
pub(super) fn store_name(operator: &str) -> String {
    format!("{operator}-closing")
}

pub(super) fn declare(operator: &str) -> StoreDecl {
    let formats = ("closing".to_owned(), "bytes".to_owned());
    StoreDecl::internal(store_name(operator), StoreKind::KeyValue, formats)
}

impl<K: ?Sized + ToOwned + 'static, A: 'static> Closing<K, A> {
    /// Over the windows in `rows`, with the index in `index`.
    pub(super) fn new(
        close: Close,
        (index, rows): (StoreIndex, StoreIndex),
        store: &Materialized<K, A>,
    ) -> Self {
        Self {
            close,
            index,
            rows,
            places: Places::new(close, &store.key),
            key_decoder: store.key.decoder(),
            value_decoder: store.value.decoder(),
            closed: Vec::new(),
            full: Vec::new(),
            row: Vec::new(),
        }
    }

    /// The window has a row now, or none any more.
    pub(super) fn set(
        &mut self,
        state: &mut TaskState,
        key: &K,
        window: Window,
        present: bool,
    ) -> Result<(), StoreError> {
        match self.places.of(key, window) {
            Ok(place) => state.put(self.index, place, present.then_some(PRESENT)),
            Err(error) => return Err(damaged(state, self.rows, error)),
        }
        Ok(())
    }

    /// Emits the windows that stream time has passed, by the time they are indexed by, then key.
    pub(super) fn emit(
        &mut self,
        advance: Advance,
        headers: &Headers,
        windowed: &mut Option<Windowed<K>>,
        next: &mut TableEdge<Windowed<K>, A>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let Close { after_ms, step_ms, .. } = self.close;
        let last = advance.now.saturating_sub(after_ms);
        let done = advance.before.map(|before| before.saturating_sub(after_ms));
        if done.is_some_and(|done| done.div_euclid(step_ms) >= last.div_euclid(step_ms)) {
            return Ok(());
        }
        let mut from = done.map_or_else(Vec::new, |done| keys::ordered(done + 1).to_vec());
        let to = keys::ordered(last.saturating_add(1));
        loop {
            let mut closed = std::mem::take(&mut self.closed);
            closed.clear();
            ctx.state.scan(self.index, &from, Some(&to), Direction::Forward, &mut |key, _| {
                closed.push(key.into());
                if closed.len() < CHUNK {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            for entry in &closed {
                self.emit_one(entry, headers, windowed, next, ctx)?;
            }
            let more = closed.len() == CHUNK;
            if let Some(entry) = closed.last() {
                from.clear();
                from.extend_from_slice(entry);
                from.push(0);
            }
            self.closed = closed;
            if !more {
                return Ok(());
            }
        }
    }

    fn emit_one(
        &mut self,
        entry: &[u8],
        headers: &Headers,
        windowed: &mut Option<Windowed<K>>,
        next: &mut TableEdge<Windowed<K>, A>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        ctx.state.put(self.index, entry, None);
        let (window, key) = self.parse(entry, &ctx.state)?;
        self.full.clear();
        match self.close.size_ms {
            Some(_) => keys::window(key, window.start, None, &mut self.full),
            None => keys::session(key, window.start, window.end, &mut self.full),
        }
        let row = &mut self.row;
        let found = ctx.state.get_with(self.rows, &self.full, |found| {
            row.clear();
            found.map(|found| row.extend_from_slice(found)).is_some()
        })?;
        if !found {
            return Ok(());
        }
        let (timestamp, value) = match (self.close.size_ms, self.row.split_first_chunk()) {
            (None, _) => (window.end, &self.row[..]),
            (Some(_), Some((timestamp, value))) => (i64::from_be_bytes(*timestamp), value),
            (Some(_), None) => {
                let error = CodecError::new("timestamped", "less than a timestamp");
                return Err(damaged(&ctx.state, self.rows, error).into());
            }
        };
        let damaged = |error| damaged(&ctx.state, self.rows, error);
        let key = self.key_decoder.decode(key).map_err(damaged)?;
        let value = self.value_decoder.decode(value).map_err(damaged)?;
        let windowed = windowed.get_or_insert_with(|| Windowed::new(key, window));
        windowed.set(key, window);
        let (key, value) = (Some(&*windowed), Some(value));
        let record = Record { key, value, timestamp, headers };
        next.change(Change { record, old: None, superseded: false }, ctx)
    }

    /// The window and the key's bytes of an index row.
    fn parse<'e>(
        &self,
        entry: &'e [u8],
        state: &TaskState,
    ) -> Result<(Window, &'e [u8]), StoreError> {
        let first = entry.split_first_chunk();
        let split = first.and_then(|(time, rest)| {
            let time = keys::from_ordered(*time);
            match self.close.size_ms {
                Some(size_ms) => {
                    Some((Window { start: time, end: time.saturating_add(size_ms) }, rest))
                }
                None => {
                    let (start, key) = rest.split_first_chunk()?;
                    Some((Window { start: keys::from_ordered(*start), end: time }, key))
                }
            }
        });
        split.ok_or_else(|| {
            damaged(state, self.index, CodecError::new("closing", "too few bytes for a window"))
        })
    }
}

fn damaged(state: &TaskState, store: StoreIndex, source: CodecError) -> StoreError {
    StoreError::Codec { store: Arc::clone(&state.spec(store).name).to_string(), source }
}
