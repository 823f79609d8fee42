//! The rows of one layer: full store keys with a value, or with a tombstone that hides the layers below.
//!
//! A hash map answers point reads, which are most of what a topology does; its cost doesn't grow with the layer. The
//! order that scans and write-backs need is made when one of them asks for it, and then kept.

use std::collections::{BTreeSet, HashMap, btree_set};
use std::ops::Bound;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::{RwLock, RwLockReadGuard};

use crate::Direction;

/// A value, or `None`: deleted.
pub(crate) type Value = Option<Box<[u8]>>;

/// Shared by the map and the order.
type Key = Arc<[u8]>;

/// What a row costs beside its bytes (its places in map and order, two allocations).
const ROW_OVERHEAD: usize = 128;

/// Rows of one layer.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    values: HashMap<Key, Value, RandomState>,
    order: RwLock<Order>,
    bytes: usize,
}

/// All keys of the map, and perhaps some that were removed from it.
#[derive(Debug, Default)]
struct Order {
    sorted: BTreeSet<Key>,
    /// Keys that came since the last scan.
    new: Vec<Key>,
}

impl Order {
    fn sort(&mut self) {
        if self.new.len() > self.sorted.len() / 4 {
            self.sorted.append(&mut self.new.drain(..).collect());
        } else {
            self.sorted.extend(self.new.drain(..));
        }
    }

    fn clear(&mut self) {
        self.sorted.clear();
        self.new.clear();
    }
}

impl Rows {
    /// The row of `key`: a value or a tombstone.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Value> {
        self.values.get(key)
    }

    /// Sets a row; gives what it was.
    pub(crate) fn put(&mut self, key: &[u8], value: Value) -> Option<Value> {
        if let Some(slot) = self.values.get_mut(key) {
            self.bytes = self.bytes + value_bytes(&value) - value_bytes(slot);
            return Some(std::mem::replace(slot, value));
        }
        self.insert(key.into(), value);
        None
    }

    /// Removes a row, tombstone or not, so that the layer below shows through.
    pub(crate) fn remove(&mut self, key: &[u8]) {
        if let Some((key, value)) = self.values.remove_entry(key) {
            self.bytes -= row_bytes(&key, &value);
        }
    }

    /// Moves all of `newer` over these rows; `newer` keeps its capacity.
    pub(crate) fn absorb(&mut self, newer: &mut Rows) {
        if self.values.is_empty() {
            std::mem::swap(self, newer);
        }
        for (key, value) in newer.values.drain() {
            match self.values.get_mut(&key) {
                Some(slot) => {
                    self.bytes = self.bytes + value_bytes(&value) - value_bytes(slot);
                    *slot = value;
                }
                None => self.insert(key, value),
            }
        }
        newer.clear();
    }

    /// Forgets all rows, keeps the capacity.
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.order.get_mut().clear();
        self.bytes = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Memory, for budgets.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows in order. Sorts only keys that came since the last time.
    pub(crate) fn sorted(&self) -> Sorted<'_> {
        // Recursive: a scan's visitor may scan. The order can't change meanwhile, so it finds nothing to sort.
        let mut order = self.order.read_recursive();
        if !order.new.is_empty() {
            drop(order);
            self.order.write().sort();
            order = self.order.read_recursive();
        }
        Sorted { values: &self.values, order }
    }

    fn insert(&mut self, key: Key, value: Value) {
        self.bytes += row_bytes(&key, &value);
        self.order.get_mut().new.push(Arc::clone(&key));
        self.values.insert(key, value);
    }
}

impl Clone for Rows {
    fn clone(&self) -> Self {
        let order = Order { sorted: BTreeSet::new(), new: self.values.keys().cloned().collect() };
        Self { values: self.values.clone(), order: RwLock::new(order), bytes: self.bytes }
    }
}

fn value_bytes(value: &Value) -> usize {
    value.as_ref().map_or(0, |bytes| bytes.len())
}

fn row_bytes(key: &[u8], value: &Value) -> usize {
    key.len() + value_bytes(value) + ROW_OVERHEAD
}

/// Rows in order, for as long as this lives.
pub(crate) struct Sorted<'a> {
    values: &'a HashMap<Key, Value, RandomState>,
    order: RwLockReadGuard<'a, Order>,
}

impl Sorted<'_> {
    /// All rows, smallest key first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.order.sorted.iter().filter_map(|key| Some((&**key, self.values.get(key)?.as_deref())))
    }
}

/// The rows of `[from, to)` of one layer, one ahead.
struct Cursor<'a> {
    values: &'a HashMap<Key, Value, RandomState>,
    range: btree_set::Range<'a, Key>,
    direction: Direction,
    head: Option<(&'a [u8], Option<&'a [u8]>)>,
}

impl<'a> Cursor<'a> {
    /// `from` must be below `to`.
    fn new(rows: &'a Sorted<'_>, from: &[u8], to: Option<&[u8]>, direction: Direction) -> Self {
        let upper = to.map_or(Bound::Unbounded, Bound::Excluded);
        let range = rows.order.sorted.range::<[u8], _>((Bound::Included(from), upper));
        let mut cursor = Self { values: rows.values, range, direction, head: None };
        cursor.advance();
        cursor
    }

    fn advance(&mut self) {
        self.head = loop {
            let key = match self.direction {
                Direction::Forward => self.range.next(),
                Direction::Reverse => self.range.next_back(),
            };
            let Some(key) = key else { break None };
            if let Some(value) = self.values.get(key) {
                break Some((&**key, value.as_deref()));
            }
        };
    }
}

/// Several layers as one, the first on top.
pub(crate) struct Merged<'a, const N: usize> {
    cursors: [Cursor<'a>; N],
    direction: Direction,
}

impl<'a, const N: usize> Merged<'a, N> {
    pub(crate) fn new(
        layers: [&'a Sorted<'_>; N],
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
