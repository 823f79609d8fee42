//! The rows of one layer: full store keys with a value, or with a tombstone that hides the layers below.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use crate::Direction;

/// A value, or `None`: deleted.
pub(crate) type Value = Option<Box<[u8]>>;

/// Sorted, so that a scan can merge layers and a write-back is in the engine's order.
pub(crate) type Rows = BTreeMap<Box<[u8]>, Value>;

/// What a map entry costs beside its bytes (two fat pointers, two allocations, its part of a tree node).
const ENTRY_OVERHEAD: usize = 96;

/// Memory of one row, for budgets.
pub(crate) fn row_bytes(key: &[u8], value: Option<&[u8]>) -> usize {
    key.len() + value.map_or(0, <[u8]>::len) + ENTRY_OVERHEAD
}

/// Moves `newer` over `older`; keeps `bytes` (the memory of `older`) right.
pub(crate) fn merge_into(older: &mut Rows, newer: Rows, bytes: &mut usize) {
    for (key, value) in newer {
        put_into(older, key, value, bytes);
    }
}

/// Sets one row; keeps `bytes` right.
pub(crate) fn put_into(rows: &mut Rows, key: Box<[u8]>, value: Value, bytes: &mut usize) {
    let value_len = |value: &Value| value.as_ref().map_or(0, |bytes| bytes.len());
    match rows.entry(key) {
        btree_map::Entry::Occupied(mut slot) => {
            *bytes = *bytes + value_len(&value) - value_len(slot.get());
            slot.insert(value);
        }
        btree_map::Entry::Vacant(slot) => {
            *bytes += row_bytes(slot.key(), value.as_deref());
            slot.insert(value);
        }
    }
}

/// The rows of `[from, to)` of one layer, one ahead.
pub(crate) struct Cursor<'a> {
    range: btree_map::Range<'a, Box<[u8]>, Value>,
    direction: Direction,
    head: Option<(&'a [u8], Option<&'a [u8]>)>,
}

impl<'a> Cursor<'a> {
    /// `from` must be below `to`.
    pub(crate) fn new(
        rows: &'a Rows,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Self {
        let upper = to.map_or(Bound::Unbounded, Bound::Excluded);
        let range = rows.range::<[u8], _>((Bound::Included(from), upper));
        let mut cursor = Self { range, direction, head: None };
        cursor.advance();
        cursor
    }

    fn advance(&mut self) {
        let row = match self.direction {
            Direction::Forward => self.range.next(),
            Direction::Reverse => self.range.next_back(),
        };
        self.head = row.map(|(key, value)| (&**key, value.as_deref()));
    }
}

/// Several layers as one, the first on top.
pub(crate) struct Merged<'a, const N: usize> {
    cursors: [Cursor<'a>; N],
    direction: Direction,
}

impl<'a, const N: usize> Merged<'a, N> {
    pub(crate) fn new(
        layers: [&'a Rows; N],
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Self {
        Self { cursors: layers.map(|rows| Cursor::new(rows, from, to, direction)), direction }
    }

    /// The next key in order, over all layers.
    pub(crate) fn peek(&self) -> Option<&'a [u8]> {
        let keys = self.cursors.iter().filter_map(|cursor| cursor.head.map(|(key, _)| key));
        match self.direction {
            Direction::Forward => keys.min(),
            Direction::Reverse => keys.max(),
        }
    }

    /// The next row, as the topmost layer has it; lower layers' rows of the same key are passed over.
    pub(crate) fn pop(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let next = self.peek()?;
        let mut top = None;
        for cursor in &mut self.cursors {
            if let Some(row) = cursor.head
                && row.0 == next
            {
                top = top.or(Some(row));
                cursor.advance();
            }
        }
        top
    }
}
