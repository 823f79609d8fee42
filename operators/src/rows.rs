//! Rows of a table: a value with its time.
//!
//! ```text
//! key    the key's bytes
//! value  time (8 bytes, order-preserving) | the value's bytes
//! ```

use std::sync::Arc;

use state_stores::{CodecError, Decoder, Encoder, Serde, StoreError, StoreIndex, TaskState, keys};

use crate::failure::Failure;

/// Encodes, decodes and finds the rows of one table in one task.
pub(crate) struct Rows<K: ?Sized, V: ?Sized> {
    name: Arc<str>,
    store: StoreIndex,
    key: Box<dyn Encoder<K>>,
    values: Values<V>,
    key_bytes: Vec<u8>,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Rows<K, V> {
    pub(crate) fn new(
        name: &Arc<str>,
        store: StoreIndex,
        key: &Serde<K>,
        value: &Serde<V>,
    ) -> Self {
        let (name, values) = (Arc::clone(name), Values::new(name, value));
        Self { name, store, key: key.encoder(), values, key_bytes: Vec::new() }
    }

    /// Shows the row of `key`, which becomes the row that [`Self::write`] writes.
    pub(crate) fn read<R>(
        &mut self,
        state: &TaskState,
        key: &K,
        read: impl FnOnce(Option<(i64, &V)>) -> R,
    ) -> Result<R, Failure> {
        self.key_bytes.clear();
        self.key.encode(key, &mut self.key_bytes).map_err(|error| codec(&self.name, error))?;
        let values = &mut self.values;
        state.get_with(self.store, &self.key_bytes, |bytes| {
            Ok(read(bytes.map(|bytes| values.decode(bytes)).transpose()?))
        })?
    }

    /// Sets or deletes the row of `key` without reading it.
    pub(crate) fn set(
        &mut self,
        state: &mut TaskState,
        key: &K,
        timestamp: i64,
        value: Option<&V>,
    ) -> Result<(), Failure> {
        self.key_bytes.clear();
        self.key.encode(key, &mut self.key_bytes).map_err(|error| codec(&self.name, error))?;
        self.write(state, timestamp, value)
    }

    /// Sets or deletes the row that was read last.
    pub(crate) fn write(
        &mut self,
        state: &mut TaskState,
        timestamp: i64,
        value: Option<&V>,
    ) -> Result<(), Failure> {
        let bytes = value.map(|value| self.values.encode(timestamp, value)).transpose()?;
        state.put(self.store, &self.key_bytes, bytes);
        Ok(())
    }
}

/// Encodes and decodes values with a time in front.
pub(crate) struct Values<V: ?Sized> {
    name: Arc<str>,
    decoder: Box<dyn Decoder<V>>,
    encoder: Box<dyn Encoder<V>>,
    bytes: Vec<u8>,
}

impl<V: ?Sized + 'static> Values<V> {
    pub(crate) fn new(name: &Arc<str>, value: &Serde<V>) -> Self {
        Self {
            name: Arc::clone(name),
            decoder: value.decoder(),
            encoder: value.encoder(),
            bytes: Vec::new(),
        }
    }

    pub(crate) fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> Result<(i64, &'a V), Failure> {
        let Some((time, value)) = bytes.split_first_chunk() else {
            let (what, detail) =
                (format!("a row of store `{}`", self.name), "too short".to_owned());
            return Err(StoreError::Corrupt { what, detail }.into());
        };
        let value = self.decoder.decode(value).map_err(|error| codec(&self.name, error))?;
        Ok((keys::from_ordered(*time), value))
    }

    pub(crate) fn encode(&mut self, timestamp: i64, value: &V) -> Result<&[u8], Failure> {
        self.bytes.clear();
        keys::time(timestamp, &mut self.bytes);
        self.encoder.encode(value, &mut self.bytes).map_err(|error| codec(&self.name, error))?;
        Ok(&self.bytes)
    }
}

/// A codec that fails on our own rows: the state can't be read or written.
pub(crate) fn codec(store: &str, source: CodecError) -> Failure {
    StoreError::Codec { store: store.to_owned(), source }.into()
}
