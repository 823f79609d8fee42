//! The rows of one layer: full store keys with a value, or with a tombstone that hides the layers below.
//!
//! Rows lie one after the other as they came. A hash table finds them for point reads, which are most of what a
//! topology does; its cost doesn't grow with the layer. The order that scans and write-backs need is made when one of
//! them asks for it, and then kept: who never scans never pays for it.

use std::collections::{BTreeMap, btree_map};
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::LazyLock;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard};

use crate::Direction;
use crate::short_bytes::ShortBytes;

/// Inline: a UUID as text; key, window and sequence of a join with a key of 8 bytes.
type Key = ShortBytes<38>;

/// A value, or `None`: deleted. Inline: a number with its timestamp.
pub(crate) type Value = Option<ShortBytes<22>>;

/// What a row costs beside its bytes (its places in list, table and order, what allocation adds).
const ROW_OVERHEAD: usize = 128;

/// One for all layers, so that a key is hashed once on its way through them.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// A full store key with its hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashed<'k> {
    pub(crate) key: &'k [u8],
    hash: u64,
}

impl<'k> Hashed<'k> {
    pub(crate) fn new(key: &'k [u8]) -> Self {
        Self { key, hash: HASHER.hash_one(key) }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
}

/// A row with its key's hash.
#[derive(Debug, Clone)]
struct Row {
    hash: u64,
    key: Key,
    value: Value,
}

impl Row {
    fn hashed(&self) -> Hashed<'_> {
        Hashed { key: &self.key, hash: self.hash }
    }

    fn bytes(&self) -> usize {
        self.key.len() + value_bytes(&self.value) + ROW_OVERHEAD
    }
}

/// What [`Rows::put`] found, to undo it.
#[derive(Debug)]
pub(crate) enum Previous {
    /// No row.
    Nothing,
    /// A value or a tombstone, at this place.
    Was(u32, Value),
}

/// Rows of one layer.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    /// Where in `rows` a key's row is.
    places: HashTable<u32>,
    order: RwLock<Order>,
    bytes: usize,
}

/// The first rows by key.
#[derive(Debug, Default)]
struct Order {
    sorted: BTreeMap<Key, u32>,
    /// How many of the rows are in it; those after came since the last scan.
    rows: usize,
}

impl Order {
    fn extend(&mut self, rows: &[Row]) {
        let places = (self.rows..).map(place);
        let new = rows[self.rows..].iter().zip(places).map(|(row, place)| (row.key.clone(), place));
        if rows.len() - self.rows > self.sorted.len() / 4 {
            self.sorted.append(&mut new.collect());
        } else {
            self.sorted.extend(new);
        }
        self.rows = rows.len();
    }
}

fn place(row: usize) -> u32 {
    u32::try_from(row).expect("2^32 rows need more memory than a layer may have")
}

impl Rows {
    /// The row of `key`: a value or a tombstone.
    pub(crate) fn get(&self, key: Hashed<'_>) -> Option<&Value> {
        Some(&self.rows[self.find(key)? as usize].value)
    }

    /// Sets a row.
    pub(crate) fn put(&mut self, key: Hashed<'_>, value: Value) -> Previous {
        match self.find(key) {
            Some(place) => Previous::Was(place, self.replace(place, value)),
            None => {
                self.add(Row { hash: key.hash, key: key.key.into(), value });
                Previous::Nothing
            }
        }
    }

    /// Takes back the last put that wasn't taken back yet; `previous` is what it gave.
    pub(crate) fn undo(&mut self, previous: Previous) {
        match previous {
            Previous::Was(place, value) => {
                self.replace(place, value);
            }
            Previous::Nothing => self.remove_last(),
        }
    }

    /// Moves all of `newer` over these rows; `newer` keeps its capacity.
    pub(crate) fn absorb(&mut self, newer: &mut Rows) {
        if self.rows.is_empty() {
            std::mem::swap(self, newer);
        }
        for row in newer.rows.drain(..) {
            match self.find(row.hashed()) {
                Some(place) => {
                    self.replace(place, row.value);
                }
                None => self.add(row),
            }
        }
        newer.clear();
    }

    /// Forgets all rows, keeps the capacity.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.places.clear();
        *self.order.get_mut() = Order::default();
        self.bytes = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Memory, for budgets.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows in the order of their first put.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.rows.iter().map(|row| (&*row.key, row.value.as_deref()))
    }

    /// The keys in the order of their first put.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Hashed<'_>> {
        self.rows.iter().map(Row::hashed)
    }

    /// The rows in the order of their keys. Sorts only those that came since the last time.
    pub(crate) fn sorted(&self) -> Sorted<'_> {
        // Recursive: a scan's visitor may scan. The order can't change meanwhile, so it finds nothing to sort.
        let mut order = self.order.read_recursive();
        if order.rows < self.rows.len() {
            drop(order);
            self.order.write().extend(&self.rows);
            order = self.order.read_recursive();
        }
        Sorted { rows: &self.rows, order }
    }

    fn find(&self, key: Hashed<'_>) -> Option<u32> {
        let is_it = |place: &u32| {
            let row = &self.rows[*place as usize];
            row.hash == key.hash && *row.key == *key.key
        };
        self.places.find(key.hash, is_it).copied()
    }

    fn replace(&mut self, place: u32, value: Value) -> Value {
        let slot = &mut self.rows[place as usize].value;
        self.bytes = self.bytes + value_bytes(&value) - value_bytes(slot);
        std::mem::replace(slot, value)
    }

    fn add(&mut self, row: Row) {
        self.bytes += row.bytes();
        let (hash, rows) = (row.hash, &self.rows);
        self.places.insert_unique(hash, place(rows.len()), |place| rows[*place as usize].hash);
        self.rows.push(row);
    }

    /// Removes the row that came last, so that the layer below shows through.
    fn remove_last(&mut self) {
        let Some(row) = self.rows.pop() else { return };
        self.bytes -= row.bytes();
        let last = place(self.rows.len());
        if let Ok(entry) = self.places.find_entry(row.hash, |place| *place == last) {
            entry.remove();
        }
        let order = self.order.get_mut();
        if order.rows > self.rows.len() {
            order.sorted.remove(&row.key);
            order.rows = self.rows.len();
        }
    }
}

impl Clone for Rows {
    fn clone(&self) -> Self {
        let (rows, places) = (self.rows.clone(), self.places.clone());
        Self { rows, places, order: RwLock::default(), bytes: self.bytes }
    }
}

fn value_bytes(value: &Value) -> usize {
    value.as_ref().map_or(0, |bytes| bytes.len())
}

/// Rows in the order of their keys, for as long as this lives.
pub(crate) struct Sorted<'a> {
    rows: &'a [Row],
    order: RwLockReadGuard<'a, Order>,
}

impl Sorted<'_> {
    /// All rows, smallest key first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let rows = self.rows;
        self.order
            .sorted
            .iter()
            .map(move |(key, place)| (&**key, rows[*place as usize].value.as_deref()))
    }
}

/// The rows of `[from, to)` of one layer, one ahead.
struct Cursor<'a> {
    rows: &'a [Row],
    range: btree_map::Range<'a, Key, u32>,
    direction: Direction,
    /// Where it ends, in its direction.
    end: Option<&'a [u8]>,
    /// Its key, and the row's place.
    head: Option<(&'a [u8], u32)>,
}

impl<'a> Cursor<'a> {
    /// `from` must be below `to`.
    ///
    /// Only the end at which it begins is looked for; the other one shows when it gets there, which is cheaper for the few
    /// rows of a usual scan.
    fn new(
        rows: &'a Sorted<'_>,
        from: &'a [u8],
        to: Option<&'a [u8]>,
        direction: Direction,
    ) -> Self {
        let (bounds, end) = match direction {
            Direction::Forward => ((Bound::Included(from), Bound::Unbounded), to),
            Direction::Reverse => {
                ((Bound::Unbounded, to.map_or(Bound::Unbounded, Bound::Excluded)), Some(from))
            }
        };
        let range = rows.order.sorted.range::<[u8], _>(bounds);
        let mut cursor = Self { rows: rows.rows, range, direction, end, head: None };
        cursor.advance();
        cursor
    }

    fn advance(&mut self) {
        let next = match self.direction {
            Direction::Forward => self.range.next(),
            Direction::Reverse => self.range.next_back(),
        };
        let inside = |key: &[u8]| match self.direction {
            Direction::Forward => self.end.is_none_or(|to| key < to),
            Direction::Reverse => self.end.is_none_or(|from| key >= from),
        };
        self.head = next.map(|(key, place)| (&**key, *place)).filter(|(key, _)| inside(key));
    }

    fn value(&self, place: u32) -> Option<&'a [u8]> {
        self.rows[place as usize].value.as_deref()
    }
}

/// Several layers as one, the first on top.
pub(crate) struct Merged<'a, const N: usize> {
    cursors: [Cursor<'a>; N],
    direction: Direction,
    next: Option<&'a [u8]>,
}

impl<'a, const N: usize> Merged<'a, N> {
    pub(crate) fn new(
        layers: [&'a Sorted<'_>; N],
        from: &'a [u8],
        to: Option<&'a [u8]>,
        direction: Direction,
    ) -> Self {
        let cursors = layers.map(|rows| Cursor::new(rows, from, to, direction));
        let heads = cursors.iter().filter_map(|cursor| cursor.head.map(|(key, _)| key));
        let next = heads.reduce(|a, b| first(direction, a, b));
        Self { cursors, direction, next }
    }

    /// The next key in order, over all layers.
    pub(crate) fn peek(&self) -> Option<&'a [u8]> {
        self.next
    }

    /// The next row, as the topmost layer has it; lower layers' rows of the same key are passed over.
    pub(crate) fn pop(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let (popped, direction) = (self.next?, self.direction);
        let (mut top, mut next) = (None, None::<&[u8]>);
        for cursor in &mut self.cursors {
            let Some((key, place)) = cursor.head else { continue };
            if std::ptr::eq(key, popped) || key == popped {
                top = top.or_else(|| Some((key, cursor.value(place))));
                cursor.advance();
            }
            if let Some((key, _)) = cursor.head {
                next = Some(next.map_or(key, |next| first(direction, next, key)));
            }
        }
        self.next = next;
        top
    }
}

/// Of two keys the one that comes first.
fn first<'a>(direction: Direction, a: &'a [u8], b: &'a [u8]) -> &'a [u8] {
    match direction {
        Direction::Forward => a.min(b),
        Direction::Reverse => a.max(b),
    }
}
