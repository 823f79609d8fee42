//! A list of writes that happen together. Keys and values lie in one buffer, so that a reused batch allocates nothing.

use std::ops::Range;

/// One write of a [`WriteBatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchOp<'a> {
    /// `key` gets `value`.
    Put(&'a [u8], &'a [u8]),
    /// `key` loses its value.
    Delete(&'a [u8]),
    /// All keys of `[from, to)` lose their values.
    DeleteRange(&'a [u8], &'a [u8]),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Put,
    Delete,
    DeleteRange,
}

/// Writes that an engine applies atomically and in order.
///
/// ```
/// use state_stores::{Durability, Engine, MemoryEngine, WriteBatch};
///
/// let engine = MemoryEngine::new();
/// let mut batch = WriteBatch::new();
/// batch.put(b"a", b"1");
/// batch.put(b"b", b"2");
/// batch.delete(b"a");
/// engine.write(&batch, Durability::None)?;
/// assert_eq!(engine.get(b"a")?, None);
/// assert_eq!(engine.get(b"b")?.as_deref(), Some(&b"2"[..]));
/// # Ok::<(), state_stores::StoreError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    bytes: Vec<u8>,
    ops: Vec<(Kind, Range<usize>, Range<usize>)>,
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of `key`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.put_parts(&[key], value);
    }

    /// Sets the value of the key that `key`'s parts make when joined: a prefix need not be copied twice.
    pub fn put_parts(&mut self, key: &[&[u8]], value: &[u8]) {
        self.push(Kind::Put, key, value);
    }

    /// Removes `key`; one that isn't there is fine.
    pub fn delete(&mut self, key: &[u8]) {
        self.delete_parts(&[key]);
    }

    /// Removes the key that `key`'s parts make when joined.
    pub fn delete_parts(&mut self, key: &[&[u8]]) {
        self.push(Kind::Delete, key, &[]);
    }

    /// Removes all keys of `[from, to)`.
    pub fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        self.push(Kind::DeleteRange, &[from], to);
    }

    /// Number of writes.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// True when there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the writes, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ops.clear();
    }

    /// The writes, in order.
    pub fn iter(&self) -> impl Iterator<Item = BatchOp<'_>> {
        self.ops.iter().map(|(kind, first, second)| {
            let (first, second) = (&self.bytes[first.clone()], &self.bytes[second.clone()]);
            match kind {
                Kind::Put => BatchOp::Put(first, second),
                Kind::Delete => BatchOp::Delete(first),
                Kind::DeleteRange => BatchOp::DeleteRange(first, second),
            }
        })
    }

    fn push(&mut self, kind: Kind, first: &[&[u8]], second: &[u8]) {
        let start = self.bytes.len();
        for part in first {
            self.bytes.extend_from_slice(part);
        }
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(second);
        self.ops.push((kind, start..middle, middle..self.bytes.len()));
    }
}
