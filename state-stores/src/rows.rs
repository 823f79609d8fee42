//! The rows of one layer: full store keys with a value, or with a tombstone that hides the layers below.
//!
//! Rows lie one after the other as they came. A hash table finds them for point reads, which are most of what a
//! topology does; its cost doesn't grow with the layer. The order that scans need is made when one of them asks for it,
//! and then kept: who never scans never pays for it. So are the chains through the rows of each key (`chains`), which
//! spare a scan of one key the order.

mod chains;
mod few;
mod merged;

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::LazyLock;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard};

use crate::short_bytes::ShortBytes;
use chains::Chains;

pub(crate) use few::Few;
pub(crate) use merged::Merged;

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
    chains: RwLock<Chains>,
    bytes: usize,
}

/// Rows of several layers in the order of a scan, each as the topmost layer has it.
pub(crate) trait Upper<'a> {
    /// The next key.
    fn peek(&self) -> Option<&'a [u8]>;

    /// The next row.
    fn pop(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)>;
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
        self.chains.get_mut().clear();
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

    /// Visits the rows that begin with `key` and its end mark, latest first; false: there are more than `most`.
    fn of_key<'a>(
        &'a self,
        key: &[u8],
        most: usize,
        mut visit: impl FnMut(&'a [u8], Option<&'a [u8]>),
    ) -> bool {
        if self.rows.is_empty() {
            return true;
        }
        let mut chains = self.chains.read_recursive();
        if chains.known() < self.rows.len() {
            drop(chains);
            self.chains.write().extend(&self.rows);
            chains = self.chains.read_recursive();
        }
        for (number, place) in chains.places(key, &self.rows).enumerate() {
            if number == most {
                return false;
            }
            let row = &self.rows[place as usize];
            visit(&row.key, row.value.as_deref());
        }
        true
    }

    /// Visits the rows in the order of their keys, which isn't kept.
    pub(crate) fn in_order<E>(
        &self,
        mut visit: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        for place in self.places_in_order() {
            let row = &self.rows[place as usize];
            visit(&row.key, row.value.as_deref())?;
        }
        Ok(())
    }

    /// Compares the eight bytes behind what all keys have in common first: they lie side by side.
    fn places_in_order(&self) -> Vec<u32> {
        let order = self.order.read_recursive();
        if order.rows == self.rows.len() {
            return order.sorted.values().copied().collect();
        }
        drop(order);
        let mut common: &[u8] = self.rows.first().map_or(&[], |row| &row.key);
        for row in &self.rows {
            let same = common.iter().zip(&*row.key).take_while(|(a, b)| a == b).count();
            common = &common[..same];
        }
        let skipped = common.len();
        let mut places: Vec<(u64, u32)> = (self.rows.iter().zip(0..))
            .map(|(row, at)| (first_eight(&row.key[skipped..]), at))
            .collect();
        let key = |at: u32| &*self.rows[at as usize].key;
        places.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1))));
        places.into_iter().map(|(_, at)| at).collect()
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
        self.chains.get_mut().remove_last(&row, self.rows.len());
    }
}

/// A number that orders as the first eight bytes do, those that are missing being zero.
fn first_eight(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    let length = bytes.len().min(8);
    eight[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(eight)
}

impl Clone for Rows {
    fn clone(&self) -> Self {
        let (rows, places) = (self.rows.clone(), self.places.clone());
        let (order, chains) = (RwLock::default(), RwLock::default());
        Self { rows, places, order, chains, bytes: self.bytes }
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
