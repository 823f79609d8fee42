//! What is parked, as the rows of a gate's store say.
//!
//! ```text
//! 00                       number of records kept (8 bytes)
//! key | 00 01              next number (8) | parked since (8) | why the key is parked
//! key | 00 01 | number     time (8) | has value (1) | headers | value
//! ```
//!
//! Keys are escaped ([`keys::prefix`]), numbers big-endian.

use std::collections::{BTreeMap, BTreeSet};

use state_stores::keys;

/// Where the number of kept records is.
pub(crate) const KEPT: &[u8] = &[0];

/// The row of a parked key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRow {
    /// Of the next record that is parked.
    pub(crate) next: u64,
    /// Task clock, ms since 1970.
    pub(crate) since_ms: i64,
    pub(crate) cause: String,
}

impl KeyRow {
    /// `None`: damaged.
    pub(crate) fn read(row: &[u8]) -> Option<Self> {
        let (next, row) = row.split_first_chunk()?;
        let (since_ms, cause) = row.split_first_chunk()?;
        Some(Self {
            next: u64::from_be_bytes(*next),
            since_ms: i64::from_be_bytes(*since_ms),
            cause: String::from_utf8_lossy(cause).into_owned(),
        })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.next.to_be_bytes()[..], &self.since_ms.to_be_bytes(), self.cause.as_bytes()].concat()
    }
}

/// A key that is parked by a [`KStream::park_key`](crate::KStream::park_key).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedKey {
    /// As the codec of the parked stream wrote it.
    pub key: Vec<u8>,
    /// Why its first record failed, when it last did.
    pub cause: String,
    /// How many records wait.
    pub records: usize,
    /// Since when (ms since 1970, clock of the task).
    pub since_ms: i64,
}

/// The parked keys of one task, put together from the rows of its store or of the store's changelog.
///
/// Rows may come in any order; of each, the last one counts.
#[derive(Clone, Debug, Default)]
pub struct ParkedKeys {
    keys: BTreeMap<Vec<u8>, Waiting>,
    records: usize,
}

#[derive(Clone, Debug, Default)]
struct Waiting {
    row: Option<KeyRow>,
    numbers: BTreeSet<u64>,
}

impl ParkedKeys {
    /// Takes a row; without value it was deleted. Rows that say nothing about keys are passed over.
    pub fn take(&mut self, key: &[u8], row: Option<&[u8]>) {
        let mut unescaped = Vec::new();
        let Some((key, number)) = keys::split(key, &mut unescaped) else { return };
        let waiting = self.keys.entry(key.to_vec()).or_default();
        match number.try_into().map(u64::from_be_bytes) {
            Ok(number) if row.is_some() => {
                self.records += usize::from(waiting.numbers.insert(number));
            }
            Ok(number) => self.records -= usize::from(waiting.numbers.remove(&number)),
            Err(_) => waiting.row = row.and_then(KeyRow::read),
        }
        if waiting.row.is_none() && waiting.numbers.is_empty() {
            self.keys.remove(key);
        }
    }

    /// The parked keys, in the order of their bytes.
    pub fn keys(&self) -> impl Iterator<Item = ParkedKey> {
        self.keys.iter().filter_map(|(key, waiting)| {
            let KeyRow { since_ms, cause, .. } = waiting.row.clone()?;
            Some(ParkedKey { key: key.clone(), cause, records: waiting.numbers.len(), since_ms })
        })
    }

    /// How many keys are parked.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// How many records wait.
    pub fn record_count(&self) -> usize {
        self.records
    }

    /// When the key that waits longest was parked.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.keys.values().filter_map(|waiting| Some(waiting.row.as_ref()?.since_ms)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row_of(key: &[u8], number: Option<u64>) -> Vec<u8> {
        let mut row = Vec::new();
        keys::prefix(key, &mut row);
        row.extend(number.iter().flat_map(|number| number.to_be_bytes()));
        row
    }

    #[test]
    fn a_key_is_parked_while_it_has_a_row() {
        let mut parked = ParkedKeys::default();
        let row = KeyRow { next: 2, since_ms: 7, cause: "closed".to_owned() };
        parked.take(KEPT, Some(&2u64.to_be_bytes()));
        parked.take(&row_of(b"a\0b", None), Some(&row.bytes()));
        for number in [0, 1, 1] {
            parked.take(&row_of(b"a\0b", Some(number)), Some(b"record"));
        }
        let key = ParkedKey {
            key: b"a\0b".to_vec(),
            cause: "closed".to_owned(),
            records: 2,
            since_ms: 7,
        };
        assert_eq!(parked.keys().collect::<Vec<_>>(), [key]);
        assert_eq!(
            (parked.key_count(), parked.record_count(), parked.oldest_ms()),
            (1, 2, Some(7))
        );
        parked.take(&row_of(b"a\0b", None), None);
        for number in [1, 0, 0] {
            parked.take(&row_of(b"a\0b", Some(number)), None);
        }
        assert_eq!((parked.key_count(), parked.record_count(), parked.oldest_ms()), (0, 0, None));
    }
}
