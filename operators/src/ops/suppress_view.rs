//! What a suppressed table shows: what went out, so while a result is held the one before it (W16).
//!
//! The one before is the row that the first of the held changes replaced, since the row of a key that isn't held went out.
//! The buffer keeps it where a node reads it here, or hands it on as the row before.

use std::sync::Arc;

use state_stores::{CodecError, Decoder, Encoder, Serde, StoreError, StoreIndex, TaskState};

use super::suppress_buffer;
use crate::view::{Rows, Show, View};

/// Of what went out before the result that is held, as in Kafka Streams.
const UNKNOWN_TIME: i64 = -1;

/// What went out last: the prior of the row held, or else the row of the table before.
struct SuppressedRows<K: ?Sized, V: ?Sized> {
    buffer: StoreIndex,
    key: Box<dyn Encoder<K>>,
    value: Box<dyn Decoder<V>>,
    bytes: Vec<u8>,
    rows: Box<dyn Rows<K, V>>,
}

impl<K: ?Sized, V: ?Sized> Rows<K, V> for SuppressedRows<K, V> {
    fn read(
        &mut self,
        state: &TaskState,
        key: &K,
        read: &mut Show<'_, V>,
    ) -> Result<(), StoreError> {
        let damaged = |source: CodecError| StoreError::Codec {
            store: state.spec(self.buffer).name.to_string(),
            source,
        };
        self.bytes.clear();
        self.key.encode(key, &mut self.bytes).map_err(damaged)?;
        let values = &mut self.value;
        let held = state.get_with(self.buffer, &self.bytes, |row| {
            let Some(row) = row else { return Ok(false) };
            let prior = suppress_buffer::prior(row);
            match prior.ok_or_else(|| CodecError::new("suppressed", "the row is damaged"))? {
                Some(prior) => read(Some((values.decode(prior)?, UNKNOWN_TIME))),
                None => read(None),
            }
            Ok(true)
        })?;
        match held.map_err(damaged)? {
            true => Ok(()),
            false => self.rows.read(state, key, read),
        }
    }
}

/// The view of what went out of the buffer `name` of the rows of `view`, if it can be known what that was.
pub(super) fn of_held<K: ?Sized + 'static, V: ?Sized + 'static>(
    view: &View<K, V>,
    name: &str,
    (key, value): (&Serde<K>, &Serde<V>),
) -> Option<View<K, V>> {
    if !view.knows_old() {
        return None;
    }
    let (name, key, value): (Arc<str>, _, _) = (name.into(), Arc::clone(key), Arc::clone(value));
    let rows = view.clone();
    Some(view.held_in(Arc::clone(&name), move |assembly| {
        assembly.read_prior(&name);
        Box::new(SuppressedRows {
            buffer: assembly.store(&name),
            key: key.encoder(),
            value: value.decoder(),
            bytes: Vec::new(),
            rows: rows.open(assembly),
        })
    }))
}
