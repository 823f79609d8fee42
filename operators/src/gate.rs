//! A gate before a node: keeps the records of keys that failed there, in order. Its rows: [`crate::parked`].
//!
//! Invariants:
//! * a key's records pass the node in the order in which they came to the gate, each once: while a key has a row, all of
//!   its records go behind it, and a release takes them out oldest first;
//! * what a failing record did is undone as a whole. The gate doesn't go back by itself: it names the record, the task
//!   undoes all that it was at, and does it again; this time the gate parks the record it named.

use std::any::Any;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

use state_stores::{Decoder, Direction, Encoder, StoreError, StoreIndex, keys};

use crate::context::TaskContext;
use crate::failure::{Failure, FailureKind};
use crate::graph::NodeId;
use crate::headers::Headers;
use crate::parked::{KEPT, KeyRow};
use crate::process::{Edge, Process, Shared};
use crate::record::Record;
use crate::source::{RawRecord, SourceFailure, SourceProcess};
use crate::stream::Serdes;

/// Keys and values of rows.
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// What is known of the records that come out of a node: enough to keep them.
pub(crate) trait Output: Send + Sync {
    /// Formats of key and value, or the part whose codec isn't known.
    fn formats(&self) -> Result<(String, String), &'static str>;
    /// For the gate's own types.
    fn as_any(&self) -> &dyn Any;
}

pub(crate) struct OutputOf<K: ?Sized, V: ?Sized>(pub(crate) Serdes<K, V>);

impl<K: ?Sized + 'static, V: ?Sized + 'static> Output for OutputOf<K, V> {
    fn formats(&self) -> Result<(String, String), &'static str> {
        let key = self.0.key.as_ref().ok_or("key")?;
        let value = self.0.value.as_ref().ok_or("value")?;
        Ok((key.format().to_owned(), format!("parked-2-{}", value.format())))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A gate in the graph.
#[derive(Clone)]
pub(crate) struct GateDecl {
    pub(crate) name: Arc<str>,
    pub(crate) control: (Arc<str>, NodeId),
    pub(crate) max_records: u64,
    pub(crate) input: Arc<dyn Output>,
}

pub(crate) struct Gate<K: ?Sized, V: ?Sized> {
    /// The node behind it.
    node: NodeId,
    name: Arc<str>,
    store: StoreIndex,
    max_records: u64,
    key: (Box<dyn Encoder<K>>, Box<dyn Decoder<K>>),
    value: (Box<dyn Encoder<V>>, Box<dyn Decoder<V>>),
    /// The key's row: its escaped bytes.
    place: Vec<u8>,
    bytes: Vec<u8>,
    next: Edge<K, V>,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Gate<K, V> {
    pub(crate) fn new(
        decl: &GateDecl,
        (node, store): (NodeId, StoreIndex),
        next: Edge<K, V>,
    ) -> Option<Self> {
        let OutputOf::<K, V>(serdes) = decl.input.as_any().downcast_ref()?;
        let (key, value) = (serdes.key.as_ref()?, serdes.value.as_ref()?);
        Some(Self {
            node,
            name: Arc::clone(&decl.name),
            store,
            max_records: decl.max_records,
            key: (key.encoder(), key.decoder()),
            value: (value.encoder(), value.decoder()),
            place: Vec::new(),
            bytes: Vec::new(),
            next,
        })
    }
}

impl<K: ?Sized, V: ?Sized> Gate<K, V> {
    fn kept(&self, ctx: &TaskContext) -> Result<u64, StoreError> {
        let read = |row: Option<&[u8]>| row?.try_into().ok().map(u64::from_be_bytes);
        Ok(ctx.state.get_with(self.store, KEPT, read)?.unwrap_or(0))
    }

    fn set_kept(&self, kept: u64, ctx: &mut TaskContext) {
        ctx.state.put(self.store, KEPT, Some(&kept.to_be_bytes()));
    }

    /// Puts the record behind all others of its key; `cause` is why, of the first one.
    fn park(
        &mut self,
        record: Record<'_, K, V>,
        cause: Option<&str>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        let kept = self.kept(ctx)?;
        if kept >= self.max_records {
            let cause = cause.unwrap_or("its key is parked");
            let full = format!(
                "{cause}; `{}` keeps {kept} records and has no room: release or discard a key",
                self.name
            );
            return Err(Failure::node(self.node, full));
        }
        let mut row = self.key_row(ctx)?.unwrap_or_else(|| KeyRow {
            next: 0,
            since_ms: ctx.now_ms,
            cause: cause.unwrap_or_default().to_owned(),
        });
        let number = row.next;
        row.next += 1;
        ctx.state.put(self.store, &self.place, Some(&row.bytes()));
        self.bytes.clear();
        self.bytes.extend_from_slice(&record.timestamp.to_be_bytes());
        self.bytes.push(u8::from(record.value.is_some()));
        record.headers.write(&mut self.bytes);
        if let Some(value) = record.value {
            let encoded = self.value.0.encode(value, &mut self.bytes);
            encoded.map_err(|error| Failure::node(self.node, error))?;
        }
        let place = self.place.len();
        self.place.extend_from_slice(&number.to_be_bytes());
        ctx.state.put(self.store, &self.place, Some(&self.bytes));
        self.place.truncate(place);
        self.set_kept(kept + 1, ctx);
        Ok(())
    }

    /// The row of the key at `place`, if it is parked.
    fn key_row(&self, ctx: &TaskContext) -> Result<Option<KeyRow>, StoreError> {
        let Some(row) = ctx.state.get(self.store, &self.place)? else { return Ok(None) };
        KeyRow::read(&row).map(Some).ok_or_else(|| damaged(&self.name))
    }

    /// The rows of the key's records at `place`, oldest first.
    fn rows(&self, ctx: &TaskContext) -> Result<Rows, StoreError> {
        let mut rows = Vec::new();
        let end = keys::after_prefix(&self.place);
        let mut visit = |key: &[u8], row: &[u8]| {
            if key.len() > self.place.len() {
                rows.push((key.to_vec(), row.to_vec()));
            }
            ControlFlow::Continue(())
        };
        let (from, to) = (&self.place, end.as_deref());
        ctx.state.scan(self.store, from, to, Direction::Forward, &mut visit)?;
        Ok(rows)
    }

    fn find(&mut self, key: &[u8]) {
        self.place.clear();
        keys::prefix(key, &mut self.place);
    }

    /// Lets the key's records go on, up to the first that fails again.
    fn release(&mut self, key: &[u8], ctx: &mut TaskContext) -> Result<(), Failure> {
        self.find(key);
        for (at, row) in self.rows(ctx)? {
            let arrival = ctx.arrive();
            if let Some(cause) = ctx.parks(arrival) {
                let Some(row) = self.key_row(ctx)? else { return Err(damaged(&self.name).into()) };
                let row = KeyRow { cause: cause.to_string(), ..row };
                ctx.state.put(self.store, &self.place, Some(&row.bytes()));
                return Ok(());
            }
            ctx.state.put(self.store, &at, None);
            self.set_kept(self.kept(ctx)?.saturating_sub(1), ctx);
            self.pass(key, &row, ctx).map_err(|failure| match failure.into_kind() {
                FailureKind::Node { cause, .. } => Failure::park(arrival, cause.to_string()),
                kind => kind.into(),
            })?;
        }
        ctx.state.put(self.store, &self.place, None);
        Ok(())
    }

    /// Hands a kept record to the node.
    fn pass(&mut self, key: &[u8], row: &[u8], ctx: &mut TaskContext) -> Result<(), Failure> {
        let fail = |error| Failure::node(self.node, error);
        let parts = row.split_first_chunk().and_then(|(time, row)| {
            let (has_value, row) = row.split_first()?;
            let (headers, value) = Headers::read(row)?;
            Some((i64::from_be_bytes(*time), headers, (*has_value != 0).then_some(value)))
        });
        let (timestamp, headers, value) = parts.ok_or_else(|| damaged(&self.name))?;
        let key = Some(self.key.1.decode(key).map_err(fail)?);
        let value = value.map(|value| self.value.1.decode(value)).transpose().map_err(fail)?;
        self.next.process(Record { key, value, timestamp, headers: &headers }, ctx)
    }

    /// Forgets the key's records.
    fn discard(&mut self, key: &[u8], ctx: &mut TaskContext) -> Result<(), Failure> {
        self.find(key);
        let rows = self.rows(ctx)?;
        for (at, _) in &rows {
            ctx.state.put(self.store, at, None);
        }
        ctx.state.put(self.store, &self.place, None);
        let gone = rows.len() as u64;
        ctx.dropped.skipped += gone;
        self.set_kept(self.kept(ctx)?.saturating_sub(gone), ctx);
        Ok(())
    }
}

impl<K: ?Sized, V: ?Sized> Process<K, V> for Gate<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some(key) = record.key else { return self.next.process(record, ctx) };
        self.bytes.clear();
        let encoded = self.key.0.encode(key, &mut self.bytes);
        encoded.map_err(|error| Failure::node(self.node, error))?;
        self.place.clear();
        keys::prefix(&self.bytes, &mut self.place);
        let arrival = ctx.arrive();
        let parked = ctx.state.get_with(self.store, &self.place, |row| row.is_some())?;
        let cause = ctx.parks(arrival);
        if parked || cause.is_some() {
            return self.park(record, cause.as_deref(), ctx);
        }
        self.next.process(record, ctx).map_err(|failure| match failure.into_kind() {
            FailureKind::Node { node, cause } if node == self.node => {
                Failure::park(arrival, cause.to_string())
            }
            kind => kind.into(),
        })
    }
}

/// What an operator of the system says about a parked key.
pub(crate) struct Control<K: ?Sized, V: ?Sized>(pub(crate) Shared<Gate<K, V>>);

impl<K: ?Sized, V: ?Sized> SourceProcess for Control<K, V> {
    fn process(&mut self, raw: RawRecord<'_>, ctx: &mut TaskContext) -> Result<(), SourceFailure> {
        let Some(key) = raw.key else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let mut gate = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match raw.value {
            Some(b"release") => gate.release(key, ctx),
            Some(b"discard") => gate.discard(key, ctx),
            _ => {
                let cause = "the command is neither `release` nor `discard`".into();
                return Err(SourceFailure::Refused { exception: "decode", cause });
            }
        };
        done.map_err(SourceFailure::Downstream)
    }

    fn stamps(&self) -> bool {
        false
    }

    fn stamp(&mut self, raw: RawRecord<'_>, _: &TaskContext) -> Result<i64, StoreError> {
        Ok(raw.timestamp)
    }

    fn moves_time(&self) -> bool {
        false
    }
}

fn damaged(store: &str) -> StoreError {
    StoreError::Corrupt {
        what: format!("a parked record of store `{store}`"),
        detail: "too short".to_owned(),
    }
}
