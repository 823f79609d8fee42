//! What the typed stores have in common: codecs, scratch, and errors that name the store.

use std::ops::ControlFlow;

use crate::span::Span;
use crate::{CodecError, Decoder, Direction, Encoder, Serde, StoreError, StoreIndex, TaskState};

/// Codecs and scratch of one typed store.
pub(crate) struct Coder<K: ?Sized, V: ?Sized> {
    pub(crate) store: StoreIndex,
    key_encoder: Box<dyn Encoder<K>>,
    pub(crate) key_decoder: Box<dyn Decoder<K>>,
    value_encoder: Box<dyn Encoder<V>>,
    pub(crate) value_decoder: Box<dyn Decoder<V>>,
    /// The encoded key.
    key: Vec<u8>,
    /// The full store key.
    pub(crate) full: Vec<u8>,
    row: Vec<u8>,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Coder<K, V> {
    pub(crate) fn new(store: StoreIndex, keys: &Serde<K>, values: &Serde<V>) -> Self {
        Self {
            store,
            key_encoder: keys.encoder(),
            key_decoder: keys.decoder(),
            value_encoder: values.encoder(),
            value_decoder: values.decoder(),
            key: Vec::new(),
            full: Vec::new(),
            row: Vec::new(),
        }
    }

    /// An error of this store's codecs.
    pub(crate) fn error(&self, state: &TaskState, source: CodecError) -> StoreError {
        codec_error(state, self.store, source)
    }

    /// Encodes `key` as it is.
    pub(crate) fn key(&mut self, state: &TaskState, key: &K) -> Result<&[u8], StoreError> {
        self.key.clear();
        match self.key_encoder.encode(key, &mut self.key) {
            Ok(()) => Ok(&self.key),
            Err(source) => Err(self.error(state, source)),
        }
    }

    /// Makes `full` the key as it is.
    pub(crate) fn plain(&mut self, state: &TaskState, key: &K) -> Result<(), StoreError> {
        self.full.clear();
        self.key_encoder
            .encode(key, &mut self.full)
            .map_err(|source| codec_error(state, self.store, source))
    }

    /// Makes `full` what `layout` makes of the encoded key.
    pub(crate) fn composed(
        &mut self,
        state: &TaskState,
        key: &K,
        layout: impl FnOnce(&[u8], &mut Vec<u8>),
    ) -> Result<(), StoreError> {
        self.key(state, key)?;
        self.full.clear();
        layout(&self.key, &mut self.full);
        Ok(())
    }

    /// Reads the row at `full`; `head` splits a row into what precedes the value, and the value.
    pub(crate) fn read<H, R>(
        &mut self,
        state: &TaskState,
        head: impl FnOnce(&[u8]) -> Result<(H, &[u8]), CodecError>,
        read: impl FnOnce(Option<(H, &V)>) -> R,
    ) -> Result<R, StoreError> {
        let decoder = &mut *self.value_decoder;
        let result = state.get_with(self.store, &self.full, |row| match row {
            None => Ok(read(None)),
            Some(row) => {
                let (head, value) = head(row)?;
                Ok(read(Some((head, decoder.decode(value)?))))
            }
        })?;
        result.map_err(|source| self.error(state, source))
    }

    /// As [`Self::read`], with the row copied to `scratch`, so that the state is free meanwhile.
    pub(crate) fn read_into<'s, H>(
        &'s mut self,
        state: &TaskState,
        head: impl FnOnce(&[u8]) -> Result<(H, &[u8]), CodecError>,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Option<(H, &'s V)>, StoreError> {
        let found = state.get_with(self.store, &self.full, |row| {
            scratch.clear();
            scratch.extend_from_slice(row.unwrap_or_default());
            row.is_some()
        })?;
        if !found {
            return Ok(None);
        }
        let decoder = &mut *self.value_decoder;
        let decoded = head(scratch).and_then(|(head, value)| Ok((head, decoder.decode(value)?)));
        decoded.map(Some).map_err(|source| codec_error(state, self.store, source))
    }

    /// Writes the row at `full`: `head`, then the value. `None` deletes.
    pub(crate) fn write(
        &mut self,
        state: &mut TaskState,
        value: Option<(&[u8], &V)>,
    ) -> Result<(), StoreError> {
        let Some((head, value)) = value else {
            state.put(self.store, &self.full, None);
            return Ok(());
        };
        self.row.clear();
        self.row.extend_from_slice(head);
        match self.value_encoder.encode(value, &mut self.row) {
            Ok(()) => {
                state.put(self.store, &self.full, Some(&self.row));
                Ok(())
            }
            Err(source) => Err(self.error(state, source)),
        }
    }

    /// Writes `timestamp (8 bytes) | value` at `full`. `None` deletes.
    pub(crate) fn write_timestamped(
        &mut self,
        state: &mut TaskState,
        row: Option<(&V, i64)>,
    ) -> Result<(), StoreError> {
        match row {
            Some((value, timestamp)) => self.write(state, Some((&timestamp.to_be_bytes(), value))),
            None => self.write(state, None),
        }
    }

    /// Appends `length (4 bytes) | value` to the row at `full`.
    pub(crate) fn append(&mut self, state: &mut TaskState, value: &V) -> Result<(), StoreError> {
        let Self { store, full, row, value_encoder, .. } = self;
        row.clear();
        state.get_with(*store, full, |list| row.extend_from_slice(list.unwrap_or_default()))?;
        let at = row.len();
        row.extend_from_slice(&[0; 4]);
        let encoded = value_encoder.encode(value, row).and_then(|()| {
            u32::try_from(row.len() - at - 4)
                .map_err(|_| CodecError::new("list", "a value is longer than 4 GiB"))
        });
        match encoded {
            Ok(length) => {
                row[at..at + 4].copy_from_slice(&length.to_be_bytes());
                state.put(*store, full, Some(row));
                Ok(())
            }
            Err(source) => Err(self.error(state, source)),
        }
    }

    /// Visits full keys and rows of `span`; an error of `visit` ends the scan.
    pub(crate) fn scan(
        &mut self,
        state: &TaskState,
        span: &Span,
        direction: Direction,
        mut visit: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<ControlFlow<()>, CodecError>,
    ) -> Result<(), StoreError> {
        let mut failure = None;
        let range = (&span.from[..], span.to.as_deref(), direction);
        state.scan_since(self.store, range, span.since, &mut |full, row| {
            visit(self, full, row).unwrap_or_else(|error| {
                failure = Some(error);
                ControlFlow::Break(())
            })
        })?;
        failure.map_or(Ok(()), |source| Err(self.error(state, source)))
    }
}

fn codec_error(state: &TaskState, store: StoreIndex, source: CodecError) -> StoreError {
    StoreError::Codec { store: state.spec(store).name.as_ref().to_owned(), source }
}

/// Timestamp and value of a row that begins with its timestamp (8 bytes, big-endian).
pub(crate) fn timestamped(row: &[u8]) -> Result<(i64, &[u8]), CodecError> {
    match row.split_first_chunk() {
        Some((timestamp, value)) => Ok((i64::from_be_bytes(*timestamp), value)),
        None => Err(CodecError::new(
            "timestamped",
            format!("{} bytes, less than a timestamp", row.len()),
        )),
    }
}

/// A full key that isn't one.
pub(crate) fn damaged_key() -> CodecError {
    CodecError::new("store key", "damaged")
}
