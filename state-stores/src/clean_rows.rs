//! Rows of the base that were read, kept in memory as the base has them: a table that is only looked up needs the engine
//! once for each key. Keys without a row are kept too.
//!
//! Invariant: what is here is what the base answers, for every key that no layer above it has; a row that has expired
//! may stay here when the base's was dropped, so who reads rows that expire looks at their times. Else such a key's row in
//! the base changes only by a write-back of the layers, so each write-back begins by [`forget`](CleanRows::forget)ting its
//! keys, and a row that was read before that and comes after it is refused ([`Epoch`]). Nothing is lost with a row here:
//! whatever is too much is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;

use crate::rows::Hashed;

/// Of a row in the list: hash, length of the key, length of the value.
const HEAD: usize = 16;

/// In place of a value's length: the base has no such row.
const ABSENT: u32 = u32::MAX;

/// What a row costs beside its key and value: its head, and its place in the table, which is half full or more.
const ROW_OVERHEAD: usize = HEAD + 12;

/// Rows that are written soon after they were read, as those of an aggregate, are worth their memory only when one of so
/// many was read again before.
const WORTH: usize = 4;

/// From so few rows nothing is concluded.
const SAMPLE: usize = 256;

/// A store whose rows aren't worth it keeps one key of so many, to see whether that changes.
const ONE_OF: u64 = 16;

/// Memory for the clean rows of all stores.
#[derive(Debug)]
pub(crate) struct CleanBudget {
    limit: usize,
    used: AtomicUsize,
    /// Stores that keep clean rows, or wanted to since their last write-back. Not those that only keep a sample.
    stores: AtomicUsize,
}

impl CleanBudget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), stores: AtomicUsize::new(0) })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn share(&self) -> usize {
        self.limit / self.stores.load(Ordering::Relaxed).max(1)
    }

    fn take(&self, bytes: usize) -> bool {
        let add = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }
}

/// Counts the write-backs of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

/// Rows that came one after the other, and are dropped together.
#[derive(Debug, Default)]
struct Generation {
    /// Head, key and value of each row.
    list: Vec<u8>,
    /// Where in `list` a key's row is.
    places: HashTable<u32>,
    /// What it took of the budget.
    bytes: usize,
}

/// Clean rows of one store and partition.
#[derive(Debug)]
pub(crate) struct CleanRows {
    budget: Arc<CleanBudget>,
    epoch: Epoch,
    young: Generation,
    old: Generation,
    /// Rows added, and rows found, since the last write-back.
    added: usize,
    found: AtomicUsize,
    /// Only one key of [`ONE_OF`] is kept.
    sampling: bool,
    /// Whether the budget counts this store.
    counted: bool,
}

impl CleanRows {
    pub(crate) fn new(budget: Arc<CleanBudget>) -> Self {
        Self {
            budget,
            epoch: Epoch(0),
            young: Generation::default(),
            old: Generation::default(),
            added: 0,
            found: AtomicUsize::new(0),
            sampling: false,
            counted: false,
        }
    }

    /// To be asked, under the lock of the layers, before the base is read for a row to [`add`](Self::add).
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What the base has for `key`, if that is known: a value, or no row.
    pub(crate) fn get(&self, key: Hashed<'_>) -> Option<Option<&[u8]>> {
        let value = self.young.get(key).or_else(|| self.old.get(key))?;
        self.found.fetch_add(1, Ordering::Relaxed);
        Some(value)
    }

    /// Keeps what the base had for `key` in this epoch, if there is room.
    pub(crate) fn add(&mut self, key: Hashed<'_>, value: Option<&[u8]>, epoch: Epoch) {
        let bytes = ROW_OVERHEAD + key.key.len() + value.map_or(0, <[u8]>::len);
        let is_known = self.young.find(key).is_some();
        if epoch != self.epoch
            || is_known
            || (self.sampling && key.hash() >> 32 & (ONE_OF - 1) != 0)
        {
            return;
        }
        // Even if there is no room yet: the others give way at their next write-back.
        self.count(!self.sampling);
        let half = self.budget.share() / 2;
        if bytes > half {
            return;
        }
        if self.young.bytes + bytes > half {
            let young = std::mem::take(&mut self.young);
            let old = std::mem::replace(&mut self.old, young);
            self.release(old);
        }
        if self.budget.take(bytes) {
            self.young.add(key, value, bytes);
            self.added += 1;
        }
    }

    /// The layers' rows of these keys are about to be written to the base. All the others go too where most aren't worth
    /// their memory, or are more than this store's share.
    pub(crate) fn forget<'k>(&mut self, written: impl IntoIterator<Item = Hashed<'k>>) {
        self.epoch.0 += 1;
        let found = std::mem::take(self.found.get_mut());
        let added = std::mem::take(&mut self.added);
        let mut written_too = 0;
        if self.bytes() > 0 {
            for key in written {
                let removed = [self.young.remove(key), self.old.remove(key)];
                written_too += usize::from(removed.contains(&true));
            }
        }
        if added >= if self.sampling { SAMPLE / ONE_OF as usize } else { SAMPLE } {
            self.sampling = written_too * 2 > added && found * WORTH < written_too;
        }
        if self.sampling || self.bytes() > self.budget.share() {
            self.clear();
        }
        self.count(!self.sampling && (added > 0 || self.bytes() > 0));
    }

    /// The base has lost all rows of the store.
    pub(crate) fn forget_all(&mut self) {
        self.epoch.0 += 1;
        self.clear();
        self.count(false);
    }

    fn count(&mut self, counted: bool) {
        match (std::mem::replace(&mut self.counted, counted), counted) {
            (false, true) => self.budget.stores.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.budget.stores.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    fn bytes(&self) -> usize {
        self.young.bytes + self.old.bytes
    }

    fn clear(&mut self) {
        let (young, old) = (std::mem::take(&mut self.young), std::mem::take(&mut self.old));
        self.release(young);
        self.release(old);
    }

    fn release(&self, generation: Generation) {
        self.budget.used.fetch_sub(generation.bytes, Ordering::Relaxed);
    }
}

impl Drop for CleanRows {
    fn drop(&mut self) {
        self.forget_all();
    }
}

impl Generation {
    fn get(&self, key: Hashed<'_>) -> Option<Option<&[u8]>> {
        Some(self.row(self.find(key)?).2)
    }

    fn find(&self, key: Hashed<'_>) -> Option<u32> {
        let is_it = |place: &u32| {
            let (hash, of, _) = self.row(*place);
            hash == key.hash() && of == key.key
        };
        self.places.find(key.hash(), is_it).copied()
    }

    fn add(&mut self, key: Hashed<'_>, value: Option<&[u8]>, bytes: usize) {
        self.bytes += bytes;
        // What the numbers of a row can't say isn't kept.
        let lengths = [key.key.len(), value.map_or(ABSENT as usize, <[u8]>::len)];
        let (Ok(place), [Ok(key_length), Ok(length)]) =
            (u32::try_from(self.list.len()), lengths.map(u32::try_from))
        else {
            return;
        };
        self.list.extend_from_slice(&key.hash().to_ne_bytes());
        self.list.extend_from_slice(&key_length.to_ne_bytes());
        self.list.extend_from_slice(&length.to_ne_bytes());
        self.list.extend_from_slice(key.key);
        self.list.extend_from_slice(value.unwrap_or_default());
        let list = &self.list;
        self.places.insert_unique(key.hash(), place, |place| row(list, *place).0);
    }

    fn remove(&mut self, key: Hashed<'_>) -> bool {
        let Some(found) = self.find(key) else { return false };
        if let Ok(entry) = self.places.find_entry(key.hash(), |place| *place == found) {
            entry.remove();
        }
        true
    }

    fn row(&self, place: u32) -> (u64, &[u8], Option<&[u8]>) {
        row(&self.list, place)
    }
}

/// Hash, key and value of the row at `place`.
fn row(list: &[u8], place: u32) -> (u64, &[u8], Option<&[u8]>) {
    let (head, rest) = list[place as usize..].split_at(HEAD);
    let (numbers, _) = head.as_chunks::<4>();
    let number = |index: usize| u32::from_ne_bytes(numbers[index]);
    let hash = head.first_chunk().map_or(0, |hash| u64::from_ne_bytes(*hash));
    let (key, rest) = rest.split_at(number(2) as usize);
    let value = (number(3) != ABSENT).then(|| &rest[..number(3) as usize]);
    (hash, key, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: u32) -> [u8; 4] {
        number.to_be_bytes()
    }

    fn add(rows: &mut CleanRows, numbers: std::ops::Range<u32>) {
        let epoch = rows.epoch();
        for number in numbers {
            rows.add(Hashed::new(&numbered(number)), Some(&[7; 100]), epoch);
        }
    }

    fn known(rows: &CleanRows, numbers: std::ops::Range<u32>) -> usize {
        numbers.filter(|number| rows.get(Hashed::new(&numbered(*number))).is_some()).count()
    }

    #[test]
    fn rows_and_missing_rows_are_known_until_they_are_written() {
        let mut rows = CleanRows::new(CleanBudget::new(1 << 20));
        let (there, missing) = (Hashed::new(b"there"), Hashed::new(b"missing"));
        let epoch = rows.epoch();
        rows.add(there, Some(b""), epoch);
        rows.add(missing, None, epoch);
        assert_eq!(rows.get(there), Some(Some(&b""[..])));
        assert_eq!(rows.get(missing), Some(None));
        assert_eq!(rows.get(Hashed::new(b"other")), None);
        rows.forget([missing]);
        assert_eq!((rows.get(there), rows.get(missing)), (Some(Some(&b""[..])), None));
        rows.add(missing, None, epoch);
        assert_eq!(rows.get(missing), None, "it was read before the write-back");
    }

    #[test]
    fn the_budget_holds_and_is_shared() {
        let budget = CleanBudget::new(64 << 10);
        let mut first = CleanRows::new(Arc::clone(&budget));
        add(&mut first, 0..10_000);
        assert!(budget.used() <= 64 << 10 && known(&first, 9_900..10_000) == 100);
        let mut second = CleanRows::new(Arc::clone(&budget));
        add(&mut second, 0..10);
        // Its rows were found again, but they are more than its share now.
        assert!((0..100).all(|_| known(&first, 9_900..10_000) == 100));
        first.forget([]);
        add(&mut second, 0..10_000);
        add(&mut first, 0..10_000);
        assert!(budget.used() <= 64 << 10);
        assert!(known(&second, 9_900..10_000) == 100 && known(&first, 9_900..10_000) == 100);
        drop((first, second));
        assert_eq!((budget.used(), budget.stores.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn an_aggregate_gives_its_memory_back_and_a_table_keeps_it() {
        let budget = CleanBudget::new(1 << 20);
        let mut rows = CleanRows::new(Arc::clone(&budget));
        let keys: Vec<[u8; 4]> = (0..2_000).map(numbered).collect();
        let written = || keys.iter().map(|key| Hashed::new(key));
        add(&mut rows, 0..2_000);
        rows.forget(written());
        assert_eq!(budget.used(), 0);
        add(&mut rows, 0..2_000);
        let kept = known(&rows, 0..2_000);
        assert!((50..250).contains(&kept), "one of {ONE_OF}: {kept}");
        rows.forget([]);
        add(&mut rows, 0..2_000);
        assert_eq!(known(&rows, 0..2_000), 2_000, "rows that were read weren't written");
        rows.forget([]);
        assert_eq!(known(&rows, 0..2_000), 2_000);
        (0..3).for_each(|_| assert_eq!(known(&rows, 0..2_000), 2_000));
        rows.forget(written());
        add(&mut rows, 0..2_000);
        assert_eq!(known(&rows, 0..2_000), 2_000, "they were read more often than written");
    }
}
